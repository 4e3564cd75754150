"""Near-duplicates: pairs of nearly identical clips, found block by block."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tqdm

from mas.checks import check_range

PAIR = np.dtype([("a", "<i8"), ("b", "<i8"), ("cosine", "<f4")])
MOST_PAIRS = 1_000_000  # pairs to keep; black screens alone can make millions
BLOCK = 2048  # a block of this many clips is compared with another one
ROUNDING = 1e-6  # rounding error of a cosine in single precision
SOON = 2  # seconds before a progress bar appears


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of near-duplicates.

    Attributes:
        found: (m,) array of `PAIR`: rows of two clips, a < b, and their cosine; the most similar
            pair comes first.
        total: number of pairs in the index; `found` has the `MOST_PAIRS` most similar ones.
    """

    found: np.ndarray
    total: int


@dataclasses.dataclass(frozen=True)
class Copy:
    """A stretch of video that appears again in another video, or later in the same one.

    Attributes:
        a: row of the clip in the first stretch that is most similar to its partner.
        b: row of that partner in the second stretch.
        firsts: first frame of each stretch.
        ends: frame after the last frame of each stretch.
        clips: number of pairs that were joined.
        cosine: mean cosine of these pairs.
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
    """Finds the pairs of clips whose cosine is at least `least`.

    Memory grows with the number of pairs but not with the number of clips. Time grows with the
    square of the number of clips.

    Args:
        unit: float (n, D), vectors of length 1, in memory or mapped from a file.
        clips: (n,) with the fields video and first (first frame). Two clips of one video that
            share a frame do not count as a pair.
        frames: number of video frames that a clip spans.
        least: smallest cosine of a pair, in (0, 1].
        most: number of pairs to keep.
        block: number of clips per block.

    Raises:
        ValueError: If `least` is not in (0, 1].
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
    """Yields (cosines, row offset, column offset) of each block with itself and later blocks."""
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
    """A block of rows in single precision, normalized again because float16 rounds them."""
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
    """Joins consecutive pairs of two videos into stretches.

    Pairs are joined if they have the same offset in time, so a video and its copy make one `Copy`
    instead of one per clip. Pairs within a video are not joined: the stretch could overlap itself.

    Args:
        pairs: what `near_duplicates` returned.
        clips: as for `near_duplicates`.
        frames: as for `near_duplicates`.

    Returns:
        The stretches, longest first, then most similar first.
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
