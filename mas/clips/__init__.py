"""Stored videos -> clips -> examples in batches.

The clip contract. A clip is a dict of tensors:

    rgb     uint8 (T, H, W, 3)         R G B
    flow    float32 (T - 1, H, W, 2)   u right, v down, in pixels per frame as stored: resizing a
                                       clip does not rescale its vectors
                                       (rgb and flow only where the task's `inputs` name them)
    label   int32 ()                   -1 where unlabelled
    target  int32 (...)                what the task's `sample` drew
    video   string ()
    seed    int32 (2,)                 for stateless random operations of this example
    batch_seed int32 (2,)              the same for all examples of a batch

Views (several clips of one video) stack on a leading axis of rgb and flow. One geometry (resize,
crop, flip) is drawn for a clip and applied to RGB and flow alike; a flip negates u. A task that
crops for itself (`whole`) gets clips that are resized and flipped, and not cropped.

The order of the examples and every random draw follow from (seed, epoch, example) alone, never from
the timing of threads: a run repeats exactly, and resumes exactly from any step. Where a video file
cannot be decoded in training, an example that follows from the same three takes its place.
"""

from mas.clips.choosing import ANYWHERE, Examples, examples
from mas.clips.geometry import Geometry
from mas.clips.reading import Reader

__all__ = ["ANYWHERE", "Examples", "Geometry", "Reader", "examples"]
