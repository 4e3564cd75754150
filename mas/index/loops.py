"""Moving thumbnails of an index's clips, read from the videos."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from mas import pages, records
from mas.checks import refuse
from mas.pages.pictures import WIDTH

if TYPE_CHECKING:
    from mas.index.index import Index

UNKNOWN_RATE = 25.0  # frames per second of a loop if the video's rate is unknown
FRAMES = 10  # per loop: a page has hundreds of loops


class Loops:
    """Makes the moving thumbnail of a clip of an index, and its caption.

    A video that can no longer be read gets a blank; a warning names the first one.

        loops = Loops(index)
        pages.card(loops(7), *loops.caption(7))
    """

    def __init__(
        self,
        index: Index,
        width: int = WIDTH,
        frames: int = FRAMES,
        data: str | os.PathLike | None = None,
    ):
        """Opens nothing yet.

        Args:
            index: an open index.
            width: longer side of a thumbnail, in pixels.
            frames: number of frames in a loop, evenly spaced over the clip. The loop lasts as long
                as the clip.
            data: folder of the videos, if they were moved.
        """
        self._moved = data
        self.index, self.width, self.frames = index, width, frames
        self.lost: set[str] = set()  # videos shown as blanks
        self._data: dict[str, Any] = {}
        self._numbers: dict[str, dict[str, int]] = {}

    def __call__(self, row: int) -> pages.Markup:
        """Makes the thumbnail of the clip in a row."""
        video = self._video(row)
        span = self.index.frames
        count = min(span, self.frames)
        places = int(self.index.clips["first"][row]) + np.arange(count) * span // count
        try:
            found = self._read(video, np.minimum(places, video.frames - 1))
        except (OSError, ValueError, IndexError, RuntimeError) as error:
            if not self.lost:
                why = str(error).splitlines()[0]
                logging.warning(
                    "No thumbnails of %s, and maybe of other videos: %s", video.video, why
                )
            self.lost.add(video.video)
            return pages.blank(video.video)
        rate = (video.rate or UNKNOWN_RATE) * count / span
        return pages.moving(found, rate, f"{video.video}, {self.time(row)}", self.width)

    def caption(self, row: int) -> tuple[pages.Markup, str]:
        """A clip's video and time, as lines of a card."""
        return pages.bold(pages.name_text(self._video(row).video)), self.time(row)

    def time(self, row: int) -> str:
        """Start of a clip as a time, or as a frame if the rate is unknown."""
        first, rate = int(self.index.clips["first"][row]), self._video(row).rate
        return pages.time_text(first / rate) if rate else f"frame {first + 1}"

    def _video(self, row):
        return self.index.videos[int(self.index.clips["video"][row])]

    def _read(self, video, frames):
        folder = os.fspath(self._moved or video.data)
        if folder not in self._data:
            self._data[folder] = data = records.open_data(folder)
            self._numbers[folder] = {name: n for n, name in enumerate(data.videos)}
        data, number = self._data[folder], self._numbers[folder].get(video.video)
        if number is None:
            raise ValueError(f"{folder} must contain {video.video}. Received: no such video.")
        if int(data.lengths[number]) != video.frames:
            allowed = f"{video.frames} for {video.video}, as in the index"
            refuse("frames", allowed, int(data.lengths[number]))
        return records.pictures(data, number, frames)
