"""The paper's three patterns that divide a square frame into regions (section 3.2, Figure 4).

A region is a boolean mask. Regions of a pattern may share pixels: as in the authors' code, both
triangles of pattern 3 that meet at a diagonal include it. Statistics are counted on pieces, the
finest common subdivision of all patterns, and then summed per region.
"""

import dataclasses
import functools

import numpy as np

# Number of regions: 4 x 4 cells; a centre and three rings; eight triangles.
REGIONS = {1: 16, 2: 4, 3: 8}
UNIT = 8  # borders are at multiples of size / 8


def check_patterns(patterns):
    """Returns `patterns` as a tuple of int.

    Raises:
        ValueError: If `patterns` is not a tuple or list of distinct values from 1, 2, 3.
    """
    known = list(REGIONS)
    if (
        not isinstance(patterns, (tuple, list))
        or any(pattern not in known for pattern in patterns)
        or len(set(patterns)) < len(patterns)
    ):
        raise ValueError(
            f"patterns must be a tuple of distinct values from {known}. "
            f"Received: patterns={patterns!r}."
        )
    return tuple(int(pattern) for pattern in patterns)


def check_size(size):
    """Checks that the patterns can divide a frame.

    Raises:
        ValueError: If `size` is not a positive multiple of 8.
    """
    if size < UNIT or size % UNIT:
        raise ValueError(f"size must be a positive multiple of {UNIT}. Received: size={size}.")


def masks(pattern, size):
    """Returns the regions of a pattern as masks, in label order: index 0 is region 1.

    Args:
        pattern: 1 for 4 x 4 cells, row by row. 2 for concentric squares: the centre (a quarter of
            the side), then three rings outwards. 3 for the eight triangles between the centre lines
            and the diagonals: left-upper, top-left, top-right, right-upper, left-lower,
            bottom-left, bottom-right, right-lower.
        size: side of the frame in pixels, a multiple of 8.

    Returns:
        bool (regions, size, size), with 16, 4 or 8 regions.

    Raises:
        ValueError: If the pattern is unknown, or `size` is not a positive multiple of 8.
    """
    check_patterns((pattern,))
    check_size(size)
    y, x = np.mgrid[:size, :size]
    return np.stack({1: _cells, 2: _rings, 3: _triangles}[pattern](y, x, size))


def _cells(y, x, size):
    number = y // (size // 4) * 4 + x // (size // 4)
    return [number == cell for cell in range(REGIONS[1])]


def _rings(y, x, size):
    outwards = np.maximum(_from_centre(y, size), _from_centre(x, size))
    return [outwards // (size // UNIT) == ring for ring in range(REGIONS[2])]


def _triangles(y, x, size):
    top, left = y < size // 2, x < size // 2
    vertical, horizontal = _from_centre(y, size), _from_centre(x, size)
    steep, flat = vertical >= horizontal, horizontal >= vertical  # both on the diagonal
    return [
        top & left & flat,
        top & left & steep,
        top & ~left & steep,
        top & ~left & flat,
        ~top & left & flat,
        ~top & left & steep,
        ~top & ~left & steep,
        ~top & ~left & flat,
    ]


def _from_centre(position, size):
    """Returns the distance to the nearer of the two central pixels, 0 to size / 2 - 1."""
    return np.where(position < size // 2, size // 2 - 1 - position, position - size // 2)


@dataclasses.dataclass(frozen=True)
class Pieces:
    """The finest common subdivision of some patterns; every pixel is in exactly one piece.

    Attributes:
        map: uint32 (size, size), the piece of each pixel.
        members: bool (regions of all patterns, pieces), whether a region contains a piece.
        rows: slice of each pattern's regions in `members`.
        areas: float64 (regions,), number of pixels in each region.
    """

    map: np.ndarray
    members: np.ndarray
    rows: tuple
    areas: np.ndarray


@functools.lru_cache(maxsize=32)
def pieces(patterns, size):
    """Returns the `Pieces` of a tuple of patterns; without patterns, the frame is one piece.

    Raises:
        ValueError: If a pattern is unknown, or `size` is not a positive multiple of 8.
    """
    check_size(size)
    everywhere = np.ones((1, size * size), bool)  # one piece if there are no patterns
    regions = [masks(pattern, size).reshape(-1, size * size) for pattern in patterns]
    members, piece = np.unique(np.concatenate([everywhere, *regions]), axis=1, return_inverse=True)
    members = np.ascontiguousarray(members[1:])
    ends = np.cumsum([REGIONS[pattern] for pattern in patterns], dtype=int)
    areas = np.bincount(piece.ravel()).astype(float)
    return Pieces(
        map=piece.reshape(size, size).astype(np.uint32),
        members=members,
        rows=tuple(slice(end - REGIONS[p], end) for p, end in zip(patterns, ends, strict=True)),
        areas=members @ areas,
    )
