"""Augmentations of clips, applied after the geometry and after labels are computed from pixels.

A clip is uint8 (T, H, W, 3), R G B. The result has the same shape, except for the size after
`rotate_and_crop`. `basic`, `rotate_and_crop`, `intra_mixup` and the warps shared by all frames also
accept flow: float32 (T, H, W, 2), u right and v down. `seed` is int32 (2,). The same seed gives the
same result, inside and outside tf.data. Parameters are drawn once per clip and apply to all its
frames, except for `colour_jitter` (by default) and the scale of `flow_warp`, which are drawn per
frame. To draw once for a whole batch, as the authors of DSM do, pass the same seed for all clips.

The functions draw only from their seed, so two functions with the same seed draw the same numbers.
Use a separate seed for each:

    turning, colours, pushes = tf.unstack(tf.random.split(seed, 3))
    clip = augment.rotate_and_crop(clip, turning, 112)
    clip = augment.colour_jitter(clip, colours, **augment.BASIC_JITTER)
    clip = augment.push_warp(clip, pushes)

Each function has two halves in its module: `draw_...(seed, ...)` returns the parameters (`draw` for
the colour jitter) and `apply_...(clip, ...)` applies them. `colour_jitter` also accepts views:
(..., T, H, W, 3).
"""

from mas.augment.basic import basic, fold
from mas.augment.colour import BASIC_JITTER, OPERATIONS, colour_jitter, draw
from mas.augment.spatial import AFFINE, affine, rotate_and_crop
from mas.augment.temporal import break_frames, flow_warp, insert_frames, intra_mixup, swap_frames
from mas.augment.warps import push_warp, thin_plate_warp

__all__ = [
    "AFFINE",
    "BASIC_JITTER",
    "OPERATIONS",
    "affine",
    "basic",
    "break_frames",
    "colour_jitter",
    "draw",
    "flow_warp",
    "fold",
    "insert_frames",
    "intra_mixup",
    "push_warp",
    "rotate_and_crop",
    "swap_frames",
    "thin_plate_warp",
]
