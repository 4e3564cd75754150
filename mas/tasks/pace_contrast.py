"""Pace prediction with contrast (ECCV 2020, section 3.3): two clips of each video."""

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
    drawn independently; a start that is given is the first one's. Both have the same crop and flip.

    Source: the authors released no code for it. The paper's formula has plain dot products; they
    overflow its exponentials, so the default scales embeddings to length 1 and has a temperature:
    normalise=false and temperature=1 are the paper's. The weights 1 and 0.1 are a reader's notes.

    >>> PaceContrast(contrast="same_pace").views
    2
    """

    contrast: str = option(
        "same_context",
        "Positives of a clip: those of its video (same_context), or those of its pace (same_pace).",
        choices=CONTRASTS,
    )
    class_weight: float = option(1.0, "Weight of the cross-entropy.", least=0)
    contrast_weight: float = option(0.1, "Weight of the contrastive loss.", least=0)
    temperature: float = option(0.1, "What similarities are divided by.", above=0)
    normalise: bool = option(True, "Scale embeddings to length 1.", advanced=True)
    projection: int = option(
        0,
        "Numbers of an embedding, from two layers on the mean of the map; 0: the mean itself.",
        least=0,
    )

    name = "pace_contrast"
    views = 2

    def sample(self, length, start, rng):
        """Frames (2, T) and labels (2,)."""
        pairs = [super(PaceContrast, self).sample(length, first, rng) for first in (start, None)]
        clips, labels = zip(*pairs, strict=True)
        return np.stack(clips), np.stack(labels)

    def example(self, clip):
        """(two clips of rgb or flow, {"pace": labels (2,), "embedding": groups (2,)})."""
        labels = self._labels(clip)
        groups = tf.cast(labels, tf.int64)
        if self.contrast == "same_context":
            video = tf.strings.to_hash_bucket_fast(clip["video"], 2**62)
            groups = tf.fill((self.views,), video)
        return self._seen(clip), {"pace": labels, "embedding": groups}

    def outputs(self, backbone):
        """The logits, and the embedding that is contrasted."""
        embedding = heads.projected(backbone.output, self.projection)
        return {**super().outputs(backbone), "embedding": embedding}

    def losses(self):
        """Cross-entropy and contrast."""
        return {
            "pace": (super().losses()["pace"][0], self.class_weight),
            "embedding": (self._contrast, self.contrast_weight),
        }

    def _contrast(self, y, outputs):
        groups, embeddings = y["embedding"], outputs["embedding"]
        return losses.contrast(embeddings, groups, self.temperature, self.normalise)
