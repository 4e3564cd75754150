"""Rotation against Pillow; affine maps against a plain loop."""

import numpy as np
import pytest
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
from PIL import Image

from mas import augment
from mas.augment import spatial

# Rotation and crop.


def turned(clip, angle):
    return np.stack([np.asarray(Image.fromarray(frame).rotate(float(angle))) for frame in clip])


@pytest.mark.parametrize("shape", [(20, 20), (13, 18), (31, 24)])
def test_every_crop_equals_pillow(shape):
    clip, size = noise(2, *shape), min(shape) - 3
    for angle in np.float32([0, 1e-3, 3.3, -10, 45, 90, 133.3, -179]):
        expected = turned(clip, angle)
        for top, left in [(0, shape[1] - size), (shape[0] - size, 0), (2, 3)]:
            found = spatial.apply_rotation(tf.constant(clip), angle, top, left, size)
            crop = expected[:, top : top + size, left : left + size]
            np.testing.assert_array_equal(found, crop, f"{angle} {top} {left}")


@pytest.mark.parametrize("size", [112, 128])
def test_rotation_of_full_size_frames_equals_pillow(size):
    clip = noise(1, 128, 171)
    for number in range(6):
        seed = tf.constant([number, 2])
        angle, top, left = map(np.asarray, spatial.draw_rotation(seed, (128, 171), size))
        expected = turned(clip, angle)[:, top : top + size, left : left + size]
        np.testing.assert_array_equal(augment.rotate_and_crop(clip, seed, size), expected)


def test_draws_of_rotations():
    angle, top, left = draws(lambda seed: spatial.draw_rotation(seed, (20, 25), 16, 10.0))
    check_uniform(angle, -10, 10)
    check_whole(top, 0, 4)
    check_whole(left, 0, 9)
    check_independent(np.column_stack([angle, top, left]))


# Affine maps.


@pytest.mark.parametrize(("height", "width"), [(11, 14), (1, 5)])
def test_affine_maps_equal_plain_loop(height, width):
    """Coordinates run from -1 to 1; a single row is at 0."""
    clip = noise(2, height, width)

    def coordinate(place, side):
        return 2 * place / (side - 1) - 1 if side > 1 else 0

    for kind in augment.AFFINE:
        seed = tf.constant([4, 6])
        matrix = spatial.draw_affine(seed, kind).numpy().astype(float)
        matrix[1] *= height > 1

        def source(frame, y, x, matrix=matrix):
            from_x, from_y = matrix @ (coordinate(x, width), coordinate(y, height), 1)
            return (from_y + 1) * (height - 1) / 2, (from_x + 1) * (width - 1) / 2

        check_rounded(augment.affine(clip, seed, kind), warped(clip, source))


def matrices(kind):
    return draws(lambda seed: spatial.draw_affine(seed, kind))


@pytest.mark.parametrize(
    ("kind", "columns", "low", "high"),
    [("scale", [0, 1], 0.85, 1.15), ("translation", [2, 2], 0, 0.3), ("shear", [1, 0], 0, 0.3)],
)
def test_matrix_draws_are_uniform_and_independent(kind, columns, low, high):
    found = matrices(kind)
    both = found[:, [0, 1], columns]
    check_uniform(both[:, 0], low, high)
    check_uniform(both[:, 1], low, high)
    check_independent(both)
    if kind == "scale":
        released = matrices("released_scale")[:, [0, 1], columns]
        np.testing.assert_allclose(released, np.cos(both), rtol=1e-5)
    found[:, [0, 1], columns] = np.eye(3)[[0, 1], columns]
    assert (found == np.eye(3)[:2]).all()


def test_draws_of_rotations_in_whole_degrees():
    found = matrices("rotation")
    assert not found[:, :, 2].any()
    angles = np.degrees(np.arctan2(found[:, 1, 0], found[:, 0, 0]))
    np.testing.assert_allclose(angles, np.round(angles), atol=1e-4)
    check_whole(np.round(angles).astype(int), 0, 44)
    np.testing.assert_allclose(np.linalg.det(found[:, :, :2]), 1, rtol=1e-5)
    np.testing.assert_allclose(found[:, 0, 0], found[:, 1, 1])


def test_draws_of_reflections():
    found = matrices("reflection")
    signs, counts = np.unique(found[:, [0, 1], [0, 1]].astype(int), axis=0, return_counts=True)
    assert signs.tolist() == [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    assert np.abs(counts - 150).max() < 50 and not found[:, [0, 0, 1, 1], [1, 2, 0, 2]].any()
