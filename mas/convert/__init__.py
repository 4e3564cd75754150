"""The authors' checkpoints -> Keras weights for `finetune.py --init`.

    python -m mas.convert --network=NAME CHECKPOINT OUTPUT.keras

A checkpoint is data from a stranger: nothing in it is executed.
"""

from mas.convert.conversion import Report, convert, match
from mas.convert.networks import NAMES, published

__all__ = ["NAMES", "Report", "convert", "match", "published"]
