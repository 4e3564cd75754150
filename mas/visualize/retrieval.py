"""Queries and what was found for them, as one page that needs no other file."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence

import numpy as np

from mas import files, pages
from mas.files import PathLike
from mas.visualize.classes import class_name

FIELDS = ("query", "query_label", "rank", "neighbour", "neighbour_label", "similarity")
TOP = (1, 5, 10)
MOST_QUERIES = 200  # that a page shows, where nothing else is said
WIDTH = 128  # of a thumbnail, in pixels

_MEANING = (
    "First the query. Then its nearest videos, the nearest first, with their cosine similarity: "
    "green where the class is the query's, red where it is not."
)
_STYLE = """figure.query { margin-right: 8px; }
figure i { display: block; aspect-ratio: 4 / 3; background: #eef0f3 center / contain no-repeat; }
"""


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A video that was found for a query.

    Attributes:
        video: id.
        label: class; -1 is unlabelled.
        similarity: cosine of the two features.
    """

    video: str
    label: int
    similarity: float


@dataclasses.dataclass(frozen=True)
class Query:
    """A query.

    Attributes:
        video: id.
        label: class.
        found: its neighbours, the nearest first.
    """

    video: str
    label: int
    found: tuple[Neighbour, ...]


def read_neighbours(path: PathLike) -> list[Query]:
    """Reads the neighbours.csv of a retrieval.

    Returns:
        A list of `Query`, in the file's order.

    Raises:
        ValueError: naming file and line, for other columns, a row that does not fit, or no row.
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
        raise ValueError(f"{path}: expected a row for each neighbour. Received: none.")
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
    """At most so many queries, evenly spaced from the first to the last."""
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
    """The page: a row for each query, its neighbours framed in green where they are of its class.

    Args:
        queries: list of `Query`: what the numbers at its top are of.
        shown: those of them that it shows.
        thumbnails: {video id: jpeg file in base64} of the videos shown; one that is not there
            leaves a blank.
        title: of the page.
        names: of the classes, in the labels' order; None shows the numbers.

    Returns:
        Text in HTML; each picture stands in it once.
    """
    places = {video: f"v{number}" for number, video in enumerate(thumbnails)}
    images = (
        f".{places[video]} {{ background-image: url({pages.data_uri(data)}) }}"
        for video, data in thumbnails.items()
    )
    most = max(len(query.found) for query in queries)
    numbers = [f"top-{count} {top(queries, count):.1%}" for count in TOP if count <= most]
    numbers.append(f"{len(queries)} queries" + _of_them(len(queries), len(shown)))
    return pages.page(
        title,
        ", ".join(numbers),
        _MEANING,
        *(pages.row("", _cards(query, places, names)) for query in shown),
        style=_STYLE + "\n".join(images),
    )


def _of_them(count, shown):
    return "" if shown == count else f", {shown} of them shown, evenly spaced"


def _cards(query, places, names):
    """The query's card and those of its neighbours."""
    yield _card("query", query, "query", places, names)
    for found in query.found:
        kind = "right" if found.label == query.label else "wrong"
        yield _card(kind, found, f"{found.similarity:.3f}", places, names)


def _card(kind, shown, text, places, names):
    name = pages.bold(class_name(shown.label, names))
    picture = pages.element("i", class_=places.get(shown.video, "none"))
    said = pages.join([name, text], " ")
    return pages.card(picture, said, shown.video, kind=kind, title=shown.video)
