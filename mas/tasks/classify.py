"""Supervised classification of clips: fine-tuning takes the same path as a pretext task."""

from __future__ import annotations

import dataclasses

from mas import lazy, losses
from mas.checks import option, refuse
from mas.tasks import walks
from mas.tasks.task import NO_TARGET, Task

augment = lazy.module("mas.augment")
keras = lazy.module("keras")
tf = lazy.module("tensorflow")

AUGMENTATIONS = ("crop", "basic")


@dataclasses.dataclass(frozen=True)
class Classify(Task):
    """Cross-entropy on new fully connected layers; the whole network is trained (section 4.1).

    >>> Classify(101, dropout=0.5).classes
    101
    """

    classes: int = option(0, "Number of classes; 0: as many as the lists have.", least=0)
    dropout: float = option(
        0.5,
        "Rate after fc6 and fc7, after the mean, or before the convolution in time.",
        least=0,
        below=1,
    )
    stride: int = option(1, "Frame step within a clip.", least=1)
    jitter: bool = option(False, "Change the colours of each training frame at random.")
    augmentation: str = option(
        "crop",
        "Of training clips: crop, or basic: rotation, crop and colours of the whole clip, as VTDL "
        "and DSM.",
        choices=AUGMENTATIONS,
    )
    unused: int = option(
        0,
        "Last frames of a video that are not used, in training and test; 1 in DSM's code.",
        least=0,
        advanced=True,
    )

    name = "classify"
    derived = ("classes",)
    modalities = ("rgb", "flow")

    def __post_init__(self):
        """Refuses to change colours twice."""
        super().__post_init__()
        if self.whole and self.jitter:
            refuse("augmentation", "crop with jitter", self.augmentation)

    @property
    def inputs(self):
        """What the network sees, and nothing else."""
        return (self.network.modality,)

    @property
    def wraps(self):
        """No flow leads from the last frame to the first."""
        return self.network.modality == "rgb"

    @property
    def inside(self):
        """Frames of a video from a clip's first to its last."""
        return (self.frames - 1) * self.stride + 1

    @property
    def span(self):
        """Frames of a video that a clip inside it needs."""
        return self.inside + self.unused

    @property
    def step(self):
        """Consecutive clips lie end to end."""
        return self.frames * self.stride

    @property
    def least(self):
        """Frames that a video must have."""
        return 1 + self.unused if self.wraps else self.span

    def sample(self, length, start, rng):
        """Frames (T,), none of the unused; a start that would reach them moves forward."""
        length -= self.unused
        last = max(0, length - self.inside)
        if start is None:
            start = rng.integers(0, last + 1)
        elif self.unused:
            start = min(start, last)
        return walks.indices(self.frames, self.stride, start, length, "wrap"), NO_TARGET

    @property
    def whole(self):
        """`basic` crops for itself."""
        return self.augmentation == "basic"

    def check(self, batch=None):
        """Refuses what flow has not: colours to change, frames to skip, another start."""
        super().check(batch)
        if self.network.modality != "rgb" and self.stride > 1:
            refuse("stride", "1 with modality=flow", self.stride)
        if self.network.modality != "rgb" and self.unused:
            refuse("unused", "0 with modality=flow", self.unused)
        if self.network.modality != "rgb" and (self.jitter or self.whole):
            refuse("modality", "rgb with jitter or augmentation=basic", self.network.modality)

    def testing(self):
        """On plain clips, which the pipeline crops."""
        return self.having(jitter=False, augmentation="crop")

    def example(self, clip):
        """(rgb or flow, {"logits": label})."""
        x = clip[self.network.modality]
        if self.whole:
            x = augment.basic(x, clip["seed"], self.clip.size)
        if self.jitter:
            x = augment.colour_jitter(x, clip["seed"])
        return x, {"logits": tf.cast(clip["label"], tf.int32)}

    def model(self, backbone):
        """One logit for each class."""
        outputs = self.heads(backbone, {"logits": self.classes}, self.dropout)
        return keras.Model(backbone.input, outputs, name="classifier")

    def losses(self):
        """Cross-entropy."""
        return {"logits": (lambda y, out: losses.cross_entropy(y["logits"], out["logits"]), 1.0)}

    def metrics(self):
        """Share of clips whose largest logit is the label's."""
        return {"accuracy": lambda y, out: losses.accuracy(y["logits"], out["logits"])}
