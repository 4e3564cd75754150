"""Motion statistics: where motion boundaries are strongest, in which direction, and when.

Wang et al., CVPR 2019, section 3.2. Loops are compiled by Numba and release the GIL, as OpenCV
does, so that the threads of a `tf.data` pipeline run in parallel.
"""

import cv2
import numpy as np

from mas.statistics import regions
from mas.statistics.compiled import loop
from mas.statistics.names import COMPONENTS
from mas.statistics.names import DIRECTIONS as BINS


def motion(flow, patterns=(1, 2, 3), global_labels=True, fields=None, journal=False):
    """Computes the motion labels of a clip.

    For each pattern and component, the labels are the region (1..regions) whose motion boundaries,
    summed over time, have the largest mean magnitude, and the dominant direction in it (1..8; bin n
    starts at 45 (n - 1) degrees, y down). The first region wins ties. For each component, the
    global label is the flow field with the largest magnitude of its own boundaries (1..fields).

    Labels of a component without motion boundaries are 0, unless `journal`: location and direction
    if the boundaries sum to 0, the frame if those of every field are 0.

    Args:
        flow: float32 (T - 1, S, S, 2), T >= 2, S a multiple of 8; u right, v down, in pixels per
            frame.
        patterns: partitions of the frame to use, distinct values from 1, 2, 3.
        global_labels: whether to add the frames of largest motion.
        fields: number of leading flow fields in which to look for the frames of largest motion.
            None means all. The journal version's code sums 16 fields but looks at 15.
        journal: whether to label components without motion boundaries like the journal version's
            code: 1, and 0 in pattern 1.

    Returns:
        int32 (4 * patterns + 2 * global_labels,), in the order of `motion_names`, starting at 1.

    Raises:
        ValueError: If the type or shape of `flow` is wrong, `flow` is not finite, a pattern is
            unknown, or there are fewer than `fields` flow fields.

    Source: section 3.2. As in the authors' code but not the paper, a magnitude is split linearly
    between two adjacent bins, and directions are rotated by 180 degrees (`motion_boundaries`). The
    authors' code fails if a component has no motion.
    """
    patterns = regions.check_patterns(patterns)
    boundaries, energy = _checked_boundaries(flow)
    if fields is not None and fields not in range(1, len(flow) + 1):
        raise ValueError(f"fields must be in 1..{len(flow)}, or None. Received: fields={fields!r}.")
    parts = regions.pieces(patterns, flow.shape[1])
    histograms = [_region_histograms(*boundary, parts) for boundary in boundaries]
    labels = [
        label
        for pattern, rows in zip(patterns, parts.rows, strict=True)
        for magnitude, direction in histograms
        for label in _location_and_direction(
            magnitude[rows], direction[rows], int(journal and pattern > 1)
        )
    ]
    if global_labels:
        still = int(journal)
        labels += [1 + part.argmax() if part.any() else still for part in energy[:, :fields]]
    return np.array(labels, np.int32)


def motion_boundaries(flow):
    """Computes the motion boundaries M_u and M_v: spatial derivatives of flow, summed over time.

    Derivatives are 3 x 3 Prewitt sums, not divided by 6, computed by true convolution with rows
    (-1, 0, 1) and reflected borders. This is the negative of the usual derivative, as in the
    authors' code. Uniform flow, such as that of a panning camera, gives exactly 0.

    Args:
        flow: as for `motion`.

    Returns:
        float32 (2, 2, S, S): component (u, v), derivative (d/dx, d/dy).

    Raises:
        ValueError: If the type or shape of `flow` is wrong, or `flow` is not finite.

    Source: section 3.2, equation 1.
    """
    return _checked_boundaries(flow)[0]


def _checked_boundaries(flow):
    """Checks flow; returns boundaries, float32 (2, 2, S, S), and energy, float64 (2, T - 1)."""
    received = f"{flow.dtype} {flow.shape}" if isinstance(flow, np.ndarray) else type(flow).__name__
    if not (
        isinstance(flow, np.ndarray)
        and flow.dtype == np.float32
        and flow.ndim == 4
        and len(flow) > 0
        and flow.shape[1] == flow.shape[2]
        and flow.shape[3] == len(COMPONENTS)
    ):
        raise ValueError(
            f"flow must be a float32 array (frames - 1, size, size, 2). Received: {received}."
        )
    regions.check_size(flow.shape[1])
    boundaries, energy = _boundaries(np.require(flow, requirements=["C", "W"]))
    if not np.isfinite(energy).all():
        raise ValueError("flow must be finite. Received: values that are infinite or NaN.")
    return boundaries, energy


def _region_histograms(x, y, parts):
    """Returns a component's mean magnitude (regions,) and direction histogram (regions, 8)."""
    magnitude, angle = cv2.cartToPolar(x, y, angleInDegrees=True)
    histograms, totals = _piece_histograms(magnitude, angle, parts.map, parts.members.shape[1])
    return parts.members @ totals / parts.areas, parts.members @ histograms


def _location_and_direction(magnitude, direction, still):
    """Returns the labels of one pattern and component from the regions' means and histograms."""
    if not magnitude.any():
        return still, still
    location = magnitude.argmax()
    return 1 + location, 1 + direction[location].argmax()


@loop
def _boundaries(flow):
    """Returns the derivatives of u and v summed over time, and the summed magnitude of each field.

    Uses float64, in which sums of a few float32 numbers are exact.
    """
    frames, size, _, components = flow.shape
    total = np.zeros((components, 2, size, size))
    energy = np.zeros((components, frames))
    column = np.empty(size + 2)  # with one pixel of reflected border at each end
    slope = np.empty(size + 2)
    magnitudes = np.empty(size)
    for t in range(frames):
        for c in range(components):
            magnitudes[:] = 0
            for y in range(size):
                _three_rows(flow[t], c, y, column, slope)
                for x in range(size):
                    d_x = column[x] - column[x + 2]
                    d_y = slope[x] + slope[x + 1] + slope[x + 2]
                    total[c, 0, y, x] += d_x
                    total[c, 1, y, x] += d_y
                    magnitudes[x] += np.sqrt(d_x * d_x + d_y * d_y)
            energy[c, t] = magnitudes.sum()
    return total.astype(np.float32), energy


@loop
def _three_rows(field, c, y, column, slope):
    """Computes row y - 1 + row y + row y + 1, and row y - 1 - row y + 1, with reflected borders."""
    size = field.shape[0]
    above, here, below = field[max(y - 1, 0)], field[y], field[min(y + 1, size - 1)]
    for x in range(size):
        up, down = np.float64(above[x, c]), np.float64(below[x, c])
        column[x + 1] = up + here[x, c] + down
        slope[x + 1] = up - down
    for line in (column, slope):
        line[0] = line[1]
        line[size + 1] = line[size]


@loop
def _piece_histograms(magnitude, angle, piece, pieces):
    """Returns magnitudes by direction (pieces, 8), and their sums (pieces,)."""
    size = magnitude.shape[0]
    histograms = np.zeros((pieces, BINS))
    totals = np.zeros(pieces)
    for y in range(size):
        for x in range(size):
            part, weight = piece[y, x], np.float64(magnitude[y, x])
            turns = angle[y, x] / (360 / BINS)
            lower = int(turns)  # 8 if a tiny negative angle was rounded to 360 degrees
            share = turns - lower
            histograms[part, lower % BINS] += weight * (1 - share)
            histograms[part, (lower + 1) % BINS] += weight * share
            totals[part] += weight
    return histograms, totals
