"""The labels of a clip by definition, in slow plain loops that do not use `mas`."""

import cv2
import numpy as np
import scipy.ndimage


def pixels(pattern, size):
    """For each region of a pattern, the (row, column) of its pixels."""
    if pattern == 1:
        cell = size // 4
        return [
            [(i, j) for i in range(a, a + cell) for j in range(b, b + cell)]
            for a in range(0, size, cell)
            for b in range(0, size, cell)
        ]
    if pattern == 2:
        squares = [set()]
        for edge in (3 * size // 8, size // 4, size // 8, 0):
            inside = range(edge, size - edge)
            squares.append({(i, j) for i in inside for j in inside})
        return [sorted(outer - inner) for inner, outer in zip(squares, squares[1:], strict=False)]
    half = size // 2
    lower, upper = np.tril(np.ones((half, half))), np.triu(np.ones((half, half)))
    triangles = [  # (triangle, first row, first column), by its corner of the frame
        (lower, 0, 0),
        (upper, 0, 0),
        (np.fliplr(upper), 0, half),
        (np.fliplr(lower), 0, half),
        (np.fliplr(upper), half, 0),
        (np.fliplr(lower), half, 0),
        (lower, half, half),
        (upper, half, half),
    ]
    return [[(i + a, j + b) for i, j in np.argwhere(mask)] for mask, a, b in triangles]


def motion(flow, patterns=(1, 2, 3), global_labels=True):
    size, labels, frames = flow.shape[1], [], []
    kernel = np.array([[-1, 0, 1]] * 3)
    polar = []
    for component in (0, 1):
        x, y, energy = np.zeros((size, size)), np.zeros((size, size)), []
        for field in flow[..., component].astype(np.float64):
            d_x = scipy.ndimage.convolve(field, kernel, mode="reflect")
            d_y = scipy.ndimage.convolve(field, kernel.T, mode="reflect")
            x, y = x + d_x, y + d_y
            energy.append(np.hypot(d_x, d_y).sum())
        polar.append(
            cv2.cartToPolar(x.astype(np.float32), y.astype(np.float32), angleInDegrees=True)
        )
        frames.append(1 + int(np.argmax(energy)) if any(energy) else 0)
    for pattern in patterns:
        for magnitude, angle in polar:
            labels += _location_and_direction(magnitude, angle, pixels(pattern, size))
    return labels + frames if global_labels else labels


def _location_and_direction(magnitude, angle, regions):
    means = [sum(float(magnitude[p]) for p in region) / len(region) for region in regions]
    if not any(means):
        return [0, 0]
    location = means.index(max(means))
    bins = [0.0] * 8
    for p in regions[location]:
        lower, rest = divmod(float(angle[p]), 45)
        bins[int(lower) % 8] += float(magnitude[p]) * (1 - rest / 45)
        bins[(int(lower) + 1) % 8] += float(magnitude[p]) * rest / 45
    return [1 + location, 1 + bins.index(max(bins))]


def appearance(rgb, patterns=(1, 2, 3), global_labels=True, colour="octants"):
    size, labels = rgb.shape[1], []
    find = _fullest_octant if colour == "octants" else _octant_of_mode
    for pattern in patterns:
        regions = pixels(pattern, size)
        scores = overlap(rgb, pattern)
        for extreme in (min, max):
            location = scores.index(extreme(scores))
            labels += [1 + location, find(rgb, regions[location])]
    everywhere = [(i, j) for i in range(size) for j in range(size)]
    return [*labels, find(rgb, everywhere)] if global_labels else labels


def overlap(rgb, pattern):
    """Intersection over union of each region's histograms over time."""
    scores = []
    for region in pixels(pattern, rgb.shape[1]):
        ratios = []
        for channel in range(3):
            histograms = []
            for frame in rgb:
                histogram = [0] * 256
                for i, j in region:
                    histogram[frame[i, j, channel]] += 1
                histograms.append(histogram)
            bins = list(zip(*histograms, strict=True))
            ratios.append(sum(map(min, bins)) / sum(map(max, bins)))
        scores.append(sum(ratios) / 3)
    return scores


NAMES = {  # (red, green, blue) at or above 128
    (False, False, True): 1,
    (False, True, True): 2,
    (True, False, True): 3,
    (True, True, True): 4,
    (False, False, False): 5,
    (False, True, False): 6,
    (True, False, False): 7,
    (True, True, False): 8,
}


def _fullest_octant(rgb, region):
    counts = [0] * 9
    for frame in rgb:
        for p in region:
            counts[NAMES[tuple(bool(value >= 128) for value in frame[p])]] += 1
    return counts.index(max(counts))


def _octant_of_mode(rgb, region):
    counts = {}
    for frame in rgb:
        for p in region:
            red, green, blue = frame[p].tolist()
            counts[blue, green, red] = counts.get((blue, green, red), 0) + 1
    most = max(counts.values())
    blue, green, red = min(value for value, count in counts.items() if count == most)
    return NAMES[red >= 128, green >= 128, blue >= 128]
