"""Random colour jitter."""

import math

import tensorflow as tf

GREY = (19595, 38470, 7471)  # weights of R, G, B, times 65536: ITU-R 601-2, Pillow's mode "L"
OPERATIONS = ("brightness", "contrast", "saturation", "hue")
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(len(OPERATIONS))

# Arguments of `colour_jitter` for the basic augmentation in the code of VTDL and DSM.
BASIC_JITTER = {
    "brightness": 0.5,
    "contrast": 0.5,
    "saturation": 0.25,
    "hue": 0.5,
    "probability": 1.0,
    "per_frame": False,
    "last_only": True,
}


def colour_jitter(
    clip,
    seed,
    brightness=0.8,
    contrast=0.8,
    saturation=0.8,
    hue=0.2,
    probability=0.8,
    per_frame=True,
    last_only=False,
):
    """Changes the colours of each frame, or of the whole clip, at random.

    The four operations are applied in random order; each rounds down to integers in 0..255.

    Args:
        clip: uint8 (..., T, H, W, 3), R G B.
        seed: int32 (2,); the same seed gives the same result.
        brightness: a frame is multiplied by a factor in [max(0, 1 - brightness), 1 + brightness].
        contrast: likewise for the difference of values from the frame's mean grey.
        saturation: likewise for the difference of pixels from their grey.
        hue: hues are shifted by a fraction of the circle in [-hue, hue]; at most 0.5.
        probability: probability that a frame is changed.
        per_frame: whether to draw for each frame (as published) or once per clip.
        last_only: whether each operation starts from the original frame, so that only the last one
            has an effect, each with probability 1/4 (the released code of VTDL and DSM, see
            BASIC_JITTER). Otherwise all four are applied in sequence.

    Returns:
        uint8, with the shape of the clip.

    Raises:
        ValueError: If an argument is out of range.

    Source: the input pipeline in the authors' code of pace prediction (ECCV 2020): torchvision's
    ColorJitter on Pillow images. That code passes B G R as R G B, which swaps the weights of red
    and blue in grey and reverses hue shifts; here the clip is R G B. Hue shifts are exact, not on
    Pillow's 8-bit grid of hue and saturation.
    """
    clip, strengths = tf.convert_to_tensor(clip), (brightness, contrast, saturation, hue)
    _check(clip, strengths, probability)
    applied, order, factors = draw(seed, clip.shape[:-3], strengths, probability, per_frame)
    order = order[:, -1:] if last_only else order
    frames = tf.reshape(clip, (-1, clip.shape[-3] * clip.shape[-2], 3))
    return tf.reshape(_apply(frames, applied, order, factors), clip.shape)


def _check(clip, strengths, probability):
    if clip.dtype != tf.uint8 or clip.shape.rank is None or clip.shape.rank < 4:
        raise ValueError(
            "clip must be uint8 (..., frames, height, width, 3). "
            f"Received: {clip.dtype.name} {clip.shape}."
        )
    named = dict(zip(OPERATIONS, strengths, strict=True)) | {"probability": probability}
    limits = {"hue": 0.5, "probability": 1}
    for name, value in named.items():
        most = limits.get(name, float("inf"))
        if not 0 <= value <= most:
            allowed = f"in 0..{most}" if name in limits else "0 or more"
            raise ValueError(f"{name} must be {allowed}. Received: {name}={value}.")


def draw(seed, shape, strengths, probability, per_frame=True):
    """Draws the parameters of `colour_jitter` for each frame.

    Args:
        seed: int32 (2,).
        shape: (..., T), the views and frames.
        strengths: strengths of the four OPERATIONS.
        probability: probability that a frame is changed.
        per_frame: as for `colour_jitter`.

    Returns:
        For the N frames of all views: applied, bool (N,); order, int32 (N, 4), the operations by
        index, first to last; factors, float32 (N, 4), of which the last is the hue shift as a
        fraction of the circle.
    """
    rows, repeats = (shape, 1) if per_frame else (shape[:-1], shape[-1])
    numbers = tf.random.stateless_uniform((math.prod(rows), 9), seed)
    numbers = tf.repeat(numbers, repeats, axis=0)
    *around_one, hue = strengths
    low = tf.constant([*(max(0, 1 - strength) for strength in around_one), -hue], tf.float32)
    high = tf.constant([*(1 + strength for strength in around_one), hue], tf.float32)
    order = tf.argsort(numbers[:, 1:5], stable=True)
    return numbers[:, 0] < probability, order, low + (high - low) * numbers[:, 5:]


@tf.function(jit_compile=True)  # 2 ms instead of 5 for 16 frames of 112 x 112
def _apply(frames, applied, order, factors):
    """Applies the result of `draw` to frames, uint8 (N, pixels, 3); `order` may be truncated."""
    planes = tf.transpose(tf.cast(frames, tf.float32), (0, 2, 1))
    for slot in range(order.shape[1]):
        operation = order[:, slot, None, None]
        factor = tf.gather(factors, order[:, slot], batch_dims=1)[:, None, None]
        grey = _grey(planes)
        mean = tf.floor(tf.reduce_mean(grey, axis=2, keepdims=True) + 0.5)
        start = tf.where(operation == SATURATION, grey, tf.where(operation == CONTRAST, mean, 0.0))
        blended = _blend(start, planes, factor)
        planes = tf.where(operation == HUE, _hue(planes, factor), blended)
    changed = tf.cast(tf.transpose(planes, (0, 2, 1)), tf.uint8)
    return tf.where(applied[:, None, None], changed, frames)


def _grey(planes):
    """Returns grey values, (N, 1, pixels): integers, exact in float32."""
    total = sum(GREY[channel] * planes[:, channel : channel + 1] for channel in range(3))
    return tf.floor((total + 2**15) / 2**16)


def _blend(start, end, factor):
    """Interpolates from `start` (factor 0) to `end` (1), or beyond; truncates like Pillow."""
    return tf.floor(tf.clip_by_value(start + factor * (end - start), 0.0, 255.0))


def _hue(planes, share):
    """Shifts hues by a fraction of the circle; keeps the largest and smallest value of a pixel."""
    red, green, blue = tf.unstack(planes, axis=1)
    largest = tf.maximum(tf.maximum(red, green), blue)
    span = largest - tf.minimum(tf.minimum(red, green), blue)
    is_red, is_green = largest == red, largest == green
    difference = tf.where(is_red, green - blue, tf.where(is_green, blue - red, red - green))
    sextant = tf.where(is_red, 0.0, tf.where(is_green, 2.0, 4.0))
    angle = tf.math.divide_no_nan(difference, span) + sextant + 6 * share[:, 0]
    channels = []
    for offset in (5.0, 3.0, 1.0):  # Smith, Color gamut transform pairs, SIGGRAPH 1978, in one form
        turned = angle + offset
        turned -= 6 * tf.floor(turned / 6)
        fall = tf.clip_by_value(tf.minimum(turned, 4 - turned), 0.0, 1.0)
        channels.append(tf.round(largest - span * fall))
    return tf.stack(channels, axis=1)
