"""What the augmentations share: pixels of a clip at other places, and the check at the door.

XLA makes one loop of the gathers, the weights and the rounding: for 16 frames of 112 x 112 that
takes 0.2 ms (nearest) and 0.8 ms (bilinear) of one core, without it 0.6 and 5.5 ms. Places in
floating point are computed by XLA, too: without it TensorFlow may reorder what runs in tf.data, and
the last bit of a place would depend on where the function runs.
"""

import tensorflow as tf

BLACK = -1  # in the place of a pixel's number


@tf.function(jit_compile=True)
def nearest(clip, places):
    """Whole pixels from other places, the same for all frames.

    Args:
        clip: uint8 (T, H, W, 3), or flow, float32 (T, H, W, 2).
        places: int32 (h, w); row * W + column of the pixel that comes to each place, or BLACK.

    Returns:
        (T, h, w, 3 or 2), of the clip's type.
    """
    frames, height, width, channels = clip.shape
    pixels = tf.reshape(clip, (frames, height * width, channels))
    found = tf.gather(pixels, tf.maximum(places, 0), axis=1)
    return tf.where((places == BLACK)[:, :, None], tf.constant(0, clip.dtype), found)


@tf.function(jit_compile=True)
def bilinear(clip, rows, columns):
    """Values between the pixels, of colours rounded to nearest; 0 outside the frame.

    Args:
        clip: uint8 (T, H, W, 3), or flow, float32 (T, H, W, 2).
        rows: float32 (h, w), the same for all frames, or (T, h, w): where the value of each place
            comes from, 0 at the centres of the first row and H - 1 at those of the last.
        columns: likewise, of rows' shape.

    Returns:
        (T, h, w, 3 or 2), of the clip's type.
    """
    frames, height, width, channels = clip.shape
    pixels = tf.reshape(clip, (frames, height * width, channels))
    above, left = tf.floor(rows), tf.floor(columns)
    total = 0.0
    for row, row_weight in ((above, above + 1 - rows), (above + 1, rows - above)):
        for column, weight in ((left, left + 1 - columns), (left + 1, columns - left)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            place = tf.cast(tf.where(inside, row * width + column, 0.0), tf.int32)
            values = tf.gather(pixels, place, axis=1, batch_dims=place.shape.rank - 2)
            weight = tf.where(inside, row_weight * weight, 0.0)
            total += weight[..., None] * tf.cast(values, tf.float32)
    return total if clip.dtype == tf.float32 else tf.cast(tf.round(total), tf.uint8)


def check_clip(clip, flow=False):
    """Returns the clip as a tensor.

    Args:
        clip: of the contract.
        flow: whether it may be flow, float32 (T, H, W, 2), as well.

    Raises:
        ValueError: it is not uint8 (T, H, W, 3) with T, H and W known.
    """
    clip = tf.convert_to_tensor(clip)
    known = clip.shape.rank == 4 and clip.shape.is_fully_defined()
    if flow and known and clip.dtype == tf.float32 and clip.shape[-1] == 2:
        return clip
    if clip.dtype != tf.uint8 or not known or clip.shape[-1] != 3:
        raise ValueError(
            "clip must be uint8 (frames, height, width, 3), all of them known. "
            f"Received: {clip.dtype.name} {clip.shape}."
        )
    return clip


def integers(numbers, low, high):
    """Float32 numbers uniform in [0, 1) -> int32 uniform in low..high - 1."""
    low, high = tf.convert_to_tensor(low), tf.convert_to_tensor(high)
    return low + tf.cast(tf.floor(numbers * tf.cast(high - low, tf.float32)), tf.int32)
