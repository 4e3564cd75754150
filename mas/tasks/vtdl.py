"""Video representation by temporal-discriminative learning (VTDL, arXiv 2008.02129).

The positive shows the anchor's frames; another clip of the same video is a negative. Scene and
people are the same there, so only what happens in time tells the two apart:

    q = f(TCA(BA(clip a)))      k = g(BA(clip a))      n = f(BA(clip b))

TCA, temporal-consistent augmentation, blends one frame of the clip into all of them:

    x'_t = (1 - w) x_t + w x_s,   w = 0.1 U(0, 1)

which scales every derivative in time by 1 - w and changes nothing else about the motion.
"""

import dataclasses

from mas import augment
from mas.tasks import views
from mas.tasks.moco import MoCo


@dataclasses.dataclass
class VTDL(MoCo):
    """MoCo with a negative from the same video, and TCA on the anchor.

    The rows of the paper's ablation: "Temporal Discriminative" is mixup=0; without the negative of
    the same video, negative=none.

    Attributes:
        mixup: the largest weight of the frame that TCA blends into all others of the anchor (dsm:
            of the view that `disturbed` names); 0: none. The weight is the batch's (`per_sample`
            false, as published), the frame each example's.
    """

    negative: str = "intra"
    mixup: float = 0.1

    name = "vtdl"

    def __post_init__(self):
        """Checks the choice.

        Raises:
            ValueError: a choice that is none, or a number out of its range.
        """
        super().__post_init__()
        check_mixup(self.mixup)

    def changed(self, role, view, clip):
        """TCA on the anchor."""
        if role == views.ANCHOR and self.mixup:
            view = mixed(self, view, clip)
        return view


def mixed(task, view, clip):
    """TCA with the weight and the frame that the task's seeds give."""
    frame, weight = task.seed(clip, 0, shared=False), task.seed(clip, 1)
    return augment.intra_mixup(view, frame, weight, task.mixup)


def check_mixup(mixup):
    """Refuses a weight that is none.

    Raises:
        ValueError: it is not in [0, 1].
    """
    if not 0 <= mixup <= 1:
        raise ValueError(f"mixup must be in [0, 1]. Received: mixup={mixup}.")
