"""Decoupling the scene and the motion (DSM, AAAI 2021).

Two disturbances of a clip: one in space (SLD) damages the scene and keeps the motion, one in time
(TLD) keeps the scene and breaks the motion. The first must not change the embedding, the second
must:

    q = f(SLD(BA(clip a)))      k = g(BA(clip a))      n = f(BA(TLD(clip a)))

The paper and its figures show several. Released are the push warp on the anchor and, as TLD,
another clip of the same video. Both are the defaults; `recipes/dsm_paper_ucf101_i3d.flags` has the
figures' thin-plate warp and mixup.
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

# What disturbs the scene: name -> function of `mas.augment`.
SPATIAL = {"none": None, "push": "push_warp", "tps": "thin_plate_warp", "affine": "affine"}
TEMPORAL = ("shift", "flow", "frames")
ORDERS = ("shift", "reverse")


@dataclasses.dataclass(frozen=True)
class Disturbed(views.Views):
    """The two disturbances, whatever the loss."""

    spatial: str = option(
        "push",
        "Disturbance of the scene (SLD): push (small bumps, as released), tps (a smooth warp of "
        "the whole frame, as in the figures), affine or none; the same for all frames.",
        choices=tuple(SPATIAL),
    )
    disturbed: str = option(
        "anchor",
        "View that SLD and mixup change: anchor, as released, or positive, as in the figures.",
        choices=views.ROLES[:2],
        advanced=True,
    )
    temporal: str = option(
        "shift",
        "Disturbance of the motion (TLD): shift (another clip of the video, as released), and with "
        "negative=intra flow (the clip's own frames, warped along their optical flow) or frames "
        "(its own frames, some repeated and some swapped).",
        choices=TEMPORAL,
    )
    mixup: float = option(
        0.0,
        "Largest weight of one frame that is blended into all; 0: none (as released).",
        least=0,
        most=1,
    )

    def __post_init__(self):
        """Refuses a disturbance of motion without a negative of the video's own.

        The last frame has no flow: with temporal=flow, `unused` is 1 at least.
        """
        super().__post_init__()
        if self.temporal != "shift" and self.negative != "intra":
            refuse("temporal", f"shift with negative={self.negative}", self.temporal)
        if self.temporal == "flow":
            object.__setattr__(self, "unused", max(1, self.unused))

    @property
    def inputs(self):
        """Flow, too, where frames are warped along it."""
        return ("rgb", "flow") if self.temporal == "flow" else super().inputs

    def check(self, batch=None):
        """Refuses what changes frames and not their flow."""
        super().check(batch)
        if self.network.modality == "flow" and self.temporal != "shift":
            refuse("temporal", "shift with modality=flow", self.temporal)

    @property
    def views(self):
        """Clips that are decoded: a negative that breaks the anchor's motion has its frames."""
        return super().views if self.temporal == "shift" else 1

    def source(self, role, clip):
        """The negative breaks the anchor's motion, or is another clip."""
        view = super().source(role, clip)
        if role != views.NEGATIVE or self.temporal == "shift":
            return view
        seed = self.seed(clip, 2, shared=False)
        if self.temporal == "flow":
            return augment.flow_warp(view, clip["flow"][0], seed)
        return augment.break_frames(view, seed)

    def changed(self, role, view, clip):
        """SLD, and mixup, on one view."""
        if views.ROLES[role] != self.disturbed:
            return view
        if SPATIAL[self.spatial]:
            view = getattr(augment, SPATIAL[self.spatial])(view, self.seed(clip, 3))
        return mixed(self, view, clip) if self.mixup else view


@dataclasses.dataclass(frozen=True)
class DSM(Disturbed, MoCo):
    """The contrastive form: MoCo's loss with the negative beside the queue.

    Source: the authors' code with --pt_softmax. On Something-Something the negative is a clip of
    another video there: negative=inter.

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

    negative: str = option("intra", "A clip of the same video.", choices=("intra",), advanced=True)
    margin: float = option(0.5, "Margin of both terms.", least=0)
    intra_weight: float = option(1.0, "Weight of the negative of the same video.", least=0)
    inter_weight: float = option(
        1.0, "Weight of another video's negative: that of another example.", least=0
    )
    order: str = option(
        "shift",
        "Which other example: shift, the next; reverse, the batch backwards (as released, where "
        "the middle one of an odd batch gets its own).",
        choices=ORDERS,
        advanced=True,
    )

    name = "dsm_triplet"
    passes = (views.POSITIVE, views.NEGATIVE, views.ANCHOR)  # the authors' code

    def __post_init__(self):
        """Refuses a loss of nothing."""
        super().__post_init__()
        if not self.intra_weight + self.inter_weight > 0:
            refuse("inter_weight", "above 0 with intra_weight=0", self.inter_weight)

    def check(self, batch=None):
        """Refuses a batch without another example's negative."""
        super().check(batch)
        if self.inter_weight and batch == 1:
            refuse("batch", "2 or more with inter_weight", batch)

    def encoders(self, model):
        """The one network, on each view for itself."""
        return EachView(model, self.passes)

    def losses(self):
        """The two terms, those of weight 0 left out."""
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
        """Cosines, alignment, uniformity, and how often the positive is closer."""
        return {"positive_closer": _closer, **geometry(True)}


def _closer(y, outputs):
    """Whether the positive is closer than the negative of the same video; chance is 1/2."""
    del y
    query, key, negative = tf.unstack(outputs["embedding"], axis=1)
    closer = losses.cosine(query, key) > losses.cosine(query, negative)
    return tf.cast(closer, tf.float32)
