"""Clusters and near-duplicates of an index, written as pages and csv files.

OUTPUT/clusters.html    each cluster as a row of playing clips
       clips.csv        the cluster of each clip
       names.csv        a line for each cluster: names you fill in become labels
       duplicates.html  the top pairs of near-duplicates, side by side
       duplicates.csv   all near-duplicates, with times
       sort.json        settings and counts; written last, it marks the folder as complete
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np
from absl import logging

from mas import checks, files, lists, locks, pages
from mas.checks import Settings, option, refuse
from mas.index import clusters, duplicates, sort_pages
from mas.index.index import Index
from mas.index.loops import FRAMES, Loops
from mas.lists.clusters import CLIP_FIELDS, CLIPS, NAME_FIELDS, NAMES, STATE, all_names

CLUSTERS_PAGE, DUPLICATES_PAGE, DUPLICATES = "clusters.html", "duplicates.html", "duplicates.csv"
MOST_IMAGES = 6000  # frames on a page, about 20 MB: with many thumbnails each has fewer frames
COPY_FIELDS = ("video_a", "start_a", "end_a", "video_b", "start_b", "end_b", "clips", "cosine")


@dataclasses.dataclass(frozen=True)
class Sorting(Settings):
    """How to sort clips, and how much the pages show.

    >>> Sorting(clusters=50).duplicates
    0.98
    """

    clusters: int = option(20, "Number of clusters.", least=1)
    duplicates: float = option(
        0.98,
        "Smallest cosine of near-duplicates; 0 skips the search for them.",
        least=0,
        most=1,
    )
    typical: int = option(
        6, "Number of clips shown per cluster that are nearest to its centre.", least=1
    )
    odd: int = option(
        2, "Number of clips shown per cluster that are farthest from its centre.", least=0
    )
    pairs: int = option(60, "Near-duplicates shown on the page; the csv file has all.", least=0)
    seed: int = option(0, "Random seed of the clusters.", least=0, most=2**32 - 1)


@dataclasses.dataclass(frozen=True, eq=False)
class Sorted:
    """What `sort` found.

    Attributes:
        path: the folder it wrote.
        clusters: `Clusters` of the index's rows.
        copies: list of `Copy`, near-duplicates; empty if the search was skipped.
        total: number of near-duplicate pairs of clips. If there are more than a million, `copies`
            is made from the most similar ones.
    """

    path: pathlib.Path
    clusters: clusters.Clusters
    copies: list[duplicates.Copy]
    total: int


def sort(
    index: Index | str | os.PathLike,
    output: str | os.PathLike,
    data: str | os.PathLike | None = None,
    **options: Any,
) -> Sorted:
    """Sorts the clips of an index into clusters, and writes pages and csv files.

        mas.index.sort("index", "sorted", clusters=30)

    Args:
        index: an open index, or its folder.
        output: folder to write: new, empty, or written by an earlier call and without filled-in
            names.
        data: folder of the videos, if they were moved.
        **options: fields of `Sorting`.

    Raises:
        FileNotFoundError: If there is no index.
        ValueError: If the index is damaged or has fewer clips than clusters, if an option is not
            allowed, or if the folder contains other files or filled-in names.
        WriteError: If a file cannot be written.
    """
    chosen = Sorting(**options)
    index = index if isinstance(index, Index) else Index.open(index)
    root = _make_output(output)
    with locks.lock(root, "mas sort"):
        return _sorted(index, root, chosen, data)


def _sorted(index, root, chosen, data):
    """Sorts, and writes all files."""
    found = clusters.cluster(index.unit, chosen.clusters, chosen.seed)
    pairs = duplicates.Pairs(np.zeros(0, duplicates.PAIR), 0)
    if chosen.duplicates:
        logging.info("Clusters: %d. Comparing all clips with each other.", len(found))
        options = {"frames": index.frames, "least": chosen.duplicates}
        pairs = duplicates.near_duplicates(index.unit, index.clips, **options)
    copies = duplicates.joined(pairs, index.clips, index.frames)
    made = Sorted(root, found, copies, pairs.total)
    files.write_json(root / STATE, {"finished": False})
    thumbnails = len(found) * (chosen.typical + chosen.odd)
    images = max(1, min(FRAMES, MOST_IMAGES // thumbnails))
    _write(index, made, chosen, Loops(index, frames=images, data=data))
    facts = {"index": os.path.abspath(index.path), **index.facts, "settings": chosen.values()}
    counts = {"clips": len(index), "clusters": len(found), "pairs": pairs.total}
    files.write_json(root / STATE, {"finished": True, **counts, **facts})
    return made


def _make_output(output):
    """Makes the output folder, unless that could overwrite the user's files.

    Raises:
        ValueError: If it contains other files or filled-in names.
    """
    root = checks.path("output", output)
    if root.exists() and not root.is_dir():
        refuse("output", "a folder", str(root))
    others = root.is_dir() and any(path.name[0] != "." for path in root.iterdir())
    if others and not (root / STATE).is_file():
        refuse("output", "a new or empty folder, or one of an earlier mas sort", str(root))
    if (root / NAMES).exists():
        try:
            named = sum(map(bool, all_names(root).values()))
        except ValueError as error:  # it may hold names all the same
            raise ValueError(
                f"{error} Correct {NAMES}, move it away, or give another folder."
            ) from None
        if named:
            count = lists.counted(named, "cluster")
            raise ValueError(
                f"output must not contain filled-in names: move {root / NAMES} away, or give "
                f"another folder. Received: names of {count}."
            )
    with files.writing(root):
        root.mkdir(parents=True, exist_ok=True)
    return root


def _write(index, made, chosen, loops):
    """Writes all files except sort.json."""
    times = Times(index)
    found = made.clusters
    shown = [
        found.shown(number, index.clips["video"], chosen.typical, chosen.odd)
        for number in range(len(found))
    ]
    files.write_csv(made.path / CLIPS, CLIP_FIELDS, _clip_lines(index, found, times))
    files.write_csv(made.path / NAMES, NAME_FIELDS, _name_lines(index, found, shown, loops))
    files.write_csv(made.path / DUPLICATES, COPY_FIELDS, _copy_lines(index, made.copies, times))
    links = (NAMES, DUPLICATES_PAGE if chosen.duplicates else None)
    page = sort_pages.clusters_page(index, found, shown, loops, made, *links)
    files.write(made.path / CLUSTERS_PAGE, page)
    page = sort_pages.duplicates_page(index, made, loops, chosen, CLUSTERS_PAGE)
    files.write(made.path / DUPLICATES_PAGE, page)


class Times:
    """Converts frames of an index's videos to seconds for csv files; "" if the rate is unknown."""

    def __init__(self, index: Index):
        """Takes the frame rates from the index."""
        self.videos = index.videos

    def __call__(self, number: int, frame: int) -> str:
        """Time of a frame of the video `number`, at most the video's length."""
        video = self.videos[number]
        return f"{min(frame, video.frames) / video.rate:.3f}" if video.rate else ""


def _clip_lines(index, found, times):
    for clip, label, cosine in zip(index.clips, found.labels, found.cosines, strict=True):
        number, first = int(clip["video"]), int(clip["first"])
        span = times(number, first), times(number, first + index.frames)
        name = pages.cell(index.videos[number].video)
        yield name, first, *span, int(label), f"{cosine:.4f}"


def _name_lines(index, found, shown, loops):
    for number, (near, _) in enumerate(shown):
        rows = found.rows(number)
        videos = len(np.unique(index.clips["video"][rows]))
        example = pages.plain(f"{index.video(int(near[0]))} at {loops.time(int(near[0]))}")
        yield number, "", len(rows), videos, pages.cell(example)


def _copy_lines(index, copies, times):
    for copy in copies:
        line = []
        for row, first, end in zip((copy.a, copy.b), copy.firsts, copy.ends, strict=True):
            number = int(index.clips["video"][row])
            name = pages.cell(index.videos[number].video)
            line += [name, times(number, first), times(number, end)]
        yield *line, copy.clips, f"{copy.cosine:.4f}"
