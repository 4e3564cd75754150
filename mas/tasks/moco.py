"""Momentum contrast (MoCo, CVPR 2020) on clips: the baseline of VTDL and DSM, and their mechanism.

    q = f(BA(clip a))                                    anchor, by the query encoder f
    k = g(BA(clip a))                                    positive, by the key encoder g: f's average
    n = f(BA(clip b))                                    negative of the query's own, if any
    L = -log softmax([q.k, q.m_1, ..., q.m_K, q.n] / temperature)_0

with the last K keys m in a queue. `mas/tasks/momentum.py` has encoders and queue,
`mas/tasks/contrast.py` the pieces of the loss.
"""

import dataclasses

import tensorflow as tf

from mas.checks import check_choice
from mas.tasks import contrast
from mas.tasks.momentum import KEY_NORMS, Momentum
from mas.tasks.views import Views

LOSSES = ("softmax", "nce")


@dataclasses.dataclass
class MoCo(Views):
    """Tells the other view of a clip from the queue.

    Source: the baseline in the authors' code of DSM. There a clip of another video stands beside
    the queue (negative=inter), and the key encoder is in test mode with the batch norms' initial
    statistics (key_norm=initial).

    Attributes:
        negative: none, intra (another clip of the same video) or inter (that of the next example
            of the batch: of another video with clips=anywhere).
        loss: softmax, or nce (noise-contrastive estimation; VTDL's code has it, no script uses it).
        temperature: that cosines are divided by.
        queue: keys of earlier batches, all negatives; at least a batch, and no more than there are
            videos, or a video meets its own older keys. 0: the other keys of the batch instead.
        key_momentum: share of its own weights that the key encoder keeps in a step.
        key_norm: batch (the key encoder's batch norms see the batch) or initial (mean 0 and
            variance 1 throughout, as the authors' code of DSM in its MoCo baseline).
    """

    negative: str = "none"
    loss: str = "softmax"
    temperature: float = 0.07
    queue: int = 4096
    key_momentum: float = 0.999
    key_norm: str = "batch"

    name = "moco"

    def __post_init__(self):
        """Checks the choice.

        Raises:
            ValueError: a choice that is none, or a number out of its range.
        """
        super().__post_init__()
        check_choice("loss", self.loss, LOSSES)
        check_choice("key_norm", self.key_norm, KEY_NORMS)
        if not self.temperature > 0:
            raise ValueError(
                f"temperature must be above 0. Received: temperature={self.temperature}."
            )
        if not 0 <= self.key_momentum < 1:
            raise ValueError(
                f"key_momentum must be in [0, 1). Received: key_momentum={self.key_momentum}."
            )
        if self.queue < 0:
            raise ValueError(f"queue must be 0 or more. Received: queue={self.queue}.")

    def check(self, size, batch=None):
        """Refuses a batch without negatives or too large for the queue, and a clash of options."""
        del size
        if self.key_norm == "initial" and not self.key_momentum:
            raise ValueError("key_momentum must be above 0 with key_norm=initial. Received: 0.")
        if batch and 0 < self.queue < batch:
            raise ValueError(
                f"queue must be 0, or at least the batch of {batch}. Received: queue={self.queue}."
            )
        if batch == 1 and (self.negative == "inter" or not self.queue):
            raise ValueError(
                "batch must be 2 or more with negative=inter or queue=0. Received: batch=1."
            )

    def testing(self):
        """Without queue and key encoder, which end with the training.

        Beside its own negative, an example has the other positives of the test's batch against it.
        The augmentations stay: without them, the positive would be the anchor.
        """
        return dataclasses.replace(self, queue=0, key_momentum=0.0)

    def encoders(self, model):
        """Query encoder, key encoder and queue."""
        return Momentum(
            model,
            self.queue,
            self.key_momentum,
            self.temperature,
            self.negative == "inter",
            self.key_norm,
        )

    def losses(self):
        """InfoNCE over the logits, or noise-contrastive estimation."""
        return {"contrast": (self._contrast, 1.0)}

    def _contrast(self, y, outputs):
        del y
        if self.loss == "softmax":
            return contrast.softmax_loss(outputs["logits"])
        return contrast.nce_loss(outputs["logits"], outputs["log_mean"])

    def metrics(self):
        """Probability and rank of the positive, cosines, alignment and uniformity."""
        return {
            "positive_probability": _probability,
            "positive_first": _first,
            **geometry(self.negative != "none"),
        }


def geometry(negative):
    """Metrics of where embeddings lie: {name: function of (y, outputs)}.

    Args:
        negative: whether there is a third view.
    """
    found = {
        "positive_cosine": _of_views(contrast.cosine, 0, 1),
        "negative_cosine": _of_views(contrast.cosine, 0, 2),
        "alignment": _of_views(contrast.alignment, 0, 1),
        "uniformity": _of_views(contrast.uniformity, 0),
    }
    return {name: value for name, value in found.items() if negative or name[:3] != "neg"}


def _of_views(function, *views):
    def metric(y, outputs):
        del y
        return function(*(outputs["embedding"][:, view] for view in views))

    return metric


def _probability(y, outputs):
    """Column 0 of the softmax; chance is 1 over the columns."""
    del y
    return tf.nn.softmax(outputs["logits"])[:, 0]


def _first(y, outputs):
    """Whether the positive has the largest logit."""
    del y
    return tf.cast(tf.argmax(outputs["logits"], 1) == 0, tf.float32)
