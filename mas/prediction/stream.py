"""Streams the network's predictions for the windows of videos.

One thread per video decodes and cuts windows, a few videos ahead. The network runs in the caller's
thread on full batches, which may mix windows of several videos. Results come in the order of the
videos, and memory does not grow with their length.
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
    """The prediction for a window of a video.

    Attributes:
        video: name of the video.
        number: number of the window in the video, from 0.
        start: time of its first frame, in seconds from the video's first frame.
        end: end of its last frame, in seconds from the video's first frame.
        scores: float32 (classes,), probabilities of the classes.
        names: class names.
        again: whether the video is shorter than the window, so that it is repeated.
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
        """Number of the most likely class, from 0."""
        return int(self.scores.argmax())

    @property
    def name(self) -> str:
        """Name of the most likely class."""
        return self.names[self.label]

    @property
    def probability(self) -> float:
        """Probability of the most likely class."""
        return float(self.scores.max())

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The most likely classes with their probabilities, the most likely first."""
        return likeliest(self.scores, self.names, count)

    def __repr__(self) -> str:
        """The times and the most likely class."""
        times = f"{self.start:.2f} to {self.end:.2f} s"
        return f"Window({self.video!r}, {times}: {self.name} {self.probability:.2f})"


@dataclasses.dataclass(frozen=True)
class Failed:
    """The event of a read error; windows before the error have been yielded.

    Attributes:
        reason: description of the error.
    """

    reason: str


Event: TypeAlias = "Opened | Window | Ended | Failed"


def likeliest(scores: np.ndarray, names: Sequence[str], count: int) -> list[tuple[str, float]]:
    """The most likely classes with their probabilities.

    >>> likeliest(np.array([0.2, 0.5, 0.3]), ["run", "walk", "jump"], 2)
    [('walk', 0.5), ('jump', 0.3)]
    """
    order = np.argsort(-scores, kind="stable")[:count]
    return [(names[label], float(scores[label])) for label in order]


def events(
    classifier: Classifier, videos: Iterable[Footage], windows: Windows, pictures: int = 0
) -> Iterator[tuple[Footage, Event]]:
    """Yields the events of each video: `Opened`, its windows, and `Ended` or `Failed`.

    Args:
        classifier: the network.
        videos: videos in order; each is opened when it is needed.
        windows: settings of the windows and the batch size. Windows of an iterable do not wait
            for a full batch.
        pictures: number of thumbnails per video.

    Raises:
        FloatingPointError: If the network returns NaN or infinity.
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
    """Yields the waiting events, with predictions in place of the windows' frames."""
    cuts = [part.frames for _, part in waiting if isinstance(part, Cut)]
    scores = iter(classifier.scores(np.stack(cuts)) if cuts else ())
    for footage, part in waiting:
        if isinstance(part, Cut):
            place = (footage.name, part.number, part.start, part.end)
            part = Window(*place, next(scores), classifier.names, part.again)
        yield footage, part


def _parts(classifier, videos, windows, pictures):
    """Yields (video, part, whether its queue is empty), and reads a few videos ahead."""
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
            except Exception as error:  # of the source: parts before the error come first
                known = isinstance(error, video.VideoError | OSError) and not footage.live
                yield footage, Failed(_reason(error)) if known else error, True
            reading.popleft()
            begin()
    finally:
        for _, ahead in reading:
            ahead.stop()


def _reason(error):
    return getattr(error, "strerror", None) or str(error)
