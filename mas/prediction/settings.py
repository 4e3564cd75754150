"""What a video is cut into, and what is written about it."""

from __future__ import annotations

import dataclasses

from mas.checks import Settings, option
from mas.forms import INTEGER, NUMBER

MOST_STRIDE = 10_000  # frames


@dataclasses.dataclass(frozen=True)
class Windows(Settings):
    """The windows of a video that a classifier sees.

    >>> Windows(every=0.5).every
    0.5
    """

    every: float | None = option(
        None,
        "Seconds from the start of one window to that of the next, by default half a clip.",
        form=NUMBER,
        least=0.001,
    )
    stride: int | None = option(
        None,
        "Frames of the video from one of a window to the next, by default the training's.",
        form=INTEGER,
        least=1,
        most=MOST_STRIDE,
    )
    fps: float | None = option(
        None,
        "Frames per second that each video is brought to by its times; 0 takes each video's own. "
        "By default as in training: the rate of mas prepare --fps, where the run knows of one, "
        "else each video's own.",
        form=NUMBER,
        least=0,
        most=1000,
    )
    allow_damaged: bool = option(
        False, "Take the frames that decode of a file that is cut or damaged.", advanced=True
    )
    batch: int = option(
        16, "Windows that go through the network together.", least=1, free=True, advanced=True
    )
    decoders: int = option(
        0,
        "Videos that are decoded at a time; 0: half the cores, 8 at most.",
        least=0,
        free=True,
        advanced=True,
    )


@dataclasses.dataclass(frozen=True)
class Report(Settings):
    """What is written about a video.

    >>> Report(min_seconds=2).min_seconds
    2.0
    """

    top: int = option(5, "Likeliest classes that are named.", least=1)
    threshold: float = option(
        0.0,
        "Probability below which a window's likeliest class counts as none: segments leave it out.",
        least=0,
        most=1,
    )
    min_seconds: float = option(
        0.0, "Shortest segment: a shorter one joins the longer of its neighbours.", least=0
    )
    pages: bool = option(True, "Write an html page for each video, and one that lists them.")
