"""Decoupling the scene and the motion (DSM, AAAI 2021).

DSM disturbs clips in two ways. The spatial disturbance (SLD) damages the scene and keeps the
motion; it must not change the embedding. The temporal disturbance (TLD) keeps the scene and breaks
the motion; it must change the embedding:

    q = f(SLD(BA(clip a)))      k = g(BA(clip a))      n = f(BA(TLD(clip a)))

The paper and its figures show several variants. The released code uses the push warp on the anchor
and, as TLD, another clip of the same video. These are the defaults.
`recipes/dsm_paper_ucf101_i3d.flags` uses the figures' thin-plate warp and mixup.
"""

from __future__ import annotations

import dataclasses

from mas import lazy, losses, replicas
from mas.checks import option, refuse
from mas.tasks import views
from mas.tasks.moco import MoCo, geometry
from mas.tasks.task import EachView
from mas.tasks.vtdl import mixed

augment = lazy.module("mas.augment")
tf = lazy.module("tensorflow")

# Spatial disturbances: name -> function of `mas.augment`.
SPATIAL = {"none": None, "push": "push_warp", "tps": "thin_plate_warp", "affine": "affine"}
TEMPORAL = ("shift", "flow", "frames")
ORDERS = ("shift", "reverse")


@dataclasses.dataclass(frozen=True)
class Disturbed(views.Views):
    """The two disturbances, independent of the loss."""

    spatial: str = option(
        "push",
        "Spatial disturbance (SLD): push (small bumps, as released), tps (a smooth warp of the "
        "whole frame, as in the figures), affine, or none; the same for all frames of a clip.",
        choices=tuple(SPATIAL),
    )
    disturbed: str = option(
        "anchor",
        "View to which SLD and mixup apply: anchor (as released) or positive (as in the figures).",
        choices=views.ROLES[:2],
        advanced=True,
    )
    temporal: str = option(
        "shift",
        "Temporal disturbance (TLD): shift takes another clip of the video (as released). With "
        "negative=intra also flow, which warps the clip's frames along their optical flow, and "
        "frames, which repeats and swaps some of its frames.",
        choices=TEMPORAL,
    )
    mixup: float = option(
        0.0,
        "Maximum mixup weight; one frame is blended into all. 0, as released, disables it.",
        least=0,
        most=1,
    )

    def __post_init__(self):
        """Checks that a temporal disturbance has a negative from the same video.

        With temporal=flow, `unused` is at least 1, because the last frame has no flow.
        """
        super().__post_init__()
        if self.temporal != "shift" and self.negative != "intra":
            refuse("temporal", f"shift with negative={self.negative}", self.temporal)
        if self.temporal == "flow":
            object.__setattr__(self, "unused", max(1, self.unused))

    @property
    def inputs(self):
        """Inputs to decode; includes flow if frames are warped along it."""
        return ("rgb", "flow") if self.temporal == "flow" else super().inputs

    def check(self, batch=None):
        """Rejects disturbances that change frames but not their flow."""
        super().check(batch)
        if self.network.modality == "flow" and self.temporal != "shift":
            refuse("temporal", "shift with modality=flow", self.temporal)

    @property
    def views(self):
        """Number of clips to decode; a disturbed negative has the frames of the anchor."""
        return super().views if self.temporal == "shift" else 1

    def source(self, role, clip):
        """Returns the source of a view; the negative is a disturbed anchor or another clip."""
        view = super().source(role, clip)
        if role != views.NEGATIVE or self.temporal == "shift":
            return view
        seed = self.seed(clip, 2, shared=False)
        if self.temporal == "flow":
            return augment.flow_warp(view, clip["flow"][0], seed)
        return augment.break_frames(view, seed)

    def changed(self, role, view, clip):
        """Applies SLD and mixup to one view."""
        if views.ROLES[role] != self.disturbed:
            return view
        if SPATIAL[self.spatial]:
            view = getattr(augment, SPATIAL[self.spatial])(view, self.seed(clip, 3))
        return mixed(self, view, clip) if self.mixup else view


@dataclasses.dataclass(frozen=True)
class DSM(Disturbed, MoCo):
    """The contrastive form: MoCo's loss with a negative in addition to the queue.

    Source: the authors' code with --pt_softmax. For Something-Something, it takes a clip of another
    video as the negative: negative=inter.

    >>> DSM(temporal="flow").inputs
    ('rgb', 'flow')
    """

    negative: str = views.negative("intra")

    name = "dsm"
    passes = views.Views.passes


@dataclasses.dataclass(frozen=True)
class DSMTriplet(Disturbed):
    """The triplet form: one network, no queue.

        intra = max(0, D(q, k) - D(q, n) + margin)
        inter = max(0, D(q, k) - D(q, n of another video) + margin)

    >>> sorted(DSMTriplet(inter_weight=0).losses())
    ['intra']
    """

    negative: str = option("intra", "Source of the negative.", choices=("intra",), advanced=True)
    margin: float = option(0.5, "Margin of both terms.", least=0)
    intra_weight: float = option(1.0, "Weight of the negative from the same video.", least=0)
    inter_weight: float = option(
        1.0, "Weight of the negative from another video in the batch.", least=0
    )
    order: str = option(
        "shift",
        "Choice of the other video: shift takes the next example's; reverse reverses the batch (as "
        "released; the middle example of an odd batch gets its own).",
        choices=ORDERS,
        advanced=True,
    )

    name = "dsm_triplet"
    passes = (views.POSITIVE, views.NEGATIVE, views.ANCHOR)  # the authors' code

    def __post_init__(self):
        """Checks that at least one term has a weight."""
        super().__post_init__()
        if not self.intra_weight + self.inter_weight > 0:
            refuse("inter_weight", "above 0 with intra_weight=0", self.inter_weight)

    def check(self, batch=None):
        """Rejects a batch of one, which has no other video."""
        super().check(batch)
        if self.inter_weight and batch == 1:
            refuse("batch", "2 or more with inter_weight", batch)

    def encoders(self, model):
        """Returns the network, applied to each view separately."""
        return EachView(model, self.passes)

    def losses(self):
        """Returns the terms with nonzero weight."""
        terms = {
            "intra": (self._intra, self.intra_weight),
            "inter": (self._inter, self.inter_weight),
        }
        return {name: term for name, term in terms.items() if term[1]}

    def _intra(self, y, outputs):
        del y
        return losses.triplet(*tf.unstack(outputs["embedding"], axis=1), self.margin)

    def _inter(self, y, outputs):
        del y
        query, key, negative = tf.unstack(outputs["embedding"], axis=1)
        other = replicas.of_another(negative, self.order)
        return losses.triplet(query, key, other, self.margin)

    def metrics(self):
        """Returns cosines, alignment, uniformity, and how often the positive is closer."""
        return {"positive_closer": _closer, **geometry(True)}


def _closer(y, outputs):
    """Whether the positive is closer than the negative from the same video; chance is 1/2."""
    del y
    query, key, negative = tf.unstack(outputs["embedding"], axis=1)
    closer = losses.cosine(query, key) > losses.cosine(query, negative)
    return tf.cast(closer, tf.float32)
