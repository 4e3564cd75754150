"""Mixup, moved frames and flow warps, against lists and plain loops."""

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


def test_mixup_scales_derivatives_of_any_order():
    clip = noise(12, 6, 5)
    weight = 0.3
    found = temporal.apply_mixup(tf.constant(clip), 4, weight).numpy().astype(float)
    for order in (1, 2, 3):
        expected = (1 - weight) * np.diff(clip.astype(float), order, axis=0)
        rounding = 2**order / 2  # half a level for each of the frames that are summed
        assert np.abs(np.diff(found, order, axis=0) - expected).max() <= rounding + 0.02
        assert np.abs(expected).max() > 20 * rounding


def test_mixup_with_no_weight_and_of_a_still_clip_changes_nothing():
    clip = noise(5, 6, 7)
    np.testing.assert_array_equal(augment.intra_mixup(clip, SEED, OTHER, most=0), clip)
    still = np.stack([clip[0]] * 5)
    np.testing.assert_array_equal(augment.intra_mixup(still, SEED, OTHER, most=1), still)


def test_a_batch_may_share_its_weight_and_a_clip_one_seed_for_both():
    frame, weight = draws(lambda seed: temporal.draw_mixup(seed, OTHER, 16))
    check_whole(frame, 0, 15)
    assert len(set(weight)) == 1
    frame, weight = draws(lambda seed: temporal.draw_mixup(seed, seed, 16))
    check_whole(frame, 0, 15)
    check_uniform(weight, 0, 0.1)
    check_independent(np.column_stack([frame, weight]))


# Frames that are moved: each holds its number.


def numbered(frames):
    return np.broadcast_to(
        np.arange(frames, dtype=np.uint8)[:, None, None, None], (frames, 2, 3, 3)
    )


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


@pytest.mark.parametrize(("frames", "count"), [(2, 2), (16, 2), (20, 4), (64, 12)])
def test_insertions_and_swaps_equal_those_of_a_list(frames, count):
    clip = numbered(frames)
    for number in range(6):
        seed = tf.constant([number, 3])
        insertions = temporal.draw_insertions(seed, frames).numpy()
        assert insertions.shape == (count, 2)
        assert order(augment.insert_frames(clip, seed)) == inserted(range(frames), insertions)
        swaps = temporal.draw_swaps(seed, frames).numpy()
        assert swaps.shape == (count, 2)
        assert order(augment.swap_frames(clip, seed)) == swapped(range(frames), swaps)


def test_known_insertions_and_swaps():
    clip = tf.constant(numbered(5))
    assert order(temporal.apply_insertions(clip, tf.constant([[3, 1]]))) == [0, 3, 1, 2, 3]
    assert order(temporal.apply_insertions(clip, tf.constant([[0, 4]]))) == [0, 1, 2, 3, 0]
    twice = tf.constant([[3, 1], [1, 0]])  # the second copies what the first has put there
    assert order(temporal.apply_insertions(clip, twice)) == [3, 0, 3, 1, 2]
    assert order(temporal.apply_swaps(clip, tf.constant([[0, 4], [4, 2]]))) == [4, 1, 0, 3, 2]


def test_breaking_inserts_and_then_swaps():
    clip = numbered(30)
    for number in range(6):
        seed = tf.constant([number, 3])
        first, second = tf.unstack(tf.random.split(seed, 2))
        expected = inserted(range(30), temporal.draw_insertions(first, 30).numpy())
        expected = swapped(expected, temporal.draw_swaps(second, 30).numpy())
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


def fields(frames, height, width, seed=0):
    """Flow as it is stored: whole steps of the 8-bit code."""
    flow = np.random.default_rng(seed).normal(0, 6, (frames - 1, height, width, 2))
    return flow_code.decode(flow_code.encode(flow))


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
def test_flow_warps_equal_the_plain_loop(form):
    clip, flow = noise(4, 12, 15), fields(4, 12, 15)
    for number in range(3):
        seed = tf.constant([number, 9])
        scales = temporal.draw_scales(seed, 4, form).numpy()

        def source(frame, y, x, scales=scales):
            right, down = scales[frame] * shifts(flow, form)[frame][y, x]
            return y - down, x - right

        found = augment.flow_warp(clip, tf.constant(flow), seed, form)
        check_rounded(found, warped(clip, source))


