"""Supervised classification of clips: fine-tuning takes the same path as a pretext task."""

import dataclasses

import keras
import tensorflow as tf

from mas import heads
from mas.tasks.task import Task


@dataclasses.dataclass
class Classify(Task):
    """Cross-entropy on new fully connected layers; the whole network is trained (section 4.1).

    Attributes:
        classes: number of classes.
        frames: length of a clip.
        dropout: rate after fc6 and fc7.
        width: factor on the units of fc6 and fc7.
        initializer: of fc6 and fc7, one of `backbones.initial.NAMES`.
    """

    classes: int
    frames: int = 16
    dropout: float = 0.5
    width: float = 1.0
    initializer: str = "published"

    name = "classify"

    def example(self, clip):
        """(rgb, {"logits": label})."""
        return clip["rgb"], {"logits": tf.cast(clip["label"], tf.int32)}

    def model(self, backbone):
        """fc6, fc7 and one logit for each class."""
        features = heads.flatten(backbone.output)
        logits = heads.fully_connected(
            features,
            self.classes,
            name="logits",
            width=self.width,
            dropout=self.dropout,
            initializer=self.initializer,
        )
        return keras.Model(backbone.input, {"logits": logits}, name="classifier")

    def losses(self):
        """Cross-entropy."""
        return {"logits": (_cross_entropy, 1.0)}

    def metrics(self):
        """Share of clips whose largest logit is the label's."""
        return {"accuracy": _accuracy}


def _cross_entropy(target, logits):
    return keras.losses.sparse_categorical_crossentropy(target, logits, from_logits=True)


def _accuracy(y, outputs):
    return keras.metrics.sparse_categorical_accuracy(y["logits"], outputs["logits"])
