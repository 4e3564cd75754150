"""Near-duplicates: pairs of clips that are almost alike, found block by block."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tqdm

from mas.checks import check_range

PAIR = np.dtype([("a", "<i8"), ("b", "<i8"), ("cosine", "<f4")])
MOST_PAIRS = 1_000_000  # that are kept; a black screen is alike everywhere
BLOCK = 2048  # clips that are compared with as many others at a time
ROUNDING = 1e-6  # of a cosine in single precision
SOON = 2  # seconds: what is done by then shows no progress


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of near-duplicates.

    Attributes:
        found: (m,) of `PAIR`: rows of two clips, a < b, and their cosine; the most alike first.
        total: how many there are; `found` has the `MOST_PAIRS` most alike of them.
    """

    found: np.ndarray
    total: int


@dataclasses.dataclass(frozen=True)
class Copy:
    """A stretch of one video that is almost alike in another, or elsewhere in the same.

    Attributes:
        a: row of a clip in it, that which is most like its partner.
        b: its partner.
        firsts: frame at which each of the two stretches begins.
        ends: frame behind each.
        clips: how many pairs it is joined from.
        cosine: the mean of those pairs.
    """

    a: int
    b: int
    firsts: tuple[int, int]
    ends: tuple[int, int]
    clips: int
    cosine: float


def near_duplicates(
    unit: Any,
    clips: np.ndarray,
    frames: int,
    least: float,
    most: int = MOST_PAIRS,
    block: int = BLOCK,
) -> Pairs:
    """Finds the pairs of clips whose cosine is large.

    Memory does not grow with the number of clips, but for the pairs; time grows with its square.

    Args:
        unit: float (n, D) of length 1, an array or one on the disk.
        clips: (n,) with the fields video and first, the clip's first frame. Two clips of one video
            that share a frame are no pair.
        frames: from a clip's first to its last.
        least: cosine of a pair, above 0.
        most: pairs that are kept.
        block: clips at a time.

    Raises:
        ValueError: `least` is not in (0, 1].
    """
    check_range("duplicates", least, above=0, most=1)
    kept, waiting, total = [np.zeros(0, PAIR)], 0, 0
    for cosines, first, second in _blocks(unit, block):
        pairs = _pairs(cosines, first, second, least)
        pairs = pairs[~_overlap(clips, pairs, frames)]
        kept.append(pairs)
        total, waiting = total + len(pairs), waiting + len(pairs)
        if waiting > most:
            kept, waiting = [_best(kept, most)], 0
    return Pairs(_best(kept, most), total)


def _blocks(unit, block):
    """Yields (cosines, first row, first row of the others) of each block with itself and later."""
    firsts = range(0, len(unit), block)
    total = len(firsts) * (len(firsts) + 1) // 2
    with tqdm.tqdm(total=total, desc="compare", unit="block", delay=SOON, leave=False) as bar:
        for first in firsts:
            left = _block(unit, first, block)
            for second in range(first, len(unit), block):
                right = left if second == first else _block(unit, second, block)
                yield left @ right.T, first, second
                bar.update()


def _block(unit, first, block):
    """Some rows in single precision, of length 1 again: float16 has rounded them."""
    rows = np.asarray(unit[first : first + block], np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def _pairs(cosines, first, second, least):
    a, b = np.nonzero(cosines >= least - ROUNDING)
    pairs = np.zeros(len(a), PAIR)
    pairs["a"], pairs["b"] = a + first, b + second
    pairs["cosine"] = np.minimum(cosines[a, b], 1)
    return pairs[pairs["a"] < pairs["b"]]


def _overlap(clips, pairs, frames):
    """Whether the two clips of each pair share a frame."""
    a, b = clips[pairs["a"]], clips[pairs["b"]]
    return (a["video"] == b["video"]) & (np.abs(a["first"] - b["first"]) < frames)


def _best(parts, most):
    pairs = np.concatenate(parts)
    order = np.lexsort((pairs["b"], pairs["a"], -pairs["cosine"]))
    return pairs[order[:most]]


def joined(pairs: Pairs, clips: np.ndarray, frames: int) -> list[Copy]:
    """Pairs of two videos that follow each other at one distance in time become one stretch.

    A video and its copy so make one `Copy`, not one for each clip. Pairs within a video stay alone:
    a stretch of them could overlap itself.

    Args:
        pairs: of `near_duplicates`.
        clips: as there.
        frames: as there.

    Returns:
        The longest first, then the most alike.
    """
    found = pairs.found
    a, b = clips[found["a"]], clips[found["b"]]
    shift = b["first"].astype(np.int64) - a["first"]
    order = np.lexsort((a["first"], shift, b["video"], a["video"]))
    found, a, b, shift = found[order], a[order], b[order], shift[order]
    new = np.ones(len(found), bool)
    same = (a["video"][1:] == a["video"][:-1]) & (b["video"][1:] == b["video"][:-1])
    same &= (shift[1:] == shift[:-1]) & (a["video"][1:] != b["video"][1:])
    new[1:] = ~(same & (np.diff(a["first"]) <= frames))
    copies = []
    for part in np.split(np.arange(len(found)), np.flatnonzero(new)[1:]) if len(found) else []:
        best = part[found["cosine"][part].argmax()]
        firsts = int(a["first"][part[0]]), int(b["first"][part[0]])
        ends = int(a["first"][part[-1]]) + frames, int(b["first"][part[-1]]) + frames
        mean = float(found["cosine"][part].mean(dtype=np.float64))
        rows = int(found["a"][best]), int(found["b"][best])
        copies.append(Copy(*rows, firsts, ends, len(part), mean))
    return sorted(copies, key=lambda copy: (-copy.clips, -copy.cosine, copy.a, copy.b))
