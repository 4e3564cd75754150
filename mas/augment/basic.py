"""BA, the augmentation that VTDL and DSM give every view of a clip."""

import tensorflow as tf

from mas.augment.colour import BASIC_JITTER, colour_jitter
from mas.augment.spatial import rotate_and_crop

COLOURS = ("one", "all", "none")


def basic(clip, seed, size, rotation=10.0, colours="one"):
    """Rotation, random crop and colours of the whole clip, the same for all its frames.

    Source: VTDL's code. Its colour jitter keeps the last of four operations: "one". "all" does the
    four, one after another.

    Args:
        clip: uint8 (T, H, W, 3), resized and not cropped; or flow, float32 (T, H, W, 2), whose
            vectors turn with the frames, and which has no colours.
        seed: int32 (2,).
        size: side of the crop, in pixels.
        rotation: in degrees, at most, either way.
        colours: one of `COLOURS`.

    Returns:
        (T, size, size, 3 or 2), of the clip's type.
    """
    clip = rotate_and_crop(clip, fold(seed, 0), size, rotation)
    if colours == "none" or clip.shape[-1] == 2:
        return clip
    jitter = BASIC_JITTER | {"last_only": colours == "one"}
    return colour_jitter(clip, fold(seed, 1), **jitter)


def fold(seed, number):
    """Another seed for each number: int32 (2,) -> int32 (2,)."""
    return tf.random.experimental.stateless_fold_in(seed, number)
