"""What the augmentations share: checks at the door, and whole numbers from uniform ones."""

import tensorflow as tf


def check_clip(clip):
    """Returns the clip as a tensor.

    Raises:
        ValueError: it is not uint8 (T, H, W, 3) with T, H and W known.
    """
    clip = tf.convert_to_tensor(clip)
    known = clip.shape.rank == 4 and clip.shape.is_fully_defined()
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
