"""The authors' checkpoints -> Keras weights that fine-tuning starts from.

    mas.convert.convert("sts_r3d", "checkpoint.pth.tar", "r3d.keras")
    mas.finetune("r3d.keras", data, train="train.txt", test="test.txt")

A checkpoint is data from a stranger: nothing in it is executed.
"""

from mas.convert.conversion import Conversion, check_paths, convert, match
from mas.convert.networks import NAMES, Published, published

__all__ = ["NAMES", "Conversion", "Published", "check_paths", "convert", "match", "published"]
