"""Frames from a file or from whatever yields them, cut into windows in a thread of its own."""

from __future__ import annotations

import dataclasses
import itertools
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from mas import video
from mas.checks import refuse
from mas.prediction import windows as cutting
from mas.prediction.classifier import Classifier
from mas.prediction.settings import Windows
from mas.prediction.windows import Cut
from mas.video.film import USUAL_RATE, Shot
from mas.video.reading import FINEST_RATE, resampled

WIDTH = 160  # of a thumbnail, in pixels
MOST_BYTES = 2**28  # of windows that wait for the network, of all videos together
PATIENCE = 0.1  # seconds between two looks at whether anyone still wants frames


@dataclasses.dataclass(frozen=True)
class Opened:
    """A video that has been opened.

    Attributes:
        seconds: how long it is by its container, often an estimate; 0 where that does not tell.
    """

    seconds: float


@dataclasses.dataclass(frozen=True, eq=False)
class Ended:
    """A video that has been read to its end.

    Attributes:
        frames: that were read, at the rate that they were brought to.
        rate: frames per second, as declared or as they were brought to.
        seconds: how long it is.
        damage: what is missing of it; "" for a whole one.
        pictures: [(seconds, uint8 (h, w, 3))], thumbnails spread over it.
    """

    frames: int
    rate: float
    seconds: float
    damage: str
    pictures: list[tuple[float, np.ndarray]]


class Pictures:
    """Some frames of a video whose length is not known, evenly spaced, made small.

    Args:
        most: so many are wanted; at least so many are kept of a longer video, below twice as many.
    """

    def __init__(self, most: int):
        """See the class."""
        self.kept: list[tuple[float, np.ndarray]] = []
        self._most, self._step, self._seen = most, 1, 0

    def add(self, time: float, frame: np.ndarray) -> None:
        """Looks at the next frame: uint8 (height, width, 3)."""
        if self._seen % self._step == 0 and self._most:
            size = WIDTH, max(1, round(frame.shape[0] * WIDTH / frame.shape[1]))
            self.kept.append((time, cv2.resize(frame, size, interpolation=cv2.INTER_AREA)))
            if len(self.kept) >= 2 * self._most:
                self.kept, self._step = self.kept[::2], 2 * self._step
        self._seen += 1


class Footage:
    """One video: a file, or frames that come from elsewhere.

    Args:
        name: of the video.
        source: path of the file; or an iterable of uint8 (height, width, 3), R G B.
        fps: frames per second of an iterable.
    """

    def __init__(self, name: str, source: Any, fps: float = 0.0):
        """See the class."""
        self.name, self.source, self.fps = name, source, fps

    @property
    def live(self) -> bool:
        """Whether the frames come from elsewhere, perhaps as they are made."""
        return not isinstance(self.source, str | os.PathLike)

    def parts(
        self, classifier: Classifier, windows: Windows, pictures: int = 0
    ) -> Iterator[Opened | Cut | Ended]:
        """Reads the video once: `Opened`, its windows, `Ended`.

        Args:
            classifier: says what a frame is made.
            windows: says where they begin.
            pictures: thumbnails that are wanted.

        Raises:
            video.VideoError: the file cannot be read in full.
            OSError: it is not there.
        """
        damage: list[str] = []
        declared, seconds = self._declared(classifier.fps)
        yield Opened(seconds)
        rate = classifier.fps or declared
        kept, count, last = Pictures(pictures), 0, 0.0

        def seen():
            nonlocal count, last
            for time, frame in self._frames(classifier, windows, damage):
                kept.add(time, frame)
                count, last = count + 1, time
                yield time, classifier.see(frame)

        task = classifier.task
        yield from cutting.cut(seen(), task.frames, task.stride, windows.every, rate)
        if not count and not self.live:
            raise video.VideoError(f"no frames at {rate:g} per second")
        yield Ended(count, rate, last + 1 / rate if count else 0, "".join(damage), kept.kept)

    def _declared(self, fps):
        """(frames per second, seconds) that are known beforehand."""
        if self.live:
            return self.fps, 0.0
        rate = video.frame_rate(self.source) or float(USUAL_RATE)
        return rate, video.declared_frames(self.source) / rate

    def _frames(self, classifier, windows, damage) -> Iterator[tuple[float, np.ndarray]]:
        fps = classifier.fps
        if not self.live:
            damaged: Callable | None = damage.append if windows.allow_damaged else None
            options = {"deinterlace": classifier.stored.deinterlace, "fps": fps}
            yield from video.timed(self.source, damaged=damaged, **options)
            return
        images = map(_checked, self.source)
        if fps is None or fps == self.fps:
            yield from ((number / self.fps, image) for number, image in enumerate(images))
            return
        shots = (Shot(number, 1, image) for number, image in enumerate(images))
        unit = 1 / Fraction(self.fps).limit_denominator(FINEST_RATE)
        places = itertools.count()
        for shot, times in resampled(shots, fps, unit, 1):
            yield from ((next(places) / fps, shot.frame) for _ in range(times))


def _checked(image):
    """A frame that an iterable gives, as an array."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        refuse("frames", "uint8 (height, width, 3), R G B", f"{image.dtype} {image.shape}")
    return image


class Ahead:
    """An iterable that a thread reads ahead of the one who takes from it.

    Args:
        source: what is read; its error is raised where it occurred.
        most: how many wait to be taken.
    """

    def __init__(self, source: Iterable, most: int):
        """Begins to read."""
        self._queue: queue.Queue = queue.Queue(most)
        self._unwanted = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(source,), daemon=True)
        self._thread.start()

    def _read(self, source):
        try:
            for part in source:
                if not self._put((part, None)):
                    return
            self._put((None, StopIteration()))
        except BaseException as error:  # whatever it is, it is raised where it is waited for
            self._put((None, error))
        finally:
            close = getattr(source, "close", None)
            if close:
                close()

    def _put(self, part):
        while not self._unwanted.is_set():
            try:
                self._queue.put(part, timeout=PATIENCE)
                return True
            except queue.Full:
                continue
        return False

    @property
    def empty(self) -> bool:
        """Whether nothing waits at the moment."""
        return self._queue.empty()

    def __iter__(self) -> Iterator:
        """What the source yields, in its order."""
        while True:
            part, error = self._queue.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield part

    def stop(self) -> None:
        """Lets the thread end after what it is reading at the moment."""
        self._unwanted.set()
