"""Augmentations of clips, after geometry and after labels that come from the pixels.

The contract. A clip is uint8 (T, H, W, 3), R G B; so is the result, of as many frames and, but for
`rotate_and_crop`, of the same size. `basic`, `rotate_and_crop`, `intra_mixup` and the warps that
all frames share take flow, too: float32 (T, H, W, 2), u right and v down. `seed` is int32 (2,): the
same seed, the same result, inside tf.data and outside. All parameters are drawn once for a clip and
hold for all its frames; only `colour_jitter`, by default, and the scale of `flow_warp` are drawn
for each frame. A caller that wants one draw for a whole batch, as the authors of DSM warp, gives
all its clips one seed.

Every function draws uniform numbers from its seed and nothing else. Two that get the same seed draw
the same numbers, so a clip that passes through several needs a seed for each:

    turning, colours, pushes = tf.unstack(tf.random.split(seed, 3))
    clip = augment.rotate_and_crop(clip, turning, 112)
    clip = augment.colour_jitter(clip, colours, **augment.BASIC_JITTER)
    clip = augment.push_warp(clip, pushes)

Each has two halves in its module: `draw_...(seed, ...)` returns the parameters (`draw` those of the
colour jitter), `apply_...(clip, ...)` applies given ones. `colour_jitter` takes views, too:
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
