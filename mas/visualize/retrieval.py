"""Queries and what was found for them, as one page that needs no other file."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import string
from collections.abc import Mapping, Sequence

import numpy as np

from mas import files
from mas.files import PathLike
from mas.visualize.classes import class_name

FIELDS = ("query", "query_label", "rank", "neighbour", "neighbour_label", "similarity")
TOP = (1, 5, 10)
MOST_QUERIES = 200  # that a page shows, where nothing else is said
WIDTH, HEIGHT = 128, 96  # of a thumbnail, in pixels

_PAGE = string.Template("""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>$title</title>
<style>
body { font: 13px sans-serif; margin: 1.5em; }
section { display: flex; flex-wrap: wrap; gap: 6px; margin: 0 0 14px; }
figure { margin: 0; width: ${width}px; border: 4px solid #ddd; }
figure.query { margin-right: 14px; }
figure.right { border-color: #2a9d3a; }
figure.wrong { border-color: #d03030; }
figure i { display: block; height: ${height}px; background: center / contain no-repeat; }
figcaption { padding: 2px 4px; overflow-wrap: anywhere; }
$images
</style>
<h1>$title</h1>
<p>$summary</p>
<p>Left: the query. Then its nearest videos, the nearest first, with their cosine similarity:
green where the class is the query's, red where it is not.</p>
$rows
</html>
""")


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
    width: int = WIDTH,
    height: int = HEIGHT,
) -> str:
    """The page: a row for each query, its neighbours framed in green where they are of its class.

    Args:
        queries: list of `Query`: what the numbers at its top are of.
        shown: those of them that it shows.
        thumbnails: {video id: jpeg file in base64} of the videos shown; one that is not there
            leaves a blank.
        title: of the page.
        names: of the classes, in the labels' order; None shows the numbers.
        width: of a thumbnail, in pixels.
        height: of a thumbnail, in pixels.

    Returns:
        Text in HTML; each picture stands in it once.
    """
    places = {video: f"v{number}" for number, video in enumerate(thumbnails)}
    images = (
        f".{places[video]} {{ background-image: url(data:image/jpeg;base64,{data}) }}"
        for video, data in thumbnails.items()
    )
    most = max(len(query.found) for query in queries)
    numbers = [f"top-{count} {top(queries, count):.1%}" for count in TOP if count <= most]
    numbers.append(f"{len(queries)} queries" + _of_them(len(queries), len(shown)))
    return _PAGE.substitute(
        title=html.escape(title),
        images="\n".join(images),
        summary=", ".join(numbers),
        rows="\n".join(_row(query, places, names) for query in shown),
        width=width,
        height=height,
    )


def _of_them(count, shown):
    return "" if shown == count else f", {shown} of them shown, evenly spaced"


def _row(query, places, names):
    figures = [_figure("query", query.video, query.label, "query", places, names)]
    for found in query.found:
        right = "right" if found.label == query.label else "wrong"
        similarity = f"{found.similarity:.3f}"
        figures.append(_figure(right, found.video, found.label, similarity, places, names))
    return f"<section>\n{''.join(figures)}</section>"


def _figure(kind, video, label, text, places, names):
    shown, name = html.escape(video), html.escape(class_name(label, names))
    return (
        f'<figure class="{kind}" title="{shown}"><i class="{places.get(video, "none")}"></i>'
        f"<figcaption><b>{name}</b> {text}<br>{shown}</figcaption></figure>\n"
    )
