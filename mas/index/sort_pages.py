"""Pages of sorted clips: clusters as rows of playing clips, near-duplicates side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tqdm

from mas import lists, pages
from mas.index.report import described

if TYPE_CHECKING:
    from mas.index.clusters import Clusters
    from mas.index.index import Index
    from mas.index.loops import Loops

_STYLE = """figure.odd { border-style: dashed; border-color: #9a6a00; }
figcaption em { color: #7a5400; }
"""
_PAIRS = """.cards { grid-template-columns: repeat(auto-fill, minmax(270px, 1fr)); }
.pair { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 2px;
  align-items: center; }
"""
_ODD = pages.element("em", "odd")


def clusters_page(
    index: Index,
    found: Clusters,
    shown: list[tuple[np.ndarray, np.ndarray]],
    loops: Loops,
    made: Any,
    names: str,
    duplicates: str | None,
) -> str:
    """Makes the page of clusters: a row for each with its size, typical clips and odd clips.

    Args:
        index: the index of the clips.
        found: the clusters.
        shown: for each cluster, the rows of its typical and of its odd clips.
        loops: makes the thumbnails.
        made: `Sorted`.
        names: name of the csv file for the clusters' names.
        duplicates: name of the page of near-duplicates; None if there is none.
    """
    head = [
        f"{lists.counted(len(index), 'clip')} of {lists.counted(len(index.videos), 'video')} in "
        f"{lists.counted(len(found), 'cluster')}, the largest first. Each row begins with the "
        "cluster's most typical clips; the last ones, framed in dashes, are its oddest. The number "
        "below a clip is its cosine with the cluster's centre.",
        pages.element(
            "p",
            "To turn clusters into labels, write names into the column ",
            pages.element("b", "name"),
            " of ",
            pages.link(names, names),
            "; several clusters may share a name, and clusters without a name are left out. Then: ",
            pages.element("code", f"mas lists from_clusters --clusters={made.path} --output=FILE"),
        ),
        pages.element("p", described(index), class_="note"),
    ]
    if duplicates:
        words = f"Near-duplicates: {lists.counted(made.total, 'pair')} of clips."
        head.append(pages.element("p", pages.link(duplicates, words)))
    numbers = range(len(found))
    options = {"desc": "thumbnails", "unit": "cluster", "delay": 2, "leave": False}
    with tqdm.tqdm(numbers, **options) as bar:
        rows = [_cluster(index, found, number, shown[number], loops) for number in bar]
    return pages.page(f"Clusters of {pages.plain(index.path.name)}", *head, *rows, style=_STYLE)


def _cluster(index, found, number, shown, loops):
    rows = found.rows(number)
    videos = len(np.unique(index.clips["video"][rows]))
    size = f"{lists.counted(len(rows), 'clip')} of {lists.counted(videos, 'video')}"
    near, far = shown
    cards = [_card(loops, int(row), found.cosines[row]) for row in near]
    cards += [_card(loops, int(row), found.cosines[row], "odd") for row in far]
    return pages.row(f"Cluster {number}", cards, small=size)


def _card(loops, row, cosine, kind=None):
    name, time = loops.caption(row)
    last = pages.join([f"{cosine:.2f} ", _ODD]) if kind else f"{cosine:.2f}"
    return pages.card(loops(row), name, pages.join([time, last], " · "), kind=kind)


def duplicates_page(index: Index, made: Any, loops: Loops, chosen: Any, back: str) -> str:
    """Makes the page of the longest and most similar near-duplicates, in pairs side by side.

    Args:
        index: the index of the clips.
        made: `Sorted`.
        loops: makes the thumbnails.
        chosen: `Sorting`.
        back: name of the page of clusters.
    """
    copies, total = made.copies, lists.counted(made.total, "pair")
    shown = copies[: chosen.pairs]
    title = f"Near-duplicates of {pages.plain(index.path.name)}"
    home = pages.element("p", pages.link(back, "Clusters"))
    if not chosen.duplicates:
        return pages.page(title, "The search for near-duplicates was skipped.", home)
    words = (
        f"{total} of clips with a cosine of at least {chosen.duplicates:g}; pairs that share "
        "frames of one video do not count."
    )
    if len(copies) < made.total:
        stretches = lists.counted(len(copies), "stretch", "stretches")
        words += f" Consecutive pairs of two videos are joined, which leaves {stretches}."
    if len(shown) < len(copies):
        words += f" The page shows {len(shown)} of them, the longest first."
    cards = [_pair(index, copy, loops) for copy in shown]
    return pages.page(title, words, home, pages.row("", cards), style=_PAIRS)


def _pair(index, copy, loops):
    both = pages.join([loops(copy.a), loops(copy.b)])
    picture = pages.element("div", both, class_="pair")
    lines = [_stretch(index, row, first, end) for row, first, end in _sides(copy)]
    last = f"cosine {copy.cosine:.3f}"
    last += f", the mean of {copy.clips} pairs" if copy.clips > 1 else ""
    return pages.card(picture, *lines, last)


def _sides(copy):
    return zip((copy.a, copy.b), copy.firsts, copy.ends, strict=True)


def _stretch(index, row, first, end):
    """A video's name in bold and the span of the stretch."""
    video = index.videos[int(index.clips["video"][row])]
    end = min(end, video.frames)
    times = f"frames {first + 1} to {end}"
    if video.rate:
        times = f"{pages.time_text(first / video.rate)} to {pages.time_text(end / video.rate)}"
    return pages.join([pages.bold(pages.name_text(video.video)), times], " ")
