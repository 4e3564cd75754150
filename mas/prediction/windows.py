"""Cuts a stream of frames into windows; each frame is stored once even if windows overlap."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from mas.tasks import walks


@dataclasses.dataclass(frozen=True, eq=False)
class Cut:
    """The frames of a window.

    Attributes:
        number: number of the window in its video, from 0.
        start: time of its first frame, in seconds from the video's first frame.
        end: end of its last frame, in seconds from the video's first frame.
        frames: uint8 (T, S, S, 3), R G B.
        again: whether the video is shorter than the window, so that it is repeated.
    """

    number: int
    start: float
    end: float
    frames: np.ndarray
    again: bool = False


def cut(
    frames: Iterable[tuple[float, np.ndarray]],
    length: int,
    stride: int = 1,
    every: float | None = None,
    rate: float = 25.0,
) -> Iterator[Cut]:
    """Yields the windows of a video; memory holds only the frames that one window spans.

    A window begins at each frame nearest to a multiple of `every`. A window that would pass the
    last frame is left out. If no window fits, the video is repeated, as in training and test.

    Args:
        frames: (time in seconds, image) in order.
        length: number of frames in a window.
        stride: step between the frames of a window, in video frames.
        every: seconds between starts of windows; None: half the frames that a window spans.
        rate: frames per second, which gives the duration of a frame.
    """
    span = (length - 1) * stride + 1
    begins = _by_count(max(1, span // 2)) if every is None else _by_time(every, rate)
    held: collections.deque = collections.deque(maxlen=span)
    number = 0
    for time, image in frames:
        held.append((time, image, begins(time)))
        if len(held) == span and held[0][2]:
            images = np.stack([image for _, image, _ in list(held)[::stride]])
            yield Cut(number, held[0][0], time + 1 / rate, images)
            number += 1
    if held and not number:
        yield _repeated(list(held), length, stride, rate)


def _repeated(held, length, stride, rate):
    """The only window of a video shorter than a window."""
    places = walks.indices(length, stride, 0, len(held), "wrap")
    images = np.stack([held[place][1] for place in places])
    return Cut(0, held[0][0], held[-1][0] + 1 / rate, images, again=True)


def _by_count(step):
    """Returns a function that says whether a window begins at a frame: every `step` frames."""
    counted = iter(range(2**62))
    return lambda time: next(counted) % step == 0


def _by_time(every, rate):
    """Returns a function that says whether a window begins at a frame: every `every` seconds."""
    turn, early = 0, 0.5 / rate - 1e-6

    def begins(time):
        nonlocal turn
        if time < turn * every - early:
            return False
        turn = int((time + early) / every) + 1
        return True

    return begins
