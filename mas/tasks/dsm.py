"""Decoupling the scene and the motion (DSM, AAAI 2021).

Two disturbances of a clip: one in space (SLD) damages the scene and keeps the motion, one in time
(TLD) keeps the scene and breaks the motion. The first must not change the embedding, the second
must:

    q = f(SLD(BA(clip a)))      k = g(BA(clip a))      n = f(BA(TLD(clip a)))

Released are, of those that the paper and its figures show, the push warp on the anchor and, as TLD,
another clip of the same video. Both are the defaults; `recipes/dsm_paper_ucf101_i3d.flags` has the
figures' thin-plate warp and mixup.
"""

import dataclasses

import tensorflow as tf

from mas import augment
from mas.checks import check_choice
from mas.tasks import contrast, encoders, views
from mas.tasks.moco import MoCo, geometry
from mas.tasks.vtdl import check_mixup, mixed

SPATIAL = {
    "none": None,
    "push": augment.push_warp,
    "tps": augment.thin_plate_warp,
    "affine": augment.affine,
}
TEMPORAL = ("shift", "flow", "frames")
ORDERS = ("shift", "reverse")


@dataclasses.dataclass
class Disturbed(views.Views):
    """The two disturbances, whatever the loss.

    Attributes:
        spatial: push (small bumps, as released), tps (a smooth warp of the whole frame, as in the
            figures), affine or none: SLD, the same for all frames.
        disturbed: anchor (as released) or positive (as in the figures): the view that SLD and mixup
            change.
        temporal: shift (another clip of the video, as released), flow (the clip's own frames,
            warped along its optical flow) or frames (its own frames, some twice and some swapped):
            TLD, with negative=intra. The last frame has no flow: with flow, unused is 1 at least.
        mixup: the largest weight of one frame that is blended into all; 0: none (as released).
    """

    spatial: str = "push"
    disturbed: str = "anchor"
    temporal: str = "shift"
    mixup: float = 0.0

    def __post_init__(self):
        """Checks the choice.

        Raises:
            ValueError: a choice that is none, or a number out of its range.
        """
        check_choice("spatial", self.spatial, SPATIAL)
        check_choice("disturbed", self.disturbed, views.ROLES[:2])
        check_choice("temporal", self.temporal, TEMPORAL)
        check_mixup(self.mixup)
        if self.temporal != "shift" and self.negative != "intra":
            raise ValueError(
                "temporal must be shift unless negative=intra. Received: "
                f"temporal={self.temporal}, negative={self.negative}."
            )
        super().__post_init__()
        if self.temporal == "flow":
            self.inputs = ("rgb", "flow")
            self.unused = max(1, self.unused)

    def _decoded(self):
        return super()._decoded() if self.temporal == "shift" else 1

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
            view = SPATIAL[self.spatial](view, self.seed(clip, 3))
        return mixed(self, view, clip) if self.mixup else view


@dataclasses.dataclass
class DSM(Disturbed, MoCo):
    """The contrastive form: MoCo's loss with the negative beside the queue.

    Source: the authors' code with --pt_softmax. On Something-Something the negative is a clip of
    another video there: negative=inter.
    """

    negative: str = "intra"

    name = "dsm"


@dataclasses.dataclass
class DSMTriplet(Disturbed):
    """The triplet form: one network, no queue.

        intra = max(0, D(q, k) - D(q, n) + margin)
        inter = max(0, D(q, k) - D(q, n of another video) + margin)

    Attributes:
        margin: of both terms.
        intra_weight: of the negative of the same video.
        inter_weight: of another video's, that of another example of the batch.
        order: shift (the next example's) or reverse (the batch backwards, as released, where the
            middle one of an odd batch gets its own): which other example.
    """

    margin: float = 0.5
    intra_weight: float = 1.0
    inter_weight: float = 1.0
    order: str = "shift"

    name = "dsm_triplet"

    def __post_init__(self):
        """Checks the choice.

        Raises:
            ValueError: a choice that is none, or a number out of its range.
        """
        super().__post_init__()
        check_choice("order", self.order, ORDERS)
        check_choice("negative", self.negative, ("intra",))
        for name in ("margin", "intra_weight", "inter_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(
                    f"{name} must be 0 or more. Received: {name}={getattr(self, name)}."
                )
        if not self.intra_weight + self.inter_weight > 0:
            raise ValueError("intra_weight or inter_weight must be above 0. Received: both 0.")

    def check(self, size, batch=None):
        """Refuses a batch without another example's negative."""
        del size
        if self.inter_weight and batch == 1:
            raise ValueError("batch must be 2 or more with inter_weight. Received: batch=1.")

    def encoders(self, model):
        """The one network, on each view for itself."""
        return encoders.EachView(model)

    def losses(self):
        """The two terms, those of weight 0 left out."""
        terms = {
            "intra": (self._intra, self.intra_weight),
            "inter": (self._inter, self.inter_weight),
        }
        return {name: term for name, term in terms.items() if term[1]}

    def _intra(self, y, outputs):
        del y
        return contrast.triplet_loss(*tf.unstack(outputs["embedding"], axis=1), self.margin)

    def _inter(self, y, outputs):
        del y
        query, key, negative = tf.unstack(outputs["embedding"], axis=1)
        other = contrast.of_another(negative, self.order)
        return contrast.triplet_loss(query, key, other, self.margin)

    def metrics(self):
        """Cosines, alignment, uniformity, and how often the positive is closer."""
        return {"positive_closer": _closer, **geometry(True)}


def _closer(y, outputs):
    """Whether the positive is closer than the negative of the same video; chance is 1/2."""
    del y
    query, key, negative = tf.unstack(outputs["embedding"], axis=1)
    closer = contrast.cosine(query, key) > contrast.cosine(query, negative)
    return tf.cast(closer, tf.float32)
