"""The frames of a video in order -> windows: every frame is held once, however windows overlap."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from mas.tasks import walks


@dataclasses.dataclass(frozen=True, eq=False)
class Cut:
    """What a network sees of a stretch of a video.

    Attributes:
        number: of the window in its video, from 0.
        start: of its first frame, in seconds since the video's first.
        end: of its last frame, likewise, with the time that this one is shown.
        frames: uint8 (T, S, S, 3), R G B.
        again: whether the video is shorter than the window, and begins again in it.
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
    """Yields the windows of a video, of which no more frames are held than one window spans.

    A window begins at every frame whose time is nearest to a multiple of `every`. One that would
    pass the last frame is left out, unless it would be the only one: then the video begins again,
    as in training and test.

    Args:
        frames: (time in seconds, image) in order.
        length: frames of a window.
        stride: frames of the video from one of a window to the next.
        every: seconds from one start to the next; None: half of what a window spans, in frames.
        rate: frames per second, for how long a frame is shown.
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
        yield _again(list(held), length, stride, rate)


def _again(held, length, stride, rate):
    """The only window of a video that is shorter than one."""
    places = walks.indices(length, stride, 0, len(held), "wrap")
    images = np.stack([held[place][1] for place in places])
    return Cut(0, held[0][0], held[-1][0] + 1 / rate, images, again=True)


def _by_count(step):
    """Whether a window begins at a frame: every `step` frames."""
    counted = iter(range(2**62))
    return lambda time: next(counted) % step == 0


def _by_time(every, rate):
    """Whether a window begins at a frame: the first that is not half a frame before its turn."""
    turn, early = 0, 0.5 / rate - 1e-6

    def begins(time):
        nonlocal turn
        if time < turn * every - early:
            return False
        turn = int((time + early) / every) + 1
        return True

    return begins
