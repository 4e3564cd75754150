"""What MoCo, VTDL and DSM share before the loss: two or three views of a video, and the encoder.

    anchor     a clip
    positive   the same frames, augmented for themselves
    negative   another clip, by default of the same video (VTDL, DSM)

Frames (VTDL's code, which DSM's descends from): every `stride`-th one, T of them. The first ones of
anchor and negative are drawn from 0..max(0, N - window), N the frames of the video. If they are
closer than `min_offset`, the negative's moves on by N // 3, around the end (counted from 1 there,
where 0 becomes 1: from 0, the last becomes the first).

Each view is augmented for itself, with parameters that all its frames share (BA): rotation, random
crop, colours. What a method adds stands in the method's own file.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from mas import augment, heads
from mas.checks import check_choice
from mas.tasks import walks
from mas.tasks.task import Task

ANCHOR, POSITIVE, NEGATIVE = range(3)
ROLES = ("anchor", "positive", "negative")
NEGATIVES = ("none", "intra", "inter")
COLOURS = ("one", "all", "none")


def apart(anchor, negative, places, min_offset):
    """The negative's first frame, moved on by a third of the places if it is too close.

    Where that is too close as well, because there are few places, half way around.

    Args:
        anchor: first frame of the anchor, from 0.
        negative: that which was drawn for the negative.
        places: first frames that there are: 0..places - 1.
        min_offset: the least distance between the two.

    Returns:
        int, in 0..places - 1.
    """
    if abs(negative - anchor) < min_offset:
        negative = max((negative + 1 + places // 3) % places, 1) - 1
    if abs(negative - anchor) < min_offset:
        negative = (anchor + places // 2) % places
    return negative


def basic(clip, seed, size, rotation=10.0, colours="one"):
    """BA, the augmentation of every view: rotation, random crop and colours of the whole clip.

    Source: VTDL's code. Its colour jitter keeps the last of four operations: "one". "all" does the
    four, one after another.

    Args:
        clip: uint8 (T, H, W, 3), resized.
        seed: int32 (2,).
        size: side of the crop, in pixels.
        rotation: in degrees, at most, either way.
        colours: one of `COLOURS`.

    Returns:
        uint8 (T, size, size, 3).
    """
    clip = augment.rotate_and_crop(clip, _fold(seed, 0), size, rotation)
    if colours == "none":
        return clip
    jitter = augment.BASIC_JITTER | {"last_only": colours == "one"}
    return augment.colour_jitter(clip, _fold(seed, 1), **jitter)


def _fold(seed, number):
    return tf.random.experimental.stateless_fold_in(seed, number)


@dataclasses.dataclass
class Views(Task):
    """Samples and augments the views; a method adds networks, loss, and what sets views apart.

    Attributes:
        frames: length of a clip.
        size: side of the crop, in pixels.
        stride: every how many-th frame a clip shows.
        window: frames that a video must have from a first frame on, if it has so many; 0: the
            clip's frames * stride. The authors of VTDL and DSM have 32 * stride whatever the clip:
            128 with their stride of 4.
        loop: wrap, bounce or restrict: what happens where a video is too short for a clip. Begun
            again, as the authors; played back from its end; left out.
        min_offset: the least distance of the first frames of anchor and negative. Published: 2, so
            that they mostly overlap; frames * stride / 4 keeps them further apart.
        unused: last frames of a video that are not used; 1 in DSM's code.
        negative: none, intra (another clip of the same video) or inter (that of the next example
            of the batch: of another video with clips=anywhere).
        rotation: of each view, in degrees, at most, either way.
        colours: one (of four changes, as the authors' code), all (four) or none: what changes a
            view's colours.
        embedding: numbers of an embedding.
        per_sample: whether what a method adds is drawn for each example, or, as published, for each
            batch.
    """

    frames: int = 16
    size: int = 112
    stride: int = 4
    window: int = 0
    loop: str = "wrap"
    min_offset: int = 2
    unused: int = 0
    negative: str = "intra"
    rotation: float = 10.0
    colours: str = "one"
    embedding: int = 128
    per_sample: bool = False

    whole = True
    clips = "anywhere"

    def __post_init__(self):
        """Checks the choice.

        Raises:
            ValueError: a choice that is none, or a number out of its range.
        """
        walks.check(self.loop)
        check_choice("negative", self.negative, NEGATIVES)
        check_choice("colours", self.colours, COLOURS)
        least_of = {"stride": 1, "window": 0, "min_offset": 1, "unused": 0, "embedding": 1}
        for name, least in least_of.items():
            if getattr(self, name) < least:
                raise ValueError(
                    f"{name} must be {least} or more. Received: {name}={getattr(self, name)}."
                )
        if not 0 <= self.rotation <= 180:
            raise ValueError(f"rotation must be in 0..180. Received: rotation={self.rotation}.")
        self.wraps = self.loop != "restrict"
        self.views = self._decoded()

    def _decoded(self):
        """Clips that are decoded: anchor and positive show the same frames."""
        return 1 if self.negative == "none" else 2

    @property
    def roles(self):
        """What the views of an example are."""
        return ROLES[:2] if self.negative == "none" else ROLES

    @property
    def span(self):
        """Frames of a video that a clip inside it needs; with a negative, for two first frames."""
        inside = (self.frames - 1) * self.stride + 1 + self.unused
        return inside if self.views == 1 else inside + 2 * self.min_offset - 1

    @property
    def least(self):
        """Frames that a video must have: for a negative, two first frames far enough apart."""
        apart = 1 if self.views == 1 else 2 * self.min_offset
        return apart + self.unused if self.wraps else self.span

    def sample(self, length, start, rng):
        """Frames (views, T) of the anchor and of another clip.

        Raises:
            ValueError: the video is too short.
        """
        if length < self.least:
            raise ValueError(f"a video must have {self.least} frames. Received: {length}.")
        length -= self.unused
        clip = (self.frames - 1) * self.stride + 1
        places, window = length, self.window or self.frames * self.stride
        if not self.wraps:  # only where a clip fits
            places, window = length - clip + 1, max(window, clip)
        anchor, negative = rng.integers(max(length - window, 0) + 1, size=2)
        if start is not None:
            anchor = min(start, places - 1)
        starts = [anchor, apart(anchor, negative, places, self.min_offset)][: self.views]
        walk = (self.frames, self.stride)
        frames = [walks.indices(*walk, first, length, self.loop) for first in starts]
        return np.stack(frames), np.zeros(0, np.int32)

    def example(self, clip):
        """(rgb (views, T, size, size, 3), {}): there is nothing to predict but who is who."""
        views = []
        for role in range(len(self.roles)):
            seed = _fold(clip["seed"], role)
            view = self.source(role, clip)
            view = basic(view, seed, self.size, self.rotation, self.colours)
            views.append(self.changed(role, view, clip))
        return tf.stack(views), {}

    def source(self, role, clip):
        """The whole clip that a view is made of, uint8 (T, H, W, 3)."""
        return clip["rgb"][-1 if role == NEGATIVE else 0]

    def changed(self, role, view, clip):
        """What the method does to a view, uint8 (T, size, size, 3), after BA."""
        del role, clip
        return view

    def model(self, backbone):
        """The encoder that is trained: mean of the map, linear layer, length 1."""
        output = {"embedding": heads.embedding(backbone.output, self.embedding)}
        return keras.Model(backbone.input, output, name=self.name)

    def seed(self, clip, number, shared=None):
        """A seed for a method's own changes.

        Args:
            clip: of the clip contract.
            number: another one for each use.
            shared: whether the whole batch gets it; None: unless `per_sample`.
        """
        shared = not self.per_sample if shared is None else shared
        return _fold(clip["batch_seed" if shared else "seed"], 100 + number)
