"""Views of a video and the encoder, shared by MoCo, VTDL and DSM.

    anchor     a clip
    positive   the same frames, augmented independently
    negative   another clip, by default of the same video (VTDL, DSM)

As in VTDL's code, on which DSM's is based, a clip has T frames with a step of `stride`. The first
frames of anchor and negative are drawn from 0..max(0, N - window), where N is the number of frames
of the video. If they are closer than `min_offset`, the negative's is moved by N // 3, modulo N.
(The authors count from 1 and change 0 to 1; counted from 0, the last frame becomes the first.) With
negative=inter nothing is moved, because the clip is the negative of another example and is never
compared with its own anchor. With negative=shuffled, it has the anchor's frames in another order.

A flow clip holds the fields from its frames to the next frames of the video, for any stride,
as in the authors' code.

Each view is augmented independently, with parameters shared by all its frames (BA): rotation,
random crop, colours. Each method adds its own changes in its own module.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from mas import lazy
from mas.checks import option
from mas.tasks import walks
from mas.tasks.task import Task

augment = lazy.module("mas.augment")
heads = lazy.module("mas.heads")
keras = lazy.module("keras")
tf = lazy.module("tensorflow")

ANCHOR, POSITIVE, NEGATIVE = range(3)
ROLES = ("anchor", "positive", "negative")
NEGATIVES = ("none", "intra", "inter", "shuffled")
COLOURS = ("one", "all", "none")


def apart(anchor, negative, places, min_offset):
    """Returns the first frame of the negative, moved by a third of the positions if too close.

    If it is still too close, because there are few positions, it is moved half way around.

    Args:
        anchor: first frame of the anchor, from 0.
        negative: first frame drawn for the negative.
        places: number of possible first frames.
        min_offset: minimum distance between the two.

    Returns:
        int, in 0..places - 1.
    """
    if abs(negative - anchor) < min_offset:
        negative = max((negative + 1 + places // 3) % places, 1) - 1
    if abs(negative - anchor) < min_offset:
        negative = (anchor + places // 2) % places
    return negative


def shuffled(count, rng):
    """Returns a permutation of 0..count - 1 other than the identity, int (count,).

    >>> shuffled(2, np.random.default_rng(0)).tolist()
    [1, 0]

    Args:
        count: length, at least 2.
        rng: random number generator.
    """
    order = rng.permutation(count)
    while (order == np.arange(count)).all():
        order = rng.permutation(count)
    return order


def negative(default):
    """Returns the setting `negative` with a method's default."""
    return option(
        default,
        "Negative of a query: none; intra, another clip of its video; inter, the next "
        "example's, which is another video's with sampling=anywhere; or shuffled, the query's own "
        "frames in another order.",
        choices=NEGATIVES,
    )


