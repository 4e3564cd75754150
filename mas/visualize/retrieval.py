"""Pages of queries and their nearest videos, in one self-contained HTML file."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence

import numpy as np

from mas import files, lists, pages
from mas.files import PathLike
from mas.visualize.classes import class_name

FIELDS = ("query", "query_label", "rank", "neighbour", "neighbour_label", "similarity")
TOP = (1, 5, 10)
MOST_QUERIES = 200  # default number of queries on a page
WIDTH = 128  # of thumbnails, in pixels

_MEANING = (
    "Each row shows a query, then its nearest videos with their cosine similarity, nearest first: "
    "green if they have the query's class, red if not."
)
_STYLE = """figure i { display: block; aspect-ratio: 4 / 3;
  background: #eef0f3 center / contain no-repeat; }
"""


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A neighbour of a query.

    Attributes:
        video: id of the video.
        label: class; -1 is unlabelled.
        similarity: cosine similarity of the two features.
    """

    video: str
    label: int
    similarity: float


@dataclasses.dataclass(frozen=True)
class Query:
    """A query.

    Attributes:
        video: id of the video.
        label: class.
        found: its neighbours, nearest first.
    """

    video: str
    label: int
    found: tuple[Neighbour, ...]


def read_neighbours(path: PathLike) -> list[Query]:
    """Reads the neighbours.csv of a retrieval.

    Returns:
        A list of `Query`, in the order of the file.

    Raises:
        ValueError: If the columns or a row are wrong, or there are no rows; the message names file
            and line.
    """
    queries: dict[str, tuple[int, list[Neighbour]]] = {}
    reader = csv.reader(io.StringIO(files.read_text(path, "surrogateescape"), newline=""))
    try:
        header = tuple(next(reader, ()))
        if header != FIELDS:
            raise ValueError(
                f"{path}:1: expected the columns {','.join(FIELDS)}. "
                f"Received: {','.join(header)[:100]!r}."
            )
        for row in reader:
            (query, label, rank), neighbour = _parsed(row, f"{path}:{reader.line_num}")
            known, found = queries.setdefault(query, (label, []))
            if rank != len(found) + 1 or label != known:
                raise ValueError(
                    f"{path}:{reader.line_num}: expected rank {len(found) + 1} and label {known} "
                    f"of {query}. Received: rank {rank} and label {label}."
                )
            found.append(neighbour)
    except csv.Error as error:
        raise ValueError(
            f"{path}:{reader.line_num}: expected a line of a csv file. Received: {error}."
        ) from None
    if not queries:
        raise ValueError(f"{path}: expected a row per neighbour. Received: none.")
    return [Query(video, label, tuple(found)) for video, (label, found) in queries.items()]


def _parsed(row, place):
    try:
        query, label, rank, video, neighbour_label, similarity = row
        found = Neighbour(video, int(neighbour_label), float(similarity))
        return (query, int(label), int(rank)), found
    except ValueError:
        received = repr(",".join(row))[:100]
        raise ValueError(f"{place}: expected {','.join(FIELDS)}. Received: {received}.") from None


def spread(queries: Sequence[Query], most: int = MOST_QUERIES) -> list[Query]:
    """At most `most` queries, evenly spaced from the first to the last."""
    places = np.linspace(0, len(queries) - 1, min(len(queries), most)).round().astype(int)
    return [queries[place] for place in np.unique(places)]


def top(queries: Sequence[Query], count: int) -> float:
    """Share of queries with a video of their class among the nearest `count`."""
    hits = [any(found.label == query.label for found in query.found[:count]) for query in queries]
    return sum(hits) / len(hits)


def retrieval_page(
    queries: Sequence[Query],
    shown: Sequence[Query],
    thumbnails: Mapping[str, str],
    title: str = "Retrieval",
    names: Sequence[str] | None = None,
) -> str:
    """Makes a page with a row per query, whose neighbours of its class are framed in green.

    Args:
        queries: all queries, for the numbers at the top.
        shown: the queries to show.
        thumbnails: {video id: jpeg file in base64}; a missing one leaves a blank.
        title: title of the page.
        names: class names in label order; None shows label numbers.

    Returns:
        HTML that contains each picture once.
    """
    places = {video: f"v{number}" for number, video in enumerate(thumbnails)}
    images = (
        f".{places[video]} {{ background-image: url({pages.data_uri(data)}) }}"
        for video, data in thumbnails.items()
    )
    most = max(len(query.found) for query in queries)
    numbers = [f"top-{count} {top(queries, count):.1%}" for count in TOP if count <= most]
    count = lists.counted(len(queries), "query", "queries")
    numbers.append(count + _shown_text(len(queries), len(shown)))
    return pages.page(
        title,
        ", ".join(numbers),
        _MEANING,
        *(pages.row("", _cards(query, places, names)) for query in shown),
        style=_STYLE + "\n".join(images),
    )


def _shown_text(count, shown):
    return "" if shown == count else f" ({shown} shown, evenly spaced)"


def _cards(query, places, names):
    """Yields the cards of the query and its neighbours."""
    yield _card("query", query, "query", places, names)
    for found in query.found:
        kind = "right" if found.label == query.label else "wrong"
        yield _card(kind, found, f"{found.similarity:.3f}", places, names)


def _card(kind, shown, text, places, names):
    name = pages.bold(class_name(shown.label, names))
    picture = pages.element("i", class_=places.get(shown.video, "none"))
    said = pages.join([name, text], " ")
    return pages.card(picture, said, pages.name_text(shown.video), kind=kind, title=shown.video)
