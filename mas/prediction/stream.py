"""Videos -> the network's answer to each of their windows, as it comes.

A thread a video decodes and cuts, some videos ahead; the network runs in the caller's thread on
full batches, which may hold windows of several videos. What comes out is in the order of the
videos, and memory does not depend on how long they are.
"""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from mas import video
from mas.prediction.classifier import Classifier
from mas.prediction.footage import MOST_BYTES, Ahead, Ended, Footage, Opened
from mas.prediction.settings import Windows
from mas.prediction.windows import Cut


@dataclasses.dataclass(frozen=True, eq=False)
class Window:
    """What a classifier says of a stretch of a video.

    Attributes:
        video: its id.
        number: of the window in the video, from 0.
        start: of its first frame, in seconds since the video's first.
        end: of its last frame, likewise, with the time that this one is shown.
        scores: float32 (classes,), their probabilities.
        names: of the classes.
        again: whether the video is shorter than the window, and begins again in it.
    """

    video: str
    number: int
    start: float
    end: float
    scores: np.ndarray
    names: Sequence[str]
    again: bool = False

    @property
    def label(self) -> int:
        """The likeliest class, from 0."""
        return int(self.scores.argmax())

    @property
    def name(self) -> str:
        """That of the likeliest class."""
        return self.names[self.label]

    @property
    def probability(self) -> float:
        """That of the likeliest class."""
        return float(self.scores.max())

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The likeliest classes, each with its probability, the likeliest first."""
        return likeliest(self.scores, self.names, count)

    def __repr__(self) -> str:
        """The times, and the likeliest class."""
        times = f"{self.start:.2f} to {self.end:.2f} s"
        return f"Window({self.video!r}, {times}: {self.name} {self.probability:.2f})"


@dataclasses.dataclass(frozen=True)
class Failed:
    """A video that cannot be read in full; its windows before the fault have been yielded.

    Attributes:
        reason: in words.
    """

    reason: str


Event: TypeAlias = "Opened | Window | Ended | Failed"


def likeliest(scores: np.ndarray, names: Sequence[str], count: int) -> list[tuple[str, float]]:
    """The likeliest classes, each with its probability.

    >>> likeliest(np.array([0.2, 0.5, 0.3]), ["run", "walk", "jump"], 2)
    [('walk', 0.5), ('jump', 0.3)]
    """
    order = np.argsort(-scores, kind="stable")[:count]
    return [(names[label], float(scores[label])) for label in order]


def events(
    classifier: Classifier, videos: Iterable[Footage], windows: Windows, pictures: int = 0
) -> Iterator[tuple[Footage, Event]]:
    """Yields what happens: of each video `Opened`, its windows, and `Ended` or `Failed`.

    Args:
        classifier: the network.
        videos: in order; they are opened as they are needed.
        windows: where windows begin, and what goes through the network together. Those of frames
            that come from elsewhere do not wait for a batch to fill.
        pictures: thumbnails of each video that are wanted.

    Raises:
        FloatingPointError: the network gives what is no number.
    """
    waiting: list[tuple[Footage, Event | Cut]] = []
    count = 0
    for footage, part, idle in _parts(classifier, videos, windows, pictures):
        if isinstance(part, Exception):
            yield from _answered(classifier, waiting)
            raise part
        waiting.append((footage, part))
        count += isinstance(part, Cut)
        if count in (0, windows.batch) or (footage.live and idle):
            yield from _answered(classifier, waiting)
            waiting, count = [], 0
    yield from _answered(classifier, waiting)


def _answered(classifier, waiting):
    """The same with the network's answers in the place of the windows' frames."""
    cuts = [part.frames for _, part in waiting if isinstance(part, Cut)]
    scores = iter(classifier.scores(np.stack(cuts)) if cuts else ())
    for footage, part in waiting:
        if isinstance(part, Cut):
            place = (footage.name, part.number, part.start, part.end)
            part = Window(*place, next(scores), classifier.names, part.again)
        yield footage, part


def _parts(classifier, videos, windows, pictures):
    """Yields (video, part, whether nothing else of it waits), some videos being read ahead."""
    decoders = windows.decoders or max(1, min(8, (os.cpu_count() or 1) // 2))
    size = int(np.prod(classifier.task.shape))
    most = max(2, min(2 * windows.batch, MOST_BYTES // decoders // size))
    videos = iter(videos)
    reading: collections.deque[tuple[Footage, Ahead]] = collections.deque()

    def begin():
        for footage in videos:
            parts = footage.parts(classifier, windows, pictures)
            reading.append((footage, Ahead(parts, most)))
            return

    try:
        for _ in range(decoders):
            begin()
        while reading:
            footage, ahead = reading[0]
            try:
                for part in ahead:
                    yield footage, part, ahead.empty
            except Exception as error:  # of the source: what came before it is answered first
                known = isinstance(error, video.VideoError | OSError) and not footage.live
                yield footage, Failed(_reason(error)) if known else error, True
            reading.popleft()
            begin()
    finally:
        for _, ahead in reading:
            ahead.stop()


def _reason(error):
    return getattr(error, "strerror", None) or str(error)
