"""What MoCo, VTDL and DSM share before the loss: two or three views of a video, and the encoder.

    anchor     a clip
    positive   the same frames, augmented for themselves
    negative   another clip, by default of the same video (VTDL, DSM)

Frames (VTDL's code, which DSM's descends from): every `stride`-th one, T of them. The first ones of
anchor and negative are drawn from 0..max(0, N - window), N the frames of the video. If they are
closer than `min_offset`, the negative's moves on by N // 3, around the end (counted from 1 there,
where 0 becomes 1: from 0, the last becomes the first). With negative=inter nothing is moved: this
clip is another example's negative, and nobody compares it with its own anchor. With
negative=shuffled it shows the anchor's frames in another order.

Of flow a clip shows the fields from its frames to the next ones of the video, whatever the stride,
as the authors' code reads them.

Each view is augmented for itself, with parameters that all its frames share (BA): rotation, random
crop, colours. What a method adds stands in the method's own file.
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


def shuffled(count, rng):
    """The numbers 0..count - 1 in any order but their own: int (count,).

    >>> shuffled(2, np.random.default_rng(0)).tolist()
    [1, 0]

    Args:
        count: 2 or more.
        rng: generator of the draw.
    """
    order = rng.permutation(count)
    while (order == np.arange(count)).all():
        order = rng.permutation(count)
    return order


def negative(default):
    """The setting `negative`, whose default is each method's own."""
    return option(
        default,
        "Negative of a query's own: none, intra (another clip of its video), inter (the one of the "
        "next example: of another video with sampling=anywhere) or shuffled (the query's own "
        "frames in another order).",
        choices=NEGATIVES,
    )


@dataclasses.dataclass(frozen=True)
class Views(Task):
    """Samples and augments the views; a method adds networks, loss, and what sets views apart."""

    stride: int = option(4, "Step from one frame of a clip to the next, in frames.", least=1)
    window: int = option(
        0,
        "Frames that a video must have after a first frame, if it is long enough; 0: frames * "
        "stride. The authors of VTDL and DSM have 32 * stride whatever the clip: 128.",
        least=0,
        advanced=True,
    )
    loop: str = option(
        "wrap",
        "Where a video is too short for a clip: wrap starts it again (the authors), bounce plays "
        "it backwards from its end, restrict leaves it out.",
        choices=tuple(walks.LOOPS),
    )
    min_offset: int = option(
        2,
        "Least distance of the first frames of anchor and negative. With the published 2 they "
        "mostly overlap; frames * stride / 4 keeps them further apart.",
        least=1,
        advanced=True,
    )
    unused: int = option(
        0, "Last frames of a video that are not used; 1 in DSM's code.", least=0, advanced=True
    )
    negative: str = negative("intra")
    rotation: float = option(
        10.0,
        "Largest rotation of a view, in degrees, either way.",
        least=0,
        most=180,
        advanced=True,
    )
    colours: str = option(
        "one",
        "Changes of a view's colours: one of four (the authors' code), all four, or none. Flow has "
        "no colours.",
        choices=COLOURS,
        advanced=True,
    )
    embedding: int = option(128, "Numbers of an embedding.", least=1, advanced=True)
    per_sample: bool = option(
        False,
        "Draw what a method adds for each example; as published, for each batch.",
        advanced=True,
    )

    modalities = ("rgb", "flow")
    whole = True
    contrasts = True
    sampling = "anywhere"
    passes = (ANCHOR, POSITIVE, NEGATIVE)  # their order, which running means see

    @property
    def inputs(self):
        """What the network sees."""
        return (self.network.modality,)

    @property
    def _unused(self):
        """Last frames that no clip has; the very last has no flow."""
        return max(self.unused, int("flow" in self.inputs))

    def check(self, batch=None):
        """Refuses to play flow backwards."""
        super().check(batch)
        walks.check_flow(self.loop, self.network.modality)

    @property
    def wraps(self):
        """Whether a video shorter than a clip will do."""
        return self.loop != "restrict"

    @property
    def views(self):
        """Clips that are decoded: anchor and positive show the same frames."""
        return 1 if self.negative == "none" else 2

    @property
    def roles(self):
        """What the views of an example are."""
        return ROLES[:2] if self.negative == "none" else ROLES

    @property
    def _apart(self):
        """Whether the two clips are compared, and so begin apart."""
        return self.views == 2 and self.negative == "intra"

    @property
    def span(self):
        """Frames of a video that a clip inside it needs; with a negative, for two first frames."""
        inside = (self.frames - 1) * self.stride + 1 + self._unused
        return inside + 2 * self.min_offset - 1 if self._apart else inside

    @property
    def least(self):
        """Frames that a video must have: for a negative, two first frames far enough apart."""
        apart = 2 * self.min_offset if self._apart else 1
        return apart + self._unused if self.wraps else self.span

    def sample(self, length, start, rng):
        """Frames (views, T) of the anchor and of another clip.

        Raises:
            ValueError: the video is too short.
        """
        if length < self.least:
            raise ValueError(f"a video must have {self.least} frames. Received: {length}.")
        length -= self._unused
        clip = (self.frames - 1) * self.stride + 1
        places, window = length, self.window or self.frames * self.stride
        if not self.wraps:  # only where a clip fits
            places, window = length - clip + 1, max(window, clip)
        anchor, negative = rng.integers(max(length - window, 0) + 1, size=2)
        if start is not None:
            anchor = min(start, places - 1)
        if self._apart:
            negative = apart(anchor, negative, places, self.min_offset)
        starts = [anchor, negative][: self.views]
        walk = (self.frames, self.stride)
        frames = [walks.indices(*walk, first, length, self.loop) for first in starts]
        if self.negative == "shuffled":
            frames[1] = frames[0][shuffled(self.frames, rng)]
        return np.stack(frames), np.zeros(0, np.int32)

    def example(self, clip):
        """(views of rgb or flow, {}): there is nothing to predict but who is who."""
        views = []
        for role in range(len(self.roles)):
            seed = augment.fold(clip["seed"], role)
            view = self.source(role, clip)
            view = augment.basic(view, seed, self.clip.size, self.rotation, self.colours)
            views.append(self.changed(role, view, clip))
        return tf.stack(views), {}

    def source(self, role, clip):
        """The whole clip that a view is made of: uint8 (T, H, W, 3), or flow."""
        return clip[self.network.modality][-1 if role == NEGATIVE else 0]

    def changed(self, role, view, clip):
        """What the method does to a view, (T, size, size, 3 or 2), after BA."""
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
        return augment.fold(clip["batch_seed" if shared else "seed"], 100 + number)
