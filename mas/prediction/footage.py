"""Frames of a file or an iterable, read and cut into windows in a separate thread."""

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
MOST_BYTES = 2**28  # of windows waiting for the network, all videos together
PATIENCE = 0.1  # seconds between checks whether frames are still wanted


@dataclasses.dataclass(frozen=True)
class Opened:
    """The event of opening a video.

    Attributes:
        seconds: length declared by the container, often an estimate; 0 if unknown.
    """

    seconds: float


@dataclasses.dataclass(frozen=True, eq=False)
class Ended:
    """The event of reaching the end of a video.

    Attributes:
        frames: number of frames read, after resampling.
        rate: frames per second, as declared or after resampling.
        seconds: length of the video.
        damage: description of missing frames; "" for an intact video.
        pictures: [(seconds, uint8 (h, w, 3))], thumbnails spread over the video.
    """

    frames: int
    rate: float
    seconds: float
    damage: str
    pictures: list[tuple[float, np.ndarray]]


class Pictures:
    """Evenly spaced thumbnails of a video of unknown length.

    Args:
        most: number of thumbnails wanted. A longer video keeps at least this many, and fewer than
            twice as many.
    """

    def __init__(self, most: int):
        """See the class."""
        self.kept: list[tuple[float, np.ndarray]] = []
        self._most, self._step, self._seen = most, 1, 0

    def add(self, time: float, frame: np.ndarray) -> None:
        """Takes the next frame, uint8 (height, width, 3), and keeps it if it is due."""
        if self._seen % self._step == 0 and self._most:
            size = WIDTH, max(1, round(frame.shape[0] * WIDTH / frame.shape[1]))
            self.kept.append((time, cv2.resize(frame, size, interpolation=cv2.INTER_AREA)))
            if len(self.kept) >= 2 * self._most:
                self.kept, self._step = self.kept[::2], 2 * self._step
        self._seen += 1


class Footage:
    """A video: a file or an iterable of frames.

    Args:
        name: name of the video.
        source: path of a file; or an iterable of uint8 (height, width, 3), R G B.
        fps: frames per second of an iterable.
    """

    def __init__(self, name: str, source: Any, fps: float = 0.0):
        """See the class."""
        self.name, self.source, self.fps = name, source, fps

    @property
    def live(self) -> bool:
        """Whether the frames come from an iterable, such as a camera."""
        return not isinstance(self.source, str | os.PathLike)

    def parts(
        self, classifier: Classifier, windows: Windows, pictures: int = 0
    ) -> Iterator[Opened | Cut | Ended]:
        """Reads the video once and yields `Opened`, its windows and `Ended`.

        Args:
            classifier: preprocesses the frames.
            windows: settings of the windows.
            pictures: number of thumbnails.

        Raises:
            video.VideoError: If the file cannot be read in full.
            OSError: If there is no such file.
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
        """(frames per second, seconds) as declared, before reading."""
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
    """Checks a frame from an iterable and returns it as an array."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        refuse("frames", "uint8 (height, width, 3), R G B", f"{image.dtype} {image.shape}")
    return image


class Ahead:
    """Reads an iterable ahead in a thread.

    Args:
        source: the iterable; its error is raised at the place where it occurred.
        most: largest number of items that wait in the queue.
    """

    def __init__(self, source: Iterable, most: int):
        """Starts reading."""
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
        except BaseException as error:  # any error is raised in the consumer's thread
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
        """Whether the queue is empty at the moment."""
        return self._queue.empty()

    def __iter__(self) -> Iterator:
        """Yields the items of the source in order."""
        while True:
            part, error = self._queue.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield part

    def stop(self) -> None:
        """Lets the thread end after the current item."""
        self._unwanted.set()
