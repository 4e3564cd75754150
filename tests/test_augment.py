"""Colour jitter, against Pillow's and colorsys's arithmetic in plain loops."""

import collections
import colorsys
import itertools

import numpy as np
import pytest
import tensorflow as tf

from mas import augment

STRENGTHS = (0.8, 0.8, 0.8, 0.2)
SEED = tf.constant([3, 5])


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def grey(pixel):
    red, green, blue = map(int, pixel)
    return (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16


def blend(start, value, factor):
    return int(min(max(start + factor * (int(value) - start), 0), 255))


def turned(pixel, share):
    hue, saturation, value = colorsys.rgb_to_hsv(*(int(v) / 255 for v in pixel))
    return [round(255 * v) for v in colorsys.hsv_to_rgb((hue + share) % 1, saturation, value)]


def change(image, operation, factor):
    """One operation on one image (H, W, 3), pixel by pixel."""
    result = image.copy()
    mean = int(np.mean([grey(pixel) for row in image for pixel in row]) + 0.5)
    for place in np.ndindex(image.shape[:2]):
        pixel = image[place]
        start = {"brightness": 0, "contrast": mean, "saturation": grey(pixel)}.get(operation)
        if operation == "hue":
            result[place] = turned(pixel, factor)
        else:
            result[place] = [blend(start, value, factor) for value in pixel]
    return result


def reference(clip, seed, per_frame=True):
    """`colour_jitter` of one clip (T, H, W, 3), from the same draws."""
    draws = augment.draw(seed, clip.shape[:-3], STRENGTHS, 0.8, per_frame)
    drawn = [values.numpy() for values in draws]
    result = clip.copy()
    for frame, (applied, order, factors) in enumerate(zip(*drawn, strict=True)):
        for operation in order if applied else ():
            name = augment.OPERATIONS[operation]
            result[frame] = change(result[frame], name, float(factors[operation]))
    return result


def close(actual, expected):
    """Equal but where a value falls on the edge of rounding, which later factors may double."""
    difference = np.abs(np.asarray(actual, int) - expected)
    assert difference.max() <= 2 and (difference > 0).mean() < 1e-3


@pytest.mark.parametrize("per_frame", [True, False])
def test_equals_the_plain_reference(per_frame):
    clip = noise(40, 9, 7)
    for number in range(3):
        seed = tf.constant([number, 1])
        found = augment.colour_jitter(tf.constant(clip), seed, per_frame=per_frame).numpy()
        assert found.dtype == np.uint8 and found.shape == clip.shape
        close(found, reference(clip, seed, per_frame))


# One operation at a time: what the others do with strength 0 is nothing, exactly.


def alone(clip, operation, strength):
    """(what the one operation makes of a clip, its factor for each frame)."""
    strengths = {name: strength * (name == operation) for name in augment.OPERATIONS}
    found = augment.colour_jitter(tf.constant(clip), SEED, **strengths, probability=1.0)
    _, _, factors = augment.draw(SEED, clip.shape[:-3], tuple(strengths.values()), 1.0)
    return found.numpy(), factors.numpy()[:, augment.OPERATIONS.index(operation)]


def test_strength_zero_changes_no_colour():
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    colours = np.array(list(itertools.product(levels, repeat=3)), np.uint8)
    clip = colours.reshape(1, 18 * 18, 18, 3)
    np.testing.assert_array_equal(alone(clip, "brightness", 0)[0], clip)


def test_probability_zero_changes_nothing_and_one_everything():
    clip = noise(50, 4, 4)
    np.testing.assert_array_equal(augment.colour_jitter(clip, SEED, probability=0.0), clip)
    found = augment.colour_jitter(clip, SEED, probability=1.0).numpy()
    assert all((after != before).any() for after, before in zip(found, clip, strict=True))


def test_brightness_multiplies_and_cuts_off():
    found, factors = alone(np.full((30, 2, 2, 3), (10, 100, 200), np.uint8), "brightness", 0.8)
    assert factors.min() < 0.5 and factors.max() > 200 / 255 * 1.5
    for frame, factor in zip(found, factors.astype(float), strict=True):
        assert (frame == [min(int(value * factor), 255) for value in (10, 100, 200)]).all()


def test_contrast_keeps_the_mean_of_an_image_without_colour():
    clip = np.full((30, 2, 2, 3), 100, np.uint8)
    clip[:, 0] = 140  # mean 120
    found, factors = alone(clip, "contrast", 0.8)
    for frame, factor in zip(found, factors.astype(float), strict=True):
        assert (frame[0] == int(120 + 20 * factor)).all()
        assert (frame[1] == int(120 - 20 * factor)).all()


def test_saturation_leaves_grey_alone_and_can_take_all_colour_away():
    found, _ = alone(np.full((9, 2, 2, 3), 77, np.uint8), "saturation", 0.8)
    assert (found == 77).all()
    found, factors = alone(np.full((400, 1, 1, 3), (255, 0, 0), np.uint8), "saturation", 1.0)
    assert factors.min() < 0.01
    assert found[factors.argmin(), 0, 0].tolist() in ([76, 75, 75], [77, 75, 75], [78, 75, 75])


def test_hue_turns_round_the_circle():
    """A sixth of the circle leads from red to yellow, and back to magenta."""
    found, shares = alone(np.full((200, 1, 1, 3), (200, 0, 0), np.uint8), "hue", 0.2)
    assert shares.min() < -1 / 6 and shares.max() > 1 / 6
    for (red, green, blue), share in zip(found[:, 0, 0].astype(int), shares * 6, strict=True):
        rising, falling = min(abs(share), 1), min(max(2 - abs(share), 0), 1)
        assert abs(red - 200 * falling) <= 0.51
        assert abs((green, blue)[int(share < 0)] - 200 * rising) <= 0.51
        assert (blue, green)[int(share < 0)] == 0


# The draws.


def test_draws_are_uniform_and_every_order_comes():
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


def test_factors_are_never_negative():
    _, _, factors = augment.draw(SEED, (2000,), (1.5, 1.5, 1.5, 0.5), 0.8)
    assert factors[:, :3].numpy().min() >= 0 and factors[:, :3].numpy().max() > 2.4


def test_frames_draw_apart_or_together():
    image = noise(6, 5)
    clip = tf.constant(np.stack([image] * 12))
    apart = augment.colour_jitter(clip, SEED, probability=1.0).numpy()
    assert len({frame.tobytes() for frame in apart}) == 12
    together = augment.colour_jitter(clip, SEED, probability=1.0, per_frame=False).numpy()
    assert len({frame.tobytes() for frame in together}) == 1
    assert (together[0] != image).any()


def test_views_draw_apart():
    views = tf.constant(np.stack([np.stack([noise(6, 5)] * 3)] * 4))
    for per_frame, expected in ((True, 12), (False, 4)):
        options = {"probability": 1.0, "per_frame": per_frame}
        found = augment.colour_jitter(views, SEED, **options).numpy()
        assert found.shape == views.shape
        assert len({frame.tobytes() for view in found for frame in view}) == expected
        flat = tf.reshape(views, (12, 6, 5, 3)) if per_frame else None
        if per_frame:
            np.testing.assert_array_equal(
                found.reshape(flat.shape), augment.colour_jitter(flat, SEED, **options)
            )


def test_the_same_inside_a_pipeline_and_for_the_same_seed_alone():
    clip = tf.constant(noise(5, 8, 8))

    def pipeline(threads):
        numbers = tf.data.Dataset.range(6, output_type=tf.int32)
        return [
            value.numpy()
            for value in numbers.map(
                lambda number: augment.colour_jitter(clip, tf.stack([9, number])),
                num_parallel_calls=threads,
            )
        ]

    eager = [augment.colour_jitter(clip, tf.constant([9, n])).numpy() for n in range(6)]
    np.testing.assert_array_equal(pipeline(1), eager)
    np.testing.assert_array_equal(pipeline(3), eager)
    assert len({value.tobytes() for value in eager}) == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"brightness": -0.1}, "brightness must be 0 or more. Received: brightness=-0.1"),
        ({"hue": 0.6}, "hue must be in 0..0.5. Received: hue=0.6"),
        ({"probability": 2}, "probability must be in 0..1. Received: probability=2"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        augment.colour_jitter(tf.constant(noise(2, 4, 4)), SEED, **options)


@pytest.mark.parametrize("clip", [tf.zeros((2, 4, 4, 3)), tf.zeros((4, 4, 3), tf.uint8)])
def test_what_is_no_clip_is_refused(clip):
    with pytest.raises(ValueError, match="clip must be uint8 .* Received: "):
        augment.colour_jitter(clip, SEED)


# The last operation alone, as in the basic augmentation of VTDL and DSM.


def test_the_last_operation_alone():
    clip = noise(30, 6, 5)
    found = augment.colour_jitter(tf.constant(clip), SEED, probability=1.0, last_only=True).numpy()
    _, order, factors = (d.numpy() for d in augment.draw(SEED, (30,), STRENGTHS, 1.0))
    assert set(order[:, -1]) == {0, 1, 2, 3}
    for frame, image in enumerate(clip):
        last = order[frame, -1]
        expected = change(image, augment.OPERATIONS[last], float(factors[frame, last]))
        close(found[frame], expected)


def test_the_basic_augmentation_draws_one_of_four_operations_for_a_clip():
    options = dict(augment.BASIC_JITTER)
    assert options.pop("last_only") and options.pop("probability") == 1
    assert not options.pop("per_frame")
    strengths = tuple(options[name] for name in augment.OPERATIONS)
    assert strengths == (0.5, 0.5, 0.25, 0.5)
    image = noise(6, 5)
    counts = collections.Counter()
    for number in range(40):
        seed = tf.constant([number, 4])
        found = augment.colour_jitter(np.stack([image] * 2), seed, **augment.BASIC_JITTER).numpy()
        _, order, factors = (d.numpy() for d in augment.draw(seed, (2,), strengths, 1.0, False))
        last = order[0, -1]
        expected = change(image, augment.OPERATIONS[last], float(factors[0, last]))
        close(found, np.stack([expected] * 2))
        counts[last] += 1
    assert min(counts[operation] for operation in range(4)) >= 3
