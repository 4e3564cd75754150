"""What all augmentations keep: their shape, their seed, one draw a clip, the same in tf.data."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from augment_reference import noise

from mas import augment

FRAMES, SIZE = 12, 40
FEW_RESULTS = {"affine reflection", "insertion", "swap", "breaking"}  # seeds may agree
CLIP = noise(FRAMES, SIZE, SIZE)
FLOW = np.random.default_rng(1).normal(0, 5, (FRAMES - 1, SIZE, SIZE, 2)).astype(np.float32)


def mixup(clip, seed):
    return augment.intra_mixup(clip, seed, seed, most=1)


def flow_warp(clip, seed, form):
    return augment.flow_warp(clip, FLOW, seed, form)


# Those that change each frame by itself, all alike.
SHARED = {
    "basic jitter": functools.partial(augment.colour_jitter, **augment.BASIC_JITTER),
    "rotation": functools.partial(augment.rotate_and_crop, size=SIZE, degrees=30),
    "pushes": augment.push_warp,
    "thin plate": augment.thin_plate_warp,
    **{f"affine {kind}": functools.partial(augment.affine, kind=kind) for kind in augment.AFFINE},
}
EVERY = {
    **SHARED,
    "jitter": augment.colour_jitter,
    "mixup": mixup,
    "insertion": augment.insert_frames,
    "swap": augment.swap_frames,
    "breaking": augment.break_frames,
    "flow 1": functools.partial(flow_warp, form=1),
    "flow 2": functools.partial(flow_warp, form=2),
}


@pytest.mark.parametrize("name", EVERY)
def test_the_same_in_a_pipeline_and_for_the_same_seed_alone(name):
    function = EVERY[name]
    count = 8

    def pipeline(threads):
        numbers = tf.data.Dataset.range(count, output_type=tf.int32)
        results = numbers.map(
            lambda number: function(tf.constant(CLIP), tf.stack([9, number])),
            num_parallel_calls=threads,
        )
        assert results.element_spec == tf.TensorSpec(CLIP.shape, tf.uint8)
        return [value.numpy() for value in results]

    before = CLIP.copy()
    eager = [function(CLIP, tf.constant([9, number])).numpy() for number in range(count)]
    np.testing.assert_array_equal(CLIP, before)
    np.testing.assert_array_equal(pipeline(1), eager)
    np.testing.assert_array_equal(pipeline(2), eager)
    different = len({value.tobytes() for value in eager})
    assert different == count or (name in FEW_RESULTS and different > 2)


@pytest.mark.parametrize("name", SHARED)
def test_one_draw_holds_for_all_frames(name):
    seed = tf.constant([2, 7])
    still = np.stack([CLIP[0]] * FRAMES)
    found = SHARED[name](still, seed).numpy()
    assert (found == found[0]).all()
    alone = [SHARED[name](frame[None], seed).numpy()[0] for frame in CLIP[:3]]
    np.testing.assert_array_equal(SHARED[name](CLIP, seed)[:3], alone)


@pytest.mark.parametrize("name", sorted(set(EVERY) - {"basic jitter", "jitter"}))
@pytest.mark.parametrize(
    "clip",
    [
        tf.zeros((4, 8, 8, 3)),
        tf.zeros((8, 8, 3), tf.uint8),
        tf.zeros((2, 4, 8, 8, 3), tf.uint8),
        tf.zeros((4, 8, 8, 2), tf.uint8),
    ],
)
def test_what_is_no_clip_is_refused(name, clip):
    with pytest.raises(ValueError, match="clip must be uint8 .* Received: .*8, "):
        EVERY[name](clip, tf.constant([1, 2]))


@pytest.mark.parametrize("shape", [None, (None, 40, 40, 3), (12, None, None, 3)])
def test_a_clip_of_unknown_shape_is_refused(shape):
    numbers = tf.data.Dataset.range(1, output_type=tf.int32)

    def example(number):
        clip = tf.numpy_function(lambda n: CLIP, [number], tf.uint8)
        clip.set_shape(shape)
        return augment.push_warp(clip, tf.stack([1, number]))

    with pytest.raises(
        ValueError, match="clip must be uint8 .* all of them known. Received: uint8"
    ):
        numbers.map(example)
