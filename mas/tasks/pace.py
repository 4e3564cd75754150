"""Video pace prediction (ECCV 2020): how fast is this clip played?

A clip of pace 3 shows every third frame, one of pace 1/3 shows each frame three times; the label is
the pace's place in the ordered set of paces. What a clip shows is known before anything is decoded,
so a clip of any pace decodes as many frames as another.

A video may be too short for the fastest clips. `loop` says what happens then:

    restrict   nothing: such videos are left out, at all paces alike. Leaving out a pace where it
               does not fit would give the label away, as short videos would have slow paces alone.
    bounce     the clip plays back from the video's last frame. Videos that are long enough are
               sampled as by `restrict`.
    wrap       the clip begins again at the video's first frame, and may start anywhere, in long
               videos as in short ones: the authors' code.

A jump from the last frame to the first is the likelier the faster the clip: under `wrap`, counting
the jumps tells the pace without a look at the motion. Of the clips of T frames from a video of n
frames, min(1, pace * (T - 1) / n) have a jump. Measured over the list of UCF101 that the authors
ship, in percent:

    clip of   pace 1   pace 2   pace 3   pace 4
    16            13       22       35       47      wrap
    64            48       80       92       97      wrap
    any            0        0        0        0      restrict

The starts of clips carry no label either: all paces start alike under `wrap`, and under `restrict`
a stretch of the fastest clip's length is drawn first and the clip lies anywhere in it, so that slow
clips reach the video's ends like fast ones.
"""

import dataclasses
import fractions

import keras
import numpy as np
import tensorflow as tf

from mas import augment, heads
from mas.tasks import contrast, walks
from mas.tasks.task import Task


def parse_pace(text):
    """A pace as a fraction: "3" shows every third frame, "1/3" each frame three times.

    Raises:
        ValueError: it is neither a whole number above 0 nor 1 over one.
    """
    try:
        pace = fractions.Fraction(str(text))
    except (ValueError, ZeroDivisionError):
        pace = fractions.Fraction(0)
    if pace <= 0 or 1 not in (pace.numerator, pace.denominator):
        raise ValueError(f"pace must be written like 3 or 1/3. Received: pace={str(text)!r}.")
    return pace


