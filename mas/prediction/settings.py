"""Settings of windows and of the results."""

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
        "Seconds between the starts of windows, by default half a clip.",
        form=NUMBER,
        least=0.001,
    )
    stride: int | None = option(
        None,
        "Frame step within a window, by default as in training.",
        form=INTEGER,
        least=1,
        most=MOST_STRIDE,
    )
    fps: float | None = option(
        None,
        "Frames per second to resample videos to; 0 keeps each video's own rate. By default as in "
        "training: the rate of mas prepare --fps if the run knows it, otherwise each video's own.",
        form=NUMBER,
        least=0,
        most=1000,
    )
    allow_damaged: bool = option(
        False, "Use the frames that decode from a truncated or damaged file.", advanced=True
    )
    batch: int = option(16, "Windows per batch.", least=1, free=True, advanced=True)
    decoders: int = option(
        0,
        "Videos to decode at a time; 0: half the cores, 8 at most.",
        least=0,
        free=True,
        advanced=True,
    )


@dataclasses.dataclass(frozen=True)
class Report(Settings):
    """What to write about a video.

    >>> Report(min_seconds=2).min_seconds
    2.0
    """

    top: int = option(5, "Number of most likely classes to write.", least=1)
    threshold: float = option(
        0.0,
        "Smallest probability of a window's class; segments skip windows below it.",
        least=0,
        most=1,
    )
    min_seconds: float = option(
        0.0, "Shortest segment in seconds; a shorter one joins its longer neighbour.", least=0
    )
    pages: bool = option(True, "Write an HTML page for each video and an overview.")
