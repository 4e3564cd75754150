"""Exact search for the clips nearest to a query.

Every clip is compared, block by block. Ties are ordered by row, so results are reproducible.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mas.prepare import workers

if TYPE_CHECKING:
    from mas.index.index import Index

BLOCK = 1024  # clips that a thread compares at a time: they fit its cache
GROUP = 16  # queries compared at a time


class Hit(NamedTuple):
    """A result of a search: overlapping or adjacent clips of one video.

    Attributes:
        video: id of the video.
        first: first frame.
        end: frame after the last one.
        start_seconds: time of `first`; NaN if the frame rate is unknown.
        end_seconds: time of `end`; NaN if the frame rate is unknown.
        cosine: cosine of the nearest clip.
        row: row of the nearest clip.
        clips: number of clips.
    """

    video: str
    first: int
    end: int
    start_seconds: float
    end_seconds: float
    cosine: float
    row: int
    clips: int


def cosines(index: Index, queries: np.ndarray) -> np.ndarray:
    """Computes the cosines of queries and all clips.

    Args:
        index: an open index.
        queries: float32 (q, K) of length 1, as `index.whitening` gives them.

    Returns:
        float32 (q, n).
    """
    found = np.empty((len(index), len(queries)), np.float32)
    turned = np.ascontiguousarray(np.asarray(queries, np.float32).T)

    def compare(first):
        block = index.unit[first : first + BLOCK].astype(np.float32)
        np.matmul(block, turned, out=found[first : first + BLOCK])

    with _one_thread(), concurrent.futures.ThreadPoolExecutor(workers.cores()) as pool:
        for _ in pool.map(compare, range(0, len(index), BLOCK)):
            pass
    return found.T


def _one_thread():
    """Limits NumPy to one thread inside each of our threads."""
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    return threadpool_limits(1, "blas")


def ranked(values: np.ndarray, top: int) -> np.ndarray:
    """Indices of the largest values, largest first; ties are in order of index.

    >>> ranked(np.array([0.1, 0.9, 0.9, 0.5]), 3)
    array([1, 2, 3])
    """
    top = min(top, len(values))
    if not top:
        return np.zeros(0, int)
    least = np.partition(values, len(values) - top)[len(values) - top]
    places = np.flatnonzero(values >= least)
    return places[np.argsort(-values[places], kind="stable")][:top]


def nearest(
    index: Index, queries: np.ndarray, top: int, allowed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the nearest clips of each query.

    Args:
        index: an open index.
        queries: float32 (q, K) of length 1.
        top: number of clips per query.
        allowed: bool (n,) or (q, n), the clips to search; None searches all.

    Returns:
        (rows int (q, top), cosines float32 (q, top)), padded with row -1 and NaN if fewer than
        `top` clips are allowed.
    """
    rows = np.full((len(queries), top), -1)
    values = np.full((len(queries), top), np.nan, np.float32)
    for begin in range(0, len(queries), GROUP):
        found = cosines(index, queries[begin : begin + GROUP])
        for number, line in enumerate(found, begin):
            mask = allowed if allowed is None or allowed.ndim == 1 else allowed[number]
            places = np.arange(len(line)) if mask is None else np.flatnonzero(mask)
            best = places[ranked(line[places], top)]
            rows[number, : len(best)], values[number, : len(best)] = best, line[best]
    return rows, values


def around(index: Index, row: int | None, whole: bool) -> np.ndarray:
    """Bool (n,): the clips to exclude for a query of the index.

    Args:
        index: an open index.
        row: row of the query; None excludes nothing.
        whole: whether to exclude the query's whole video, or only clips that overlap or adjoin it.
    """
    if row is None:
        return np.zeros(len(index), bool)
    near = index.clips["video"] == index.clips["video"][row]
    if whole:
        return near
    return near & (np.abs(index.clips["first"] - index.clips["first"][row]) <= index.frames)


def in_order(values: np.ndarray, first: int) -> Iterator[tuple[int, float]]:
    """Yields (row, cosine), largest cosine first; ties are in order of row.

    Args:
        values: (n,) cosines; -inf excludes a clip.
        first: number of clips to sort at first; the number doubles when more are needed.
    """
    done, top = 0, first
    while done < len(values):
        rows = ranked(values, top)
        for row in rows[done:].tolist():
            if values[row] == -np.inf:
                return
            yield row, float(values[row])
        done, top = len(rows), 2 * top


def hits(index: Index, found: Iterable[tuple[int, float]], top: int) -> list[Hit]:
    """Joins clips into the nearest stretches of video.

    A clip that overlaps or adjoins a stretch extends it; any other clip starts a new stretch. The
    search ends at the first clip that would start stretch `top` + 1.

    Args:
        index: an open index.
        found: (row, cosine) of clips, largest cosine first.
        top: number of stretches.

    Returns:
        The stretches, largest cosine first.
    """
    stretches: list[_Stretch] = []
    of: dict[int, list[_Stretch]] = {}  # by the number of the video
    for row, cosine in found:
        video, first = int(index.clips["video"][row]), int(index.clips["first"][row])
        end = min(first + index.frames, index.videos[video].frames)
        known = of.setdefault(video, [])
        touched = [s for s in known if s.first <= end and first <= s.end]
        if not touched:
            if len(stretches) == top:
                break
            touched = [_Stretch(row, cosine, first, end, 0)]
            stretches += touched
            known += touched
        best, *others = touched
        best.first = min(first, *(s.first for s in touched))
        best.end = max(end, *(s.end for s in touched))
        best.clips = 1 + sum(s.clips for s in touched)
        for other in others:  # the clip joins several stretches
            stretches.remove(other)
            known.remove(other)
    return [_hit(index, stretch) for stretch in stretches]


@dataclasses.dataclass(eq=False)
class _Stretch:
    """Clips of a video; `row` and `cosine` belong to the nearest one."""

    row: int
    cosine: float
    first: int
    end: int
    clips: int


def _hit(index, stretch):
    video = index.videos[index.clips["video"][stretch.row]]
    seconds = [f / video.rate if video.rate else math.nan for f in (stretch.first, stretch.end)]
    place = (video.video, stretch.first, stretch.end, *seconds)
    return Hit(*place, stretch.cosine, stretch.row, stretch.clips)
