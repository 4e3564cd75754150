"""Temporal augmentations: mixing in a frame, moving frames, warping along flow."""

import tensorflow as tf

from mas import flow as flow_code
from mas.augment import sampling
from mas.augment.sampling import check_clip, integers
from mas.checks import check_choice, check_range

# Insertions or swaps: one per ten frames, at least one, in each of two rounds.
FRAMES_AN_OPERATION = 10
ROUNDS = 2

MOST_SCALE = {1: 10.0, 2: 5.0}  # pixels, for the two forms of the flow warp
LEAST_SCALE = 0.01


def intra_mixup(clip, seed, weight_seed, most=0.1):
    """Mixes one frame of a clip into all its frames, which only scales temporal derivatives.

    Args:
        clip: uint8 (T, H, W, 3); or flow, float32 (T, H, W, 2), whose fields are mixed.
        seed: int32 (2,), for the choice of the frame; the same seeds give the same result.
        weight_seed: int32 (2,), for the weight: shared by the batch, as in the authors' code, or
            the clip's own; may equal `seed`.
        most: the weight is drawn from [0, most); at most 1.

    Returns:
        A clip with the dtype and shape of `clip`: (1 - weight) x_t + weight x_frame; colours are
        rounded to nearest.

    Raises:
        ValueError: If an argument is out of range.

    Source: the temporal-consistent augmentation in the authors' code of VTDL (arXiv 2008.02129).
    There values are normalised and not rounded; mixing and normalising commute.
    """
    clip = check_clip(clip, flow=True)
    check_range("most", most, 0, 1)
    return apply_mixup(clip, *draw_mixup(seed, weight_seed, clip.shape[0], most))


def draw_mixup(seed, weight_seed, frames, most=0.1):
    """Draws the index of the frame, int32, and its weight, float32."""
    frame = tf.random.stateless_uniform((2,), seed)[1]  # not the weight's number
    weight = tf.random.stateless_uniform((2,), weight_seed)[0]
    return integers(frame, 0, frames), most * weight


@tf.function(jit_compile=True)
def apply_mixup(clip, frame, weight):
    """Mixes a frame into a clip with the parameters from `draw_mixup`."""
    values = tf.cast(clip, tf.float32)
    mixed = (1 - weight) * values + weight * values[frame]
    return mixed if clip.dtype == tf.float32 else tf.cast(tf.round(mixed), tf.uint8)


def insert_frames(clip, seed):
    """Inserts copies of random frames at random positions; frames at the end are dropped.

    Args:
        clip: uint8 (T, H, W, 3).
        seed: int32 (2,); the same seed gives the same result.

    Returns:
        uint8, with the shape of the clip, after 2 max(1, floor(T / 10)) successive insertions.

    Raises:
        ValueError: If `clip` is not a clip.

    Source: the authors' code of DSM (AAAI 2021), where it is unused: easy data augmentation of text
    (Wei and Zou, EMNLP 2019) with frames instead of words. There frames are overwritten in place,
    which smears later ones; here frames stay intact.
    """
    clip = check_clip(clip)
    return apply_insertions(clip, draw_insertions(seed, clip.shape[0]))


def draw_insertions(seed, frames):
    """Draws int32 (n, 2): index of the copied frame and its new position, for each insertion."""
    numbers = tf.random.stateless_uniform((_operations(frames), 2), seed)
    return integers(numbers, 0, frames)


def apply_insertions(clip, insertions):
    """Applies the insertions from `draw_insertions` to a clip."""
    places = tf.range(clip.shape[0])
    order = places
    for insertion in tf.unstack(insertions):
        copied, place = tf.unstack(insertion)
        behind = tf.where(places > place, places - 1, places)
        order = tf.gather(order, tf.where(places == place, copied, behind))
    return tf.gather(clip, order)


def swap_frames(clip, seed):
    """Swaps random pairs of frames.

    Args:
        clip: uint8 (T, H, W, 3), with at least two frames.
        seed: int32 (2,); the same seed gives the same result.

    Returns:
        uint8, with the shape of the clip, after 2 max(1, floor(T / 10)) successive swaps. The two
        frames of a swap differ; a later swap may undo an earlier one.

    Raises:
        ValueError: If `clip` is not a clip or has only one frame.

    Source: see `insert_frames`.
    """
    clip = check_clip(clip)
    _check_length(clip)
    return apply_swaps(clip, draw_swaps(seed, clip.shape[0]))