def test_known_flow_warps():
    clip = noise(3, 6, 9)
    flow = np.zeros((2, 6, 9, 2), np.float32)
    scales = tf.constant([2.0, 4.0, 6.0])
    still = temporal.apply_flow(tf.constant(clip), flow, scales, 1)
    np.testing.assert_array_equal(still, clip)
    found = temporal.apply_flow(tf.constant(clip), flow, scales, 2).numpy()
    for frame, image in enumerate(clip):  # in rest half the scale to the left and up
        shift = frame + 1
        np.testing.assert_array_equal(found[frame, :-shift, :-shift], image[shift:, shift:])
        assert not found[frame, -shift:].any() and not found[frame, :, -shift:].any()
    flow[..., 0] = 1  # u above v everywhere: form 1 shifts to the right by the scale
    found = temporal.apply_flow(tf.constant(clip), flow, scales, 1).numpy()
    for frame, image in enumerate(clip):
        shift = 2 * (frame + 1)
        np.testing.assert_array_equal(found[frame, :, shift:], image[:, :-shift])
        assert not found[frame, :, :shift].any()


def test_flow_beyond_the_code_counts_as_its_bound():
    clip = tf.constant(noise(2, 6, 9))
    beyond = temporal.apply_flow(clip, tf.fill((1, 6, 9, 2), 35.0), tf.constant([3.0, 3.0]), 2)
    np.testing.assert_array_equal(beyond, clip)


def test_flow_warps_follow_the_flow_of_their_frame():
    clip, flow = noise(5, 8, 8), fields(5, 8, 8)
    changed = flow.copy()
    changed[1] = -changed[1]
    found, other = (augment.flow_warp(clip, tf.constant(f), SEED).numpy() for f in (flow, changed))
    same = [bool((a == b).all()) for a, b in zip(found, other, strict=True)]
    assert same == [True, False, True, True, True]


@pytest.mark.parametrize(("form", "most"), [(1, 10), (2, 5)])
def test_draws_of_scales(form, most):
    found = draws(lambda seed: temporal.draw_scales(seed, 16, form))
    check_uniform(found, 0, most)
    check_independent(found)
    assert found.min() >= np.float32(0.01)
    many = temporal.draw_scales(SEED, 20_000, form).numpy()
    assert many.min() == np.float32(0.01)


ONE = tf.constant(noise(1, 8, 9))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: augment.intra_mixup(c, SEED, SEED, 1.5), "most must be .* most=1.5"),
        (lambda c: augment.swap_frames(ONE, SEED), "clip must have 2 frames or more. Received: 1"),
        (lambda c: augment.break_frames(ONE, SEED), "clip must have 2 frames or more"),
        (
            lambda c: augment.flow_warp(ONE, tf.zeros((0, 8, 9, 2)), SEED),
            "clip must have 2 frames or more",
        ),
        (
            lambda c: augment.flow_warp(c, tf.zeros((2, 8, 9, 2)), SEED, form=3),
            r"form must be one of \[1, 2\]. Received: form=3",
        ),
        (
            lambda c: augment.flow_warp(c, tf.zeros((3, 8, 9, 2)), SEED),
            r"flow must be float32 \(2, 8, 9, 2\) .* Received: float32 \(3, 8, 9, 2\)",
        ),
        (
            lambda c: augment.flow_warp(c, tf.zeros((2, 8, 9, 2), tf.uint8), SEED),
            "flow must be float32 .* Received: uint8",
        ),
    ],
)
def test_arguments_out_of_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(tf.constant(noise(3, 8, 9)))
