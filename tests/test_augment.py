"""Colour jitter against the arithmetic of Pillow and colorsys."""

import collections
import colorsys
import itertools

import numpy as np
import pytest
import tensorflow as tf
from augment_reference import noise
from PIL import Image, ImageEnhance

from mas import augment

STRENGTHS = (0.8, 0.8, 0.8, 0.2)
SEED = tf.constant([3, 5])
BASIC = {"brightness": 0.5, "contrast": 0.5, "saturation": 0.25, "hue": 0.5}
ENHANCE = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)  # then hue


def changed(image, operation, factor):
    """One operation on one image (H, W, 3)."""
    if operation < len(ENHANCE):
        return np.asarray(ENHANCE[operation](Image.fromarray(image)).enhance(factor))
    result = image.copy()
    for place in np.ndindex(image.shape[:2]):
        hue, *others = colorsys.rgb_to_hsv(*(int(value) / 255 for value in image[place]))
        result[place] = [round(255 * v) for v in colorsys.hsv_to_rgb((hue + factor) % 1, *others)]
    return result


@pytest.mark.parametrize("options", [{}, {"per_frame": False}, augment.BASIC_JITTER])
def test_equals_the_plain_reference(options):
    """Views of frames, from the same draws; hues may differ by rounding."""
    views, last_only = noise(12, 3, 9, 7), options.get("last_only", False)
    named = zip(augment.OPERATIONS, STRENGTHS, strict=True)
    strengths = tuple(options.get(name, usual) for name, usual in named)
    sharing = options.get("probability", 0.8), options.get("per_frame", True)
    draws = augment.draw(SEED, views.shape[:2], strengths, *sharing)
    applied, order, factors = (values.numpy() for values in draws)
    expected = views.reshape(36, 9, 7, 3).copy()
    for frame, image in enumerate(expected):
        for operation in order[frame, 3 * last_only :] if applied[frame] else ():
            image[:] = changed(image, operation, float(factors[frame, operation]))
    found = augment.colour_jitter(tf.constant(views), SEED, **options).numpy()
    assert found.dtype == np.uint8 and found.shape == views.shape
    difference = np.abs(found.astype(int) - expected.reshape(views.shape))
    assert difference.max() <= 2 and (difference > 0).mean() < 1e-3
    assert set(order[:, -1]) == {0, 1, 2, 3}


def test_strength_zero_changes_no_colour():
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    colours = np.array(list(itertools.product(levels, repeat=3)), np.uint8)
    clip = colours.reshape(1, 18 * 18, 18, 3)
    still = dict.fromkeys(augment.OPERATIONS, 0) | {"probability": 1.0}
    np.testing.assert_array_equal(augment.colour_jitter(clip, SEED, **still), clip)


def test_basic_augmentation_equals_vtdl_and_dsm():
    sharing = {"probability": 1, "per_frame": False, "last_only": True}
    assert augment.BASIC_JITTER == BASIC | sharing


def test_draws_are_uniform_and_reach_every_order():
    count = 24_000
    applied, order, factors = (d.numpy() for d in augment.draw(SEED, (count,), STRENGTHS, 0.8))
    assert abs(applied.mean() - 0.8) < 0.01
    orders = collections.Counter(map(tuple, order.tolist()))
    assert sorted(orders) == sorted(itertools.permutations(range(4)))
    assert 800 < min(orders.values()) and max(orders.values()) < 1200
    for column, (low, high) in zip(factors.T, [(0.2, 1.8)] * 3 + [(-0.2, 0.2)], strict=True):
        shares = np.histogram(column, 8, (low, high))[0] / count
        assert abs(shares.sum() - 1) < 1e-9 and np.abs(shares - 1 / 8).max() < 0.01
    numbers = np.column_stack([applied, order[:, 0], factors])
    assert np.abs(np.corrcoef(numbers.T) - np.eye(6)).max() < 0.03
    _, _, factors = augment.draw(SEED, (2000,), (1.5, 1.5, 1.5, 0.5), 0.8)
    assert factors[:, :3].numpy().min() >= 0 and factors[:, :3].numpy().max() > 2.4


@pytest.mark.parametrize(("per_frame", "different"), [(True, 12), (False, 4)])
def test_views_and_frames_draw_independently_or_jointly(per_frame, different):
    views = np.stack([np.stack([noise(6, 5)] * 3)] * 4)
    found = augment.colour_jitter(views, SEED, probability=1.0, per_frame=per_frame).numpy()
    results = [{frame.tobytes() for frame in view} for view in found]
    assert len(set.union(*results)) == sum(map(len, results)) == different
