"""Reference implementations in plain loops, shared by the tests of augmentations."""

import numpy as np
import tensorflow as tf


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def between(image, row, column):
    """The value between four pixels; those outside are black."""
    height, width, _ = image.shape
    top, left = int(np.floor(row)), int(np.floor(column))
    total = np.zeros(3)
    for y in (top, top + 1):
        for x in (left, left + 1):
            if 0 <= y < height and 0 <= x < width:
                total += (1 - abs(row - y)) * (1 - abs(column - x)) * image[y, x]
    return total


def warped(clip, source):
    """Float (T, H, W, 3): `source(frame, y, x)` is the (row, column) that comes to (y, x)."""
    result = np.zeros(clip.shape)
    for t, y, x in np.ndindex(clip.shape[:3]):
        result[t, y, x] = between(clip[t], *source(t, y, x))
    return result


def check_rounded(found, expected):
    """Uint8 values are the nearest ones, up to float32's error in places and weights."""
    found = np.asarray(found)
    assert found.dtype == np.uint8 and found.shape == expected.shape
    assert np.abs(found.astype(float) - expected).max() < 0.52


def draws(function, count=600):
    """Arrays (count, ...) of what a function draws from as many seeds."""
    seeds = tf.data.Dataset.range(count, output_type=tf.int32)
    data = seeds.map(lambda number: function(tf.stack([number, 17]))).batch(count)
    values = next(iter(data))
    return [v.numpy() for v in values] if isinstance(values, tuple) else values.numpy()


def check_uniform(values, low, high):
    """Numbers spread evenly over [low, high)."""
    values = np.ravel(values)
    assert low <= values.min() and values.max() < high
    shares = np.histogram(values, 4, (low, high))[0] / values.size
    assert np.abs(shares - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / values.size)


def check_whole(values, low, high):
    """Whole numbers low..high, all of them about as often."""
    found, counts = np.unique(values, return_counts=True)
    assert found.tolist() == list(range(low, high + 1))
    expected = np.size(values) / len(found)
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


def check_independent(columns):
    """No two of (count, n) columns go together."""
    correlation = np.corrcoef(np.transpose(columns))
    assert np.abs(correlation - np.eye(len(correlation))).max() < 5 / np.sqrt(len(columns))
