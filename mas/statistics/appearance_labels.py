"""Appearance statistics: where colours change most and least over time, and the dominant colours.

Wang et al., CVPR 2019, section 3.3. Loops are compiled by Numba and release the GIL.
"""

import numpy as np

from mas.statistics import regions
from mas.statistics.compiled import loop
from mas.statistics.names import COLOURS, OCTANTS

CHANNELS = 3
LEVELS = 256
_STRIP = 14  # pixels in a strip; the journal version's code once slices frames instead


def appearance(rgb, patterns=(1, 2, 3), global_labels=True, colour="octants", journal=False):
    """Computes the appearance labels of a clip.

    For each pattern, the labels are the region with the smallest overlap of its frames' colour
    histograms (`overlap`) and its colour, then the region with the largest overlap and its colour.
    The first region wins ties. Colours are 1 blue, 2 cyan, 3 magenta, 4 white, 5 black, 6 green,
    7 red, 8 yellow.

    Args:
        rgb: uint8 (T, S, S, 3), R G B, S a multiple of 8.
        patterns: partitions of the frame to use, distinct values from 1, 2, 3.
        global_labels: whether to add the colour of the whole clip.
        colour: "octants" is the octant of the RGB cube with the most pixels over all frames (the
            paper); "mode" is the octant of the most frequent 24-bit value, the smallest B, G, R on
            ties (the journal version's code).
        journal: whether to take the colour of the second region of pattern 2 from the pixels that
            the journal version's code uses by mistake (`_stray_ring`); requires "mode".

    Returns:
        int32 (4 * patterns + global_labels,), in the order of `appearance_names`, starting at 1.

    Raises:
        ValueError: If the type or shape of `rgb` is wrong, a pattern or `colour` is unknown, or
            `journal` is used without "mode".

    Source: section 3.3, equation 2.
    """
    patterns = regions.check_patterns(patterns)
    if colour not in COLOURS:
        raise ValueError(f"colour must be one of {list(COLOURS)}. Received: colour={colour!r}.")
    if journal and colour != "mode":
        raise ValueError(f"colour must be 'mode' with journal. Received: colour={colour!r}.")
    rgb, parts = _checked(rgb, patterns)
    overlaps, octants = _count(rgb, parts)
    find_colour = _fullest_octant(octants) if colour == "octants" else _octant_of_mode(rgb, parts)
    labels = []
    for pattern, rows in zip(patterns, parts.rows, strict=True):
        for location in (overlaps[rows].argmin(), overlaps[rows].argmax()):
            stray = journal and pattern == 2 and location == 1
            found = _stray_ring(rgb) if stray else find_colour(parts.members[rows][location])
            labels += [1 + location, found]
    if global_labels:
        labels.append(find_colour(np.ones(parts.members.shape[1], bool)))
    return np.array(labels, np.int32)


def overlap(rgb, pattern):
    """Computes the intersection over union of the frames' colour histograms in each region.

    For each channel, with 256 bins, this is the sum over bins of the smallest count among the
    frames, divided by the sum of the largest. The result is the mean over the three channels.

    Args:
        rgb: as for `appearance`.
        pattern: 1, 2 or 3.

    Returns:
        float64 (regions,) in (0, 1]; 1 if the histograms of all frames are equal.

    Raises:
        ValueError: If the type or shape of `rgb` is wrong, or the pattern is unknown.

    Source: section 3.3, equation 2; per channel, as the paper does in practice.
    """
    return _count(*_checked(rgb, regions.check_patterns((pattern,))))[0]


def _checked(rgb, patterns):
    """Checks a clip; returns (contiguous rgb, pieces of its frames)."""
    received = f"{rgb.dtype} {rgb.shape}" if isinstance(rgb, np.ndarray) else type(rgb).__name__
    if not (
        isinstance(rgb, np.ndarray)
        and rgb.dtype == np.uint8
        and rgb.ndim == 4
        and len(rgb) > 0
        and rgb.shape[1] == rgb.shape[2]
        and rgb.shape[3] == CHANNELS
    ):
        raise ValueError(
            f"rgb must be a uint8 array (frames, size, size, 3). Received: {received}."
        )
    parts = regions.pieces(patterns, rgb.shape[1])
    return np.require(rgb, requirements=["C", "W"]), parts


