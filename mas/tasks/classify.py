"""Supervised classification of clips, implemented as a task like the pretext tasks."""

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

    classes: int = option(0, "Number of classes; 0 takes it from the lists.", least=0)
    dropout: float = option(
        0.5,
        "Dropout rate after fc6 and fc7, after pooling, or before the temporal convolution.",
        least=0,
        below=1,
    )
    stride: int = option(1, "Frame step within a clip.", least=1)
    jitter: bool = option(False, "Apply random colour jitter to each training frame.")
    augmentation: str = option(
        "crop",
        "Augmentation of training clips: crop; or basic, which rotates, crops and changes colours "
        "of the whole clip, as in VTDL and DSM.",
        choices=AUGMENTATIONS,
    )
    unused: int = option(
        0,
        "Number of frames to ignore at the end of each video, in training and testing; 1 in DSM's "
        "code.",
        least=0,
        advanced=True,
    )

    name = "classify"
    derived = ("classes",)
    modalities = ("rgb", "flow")

    def __post_init__(self):
        """Checks that colours are not changed twice."""
        super().__post_init__()
        if self.whole and self.jitter:
            refuse("augmentation", "crop with jitter", self.augmentation)

    @property
    def inputs(self):
        """What the network takes."""
        return (self.network.modality,)

    @property
    def wraps(self):
        """Whether short videos are looped; there is no flow from the last frame to the first."""
        return self.network.modality == "rgb"

    @property
    def inside(self):
        """Frames of a video from the first to the last frame of a clip."""
        return (self.frames - 1) * self.stride + 1

    @property
    def span(self):
        """Frames of a video needed for a clip inside it."""
        return self.inside + self.unused

    @property
    def step(self):
        """Frames between the starts of consecutive clips, which do not overlap."""
        return self.frames * self.stride

    @property
    def least(self):
        """Minimum number of frames of a video."""
        return 1 + self.unused if self.wraps else self.span

    def sample(self, length, start, rng):
        """Returns frames (T,), without the ignored ones; moves a start that is too late forward."""
        length -= self.unused
        last = max(0, length - self.inside)
        if start is None:
            start = rng.integers(0, last + 1)
        elif self.unused:
            start = min(start, last)
        return walks.indices(self.frames, self.stride, start, length, "wrap"), NO_TARGET

    @property
    def whole(self):
        """Whether the task crops clips itself, which `basic` does."""
        return self.augmentation == "basic"

    def check(self, batch=None):
        """Rejects settings that do not work with flow: colours, a stride, and ignored frames."""
        super().check(batch)
        if self.network.modality != "rgb" and self.stride > 1:
            refuse("stride", "1 with modality=flow", self.stride)
        if self.network.modality != "rgb" and self.unused:
            refuse("unused", "0 with modality=flow", self.unused)
        if self.network.modality != "rgb" and (self.jitter or self.whole):
            refuse("modality", "rgb with jitter or augmentation=basic", self.network.modality)

    def testing(self):
        """Returns this task without augmentation; the pipeline crops."""
        return self.having(jitter=False, augmentation="crop")

    def example(self, clip):
        """Returns (rgb or flow, {"logits": label})."""
        x = clip[self.network.modality]
        if self.whole:
            x = augment.basic(x, clip["seed"], self.clip.size)
        if self.jitter:
            x = augment.colour_jitter(x, clip["seed"])
        return x, {"logits": tf.cast(clip["label"], tf.int32)}

    def model(self, backbone):
        """Builds a network with one logit per class."""
        outputs = self.heads(backbone, {"logits": self.classes}, self.dropout)
        return keras.Model(backbone.input, outputs, name="classifier")

    def losses(self):
        """Returns the cross-entropy."""
        return {"logits": (lambda y, out: losses.cross_entropy(y["logits"], out["logits"]), 1.0)}

    def metrics(self):
        """Returns the accuracy of clips."""
        return {"accuracy": lambda y, out: losses.accuracy(y["logits"], out["logits"])}
