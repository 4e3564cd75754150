"""Basic augmentation (BA), which VTDL and DSM apply to every view of a clip."""

import tensorflow as tf

from mas.augment.colour import BASIC_JITTER, colour_jitter
from mas.augment.spatial import rotate_and_crop

COLOURS = ("one", "all", "none")


def basic(clip, seed, size, rotation=10.0, colours="one"):
    """Applies random rotation, crop and colour changes, the same for all frames of a clip.

    Source: VTDL's code. Its colour jitter effectively applies only the last of four operations:
    "one". "all" applies all four in sequence.

    Args:
        clip: uint8 (T, H, W, 3), resized but not cropped; or flow, float32 (T, H, W, 2), whose
            vectors are rotated with the frames and whose colours are not changed.
        seed: int32 (2,).
        size: side of the crop in pixels.
        rotation: maximum rotation in degrees, in either direction.
        colours: one of `COLOURS`.

    Returns:
        (T, size, size, 3 or 2), with the dtype of the clip.
    """
    clip = rotate_and_crop(clip, fold(seed, 0), size, rotation)
    if colours == "none" or clip.shape[-1] == 2:
        return clip
    jitter = BASIC_JITTER | {"last_only": colours == "one"}
    return colour_jitter(clip, fold(seed, 1), **jitter)


def fold(seed, number):
    """Derives a new seed for each number: int32 (2,) -> int32 (2,)."""
    return tf.random.experimental.stateless_fold_in(seed, number)