def _count(rgb, parts):
    """Returns (overlap (regions,), pixels per octant (pieces, 8))."""
    lowest, highest, octants = _histograms(rgb, parts.map, parts.members)
    return (lowest.sum(2) / highest.sum(2)).mean(1), octants


def _fullest_octant(octants):
    """Returns a function from a set of pieces to the octant, from 1, with most of their pixels."""
    return lambda members: 1 + (members @ octants).argmax()


def _octant_of_mode(rgb, parts):
    """Returns a function from pieces to the octant, from 1, of their most frequent 24-bit value."""
    values = _values(rgb)
    return lambda members: _octant_of(values[:, members[parts.map]].ravel())


def _values(rgb):
    """Returns pixels as 24-bit values; the smallest wins ties, as in the journal version's code."""
    red, green, blue = np.moveaxis(rgb.astype(np.int32), -1, 0)
    return (blue << 16) + (green << 8) + red


def _octant_of(values):
    """Returns the octant, from 1, of the most frequent 24-bit value."""
    value = _most_frequent(np.sort(values))
    return 1 + _octant(value & 255, value >> 8 & 255, value >> 16)


def _stray_ring(rgb):
    """Returns the colour that the journal version's code finds in the second ring of pattern 2.

    By mistake, the code slices time instead of rows for the bottom strip. It gets the whole square,
    whose centre is black, of all frames except the last 14. The colour is therefore mostly black.
    """
    unit = rgb.shape[1] // regions.UNIT
    square = rgb[:, 2 * unit : 6 * unit, 2 * unit : 6 * unit].copy()
    square[:, unit : 3 * unit, unit : 3 * unit] = 0
    left, right = square[:, unit : 3 * unit, :unit], square[:, unit : 3 * unit, 3 * unit :]
    taken = (square[:, :unit], left, right, square[:-_STRIP])
    return _octant_of(np.concatenate([_values(part).ravel() for part in taken]))


@loop
def _octant(red, green, blue):
    """Returns an octant from 0: blue, cyan, magenta, white, black, green, red, yellow."""
    return 4 * (blue < 128) + 2 * (red >= 128) + (green >= 128)


@loop
def _most_frequent(ordered):
    """Returns the most frequent value of a sorted array, the first on ties."""
    best, longest, start = ordered[0], 0, 0
    for i in range(len(ordered)):
        if ordered[i] != ordered[start]:
            start = i
        if i - start >= longest:
            best, longest = ordered[i], i - start + 1
    return best


@loop
def _histograms(rgb, piece, members):
    """Returns smallest and largest counts per frame (regions, 3, 256), and octants (pieces, 8)."""
    shape = (len(members), CHANNELS, LEVELS)
    lowest = np.full(shape, rgb[0].size, np.int32)
    highest = np.zeros(shape, np.int32)
    octants = np.zeros((members.shape[1], OCTANTS), np.int64)
    counts = np.empty((members.shape[1], CHANNELS, LEVELS), np.int32)
    total = np.empty(LEVELS, np.int32)
    for frame in rgb:
        counts[:] = 0
        _count_frame(frame, piece, counts, octants)
        for region in range(len(members)):
            _widen(members[region], counts, total, lowest[region], highest[region])
    return lowest, highest, octants


@loop
def _count_frame(frame, piece, counts, octants):
    """Adds the pixels of a frame to the counts of the pieces."""
    size = len(frame)
    for y in range(size):
        for x in range(size):
            part = piece[y, x]
            red, green, blue = frame[y, x, 0], frame[y, x, 1], frame[y, x, 2]
            counts[part, 0, red] += 1
            counts[part, 1, green] += 1
            counts[part, 2, blue] += 1
            octants[part, _octant(red, green, blue)] += 1


@loop
def _widen(member, counts, total, lowest, highest):
    """Updates a region's smallest and largest counts with one frame; `total` is a buffer."""
    for channel in range(CHANNELS):
        total[:] = 0
        for part in range(len(member)):
            if member[part]:
                for level in range(LEVELS):
                    total[level] += counts[part, channel, level]
        for level in range(LEVELS):
            lowest[channel, level] = min(lowest[channel, level], total[level])
            highest[channel, level] = max(highest[channel, level], total[level])