def draw_swaps(seed, frames):
    """Draws int32 (n, 2): the two positions of each swap."""
    numbers = tf.random.stateless_uniform((_operations(frames), 2), seed)
    first = integers(numbers[:, 0], 0, frames)
    return tf.stack([first, (first + integers(numbers[:, 1], 1, frames)) % frames], 1)


def apply_swaps(clip, swaps):
    """Applies the swaps from `draw_swaps` to a clip."""
    places = tf.range(clip.shape[0])
    order = places
    for swap in tf.unstack(swaps):
        one, other = tf.unstack(swap)
        changed = tf.where(places == one, other, tf.where(places == other, one, places))
        order = tf.gather(order, changed)
    return tf.gather(clip, order)


def break_frames(clip, seed):
    """Inserts and then swaps frames: `insert_frames` followed by `swap_frames`.

    Args:
        clip: uint8 (T, H, W, 3), with at least two frames.
        seed: int32 (2,), split between the two; the same seed gives the same result.

    Returns:
        uint8, with the shape of the clip.

    Raises:
        ValueError: If `clip` is not a clip or has only one frame.

    Source: see `insert_frames`. The deletion of frames, which the authors disabled, is omitted.
    """
    inserting, swapping = tf.unstack(tf.random.split(seed, 2))
    return swap_frames(insert_frames(clip, inserting), swapping)


def _operations(frames):
    return ROUNDS * max(1, frames // FRAMES_AN_OPERATION)


def flow_warp(clip, flow, seed, form=1):
    """Shifts the pixels of each frame along its flow, by a scale drawn for each frame.

    Args:
        clip: uint8 (T, H, W, 3), with at least two frames.
        flow: float32 (T - 1, H, W, 2), u right and v down, in pixels; the last frame uses the last
            field.
        seed: int32 (2,); the same seed gives the same result.
        form: how a field becomes a shift (u', v') in pixels. 1 maps the field's range, over u and v
            together, to 0..c with c = max(0.01, U(0, 10)), so everything moves right and down. 2
            maps the 8-bit code 0..255 to -c..0 with c = max(0.01, U(0, 5)), so everything moves
            left and up, by c / 2 at rest.

    Returns:
        uint8, with the shape of the clip: the value at (x, y) comes from (x - u', y - v'),
        bilinear, black outside. In form 1, a constant field moves nothing.

    Raises:
        ValueError: If an argument is out of range.

    Source: the two warps by scaled flow in the authors' code of DSM (AAAI 2021), where they are
    unused. They read flow from 8-bit images; form 1 does not depend on the code.
    """
    clip, flow = check_clip(clip), tf.convert_to_tensor(flow)
    _check_length(clip)
    shape = (clip.shape[0] - 1, *clip.shape[1:3], 2)
    if flow.dtype != tf.float32 or not flow.shape.is_compatible_with(shape):
        raise ValueError(
            f"flow must be float32 {shape} for this clip. Received: {flow.dtype.name} {flow.shape}."
        )
    check_choice("form", form, MOST_SCALE)
    scales = draw_scales(seed, clip.shape[0], form)
    return apply_flow(clip, tf.ensure_shape(flow, shape), scales, form)


def draw_scales(seed, frames, form=1):
    """Draws the scale c of each frame in pixels, float32 (frames,)."""
    return tf.maximum(LEAST_SCALE, MOST_SCALE[form] * tf.random.stateless_uniform((frames,), seed))


@tf.function(jit_compile=True)
def apply_flow(clip, flow, scales, form=1):
    """Shifts a clip along its flow by the scales from `draw_scales`."""
    height, width = clip.shape[1:3]
    if form == 1:
        least = tf.reduce_min(flow, (1, 2, 3), keepdims=True)
        span = tf.reduce_max(flow, (1, 2, 3), keepdims=True) - least
        shifts = tf.math.divide_no_nan(flow - least, span)
    else:
        bound = flow_code.BOUND
        shifts = tf.clip_by_value((flow + bound) / (2 * bound), 0.0, 1.0) - 1
    shifts = tf.concat([shifts, shifts[-1:]], 0) * scales[:, None, None, None]
    rows = tf.range(height, dtype=tf.float32)[:, None] - shifts[..., 1]
    columns = tf.range(width, dtype=tf.float32) - shifts[..., 0]
    return sampling.bilinear(clip, rows, columns)


def _check_length(clip):
    if clip.shape[0] < 2:
        raise ValueError(f"clip must have 2 frames or more. Received: {clip.shape[0]}.")
