"""The input pipeline: from stored videos to batches of clips.

A clip is a dict of tensors:

    rgb     uint8 (T, H, W, 3)         R G B, if in the task's `inputs`
    flow    float32 (T - 1, H, W, 2)   u right, v down, in stored pixels per frame, if in the task's
                                       `inputs`; resizing a clip does not rescale its vectors
    label   int32 ()                   -1 if unlabelled
    target  int32 (...)                drawn by the task's `sample`
    video   string ()
    seed    int32 (2,)                 for stateless random operations on this example
    batch_seed int32 (2,)              the same for all examples of a batch

Views (several clips of a video) are stacked along a leading axis of rgb and flow. A single geometry
(resize, crop, flip) is drawn per clip and applied to both RGB and flow; a flip negates u. Tasks
that crop their own clips (`whole`) get clips that are resized and flipped but not cropped.

The order of the examples and all random numbers depend only on (seed, epoch, example), not on the
timing of threads, so runs are reproducible and resume exactly from any step. If a video file cannot
be decoded in training, it is replaced by another example, which depends on the same three numbers.
"""

from mas.clips.choosing import ANYWHERE, Examples, examples
from mas.clips.geometry import Geometry
from mas.clips.reading import Reader

__all__ = ["ANYWHERE", "Examples", "Geometry", "Reader", "examples"]
