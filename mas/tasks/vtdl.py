"""Video representation by temporal-discriminative learning (VTDL, arXiv 2008.02129).

The positive has the anchor's frames; another clip of the same video is a negative. Its scene and
people are the same, so only temporal information distinguishes the two:

    q = f(TCA(BA(clip a)))      k = g(BA(clip a))      n = f(BA(clip b))

TCA, temporal-consistent augmentation, blends one frame of the clip into all of them:

    x'_t = (1 - w) x_t + w x_s,   w = 0.1 U(0, 1)

which scales temporal derivatives by 1 - w and does not change the motion otherwise.
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

    Rows of the paper's ablation: "Temporal Discriminative" is mixup=0; negative=none removes the
    negative from the same video.

    >>> VTDL(mixup=0.2).roles
    ('anchor', 'positive', 'negative')
    """

    negative: str = views.negative("intra")
    mixup: float = option(
        0.1,
        "Maximum mixup weight (TCA); one frame of a view is blended into all. 0 disables it. The "
        "frame is drawn per example, the weight per batch unless per_sample is set.",
        least=0,
        most=1,
    )

    name = "vtdl"
    passes = views.Views.passes

    def changed(self, role, view, clip):
        """Applies TCA to the anchor."""
        if role == views.ANCHOR and self.mixup:
            view = mixed(self, view, clip)
        return view


def mixed(task, view, clip):
    """Applies TCA with the frame and weight given by the task's seeds."""
    frame, weight = task.seed(clip, 0, shared=False), task.seed(clip, 1)
    return augment.intra_mixup(view, frame, weight, task.mixup)
