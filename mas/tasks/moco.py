"""Momentum contrast (MoCo, CVPR 2020) on clips: the baseline and the basis of VTDL and DSM.

    q = f(BA(clip a))                                    anchor, by the query encoder f
    k = g(BA(clip a))                                    positive, by the key encoder g: f's average
    n = f(BA(clip b))                                    the query's own negative, if any
    L = -log softmax([q.k, q.m_1, ..., q.m_K, q.n] / temperature)_0

where m are the last K keys, in a queue. `mas/tasks/momentum.py` has the encoders and the queue,
`mas/losses.py` the parts of the loss.
"""

from __future__ import annotations

import dataclasses

from mas import lazy, losses
from mas.checks import option, refuse
from mas.tasks import views
from mas.tasks.momentum import KEY_NORMS, MomentumEncoder

tf = lazy.module("tensorflow")


@dataclasses.dataclass(frozen=True)
class MoCo(views.Views):
    """Distinguishes the other view of a clip from the keys in the queue.

    Source: the baseline in the authors' code of DSM. It also takes a clip of another video as a
    negative (negative=inter), and runs the key encoder in test mode with the initial batch norm
    statistics (key_norm=initial).

    >>> MoCo(queue=5000).roles
    ('anchor', 'positive')
    """

    negative: str = views.negative("none")
    loss: str = option(
        "softmax",
        "Loss: softmax, or nce for noise-contrastive estimation, which is in VTDL's code but not "
        "in its scripts.",
        choices=("softmax", "nce"),
        advanced=True,
    )
    temperature: float = option(0.07, "Temperature, by which cosines are divided.", above=0)
    queue: int = option(
        4096,
        "Queue size in keys. The queue holds keys of earlier batches, which are the negatives. Use "
        "at least the batch size and at most the number of videos; in a longer queue, a video's "
        "own older keys are among its negatives. 0 takes the other keys of the batch instead.",
        least=0,
    )
    key_momentum: float = option(
        0.999,
        "Momentum of the key encoder: the fraction of its weights it keeps at each step.",
        least=0,
        below=1,
        advanced=True,
    )
    key_norm: str = option(
        "batch",
        "Statistics in the key encoder's batch norms: batch takes the batch's; initial is mean 0 "
        "and variance 1 throughout, as in the MoCo baseline of DSM's code.",
        choices=KEY_NORMS,
        advanced=True,
    )

    name = "moco"
    passes = (views.NEGATIVE, views.ANCHOR, views.POSITIVE)  # the authors' code of DSM

    def check(self, batch=None):
        """Rejects a batch without negatives or larger than the queue, and incompatible settings."""
        super().check(batch)
        if self.key_norm == "initial" and not self.key_momentum:
            refuse("key_momentum", "above 0 with key_norm=initial", self.key_momentum)
        if batch and 0 < self.queue < batch:
            refuse("queue", f"0, or at least the batch of {batch}", self.queue)
        if batch == 1 and (self.negative == "inter" or not self.queue):
            refuse("batch", "2 or more with negative=inter or queue=0", batch)

    def doubts(self, videos, examples):
        """Also warns if the queue is so long that a video meets its own keys."""
        found = super().doubts(videos, examples)
        if self.queue > videos:
            found.append(
                f"queue={self.queue} is more than the {videos} videos: a video's own older keys "
                "will be among its negatives."
            )
        return found

    def testing(self):
        """Returns this task without queue and key encoder, which exist only during training.

        The negatives of an example are its own negative and the other positives of the test batch.
        The augmentations remain, because without them the positive would equal the anchor.
        """
        return self.having(queue=0, key_momentum=0.0, key_norm="batch")

    def encoders(self, model):
        """Returns the query encoder, key encoder and queue."""
        return MomentumEncoder(
            model,
            self.queue,
            self.key_momentum,
            self.temperature,
            self.negative == "inter",
            self.key_norm,
            self.passes,
        )

    def losses(self):
        """Returns InfoNCE over the logits, or noise-contrastive estimation."""
        return {"contrast": (self._contrast, 1.0)}

    def _contrast(self, y, outputs):
        del y
        if self.loss == "softmax":
            return losses.softmax(outputs["logits"])
        return losses.nce(outputs["logits"], outputs["log_mean"])

    def metrics(self):
        """Returns probability and rank of the positive, cosines, alignment and uniformity."""
        return {
            "positive_probability": _probability,
            "positive_first": _first,
            **geometry(self.negative != "none"),
        }


def geometry(negative):
    """Returns metrics of the embedding space: {name: function of (y, outputs)}.

    Args:
        negative: whether there is a third view.
    """
    found = {
        "positive_cosine": _of_views(losses.cosine, 0, 1),
        "negative_cosine": _of_views(losses.cosine, 0, 2),
        "alignment": _of_views(losses.alignment, 0, 1),
        "uniformity": _of_views(losses.uniformity, 0),
    }
    return {name: value for name, value in found.items() if negative or name[:3] != "neg"}


def _of_views(function, *views):
    def metric(y, outputs):
        del y
        return function(*(outputs["embedding"][:, view] for view in views))

    return metric


def _probability(y, outputs):
    """Returns column 0 of the softmax; chance is 1 over the number of columns."""
    del y
    return tf.nn.softmax(outputs["logits"])[:, 0]


def _first(y, outputs):
    """Whether the positive has the largest logit."""
    del y
    return tf.cast(tf.argmax(outputs["logits"], 1) == 0, tf.float32)
