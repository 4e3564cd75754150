"""Properties of all augmentations: shape, seed, one draw per clip, equal in tf.data."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from augment_reference import noise

from mas import augment

FRAMES, SIZE, SEEDS = 12, 40, 6
CLIP = noise(FRAMES, SIZE, SIZE)
FLOW = np.random.default_rng(1).normal(0, 5, (FRAMES - 1, SIZE, SIZE, 2)).astype(np.float32)
SEED = tf.constant([3, 5])


def mixup(clip, seed):
    return augment.intra_mixup(clip, seed, seed, most=1)


def flow_warp(clip, seed, form=1):
    return augment.flow_warp(clip, FLOW, seed, form)


# Functions that apply the same change to each frame on its own.
SHARED = {
    "basic jitter": functools.partial(augment.colour_jitter, **augment.BASIC_JITTER),
    "rotation": functools.partial(augment.rotate_and_crop, size=SIZE, degrees=30),
    "pushes": augment.push_warp,
    "thin plate": augment.thin_plate_warp,
    "affine": functools.partial(augment.affine, kind="rotation"),
}
EVERY = {
    **SHARED,
    "jitter": augment.colour_jitter,
    "mixup": mixup,
    "insertion": augment.insert_frames,
    "swap": augment.swap_frames,
    "breaking": augment.break_frames,
    "flow": flow_warp,
}


@pytest.mark.parametrize("name", sorted(set(EVERY) - {"basic jitter", "insertion", "swap"}))
def test_result_depends_only_on_seed_also_in_pipeline(name):
    function = EVERY[name]
    numbers = tf.data.Dataset.range(SEEDS, output_type=tf.int32)
    results = numbers.map(
        lambda number: function(tf.constant(CLIP), tf.stack([9, number])), num_parallel_calls=2
    )
    assert results.element_spec == tf.TensorSpec(CLIP.shape, tf.uint8)
    before = CLIP.copy()
    eager = [function(CLIP, tf.constant([9, number])).numpy() for number in range(SEEDS)]
    np.testing.assert_array_equal(CLIP, before)
    np.testing.assert_array_equal([value.numpy() for value in results], eager)
    different = len({value.tobytes() for value in eager})
    assert different == SEEDS or (name == "breaking" and different > 2)  # seeds may agree


@pytest.mark.parametrize("name", SHARED)
def test_all_frames_share_one_draw(name):
    alone = [SHARED[name](frame[None], SEED).numpy()[0] for frame in CLIP[:3]]
    np.testing.assert_array_equal(SHARED[name](CLIP, SEED)[:3], alone)


def refused(function, *arguments, match="clip.*Received"):
    with pytest.raises(ValueError, match=match):
        function(*arguments)


def test_rejects_non_clips():
    for name, function in EVERY.items():
        refused(function, tf.zeros((4, 8, 8, 3)), SEED)
        if "jitter" not in name:  # which takes views
            refused(function, tf.zeros((2, 4, 8, 8, 3), tf.uint8), SEED)
    for shape in [(8, 8, 3), (4, 8, 8, 2)]:
        refused(augment.push_warp, tf.zeros(shape, tf.uint8), SEED)
    refused(augment.colour_jitter, tf.zeros((8, 8, 3), tf.uint8), SEED)
    for shape in [None, (12, None, None, 3)]:
        unknown = tf.TensorSpec(shape, tf.uint8)
        refused(tf.function(augment.push_warp).get_concrete_function, unknown, SEED)
    for function in (augment.swap_frames, augment.break_frames):
        refused(function, CLIP[:1], SEED, match="clip.*2.*Received: 1")
    refused(augment.flow_warp, CLIP[:1], FLOW[:0], SEED, match="clip.*2.*Received: 1")


def with_flow(clip, seed, flow):
    return augment.flow_warp(clip, flow, seed)


@pytest.mark.parametrize(
    ("function", "options", "match"),
    [
        (augment.colour_jitter, {"brightness": -0.1}, "brightness=-0.1"),
        (augment.colour_jitter, {"hue": 0.6}, "hue=0.6"),
        (augment.colour_jitter, {"probability": 2}, "probability=2"),
        (augment.rotate_and_crop, {"size": SIZE + 1}, f"size=.*{SIZE + 1}"),
        (augment.rotate_and_crop, {"size": 0}, "size=0"),
        (augment.rotate_and_crop, {"size": 8, "degrees": 181}, "degrees=181"),
        (augment.affine, {"kind": "squeeze"}, "kind='squeeze'"),
        (augment.push_warp, {"most": 0}, "most=0"),
        (augment.thin_plate_warp, {"points": 1}, "points=1"),
        (augment.thin_plate_warp, {"reach": -0.1}, "reach=-0.1"),
        (augment.intra_mixup, {"weight_seed": SEED, "most": 1.5}, "most=1.5"),
        (flow_warp, {"form": 3}, "form=3"),
        (with_flow, {"flow": FLOW[1:]}, r"flow.*Received: .*\(10, 40, 40, 2\)"),
        (with_flow, {"flow": FLOW.astype(np.uint8)}, "flow.*Received: .*uint8"),
    ],
)
def test_rejects_arguments_out_of_range(function, options, match):
    refused(functools.partial(function, **options), CLIP, SEED, match=match)
