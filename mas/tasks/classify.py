"""Supervised classification of clips: fine-tuning takes the same path as a pretext task."""

import dataclasses

import keras
import tensorflow as tf

from mas import augment, heads
from mas.checks import check_choice
from mas.tasks import views
from mas.tasks.task import Task

AUGMENTATIONS = ("crop", "basic")


@dataclasses.dataclass
class Classify(Task):
    """Cross-entropy on new fully connected layers; the whole network is trained (section 4.1).

    Attributes:
        classes: number of classes.
        frames: length of a clip.
        size: side of the crop, in pixels.
        dropout: rate after fc6 and fc7, after the mean, or before the convolution in time.
        modality: "rgb" or "flow": what the network sees.
        head: one of `heads.HEADS`.
        width: factor on the units of fc6 and fc7.
        initializer: of fc6 and fc7, one of `backbones.initial.NAMES`.
        jitter: whether each frame's colours are changed at random in training.
        augmentation: crop (at random), or basic: rotation, crop and colours of the whole clip in
            training, as VTDL and DSM ("BA", `views.basic`).
    """

    classes: int
    frames: int = 16
    size: int = 112
    dropout: float = 0.5
    modality: str = "rgb"
    head: str = "auto"
    width: float = 1.0
    initializer: str = "published"
    jitter: bool = False
    augmentation: str = "crop"

    name = "classify"

    def __post_init__(self):
        """Decodes what the network sees, and nothing else.

        Raises:
            ValueError: an unknown augmentation, colours of flow are to be changed, or any twice.
        """
        check_choice("augmentation", self.augmentation, AUGMENTATIONS)
        self.whole = self.augmentation == "basic"
        if self.jitter and self.modality != "rgb":
            raise ValueError(f"modality must be rgb with jitter. Received: {self.modality!r}.")
        if self.whole and (self.jitter or self.modality != "rgb"):
            raise ValueError(
                "augmentation must be crop with jitter or flow. Received: augmentation=basic, "
                f"jitter={self.jitter}, modality={self.modality}."
            )
        self.inputs = (self.modality,)
        self.wraps = self.modality == "rgb"  # no flow leads from the last frame to the first

    def testing(self):
        """On plain clips, which the pipeline crops."""
        return dataclasses.replace(self, jitter=False, augmentation="crop")

    def example(self, clip):
        """(rgb or flow, {"logits": label})."""
        x = clip[self.modality]
        if self.whole:
            x = views.basic(x, clip["seed"], self.size)
        if self.jitter:
            x = augment.colour_jitter(x, clip["seed"])
        return x, {"logits": tf.cast(clip["label"], tf.int32)}

    def model(self, backbone):
        """One logit for each class."""
        options = {"width": self.width, "dropout": self.dropout, "initializer": self.initializer}
        outputs = heads.attach(backbone, {"logits": self.classes}, self.head, **options)
        return keras.Model(backbone.input, outputs, name="classifier")

    def losses(self):
        """Cross-entropy."""
        return {"logits": (_cross_entropy, 1.0)}

    def metrics(self):
        """Share of clips whose largest logit is the label's."""
        return {"accuracy": _accuracy}


def _cross_entropy(y, outputs):
    return keras.losses.sparse_categorical_crossentropy(
        y["logits"], outputs["logits"], from_logits=True
    )


def _accuracy(y, outputs):
    return keras.metrics.sparse_categorical_accuracy(y["logits"], outputs["logits"])
