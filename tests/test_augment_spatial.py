"""Rotation against Pillow; affine maps against a plain loop."""

import math

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

SEED = tf.constant([3, 5])

# Rotation and crop.


def turned(clip, angle):
    return np.stack([np.asarray(Image.fromarray(frame).rotate(float(angle))) for frame in clip])


@pytest.mark.parametrize("angle", [0, 1e-3, 3.3, -3.3, 10, -10, 45, 90, 133.3, -179])
@pytest.mark.parametrize("shape", [(20, 20), (13, 18), (31, 24)])
def test_every_crop_equals_pillows(shape, angle):
    clip, size = noise(2, *shape), min(shape) - 3
    expected = turned(clip, np.float32(angle))
    for top in (0, 2, shape[0] - size):
        for left in (0, 3, shape[1] - size):
            found = spatial.apply_rotation(tf.constant(clip), np.float32(angle), top, left, size)
            np.testing.assert_array_equal(
                found, expected[:, top : top + size, left : left + size], str((top, left))
            )


def test_frames_of_the_usual_size_equal_pillows():
    clip = noise(3, 128, 171)
    for number in range(20):
        seed = tf.constant([number, 2])
        found = augment.rotate_and_crop(clip, seed, 112)
        angle, top, left = map(np.asarray, spatial.draw_rotation(seed, (128, 171), 112))
        expected = turned(clip, angle)[:, top : top + 112, left : left + 112]
        np.testing.assert_array_equal(found, expected)


def test_a_turn_is_counter_clockwise_and_its_corners_black():
    clip = np.full((1, 21, 21, 3), 200, np.uint8)
    clip[0, 10, 20] = (255, 0, 0)  # right of the centre
    found = spatial.apply_rotation(tf.constant(clip), 90.0, 0, 0, 21).numpy()
    assert np.argwhere(found[0, :, :, 1] == 0).tolist() == [[0, 10]]
    found = spatial.apply_rotation(tf.constant(clip), 45.0, 0, 0, 21).numpy()
    assert not found[0, [0, 0, -1, -1], [0, -1, 0, -1]].any() and found[0, 10, 10].all()


def test_draws_of_rotations():
    angle, top, left = draws(lambda seed: spatial.draw_rotation(seed, (20, 25), 16, 10.0))
    check_uniform(angle, -10, 10)
    check_whole(top, 0, 4)
    check_whole(left, 0, 9)
    check_independent(np.column_stack([angle, top, left]))


def test_no_degrees_and_the_whole_frame_change_nothing():
    clip = noise(2, 14, 14)
    np.testing.assert_array_equal(augment.rotate_and_crop(clip, SEED, 14, degrees=0), clip)


# Affine maps.


def coordinates(place, side):
    return 2 * place / (side - 1) - 1


@pytest.mark.parametrize("kind", augment.AFFINE)
def test_affine_maps_equal_the_plain_loop(kind):
    clip = noise(2, 11, 14)
    _, height, width, _ = clip.shape
    for number in range(3):
        seed = tf.constant([number, 6])
        matrix = spatial.draw_affine(seed, kind).numpy().astype(float)

        def source(frame, y, x, matrix=matrix):
            at = coordinates(x, width), coordinates(y, height), 1
            from_x, from_y = matrix @ at
            return (from_y + 1) * (height - 1) / 2, (from_x + 1) * (width - 1) / 2

        check_rounded(augment.affine(clip, seed, kind), warped(clip, source))


def apply(clip, *matrix):
    return spatial.apply_affine(tf.constant(clip), tf.reshape(tf.constant(matrix), (2, 3))).numpy()