def span(frames, pace):
    """Frames of the video from the first to the last that a clip shows."""
    return pace.numerator * ((frames - 1) // pace.denominator) + 1


@dataclasses.dataclass
class Pace(Task):
    """Cross-entropy on the pace of a clip, from a linear layer on the mean of the map.

    Source: section 3.2 and the authors' code, which has paces 1 to 4, wraps, and starts anywhere.

    Attributes:
        paces: whole numbers, and 1 over whole numbers, as in 1/3,1/2,1,2,3. Labels are their places
            in ascending order.
        loop: restrict, bounce or wrap: what happens where a video is too short for a clip, that of
            the fastest pace. Left out; played back from its end; begun again anywhere, as the
            authors' code.
        jitter: whether colours are changed at random in training.
        jitter_per_frame: whether each frame's colours change for themselves (as published, so that
            colours do not tell the motion), or the clip's at once.
        frames: length of a clip.
        head: one of `heads.HEADS`; the authors' is pooled.
        width: factor on the units of fc6 and fc7.
        initializer: of fc6 and fc7, one of `backbones.initial.NAMES`.
    """

    paces: tuple = ("1", "2", "3", "4")
    loop: str = "restrict"
    jitter: bool = True
    jitter_per_frame: bool = True
    frames: int = 16
    head: str = "auto"
    width: float = 1.0
    initializer: str = "published"

    name = "pace"
    clips = "anywhere"

    def __post_init__(self):
        """Checks the choice.

        Raises:
            ValueError: a pace or loop that is none, or fewer than two different paces.
        """
        found = sorted({parse_pace(text) for text in self.paces})
        if not 2 <= len(found) == len(self.paces):
            raise ValueError(
                f"paces must be two or more different ones. Received: paces={self.paces}."
            )
        walks.check(self.loop)
        self._paces, self.paces = found, tuple(map(str, found))
        self._longest = max(span(self.frames, pace) for pace in found)
        self.wraps = self.loop != "restrict"
        self.choice = ("pace", self.paces)

    @property
    def span(self):
        """Frames that a video must have: under `restrict`, those of the fastest clip."""
        return self.frames if self.wraps else self._longest

    def testing(self):
        """Without changes of colour."""
        return dataclasses.replace(self, jitter=False)

    def sample(self, length, start, rng):
        """Frames (T,) of one clip and its label ().

        A start that is given is the clip's first frame; under `bounce` the clip stays inside a
        video that is long enough, and begins earlier.
        """
        needed = 1 if self.wraps else self._longest
        if not 0 <= (start or 0) <= length - needed:
            raise ValueError(
                f"start must leave {needed} frames of its video with loop={self.loop}. "
                f"Received: start={start or 0} of {length} frames."
            )
        label = int(rng.integers(len(self._paces)))
        pace = self._paces[label]
        if start is None:
            start = self._start(length, pace, rng)
        elif self.loop == "bounce" and length >= self._longest:
            start = min(start, length - self._longest)  # turns would tell the pace
        frames = walks.indices(self.frames, pace, start, length, self.loop)
        return frames, np.array(label, np.int32)

    def _start(self, length, pace, rng):
        """Anywhere; but the clip stays inside its video where loop and length let every pace."""
        if self.loop == "wrap" or length < self._longest:
            return int(rng.integers(length))
        stretch = rng.integers(length - self._longest + 1)
        return int(stretch + rng.integers(self._longest - span(self.frames, pace) + 1))

    def example(self, clip):
        """(rgb, {"pace": label}), the colours changed."""
        return self._coloured(clip), {"pace": self._labels(clip)}

    def _labels(self, clip):
        return tf.ensure_shape(clip["target"], () if self.views is None else (self.views,))

    def _coloured(self, clip):
        if not self.jitter:
            return clip["rgb"]
        return augment.colour_jitter(clip["rgb"], clip["seed"], per_frame=self.jitter_per_frame)

    def outputs(self, backbone):
        """{"pace": one logit for each pace}."""
        options = {"width": self.width, "initializer": self.initializer}
        return heads.attach(backbone, {"pace": len(self.paces)}, self.head, **options)

    def model(self, backbone):
        """The backbone with this task's outputs."""
        return keras.Model(backbone.input, self.outputs(backbone), name=self.name)

    def losses(self):
        """Cross-entropy."""
        return {"pace": (_cross_entropy, 1.0)}

    def metrics(self):
        """Share of clips whose largest logit is the pace's."""
        return {"pace_accuracy": _accuracy}


CONTRASTS = ["same_context", "same_pace"]


@dataclasses.dataclass
class PaceContrast(Pace):
    """Pace prediction with a contrastive loss on two clips of each video (section 3.3).

    loss = class_weight * cross-entropy + contrast_weight * contrast. The paces of the two clips are
    drawn independently; a start that is given is the first one's. Both have the same crop and flip.

    Source: the authors released no code for it. The paper's formula has plain dot products; they
    overflow its exponentials, so the default scales embeddings to length 1 and has a temperature:
    normalise=false and temperature=1 are the paper's. The weights 1 and 0.1 are a reader's notes.

    Attributes:
        contrast: same_context or same_pace: whether a clip's positives are the clips of its video,
            negatives those of other videos, or by pace in the same way.
        class_weight: of the cross-entropy.
        contrast_weight: of the contrastive loss.
        temperature: that similarities are divided by.
        normalise: whether embeddings are scaled to length 1.
        projection: numbers of an embedding, from two layers on the mean of the map; 0: the mean
            itself.
    """

    contrast: str = "same_context"
    class_weight: float = 1.0
    contrast_weight: float = 0.1
    temperature: float = 0.1
    normalise: bool = True
    projection: int = 0

    name = "pace_contrast"
    views = 2

    def __post_init__(self):
        """Checks the choice.

        Raises:
            ValueError: a choice that is none, or a number out of its range.
        """
        super().__post_init__()
        if self.contrast not in CONTRASTS:
            raise ValueError(
                f"contrast must be one of {CONTRASTS}. Received: contrast={self.contrast!r}."
            )
        if not self.temperature > 0:
            raise ValueError(
                f"temperature must be above 0. Received: temperature={self.temperature}."
            )
        for name in ("class_weight", "contrast_weight", "projection"):
            if not getattr(self, name) >= 0:
                raise ValueError(
                    f"{name} must be 0 or more. Received: {name}={getattr(self, name)}."
                )

    def sample(self, length, start, rng):
        """Frames (2, T) and labels (2,)."""
        pairs = [super(PaceContrast, self).sample(length, first, rng) for first in (start, None)]
        clips, labels = zip(*pairs, strict=True)
        return np.stack(clips), np.stack(labels)

    def example(self, clip):
        """(rgb (2, T, H, W, 3), {"pace": labels (2,), "embedding": groups (2,)})."""
        labels = self._labels(clip)
        groups = tf.cast(labels, tf.int64)
        if self.contrast == "same_context":
            video = tf.strings.to_hash_bucket_fast(clip["video"], 2**62)
            groups = tf.fill((self.views,), video)
        return self._coloured(clip), {"pace": labels, "embedding": groups}

    def outputs(self, backbone):
        """The logits, and the embedding that is contrasted."""
        embedding = heads.projected(backbone.output, self.projection)
        return {**super().outputs(backbone), "embedding": embedding}

    def losses(self):
        """Cross-entropy and contrast."""
        return {
            "pace": (_cross_entropy, self.class_weight),
            "embedding": (self._contrast, self.contrast_weight),
        }

    def _contrast(self, y, outputs):
        groups, embeddings = y["embedding"], outputs["embedding"]
        return contrast.loss(embeddings, groups, self.temperature, self.normalise)


def _cross_entropy(y, outputs):
    loss = keras.losses.sparse_categorical_crossentropy(
        y["pace"], outputs["pace"], from_logits=True
    )
    return _of_examples(loss)


def _accuracy(y, outputs):
    hits = keras.metrics.sparse_categorical_accuracy(y["pace"], outputs["pace"])
    return _of_examples(hits)


def _of_examples(values):
    """(N,) or (N, views) -> (N,): the mean over an example's clips."""
    return tf.reduce_mean(tf.reshape(values, (tf.shape(values)[0], -1)), 1)
