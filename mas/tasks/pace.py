"""Video pace prediction (ECCV 2020): classifies how fast a clip is played.

A clip with pace 3 shows every third frame; one with pace 1/3 shows each frame three times. The
label is the index of the pace in ascending order. Frames are selected before decoding, so clips of
all paces decode the same number of frames.

`loop` determines what happens if a video is too short for the fastest clips:

    restrict   skips the video at all paces. Skipping only the paces that do not fit would leak the
               label, because short videos would then have only slow paces.
    bounce     plays backwards from the last frame. Videos long enough for all paces are sampled as
               in `restrict`, without a turn. In shorter ones, turns leak the pace, like jumps in
               `wrap`: no policy keeps all videos without leaking.
    wrap       restarts at the first frame. Clips start anywhere, in long videos too, as in the
               authors' code.

Faster clips are more likely to contain a turn, or a jump from the last frame to the first, so
detecting these is enough to predict the pace without looking at the motion. With `wrap`, a fraction
min(1, pace * (T - 1) / n) of the clips of T frames from a video of n frames contain a jump.
Measured in percent on the authors' list of UCF101:

    clip of   pace 1   pace 2   pace 3   pace 4
    16            13       22       35       47      wrap
    64            48       80       92       97      wrap
    any            0        0        0        0      restrict

A flow clip holds the fields from its frames to the next frames of the video: with pace 3, every
third field. The pace then shows in how fast fields change, not in how large they are.

Start positions do not leak the label either. With `wrap`, their distribution is the same for all
paces. With `restrict`, a stretch with the length of the fastest clip is drawn first, and the clip
is placed anywhere in it, so slow clips reach the ends of the video as often as fast ones.
"""

from __future__ import annotations

import dataclasses
import fractions
import functools

import numpy as np

from mas import lazy, losses
from mas.checks import option, refuse
from mas.forms import Form, several
from mas.tasks import walks
from mas.tasks.task import Task

augment = lazy.module("mas.augment")
keras = lazy.module("keras")
tf = lazy.module("tensorflow")


def parse_pace(text):
    """Parses a pace as a fraction: "3" is every third frame, "1/3" each frame three times.

    Raises:
        ValueError: If the pace is neither a positive integer nor one over a positive integer.
    """
    try:
        pace = fractions.Fraction(str(text))
    except (ValueError, ZeroDivisionError):
        pace = fractions.Fraction(0)
    if pace <= 0 or 1 not in (pace.numerator, pace.denominator):
        raise ValueError(f"pace must be written like 3 or 1/3. Received: pace={str(text)!r}.")
    return pace


