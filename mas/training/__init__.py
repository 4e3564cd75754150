"""Training: from settings and data to a run folder.

`pretrain` and `finetune` are the two user-facing calls. One loop serves a single device, several
GPUs and several hosts.
"""

from mas.training.distribution import barrier, is_chief, strategy
from mas.training.finetuning import Test, finetune
from mas.training.loop import Trainer
from mas.training.pretraining import dataset, pretrain
from mas.training.runs import Run, open_run

__all__ = [
    "Run",
    "Test",
    "Trainer",
    "barrier",
    "dataset",
    "finetune",
    "is_chief",
    "open_run",
    "pretrain",
    "strategy",
]
