"""Mixup, moved frames and flow warps against lists and plain loops."""

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

from mas import augment
from mas import flow as flow_code
from mas.augment import temporal

SEED, OTHER = tf.constant([3, 5]), tf.constant([8, 1])

# Mixup.


def test_mixup_equals_the_formula():
    clip = noise(7, 9, 8)
    for number in range(5):
        seeds = tf.constant([number, 2]), tf.constant([4, number])
        frame, weight = (float(v) for v in temporal.draw_mixup(*seeds, 7))
        expected = (1 - weight) * clip + weight * clip[int(frame)]
        check_rounded(augment.intra_mixup(clip, *seeds), expected)


def test_mixup_weight_per_batch_or_per_clip():
    frame, weight = draws(lambda seed: temporal.draw_mixup(seed, OTHER, 16))
    check_whole(frame, 0, 15)
    assert len(set(weight)) == 1
    frame, weight = draws(lambda seed: temporal.draw_mixup(seed, seed, 16))
    check_whole(frame, 0, 15)
    check_uniform(weight, 0, 0.1)
    check_independent(np.column_stack([frame, weight]))


# Frames that are moved: each holds its number.


def order(clip):
    clip = np.asarray(clip)
    assert (clip == clip[:, :1, :1, :1]).all()
    return clip[:, 0, 0, 0].tolist()


def inserted(frames, insertions):
    frames = list(frames)
    for copied, place in insertions:
        frames.insert(place, frames[copied])
        frames.pop()
    return frames


def swapped(frames, swaps):
    frames = list(frames)
    for one, other in swaps:
        frames[one], frames[other] = frames[other], frames[one]
    return frames


@pytest.mark.parametrize(("frames", "count"), [(2, 2), (20, 4), (64, 12)])
def test_insertions_and_swaps_equal_list_operations(frames, count):
    clip = np.tile(np.arange(frames, dtype=np.uint8)[:, None, None, None], (1, 2, 3, 3))
    for number in range(6):
        seed = tf.constant([number, 3])
        insertions = temporal.draw_insertions(seed, frames).numpy()
        swaps = temporal.draw_swaps(seed, frames).numpy()
        assert insertions.shape == swaps.shape == (count, 2)
        assert order(augment.insert_frames(clip, seed)) == inserted(range(frames), insertions)
        assert order(augment.swap_frames(clip, seed)) == swapped(range(frames), swaps)
        first, second = tf.unstack(tf.random.split(seed, 2))
        expected = inserted(range(frames), temporal.draw_insertions(first, frames).numpy())
        expected = swapped(expected, temporal.draw_swaps(second, frames).numpy())
        assert order(augment.break_frames(clip, seed)) == expected


def test_draws_of_insertions_and_swaps():
    found = draws(lambda seed: temporal.draw_insertions(seed, 16))
    check_whole(found, 0, 15)
    check_independent(found.reshape(-1, 4))
    found = draws(lambda seed: temporal.draw_swaps(seed, 16))
    check_whole(found, 0, 15)
    check_whole((found[..., 1] - found[..., 0]) % 16, 1, 15)  # never a frame with itself
    check_independent(found.reshape(-1, 4))


# Flow warps.


def shifts(flow, form):
    """(frames, H, W, 2) shifts of one pixel's scale, frame by frame."""
    result = []
    for field in [*flow, flow[-1]]:
        if form == 1:
            result.append((field - field.min()) / (field.max() - field.min()))
        else:
            result.append(flow_code.encode(field) / 255 - 1)
    return result


@pytest.mark.parametrize("form", [1, 2])
def test_flow_warps_equal_plain_loop(form):
    """Uses flow as stored, in whole steps of the 8-bit code."""
    clip = noise(4, 12, 15)
    flow = np.random.default_rng(0).normal(0, 6, (3, 12, 15, 2))
    flow = flow_code.decode(flow_code.encode(flow))
    seed = tf.constant([1, 9])
    scales = temporal.draw_scales(seed, 4, form).numpy()

    def source(frame, y, x):
        right, down = scales[frame] * shifts(flow, form)[frame][y, x]
        return y - down, x - right

    check_rounded(augment.flow_warp(clip, tf.constant(flow), seed, form), warped(clip, source))


@pytest.mark.parametrize(("form", "value"), [(1, 1.0), (2, 35.0)])
def test_uniform_or_out_of_range_flow_warps_nothing(form, value):
    clip = tf.constant(noise(2, 6, 9))
    found = temporal.apply_flow(clip, tf.fill((1, 6, 9, 2), value), tf.constant([3.0, 3.0]), form)
    np.testing.assert_array_equal(found, clip)


@pytest.mark.parametrize(("form", "most"), [(1, 10), (2, 5)])
def test_draws_of_scales(form, most):
    found = draws(lambda seed: temporal.draw_scales(seed, 16, form))
    check_uniform(found, 0, most)
    check_independent(found)
    assert temporal.draw_scales(SEED, 20_000, form).numpy().min() == np.float32(0.01)
