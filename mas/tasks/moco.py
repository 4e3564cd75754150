"""Momentum contrast (MoCo, CVPR 2020) on clips: the baseline of VTDL and DSM, and their mechanism.

    q = f(BA(clip a))                                    anchor, by the query encoder f
    k = g(BA(clip a))                                    positive, by the key encoder g: f's average
    n = f(BA(clip b))                                    negative of the query's own, if any
    L = -log softmax([q.k, q.m_1, ..., q.m_K, q.n] / temperature)_0

with the last K keys m in a queue. `mas/tasks/momentum.py` has encoders and queue,
`mas/losses.py` the pieces of the loss.
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
    """Tells the other view of a clip from the queue.

    Source: the baseline in the authors' code of DSM. There a clip of another video stands beside
    the queue (negative=inter), and the key encoder is in test mode with the batch norms' initial
    statistics (key_norm=initial).

    >>> MoCo(queue=5000).roles
    ('anchor', 'positive')
    """

    negative: str = views.negative("none")
    loss: str = option(
        "softmax",
        "softmax, or nce (noise-contrastive estimation, in VTDL's code but in none of its "
        "scripts).",
        choices=("softmax", "nce"),
        advanced=True,
    )
    temperature: float = option(0.07, "What cosines are divided by.", above=0)
    queue: int = option(
        4096,
        "Keys of earlier batches, all negatives: at least a batch, and no more than there are "
        "videos, or a video meets its own older keys. 0: the other keys of the batch instead.",
        least=0,
    )
    key_momentum: float = option(
        0.999,
        "Share of its weights that the key encoder keeps in a step.",
        least=0,
        below=1,
        advanced=True,
    )
    key_norm: str = option(
        "batch",
        "What the key encoder's batch norms see: the batch, or initial: mean 0 and variance 1 "
        "throughout, as the MoCo baseline in DSM's code.",
        choices=KEY_NORMS,
        advanced=True,
    )

    name = "moco"
    passes = (views.NEGATIVE, views.ANCHOR, views.POSITIVE)  # the authors' code of DSM

    def check(self, batch=None):
        """Refuses a batch without negatives or too large for the queue, and a clash of options."""
        super().check(batch)
        if self.key_norm == "initial" and not self.key_momentum:
            refuse("key_momentum", "above 0 with key_norm=initial", self.key_momentum)
        if batch and 0 < self.queue < batch:
            refuse("queue", f"0, or at least the batch of {batch}", self.queue)
        if batch == 1 and (self.negative == "inter" or not self.queue):
            refuse("batch", "2 or more with negative=inter or queue=0", batch)

    def doubts(self, videos, examples):
        """Also a queue in which a video meets its own keys."""
        found = super().doubts(videos, examples)
        if self.queue > videos:
            found.append(
                f"queue={self.queue} is more than the {videos} videos: a video's own older keys "
                "are among its negatives."
            )
        return found

    def testing(self):
        """Without queue and key encoder, which end with the training.

        Beside its own negative, an example has the other positives of the test's batch against it.
        The augmentations stay: without them, the positive would be the anchor.
        """
        return self.having(queue=0, key_momentum=0.0, key_norm="batch")

    def encoders(self, model):
        """Query encoder, key encoder and queue."""
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
        """InfoNCE over the logits, or noise-contrastive estimation."""
        return {"contrast": (self._contrast, 1.0)}

    def _contrast(self, y, outputs):
        del y
        if self.loss == "softmax":
            return losses.softmax(outputs["logits"])
        return losses.nce(outputs["logits"], outputs["log_mean"])

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
    """Column 0 of the softmax; chance is 1 over the columns."""
    del y
    return tf.nn.softmax(outputs["logits"])[:, 0]


def _first(y, outputs):
    """Whether the positive has the largest logit."""
    del y
    return tf.cast(tf.argmax(outputs["logits"], 1) == 0, tf.float32)
