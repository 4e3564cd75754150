"""Reference implementations in plain loops, shared by the tests of augmentations."""

import numpy as np
import tensorflow as tf


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def between(image, row, column):
    """Interpolates between four pixels; pixels outside are black."""
    height, width, _ = image.shape
    top, left = int(np.floor(row)), int(np.floor(column))
    total = np.zeros(3)
    for y in (top, top + 1):
        for x in (left, left + 1):
            if 0 <= y < height and 0 <= x < width:
                total += (1 - abs(row - y)) * (1 - abs(column - x)) * image[y, x]
    return total


def warped(clip, source):
    """Returns float (T, H, W, 3); `source(frame, y, x)` is the (row, column) sampled at (y, x)."""
    result = np.zeros(clip.shape)
    for t, y, x in np.ndindex(clip.shape[:3]):
        result[t, y, x] = between(clip[t], *source(t, y, x))
    return result


def check_rounded(found, expected):
    """Checks rounding to the nearest, up to float32 errors of positions and weights."""
    found = np.asarray(found)
    assert found.dtype == np.uint8 and found.shape == expected.shape
    assert np.abs(found.astype(float) - expected).max() < 0.52


def draws(function, count=600):
    """Draws once from each of many seeds: arrays (count, ...)."""
    seeds = tf.data.Dataset.range(count, output_type=tf.int32)
    data = seeds.map(lambda number: function(tf.stack([number, 17]))).batch(count)
    values = next(iter(data))
    return [v.numpy() for v in values] if isinstance(values, tuple) else values.numpy()


def check_uniform(values, low, high):
    """Checks that numbers are uniform in [low, high)."""
    values = np.ravel(values)
    assert low <= values.min() and values.max() < high
    shares = np.histogram(values, 4, (low, high))[0] / values.size
    assert np.abs(shares - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / values.size)


def check_whole(values, low, high):
    """Checks that whole numbers are uniform in low..high."""
    found, counts = np.unique(values, return_counts=True)
    assert found.tolist() == list(range(low, high + 1))
    expected = np.size(values) / len(found)
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


def check_independent(columns):
    """Checks that no two of the (count, n) columns are correlated."""
    correlation = np.corrcoef(np.transpose(columns))
    assert np.abs(correlation - np.eye(len(correlation))).max() < 5 / np.sqrt(len(columns))