def test_known_affine_maps():
    clip = noise(2, 5, 9)
    np.testing.assert_array_equal(apply(clip, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0), clip)
    np.testing.assert_array_equal(apply(clip, -1.0, 0.0, 0.0, 0.0, 1.0, 0.0), clip[:, :, ::-1])
    np.testing.assert_array_equal(apply(clip, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0), clip[:, ::-1])
    moved = apply(clip, 1.0, 0.0, 0.25, 0.0, 1.0, 0.5)  # a pixel in 8, a pixel in 4
    np.testing.assert_array_equal(moved[:, :-1, :-1], clip[:, 1:, 1:])
    assert not moved[:, -1].any() and not moved[:, :, -1].any()
    larger = apply(clip, 0.5, 0.0, 0.0, 0.0, 0.5, 0.0)
    np.testing.assert_array_equal(larger[:, ::2, ::2], clip[:, 1:4, 2:7])


def test_a_row_of_one_pixel_stays():
    clip = noise(2, 1, 5)
    np.testing.assert_array_equal(apply(clip, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0), clip)


def matrices(kind):
    return draws(lambda seed: spatial.draw_affine(seed, kind))


def test_draws_of_scales():
    found = matrices("scale")
    both = found[:, [0, 1], [0, 1]]
    assert not found[:, [0, 0, 1, 1], [1, 2, 0, 2]].any()
    check_uniform(both[:, 0], 0.85, 1.15)
    check_uniform(both[:, 1], 0.85, 1.15)
    check_independent(both)
    np.testing.assert_allclose(
        matrices("released_scale")[:, [0, 1], [0, 1]], np.cos(both), rtol=1e-5
    )


def test_draws_of_rotations_in_whole_degrees():
    found = matrices("rotation")
    assert not found[:, :, 2].any()
    angles = np.degrees(np.arctan2(found[:, 1, 0], found[:, 0, 0]))
    np.testing.assert_allclose(angles, np.round(angles), atol=1e-4)
    check_whole(np.round(angles).astype(int), 0, 44)
    np.testing.assert_allclose(np.linalg.det(found[:, :, :2]), 1, rtol=1e-5)
    np.testing.assert_allclose(found[:, 0, 0], found[:, 1, 1])


@pytest.mark.parametrize(
    ("kind", "places"), [("translation", ([0, 1], [2, 2])), ("shear", ([0, 1], [1, 0]))]
)
def test_draws_of_translations_and_shears(kind, places):
    found = matrices(kind)
    both = found[:, places[0], places[1]]
    check_uniform(both[:, 0], 0, 0.3)
    check_uniform(both[:, 1], 0, 0.3)
    check_independent(both)
    found[:, places[0], places[1]] = 0
    assert (found == np.eye(3)[:2]).all()


def test_draws_of_reflections():
    signs = matrices("reflection")[:, [0, 1], [0, 1]].astype(int)
    found, counts = np.unique(signs, axis=0, return_counts=True)
    assert found.tolist() == [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    assert np.abs(counts - 150).max() < 50


def test_a_rotation_leads_clockwise():
    """The source of the middle of the right border lies below it: contents turn the other way."""
    angle = math.radians(90)
    matrix = [math.cos(angle), -math.sin(angle), 0.0, math.sin(angle), math.cos(angle), 0.0]
    clip = np.zeros((1, 9, 9, 3), np.uint8)
    clip[0, 8, 4] = 255
    assert np.argwhere(apply(clip, *matrix)[0, :, :, 0] == 255).tolist() == [[4, 8]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: augment.rotate_and_crop(c, SEED, 9), "size must be in 1..8, .* size=9"),
        (lambda c: augment.rotate_and_crop(c, SEED, 0), "size must be in 1..8, .* size=0"),
        (
            lambda c: augment.rotate_and_crop(c, SEED, 8, degrees=181),
            "degrees must be .* Received: degrees=181",
        ),
        (
            lambda c: augment.affine(c, SEED, "squeeze"),
            "kind must be one of .*'shear'.* Received: kind='squeeze'",
        ),
    ],
)
def test_arguments_out_of_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(tf.constant(noise(2, 8, 9)))