@dataclasses.dataclass(frozen=True)
class Views(Task):
    """Samples and augments the views. Methods add networks, losses and what distinguishes views."""

    stride: int = option(4, "Frame step within a clip.", least=1)
    window: int = option(
        0,
        "Number of frames to keep free after the start of a clip, if the video is long enough; 0 "
        "means frames * stride. VTDL and DSM use 32 * stride = 128 for any clip length.",
        least=0,
        advanced=True,
    )
    loop: str = option(
        "wrap",
        "Policy for short videos: wrap restarts those shorter than a clip (the authors' code), "
        "bounce plays them backwards from the end, restrict skips them.",
        choices=tuple(walks.LOOPS),
    )
    min_offset: int = option(
        2,
        "Minimum distance in frames between the starts of anchor and negative. With the published "
        "2, they mostly overlap; frames * stride / 4 keeps them further apart.",
        least=1,
        advanced=True,
    )
    unused: int = option(
        0,
        "Number of frames to ignore at the end of each video; 1 in DSM's code.",
        least=0,
        advanced=True,
    )
    negative: str = negative("intra")
    rotation: float = option(
        10.0,
        "Maximum rotation of a view in degrees, in either direction.",
        least=0,
        most=180,
        advanced=True,
    )
    colours: str = option(
        "one",
        "Colour changes of a view: one of four (the authors' code), all four, or none. Ignored for "
        "flow.",
        choices=COLOURS,
        advanced=True,
    )
    embedding: int = option(128, "Embedding size.", least=1, advanced=True)
    per_sample: bool = option(
        False,
        "Draw a method's own augmentations per example; otherwise per batch, as published.",
        advanced=True,
    )

    modalities = ("rgb", "flow")
    whole = True
    contrasts = True
    sampling = "anywhere"
    passes = (ANCHOR, POSITIVE, NEGATIVE)  # order, which affects moving averages

    @property
    def inputs(self):
        """What the network takes."""
        return (self.network.modality,)

    @property
    def _unused(self):
        """Number of frames to ignore at the end; the last frame has no flow."""
        return max(self.unused, int("flow" in self.inputs))

    def check(self, batch=None):
        """Rejects playing flow backwards."""
        super().check(batch)
        walks.check_flow(self.loop, self.network.modality)

    @property
    def wraps(self):
        """Whether videos shorter than a clip are used."""
        return self.loop != "restrict"

    @property
    def views(self):
        """Number of clips to decode; anchor and positive share their frames."""
        return 1 if self.negative == "none" else 2

    @property
    def roles(self):
        """Roles of the views of an example."""
        return ROLES[:2] if self.negative == "none" else ROLES

    @property
    def _starts_apart(self):
        """Whether the two clips are compared and must start apart."""
        return self.views == 2 and self.negative == "intra"

    @property
    def span(self):
        """Frames of a video needed for a clip inside it, and for a negative that starts apart."""
        inside = (self.frames - 1) * self.stride + 1 + self._unused
        return inside + 2 * self.min_offset - 1 if self._starts_apart else inside

    @property
    def least(self):
        """Minimum number of frames of a video, for a clip and a negative that starts apart."""
        apart = 2 * self.min_offset if self._starts_apart else 1
        return apart + self._unused if self.wraps else self.span

    def sample(self, length, start, rng):
        """Returns frames (views, T) of the anchor and of another clip.

        Raises:
            ValueError: If the video is too short.
        """
        if length < self.least:
            raise ValueError(f"a video must have at least {self.least} frames. Received: {length}.")
        length -= self._unused
        clip = (self.frames - 1) * self.stride + 1
        places, window = length, self.window or self.frames * self.stride
        if not self.wraps:  # only starts at which a clip fits
            places, window = length - clip + 1, max(window, clip)
        anchor, negative = rng.integers(max(length - window, 0) + 1, size=2)
        if start is not None:
            anchor = min(start, places - 1)
        if self._starts_apart:
            negative = apart(anchor, negative, places, self.min_offset)
        starts = [anchor, negative][: self.views]
        walk = (self.frames, self.stride)
        frames = [walks.indices(*walk, first, length, self.loop) for first in starts]
        if self.negative == "shuffled":
            frames[1] = frames[0][shuffled(self.frames, rng)]
        return np.stack(frames), np.zeros(0, np.int32)

    def example(self, clip):
        """Returns (views of rgb or flow, {}); there are no targets."""
        views = []
        for role in range(len(self.roles)):
            seed = augment.fold(clip["seed"], role)
            view = self.source(role, clip)
            view = augment.basic(view, seed, self.clip.size, self.rotation, self.colours)
            views.append(self.changed(role, view, clip))
        return tf.stack(views), {}

    def source(self, role, clip):
        """Returns the uncropped clip for a view: uint8 (T, H, W, 3), or flow."""
        return clip[self.network.modality][-1 if role == NEGATIVE else 0]

    def changed(self, role, view, clip):
        """Applies a method's own changes to a view, (T, size, size, 3 or 2), after BA."""
        del role, clip
        return view

    def model(self, backbone):
        """Builds the encoder: pooled features, a linear layer, L2 normalisation."""
        output = {"embedding": heads.embedding(backbone.output, self.embedding)}
        return keras.Model(backbone.input, output, name=self.name)

    def seed(self, clip, number, shared=None):
        """Derives a seed for a method's own changes.

        Args:
            clip: a clip (see `mas.clips`).
            number: distinguishes the uses.
            shared: whether the whole batch shares the seed; None means unless `per_sample`.
        """
        shared = not self.per_sample if shared is None else shared
        return augment.fold(clip["batch_seed" if shared else "seed"], 100 + number)