def span(frames, pace):
    """Returns the number of frames from the first to the last frame of a clip in the video."""
    return pace.numerator * ((frames - 1) // pace.denominator) + 1


PACE = Form("written like 3 or 1/3", lambda value: str(parse_pace(value)))


@dataclasses.dataclass(frozen=True)
class Pace(Task):
    """Cross-entropy on the pace of a clip, with a linear layer on the pooled features.

    Source: section 3.2 and the authors' code, which uses paces 1 to 4, wraps, and starts anywhere.

    >>> Pace(paces=(1, 2, "1/2")).paces
    ('1/2', '1', '2')
    """

    paces: tuple[str | int, ...] = option(
        ("1", "2", "3", "4"),
        "Paces to classify: integers or fractions 1/N, such as 1/3,1/2,1,2,3. Labels follow their "
        "ascending order.",
        form=several(PACE),
    )
    loop: str = option(
        "restrict",
        "Policy for short videos: restrict skips those shorter than the fastest clip, bounce plays "
        "them backwards from the end, wrap restarts them (the authors' code). Reversals and jumps "
        "are more frequent in fast clips and can reveal the pace.",
        choices=tuple(walks.LOOPS),
    )
    jitter: bool = option(True, "Apply random colour jitter in training; ignored for flow.")
    jitter_per_frame: bool = option(
        True,
        "Draw the jitter for each frame, as published, so that colours do not reveal the motion; "
        "otherwise once per clip.",
        advanced=True,
    )
    jitter_bgr: bool = option(
        False,
        "Pass B G R as R G B to the jitter, as in the authors' code; this swaps the weights of "
        "red and blue in grey and reverses hue shifts.",
        advanced=True,
    )

    name = "pace"
    modalities = ("rgb", "flow")
    sampling = "anywhere"

    def __post_init__(self):
        """Sorts the paces, and checks that there are at least two different ones."""
        super().__post_init__()
        found = sorted(self.paces, key=fractions.Fraction)
        if not 2 <= len(set(found)) == len(found):
            refuse("paces", "two or more different paces", self.paces)
        object.__setattr__(self, "paces", tuple(found))

    @functools.cached_property
    def _paces(self):
        return [fractions.Fraction(pace) for pace in self.paces]

    @functools.cached_property
    def _longest(self):
        """Length in frames of the stretch that the fastest clip covers."""
        return max(span(self.frames, pace) for pace in self._paces)

    @property
    def inputs(self):
        """What the network takes."""
        return (self.network.modality,)

    @property
    def wraps(self):
        """Whether videos shorter than the fastest clip are used."""
        return self.loop != "restrict"

    @property
    def least(self):
        """Minimum number of frames of a video, whose last frame has no flow."""
        return 1 + self._unused if self.wraps else self.span

    @property
    def _unused(self):
        return int(self.network.modality == "flow")

    def check(self, batch=None):
        """Rejects playing flow backwards."""
        super().check(batch)
        walks.check_flow(self.loop, self.network.modality)

    @property
    def choice(self):
        """The classification output, and its classes."""
        return ("pace", self.paces)

    @property
    def span(self):
        """Frames of a video needed: with `restrict`, those of the fastest clip."""
        return (self.frames if self.wraps else self._longest) + self._unused

    def testing(self):
        """Returns this task without colour jitter."""
        return self.having(jitter=False)

    def sample(self, length, start, rng):
        """Returns frames (T,) of a clip and its label ().

        If `start` is given, it is the first frame of the clip. With `bounce`, a clip of a video
        that is long enough stays inside it and may start earlier.
        """
        length -= self._unused
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
            start = min(start, length - self._longest)  # avoids an unnecessary turn
        frames = walks.indices(self.frames, pace, start, length, self.loop)
        return frames, np.array(label, np.int32)

    def _start(self, length, pace, rng):
        """Draws a start, so that the clip stays inside its video if `loop` and length allow."""
        if self.loop == "wrap" or length < self._longest:
            return int(rng.integers(length))
        stretch = rng.integers(length - self._longest + 1)
        return int(stretch + rng.integers(self._longest - span(self.frames, pace) + 1))

    def example(self, clip):
        """Returns (rgb or flow, {"pace": label}), with colour jitter."""
        return self._seen(clip), {"pace": self._labels(clip)}

    def _labels(self, clip):
        return tf.ensure_shape(clip["target"], () if self.views is None else (self.views,))

    def _seen(self, clip):
        modality = self.network.modality
        if modality == "flow" or not self.jitter:
            return clip[modality]
        backwards = slice(None, None, -1 if self.jitter_bgr else 1)
        rgb = clip["rgb"][..., backwards]
        changed = augment.colour_jitter(rgb, clip["seed"], per_frame=self.jitter_per_frame)
        return changed[..., backwards]

    def outputs(self, backbone):
        """Returns {"pace": one logit per pace}."""
        return self.heads(backbone, {"pace": len(self.paces)})

    def model(self, backbone):
        """Builds the backbone with this task's outputs."""
        return keras.Model(backbone.input, self.outputs(backbone), name=self.name)

    def losses(self):
        """Returns the cross-entropy."""
        return {"pace": (_cross_entropy, 1.0)}

    def metrics(self):
        """Returns the accuracy of clips."""
        return {"pace_accuracy": _accuracy}


def _cross_entropy(y, outputs):
    return _of_examples(losses.cross_entropy(y["pace"], outputs["pace"]))


def _accuracy(y, outputs):
    return _of_examples(losses.accuracy(y["pace"], outputs["pace"]))


def _of_examples(values):
    """Averages over the clips of an example: (N,) or (N, views) -> (N,)."""
    return tf.reduce_mean(tf.reshape(values, (tf.shape(values)[0], -1)), 1)
