"""Video representation by temporal-discriminative learning (VTDL, arXiv 2008.02129).

The positive shows the anchor's frames; another clip of the same video is a negative. Scene and
people are the same there, so only what happens in time tells the two apart:

    q = f(TCA(BA(clip a)))      k = g(BA(clip a))      n = f(BA(clip b))

TCA, temporal-consistent augmentation, blends one frame of the clip into all of them:

    x'_t = (1 - w) x_t + w x_s,   w = 0.1 U(0, 1)

which scales every derivative in time by 1 - w and changes nothing else about the motion.
"""

from __future__ import annotations

import dataclasses

from mas import lazy
from mas.checks import option
from mas.tasks import views
from mas.tasks.moco import MoCo

augment = lazy.module("mas.augment")


@dataclasses.dataclass(frozen=True)
class VTDL(MoCo):
    """MoCo with a negative from the same video, and TCA on the anchor.

    The rows of the paper's ablation: "Temporal Discriminative" is mixup=0; without the negative of
    the same video, negative=none.

    >>> VTDL(mixup=0.2).roles
    ('anchor', 'positive', 'negative')
    """

    negative: str = views.negative("intra")
    mixup: float = option(
        0.1,
        "Largest weight of the one frame that is blended into all others of a view (TCA); 0: none. "
        "The frame is each example's, the weight the batch's unless per_sample.",
        least=0,
        most=1,
    )

    name = "vtdl"
    passes = views.Views.passes

    def changed(self, role, view, clip):
        """TCA on the anchor."""
        if role == views.ANCHOR and self.mixup:
            view = mixed(self, view, clip)
        return view


def mixed(task, view, clip):
    """TCA with the weight and the frame that the task's seeds give."""
    frame, weight = task.seed(clip, 0, shared=False), task.seed(clip, 1)
    return augment.intra_mixup(view, frame, weight, task.mixup)
