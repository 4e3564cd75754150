"""Results of a search as a csv file and as a page."""

from __future__ import annotations

import math
import pathlib
from typing import TYPE_CHECKING

from mas import files, lists, pages
from mas.files import PathLike
from mas.index.loops import UNKNOWN_RATE, Loops
from mas.index.queries import Query
from mas.index.searching import Hit

if TYPE_CHECKING:
    from mas.index.index import Index

FIELDS = ("rank", "video", "start", "end", "first_frame", "last_frame", "cosine", "clips")
_MEANING = (
    "The nearest hit comes first. Overlapping or adjacent clips of one video form one hit. Each "
    "hit plays its nearest clip and shows that clip's cosine: 1 is the query itself."
)


def write(
    index: Index, query: Query, hits: list[Hit], folder: PathLike, data: PathLike | None = None
) -> list[pathlib.Path]:
    """Writes found.csv, with times in seconds and frames counted from 0, and found.html.

    Args:
        index: an open index.
        query: the query.
        hits: the results of the search.
        folder: folder to write.
        data: folder of the videos, if they were moved.

    Returns:
        The paths of both files.
    """
    table, page = pathlib.Path(folder, "found.csv"), pathlib.Path(folder, "found.html")
    files.write(page, found_page(index, query, hits, data))
    rows = []
    for rank, hit in enumerate(hits, 1):
        times = ["" if math.isnan(s) else f"{s:.3f}" for s in (hit.start_seconds, hit.end_seconds)]
        place = (hit.first, hit.end - 1, f"{hit.cosine:.4f}", hit.clips)
        rows.append((rank, pages.cell(hit.video), *times, *place))
    files.write_csv(table, FIELDS, rows)
    return [table, page]


def found_page(index: Index, query: Query, hits: list[Hit], data: PathLike | None = None) -> str:
    """Makes a self-contained page: the query, then its hits, each as a loop."""
    loops = Loops(index, data=data)
    if query.row is not None:
        shown = loops(query.row)
    elif query.frames is not None:
        shown = pages.moving(query.frames, query.rate or UNKNOWN_RATE, query.name)
    else:
        shown = pages.Markup("")
    cards = [
        pages.card(
            loops(hit.row),
            pages.bold(pages.name_text(hit.video)),
            span_text(hit),
            f"cosine {hit.cosine:.3f}",
            title=hit.video,
        )
        for hit in hits
    ]
    counts = lists.counted(len(index), "clip"), lists.counted(len(index.videos), "video")
    return pages.page(
        f"Clips like {query.name}",
        f"{lists.counted(len(hits), 'hit')} among {counts[0]} of {counts[1]}. {_MEANING}",
        pages.element("p", described(index), class_="note"),
        pages.row("Query", [pages.card(shown, pages.bold(query.name), kind="query")]),
        pages.row("Found", cards),
    )


def described(index: Index) -> str:
    """Describes the network and its features in one or two sentences."""
    network, trained = index.facts["network"], index.facts["trained"]
    if network["weights"] == "random":
        words = f"a network with random weights (seed {network['seed']})"
    elif trained:
        data = f" on {trained['data']}" if trained.get("data") else ""
        many = f", {trained['clips']} clips" if trained.get("clips") else ""
        words = f"a network trained by {trained['task']}{data}{many}, {trained['epochs']} epochs"
    else:
        words = "a network whose training is unknown"
    width, kept = index.vectors.shape[1], index.unit.shape[1]
    white = f"whitened to {kept}" if index.whitens else "not whitened"
    return (
        f"Features of {words}: {width} numbers, {white}. Clips are near if this network finds them "
        "similar, which may not match your view."
    )


def span_text(hit: Hit) -> str:
    """Formats the span of a hit as times, or as frames if the rate is unknown."""
    if math.isnan(hit.start_seconds):
        return f"frames {hit.first} to {hit.end - 1}"
    return f"{pages.time_text(hit.start_seconds)} to {pages.time_text(hit.end_seconds)}"
