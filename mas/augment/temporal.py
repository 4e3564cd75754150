"""Changes along a clip's time: one frame mixed into all, frames moved, motion bent by flow."""

import tensorflow as tf

from mas import flow as flow_code
from mas.augment import sampling
from mas.augment.sampling import check_clip, integers
from mas.checks import check_choice, check_range

# Insertions or swaps: one in ten frames, at least one, in each of two rounds.
FRAMES_AN_OPERATION = 10
ROUNDS = 2

MOST_SCALE = {1: 10.0, 2: 5.0}  # pixels, of the two forms of the flow warp
LEAST_SCALE = 0.01


def intra_mixup(clip, seed, weight_seed, most=0.1):
    """Mixes one frame of the clip into all of them: derivatives along time are scaled alone.

    Args:
        clip: uint8 (T, H, W, 3); or flow, float32 (T, H, W, 2), whose fields are mixed.
        seed: int32 (2,), of the frame; the same seeds, the same result.
        weight_seed: int32 (2,), of the frame's weight: one for a whole batch as the authors have
            it, or the clip's own; it may be `seed`.
        most: the weight is drawn from [0, most); at most 1.

    Returns:
        Of the clip's type and shape: (1 - weight) x_t + weight x_frame, of colours rounded to
        nearest.

    Raises:
        ValueError: an argument is out of its range.

    Source: the temporal consistent augmentation of VTDL (arXiv 2008.02129), authors' code. There
    values are normalised and not rounded; mixing and normalising can change places.
    """
    clip = check_clip(clip, flow=True)
    check_range("most", most, 0, 1)
    return apply_mixup(clip, *draw_mixup(seed, weight_seed, clip.shape[0], most))


def draw_mixup(seed, weight_seed, frames, most=0.1):
    """Scalars: the number of the frame, int32, and its weight, float32."""
    frame = tf.random.stateless_uniform((2,), seed)[1]  # not the number that the weight takes
    weight = tf.random.stateless_uniform((2,), weight_seed)[0]
    return integers(frame, 0, frames), most * weight


@tf.function(jit_compile=True)
def apply_mixup(clip, frame, weight):
    """The clip with a share of one of its frames, as `draw_mixup` returns them."""
    values = tf.cast(clip, tf.float32)
    mixed = (1 - weight) * values + weight * values[frame]
    return mixed if clip.dtype == tf.float32 else tf.cast(tf.round(mixed), tf.uint8)


def insert_frames(clip, seed):
    """Inserts copies of random frames at random places; the last frames fall off the end.

    Args:
        clip: uint8 (T, H, W, 3).
        seed: int32 (2,); the same seed, the same result.

    Returns:
        uint8, of the clip's shape, after 2 max(1, floor(T / 10)) insertions, one after another.

    Raises:
        ValueError: the clip is none.

    Source: the authors' code of DSM (AAAI 2021), unused there: easy data augmentation of texts (Wei
    and Zou, EMNLP 2019) with frames for words. There frames are written over in place, so that
    later ones smear; here every frame stays whole.
    """
    clip = check_clip(clip)
    return apply_insertions(clip, draw_insertions(seed, clip.shape[0]))


def draw_insertions(seed, frames):
    """Int32 (n, 2): the number of the frame that is copied and its new place, one by one."""
    numbers = tf.random.stateless_uniform((_operations(frames), 2), seed)
    return integers(numbers, 0, frames)


def apply_insertions(clip, insertions):
    """The clip after the insertions that `draw_insertions` returns."""
    places = tf.range(clip.shape[0])
    order = places
    for insertion in tf.unstack(insertions):
        copied, place = tf.unstack(insertion)
        behind = tf.where(places > place, places - 1, places)
        order = tf.gather(order, tf.where(places == place, copied, behind))
    return tf.gather(clip, order)


