"""Video pace prediction (ECCV 2020): how fast is this clip played?

A clip of pace 3 shows every third frame, one of pace 1/3 shows each frame three times; the label is
the pace's place in the ordered set of paces. What a clip shows is known before anything is decoded,
so a clip of any pace decodes as many frames as another.

A video may be too short for the fastest clips. `loop` says what happens then:

    restrict   nothing: such videos are left out, at all paces alike. Leaving out a pace where it
               does not fit would give the label away, as short videos would have slow paces alone.
    bounce     the clip plays back from the video's last frame. Videos that are long enough for
               every pace are sampled as by `restrict`, without a turn. In shorter ones turns tell
               the pace, as jumps do under `wrap`: no policy keeps all videos and tells nothing.
    wrap       the clip begins again at the video's first frame, and may start anywhere, in long
               videos as in short ones: the authors' code.

A jump from the last frame to the first, or a turn, is the likelier the faster the clip: counting
them tells the pace without a look at the motion. Under `wrap`, of the clips of T frames from a
video of n frames, min(1, pace * (T - 1) / n) have a jump. Measured over the list of UCF101 that the
authors ship, in percent:

    clip of   pace 1   pace 2   pace 3   pace 4
    16            13       22       35       47      wrap
    64            48       80       92       97      wrap
    any            0        0        0        0      restrict

Of flow a clip shows the fields from its frames to the next ones of the video: a clip of pace 3 has
every third field. So the pace is how fast fields change, not how large they are.

The starts of clips carry no label either: all paces start alike under `wrap`, and under `restrict`
a stretch of the fastest clip's length is drawn first and the clip lies anywhere in it, so that slow
clips reach the video's ends like fast ones.
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


PACE = Form("written like 3 or 1/3", lambda value: str(parse_pace(value)))


@dataclasses.dataclass(frozen=True)
class Pace(Task):
    """Cross-entropy on the pace of a clip, from a linear layer on the mean of the map.

    Source: section 3.2 and the authors' code, which has paces 1 to 4, wraps, and starts anywhere.

    >>> Pace(paces=(1, 2, "1/2")).paces
    ('1/2', '1', '2')
    """

    paces: tuple[str | int, ...] = option(
        ("1", "2", "3", "4"),
        "Paces to tell apart: whole numbers, and 1 over whole numbers, as in 1/3,1/2,1,2,3. Labels "
        "are their places in ascending order.",
        form=several(PACE),
    )
    loop: str = option(
        "restrict",
        "Where a video is too short for its fastest clip: restrict leaves it out, bounce plays it "
        "backwards from its end, wrap starts it again (the authors' code). Turns and jumps come "
        "with fast clips, and can tell the pace.",
        choices=tuple(walks.LOOPS),
    )
    jitter: bool = option(True, "Change colours at random in training; flow has none.")
    jitter_per_frame: bool = option(
        True,
        "Change each frame's colours on its own, as published, so that colours do not give the "
        "motion away; or those of a clip alike.",
        advanced=True,
    )
    jitter_bgr: bool = option(
        False,
        "Take B G R for R G B as colours change, as the authors' code: red and blue exchange their "
        "weights in grey, and hues turn the other way.",
        advanced=True,
    )

    name = "pace"
    modalities = ("rgb", "flow")
    sampling = "anywhere"

    def __post_init__(self):
        """Puts the paces in order, and refuses fewer than two different ones."""
        super().__post_init__()
        found = sorted(self.paces, key=fractions.Fraction)
        if not 2 <= len(set(found)) == len(found):
            refuse("paces", "two or more different ones", self.paces)
        object.__setattr__(self, "paces", tuple(found))

    @functools.cached_property
    def _paces(self):
        return [fractions.Fraction(pace) for pace in self.paces]

    @functools.cached_property
    def _longest(self):
        """Frames of the fastest clip's stretch of its video."""
        return max(span(self.frames, pace) for pace in self._paces)

    @property
    def inputs(self):
        """What the network sees, and nothing else."""
        return (self.network.modality,)

    @property
    def wraps(self):
        """Whether a video shorter than the fastest clip will do."""
        return self.loop != "restrict"

    @property
    def least(self):
        """Frames that a video must have; its last one has no flow."""
        return 1 + self._unused if self.wraps else self.span

    @property
    def _unused(self):
        return int(self.network.modality == "flow")

    def check(self, batch=None):
        """Refuses to play flow backwards."""
        super().check(batch)
        walks.check_flow(self.loop, self.network.modality)

    @property
    def choice(self):
        """The output that chooses, and its classes."""
        return ("pace", self.paces)

    @property
    def span(self):
        """Frames that a video must have: under `restrict`, those of the fastest clip."""
        return (self.frames if self.wraps else self._longest) + self._unused

    def testing(self):
        """Without changes of colour."""
        return self.having(jitter=False)

    def sample(self, length, start, rng):
        """Frames (T,) of one clip and its label ().

        A start that is given is the clip's first frame; under `bounce` the clip stays inside a
        video that is long enough, and begins earlier.
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
            start = min(start, length - self._longest)  # no turn where none is needed
        frames = walks.indices(self.frames, pace, start, length, self.loop)
        return frames, np.array(label, np.int32)

    def _start(self, length, pace, rng):
        """Anywhere; but the clip stays inside its video where loop and length let every pace."""
        if self.loop == "wrap" or length < self._longest:
            return int(rng.integers(length))
        stretch = rng.integers(length - self._longest + 1)
        return int(stretch + rng.integers(self._longest - span(self.frames, pace) + 1))

    def example(self, clip):
        """(rgb or flow, {"pace": label}), colours changed."""
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
        """{"pace": one logit for each pace}."""
        return self.heads(backbone, {"pace": len(self.paces)})

    def model(self, backbone):
        """The backbone with this task's outputs."""
        return keras.Model(backbone.input, self.outputs(backbone), name=self.name)

    def losses(self):
        """Cross-entropy."""
        return {"pace": (_cross_entropy, 1.0)}

    def metrics(self):
        """Share of clips whose largest logit is the pace's."""
        return {"pace_accuracy": _accuracy}


def _cross_entropy(y, outputs):
    return _of_examples(losses.cross_entropy(y["pace"], outputs["pace"]))


def _accuracy(y, outputs):
    return _of_examples(losses.accuracy(y["pace"], outputs["pace"]))


def _of_examples(values):
    """(N,) or (N, views) -> (N,): the mean over an example's clips."""
    return tf.reduce_mean(tf.reshape(values, (tf.shape(values)[0], -1)), 1)
