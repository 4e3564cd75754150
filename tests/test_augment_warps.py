"""Pushes against a loop over pixels, thin plates against SciPy's interpolation."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.interpolate
import tensorflow as tf
from augment_reference import (
    check_independent,
    check_rounded,
    check_uniform,
    check_whole,
    draws,
    noise,
    warped,
)

from mas import augment
from mas.augment import warps

# Pushes.


def pushed(image, row, column, down, right):
    """One push of one image, pixel by pixel, with the formula in exact fractions."""
    height, width, _ = image.shape
    result = image.copy()
    length = down**2 + right**2
    for x in range(max(0, row - 3 * down), min(height, row + 3 * down)):
        for y in range(max(0, column - 3 * right), min(width, column + 3 * right)):
            distance = (x - row - down) ** 2 + (y - column - right) ** 2
            h = Fraction(1, 2) / (3 * Fraction(distance, length) ** 2 + 1)
            from_x = min(max(x + int(-h * down), 0), height - 1)
            from_y = min(max(y + int(-h * right), 0), width - 1)
            result[x, y] = image[from_x, from_y]
    return result


@pytest.mark.parametrize(("shape", "seeds"), [((224, 224), 1), ((48, 36), 5), ((16, 40), 3)])
def test_pushes_equal_plain_loop(shape, seeds):
    image = noise(*shape)
    for number in range(seeds):
        seed = tf.constant([number, 1])
        expected = image
        for push in warps.draw_pushes(seed, shape).numpy():
            if push.any():
                expected = pushed(expected, *map(int, push))
        np.testing.assert_array_equal(augment.push_warp(image[None], seed), expected[None])
        assert (expected != image).any() or min(shape) < 40


def test_pushes_are_applied_in_sequence():
    pushes = [[20, 30, 9, 5], [26, 33, 4, 11], [0, 0, 0, 0], [24, 28, 16, 14]]
    image = expected = noise(50, 60)
    for push in pushes[:2] + pushes[3:]:
        expected = pushed(expected, *push)
    found = warps.apply_pushes(tf.constant(image[None]), tf.constant(pushes))
    np.testing.assert_array_equal(found, expected[None])


@pytest.mark.parametrize(
    ("shape", "rows", "columns", "down", "right"),
    [
        ((112, 168), (30, 69), (45, 104), (5, 9), (8, 14)),
        ((16, 16), (4, 9), (4, 9), (1, 1), (1, 1)),
    ],
)
def test_draws_of_pushes(shape, rows, columns, down, right):
    found = draws(lambda seed: warps.draw_pushes(seed, shape), 2000)
    used = found.any(-1)
    check_whole(used.sum(1), 1, 3)
    assert used[:, 0].all() and (used[:, 1] | ~used[:, 2]).all()
    for slot in range(3):
        values = found[used[:, slot], slot]
        for column, bounds in zip(values.T, (rows, columns, down, right), strict=True):
            check_whole(column, *bounds)
    if shape[0] > 16:
        check_independent(np.reshape(found[used[:, 2]], (-1, 12)))
    one = draws(lambda seed: warps.draw_pushes(seed, shape, 1), 50)
    assert one.shape == (50, 1, 4) and one.all()


# Thin plates.


@pytest.mark.parametrize(("shape", "points"), [((9, 13), 5), ((8, 8), 2)])
def test_thin_plate_warps_equal_scipy_interpolation(shape, points):
    clip, seed = noise(2, *shape), tf.constant([1, 8])
    control = np.stack(np.meshgrid(*[np.linspace(-1, 1, points)] * 2), -1).reshape(-1, 2)
    pixels = np.stack(np.meshgrid(*(np.linspace(-1, 1, side) for side in shape[::-1])), -1)
    offsets = warps.draw_thin_plate(seed, points, 0.2).numpy().reshape(-1, 2)
    spline = scipy.interpolate.RBFInterpolator(
        control, control + offsets, kernel="thin_plate_spline", degree=1
    )
    found = spline(pixels.reshape(-1, 2)).reshape(*shape, 2)
    places = (found[..., ::-1] + 1) / 2 * (np.array(shape) - 1)
    expected = warped(clip, lambda frame, y, x: places[y, x])
    check_rounded(augment.thin_plate_warp(clip, seed, points, 0.2), expected)


def test_draws_of_thin_plates():
    found = draws(lambda seed: warps.draw_thin_plate(seed, 5, 0.1), 400)
    assert found.shape == (400, 5, 5, 2)
    check_uniform(found, -0.1, 0.1)
    check_independent(found.reshape(400, -1))