def swap_frames(clip, seed):
    """Lets random frames change places, two by two.

    Args:
        clip: uint8 (T, H, W, 3), of two frames at least.
        seed: int32 (2,); the same seed, the same result.

    Returns:
        uint8, of the clip's shape, after 2 max(1, floor(T / 10)) swaps, one after another. The two
        frames of a swap are never the same; a later swap may undo an earlier one.

    Raises:
        ValueError: the clip is none, or has one frame.

    Source: as of `insert_frames`.
    """
    clip = check_clip(clip)
    _check_length(clip)
    return apply_swaps(clip, draw_swaps(seed, clip.shape[0]))


def draw_swaps(seed, frames):
    """Int32 (n, 2): the two places of each swap, one by one."""
    numbers = tf.random.stateless_uniform((_operations(frames), 2), seed)
    first = integers(numbers[:, 0], 0, frames)
    return tf.stack([first, (first + integers(numbers[:, 1], 1, frames)) % frames], 1)


def apply_swaps(clip, swaps):
    """The clip after the swaps that `draw_swaps` returns."""
    places = tf.range(clip.shape[0])
    order = places
    for swap in tf.unstack(swaps):
        one, other = tf.unstack(swap)
        changed = tf.where(places == one, other, tf.where(places == other, one, places))
        order = tf.gather(order, changed)
    return tf.gather(clip, order)


def break_frames(clip, seed):
    """Inserts frames and then swaps frames: `insert_frames` and `swap_frames` in turn.

    Args:
        clip: uint8 (T, H, W, 3), of two frames at least.
        seed: int32 (2,), split for the two; the same seed, the same result.

    Returns:
        uint8, of the clip's shape.

    Raises:
        ValueError: the clip is none, or has one frame.

    Source: as of `insert_frames`. The deletion of frames, which the authors switched off, is left
    out.
    """
    inserting, swapping = tf.unstack(tf.random.split(seed, 2))
    return swap_frames(insert_frames(clip, inserting), swapping)


def _operations(frames):
    return ROUNDS * max(1, frames // FRAMES_AN_OPERATION)


def flow_warp(clip, flow, seed, form=1):
    """Shifts the pixels of each frame along its flow, by a scale drawn for each frame.

    Args:
        clip: uint8 (T, H, W, 3), of two frames at least.
        flow: float32 (T - 1, H, W, 2), u right and v down, in pixels; the last frame takes the last
            field.
        seed: int32 (2,); the same seed, the same result.
        form: 1 or 2: how a field becomes a shift of (u', v') pixels. 1: the field from its least
            to its largest value, of u and v together, to 0..c, with c = max(0.01, U(0, 10)), so
            that all moves to the right and down. 2: the 8-bit code from 0 to 255 to -c..0, with
            c = max(0.01, U(0, 5)): to the left and up, in rest by c / 2.

    Returns:
        uint8, of the clip's shape: what lies at (x - u', y - v') comes to (x, y), bilinear, black
        from outside. In form 1 a field that is the same everywhere moves nothing.

    Raises:
        ValueError: an argument is out of its range.

    Source: the two warps by scaled flow in the authors' code of DSM (AAAI 2021), unused there. They
    read flow from 8-bit images; form 1 is the same whatever the code.
    """
    clip, flow = check_clip(clip), tf.convert_to_tensor(flow)
    _check_length(clip)
    shape = (clip.shape[0] - 1, *clip.shape[1:3], 2)
    if flow.dtype != tf.float32 or not flow.shape.is_compatible_with(shape):
        raise ValueError(
            f"flow must be float32 {shape} beside this clip. "
            f"Received: {flow.dtype.name} {flow.shape}."
        )
    check_choice("form", form, MOST_SCALE)
    scales = draw_scales(seed, clip.shape[0], form)
    return apply_flow(clip, tf.ensure_shape(flow, shape), scales, form)


def draw_scales(seed, frames, form=1):
    """Float32 (frames,): the scale c of each frame, in pixels."""
    return tf.maximum(LEAST_SCALE, MOST_SCALE[form] * tf.random.stateless_uniform((frames,), seed))


@tf.function(jit_compile=True)
def apply_flow(clip, flow, scales, form=1):
    """The clip shifted along its flow by the scales that `draw_scales` returns."""
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
