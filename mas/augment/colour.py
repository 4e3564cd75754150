"""Colour jitter."""

import math

import tensorflow as tf

GREY = (19595, 38470, 7471)  # of R, G, B, in 65536ths: ITU-R 601-2, as Pillow's mode "L"
OPERATIONS = ("brightness", "contrast", "saturation", "hue")
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(len(OPERATIONS))

# Arguments of `colour_jitter` for the basic augmentation of VTDL and DSM, as their code has it.
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
    """Changes the colours of every frame, or of the clip, at random.

    Args:
        clip: uint8 (..., T, H, W, 3), R G B.
        seed: int32 (2,); the same seed, the same result.
        brightness: a frame is multiplied by a factor from [max(0, 1 - brightness), 1 + brightness].
        contrast: likewise the distance of each value from the mean of the frame's grey.
        saturation: likewise the distance of each pixel from its grey.
        hue: hues are turned by a share of the circle from [-hue, hue]; at most 0.5.
        probability: of a frame to be changed at all.
        per_frame: whether each frame draws for itself (as published), or each clip once.
        last_only: whether each operation begins with the frame as it came, so that the last one
            alone is seen, each with probability 1/4 (the released code of VTDL and DSM, see
            BASIC_JITTER); else all four follow one another.

    Returns:
        uint8, of the clip's shape. The four operations come in an order that is drawn as well, and
        each ends in whole numbers 0..255.

    Raises:
        ValueError: an argument is out of its range.

    Source: the input pipeline of the authors' code of pace prediction (ECCV 2020): torchvision's
    ColorJitter on Pillow images. There B G R is taken for R G B, so that red and blue exchange
    their weights in grey, and hues turn the other way; here the clip is R G B. Hues are turned
    exactly, and not on Pillow's grid of 8-bit hue and saturation.
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
    """What `colour_jitter` does to each frame.

    Args:
        seed: int32 (2,).
        shape: (..., T): of the views and frames.
        strengths: of the four OPERATIONS.
        probability: of a frame to be changed.
        per_frame: as for `colour_jitter`.

    Returns:
        For each of the N frames of all views: applied bool (N,); order int32 (N, 4), the operations
        by number, first to last; factors float32 (N, 4), the last one the share of the hue circle.
    """
    rows, repeats = (shape, 1) if per_frame else (shape[:-1], shape[-1])
    numbers = tf.random.stateless_uniform((math.prod(rows), 9), seed)
    numbers = tf.repeat(numbers, repeats, axis=0)
    *around_one, hue = strengths
    low = tf.constant([*(max(0, 1 - strength) for strength in around_one), -hue], tf.float32)
    high = tf.constant([*(1 + strength for strength in around_one), hue], tf.float32)
    order = tf.argsort(numbers[:, 1:5], stable=True)
    return numbers[:, 0] < probability, order, low + (high - low) * numbers[:, 5:]


@tf.function(jit_compile=True)  # one pass a slot: 2 ms for 16 frames of 112 x 112, 5 without
def _apply(frames, applied, order, factors):
    """Changes frames uint8 (N, pixels, 3) by what `draw` returns; of the order, a part will do."""
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
    """(N, 1, pixels): whole numbers, exact in float32."""
    total = sum(GREY[channel] * planes[:, channel : channel + 1] for channel in range(3))
    return tf.floor((total + 2**15) / 2**16)


def _blend(start, end, factor):
    """From `start` at factor 0 to `end` at 1 and beyond; cut off to whole numbers, as in Pillow."""
    return tf.floor(tf.clip_by_value(start + factor * (end - start), 0.0, 255.0))


def _hue(planes, share):
    """Turns hues by a share of the circle; the largest and the smallest value of a pixel stay."""
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
