"""Pace prediction with a contrastive loss on two clips of each video (ECCV 2020, section 3.3)."""

from __future__ import annotations

import dataclasses

import numpy as np

from mas import lazy, losses
from mas.checks import option
from mas.tasks.pace import Pace

heads = lazy.module("mas.heads")
tf = lazy.module("tensorflow")

CONTRASTS = ("same_context", "same_pace")


@dataclasses.dataclass(frozen=True)
class PaceContrast(Pace):
    """Pace prediction with a contrastive loss on two clips of each video (section 3.3).

    loss = class_weight * cross-entropy + contrast_weight * contrast. The paces of the two clips are
    drawn independently. A given start applies to the first clip. Both clips have the same crop and
    flip.

    Source: the authors released no code for this. The paper's formula has plain dot products, which
    overflow its exponentials, so by default embeddings are normalised and divided by a temperature;
    normalise=false and temperature=1 follow the paper. The weights 1 and 0.1 come from a reader's
    notes.

    >>> PaceContrast(contrast="same_pace").views
    2
    """

    contrast: str = option(
        "same_context",
        "Positives of a clip: clips of the same video (same_context) or pace (same_pace).",
        choices=CONTRASTS,
    )
    class_weight: float = option(1.0, "Weight of the cross-entropy.", least=0)
    contrast_weight: float = option(0.1, "Weight of the contrastive loss.", least=0)
    temperature: float = option(0.1, "Temperature, by which similarities are divided.", above=0)
    normalise: bool = option(True, "L2-normalise embeddings.", advanced=True)
    projection: int = option(
        0,
        "Output size of a two-layer projection head; 0 takes the pooled features themselves.",
        least=0,
    )

    name = "pace_contrast"
    views = 2

    def sample(self, length, start, rng):
        """Returns frames (2, T) and labels (2,)."""
        pairs = [super(PaceContrast, self).sample(length, first, rng) for first in (start, None)]
        clips, labels = zip(*pairs, strict=True)
        return np.stack(clips), np.stack(labels)

    def example(self, clip):
        """Returns (two clips of rgb or flow, {"pace": labels (2,), "embedding": groups (2,)})."""
        labels = self._labels(clip)
        groups = tf.cast(labels, tf.int64)
        if self.contrast == "same_context":
            video = tf.strings.to_hash_bucket_fast(clip["video"], 2**62)
            groups = tf.fill((self.views,), video)
        return self._seen(clip), {"pace": labels, "embedding": groups}

    def outputs(self, backbone):
        """Returns the logits and the embedding to contrast."""
        embedding = heads.projected(backbone.output, self.projection)
        return {**super().outputs(backbone), "embedding": embedding}

    def losses(self):
        """Returns the cross-entropy and the contrastive loss."""
        return {
            "pace": (super().losses()["pace"][0], self.class_weight),
            "embedding": (self._contrast, self.contrast_weight),
        }

    def _contrast(self, y, outputs):
        groups, embeddings = y["embedding"], outputs["embedding"]
        return losses.contrast(embeddings, groups, self.temperature, self.normalise)
