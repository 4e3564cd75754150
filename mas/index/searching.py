"""The clips that are nearest to one, and what a search tells of them.

Exact: every clip is compared, by blocks. Rows in equal distance come in their order, so a search
repeats.
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

BLOCK = 1024  # clips that a thread compares at a time: they stay in its cache
GROUP = 16  # queries that are compared together


class Hit(NamedTuple):
    """Clips of one video that a search found, one behind the other or overlapping.

    Attributes:
        video: id.
        first: first frame.
        end: behind the last frame.
        start_seconds: of the first; NaN where the frame rate is not known.
        end_seconds: likewise.
        cosine: of the clip that is nearest.
        row: of that clip.
        clips: how many.
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
    """Cosines of queries to every clip.

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
    """Keeps NumPy's own threads out of those that compare blocks."""
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    return threadpool_limits(1, "blas")


def ranked(values: np.ndarray, top: int) -> np.ndarray:
    """Places of the largest values, by falling value; of equal ones the first comes first.

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
    """The nearest clips of each query.

    Args:
        index: an open index.
        queries: float32 (q, K) of length 1.
        top: how many.
        allowed: bool (n,) or (q, n): the clips that may be found; None: all.

    Returns:
        (rows int (q, top), cosines float32 (q, top)); row -1 and NaN where fewer are allowed.
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
    """Bool (n,): the clips that a query of the index leaves out.

    Args:
        index: an open index.
        row: of the query; None leaves nothing out.
        whole: whether its whole video is left out; else the clips that overlap it or touch it.
    """
    if row is None:
        return np.zeros(len(index), bool)
    near = index.clips["video"] == index.clips["video"][row]
    if whole:
        return near
    return near & (np.abs(index.clips["first"] - index.clips["first"][row]) <= index.frames)


def in_order(values: np.ndarray, first: int) -> Iterator[tuple[int, float]]:
    """Yields (row, cosine) by falling cosine; equal ones in their order.

    Args:
        values: (n,) cosines; -inf leaves a clip out.
        first: how many are put in order at first; then as many again, and so on.
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
    """The nearest stretches of videos.

    A clip that overlaps a stretch that is there, or begins where it ends, or ends where it begins,
    makes it longer; another one is a new stretch. The first clip that would be stretch number
    `top` + 1 ends the search.

    Args:
        index: an open index.
        found: (row, cosine) of clips, by falling cosine.
        top: how many.

    Returns:
        By falling cosine.
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
        for other in others:  # the clip joins two
            stretches.remove(other)
            known.remove(other)
    return [_hit(index, stretch) for stretch in stretches]


@dataclasses.dataclass(eq=False)
class _Stretch:
    """Clips of a video; `row` and `cosine` are of the nearest."""

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
