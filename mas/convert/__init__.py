"""Converts the authors' checkpoints to Keras weights for fine-tuning.

    mas.convert.convert("sts_r3d", "checkpoint.pth.tar", "r3d.keras")
    mas.finetune("r3d.keras", data, train="train.txt", test="test.txt")

Checkpoints are untrusted: nothing in them is executed.
"""

from mas.convert.conversion import Conversion, check_paths, convert, match
from mas.convert.networks import NAMES, Published, published

__all__ = ["NAMES", "Conversion", "Published", "check_paths", "convert", "match", "published"]
