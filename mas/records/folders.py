"""Folders of frames, read at random."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from mas.files import PathLike
from mas.records.description import known_failures
from mas.records.layout import FLOW_FOLDER, FRAME_FILE, RGB_FOLDER, check_frames

FRAME_FILES = (FRAME_FILE, "{:05d}.jpg", "img_{:05d}.jpg", "image_{:05d}.jpg")


class Folders:
    """A data set in folders of JPEG files, read at random."""

    decoded = False
    verified = False

    def __init__(
        self,
        data: PathLike,
        flow: bool = False,
        allow_missing: bool = False,
        known: dict[str, Any] | None = None,
    ):
        """Lists every folder of frames below jpegs_256/ and counts its files.

        The first video tells how all frames are named: as one of `FRAME_FILES`.
        """
        self.data, self.failures = pathlib.Path(data), known_failures(data)
        found = sorted(self._walk(self.data / RGB_FOLDER))
        self.videos = [video for video, _ in found]
        self._frame_file = self._named(self.data / RGB_FOLDER / found[0][0]) if found else None
        self.lengths = np.array([length for _, length in found], np.int64)
        self.sizes = None  # known only once a file is decoded
        self.has_flow = all((self.data / FLOW_FOLDER / part).is_dir() for part in "uv")

    def _walk(self, folder, prefix=""):
        count, below = 0, []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    if not (entry.name.startswith(".") and entry.name.endswith(".tmp")):
                        below.append(entry.name)
                elif entry.name.endswith(".jpg"):
                    count += 1
        if count:
            yield prefix, count
        for name in below:
            yield from self._walk(pathlib.Path(folder, name), f"{prefix}/{name}".lstrip("/"))

    def _named(self, folder):
        """The first of `FRAME_FILES` that frame 1 has; ours if it has none, and reading fails."""
        named = (name for name in FRAME_FILES if (folder / name.format(1)).is_file())
        return next(named, FRAME_FILE)

    def _flow_folder(self, component, video):
        """The flow of `Class/video` may lie in `video` alone: the journal code's layout."""
        parent = self.data / FLOW_FOLDER / component
        nested = parent / video
        return nested if nested.is_dir() else parent / video.rsplit("/", 1)[-1]

    def read(
        self, number: int, frames: Sequence[int], flow_frames: Sequence[int] = ()
    ) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """The JPEG files of some frames of one video: as `Shards.read`."""

        def load(folder, indices, name=FRAME_FILE):
            return [(folder / name.format(index + 1)).read_bytes() for index in indices]

        check_frames(self, number, frames, flow_frames)
        video = self.videos[number]
        flow = [
            load(self._flow_folder(component, video), flow_frames) if len(flow_frames) else []
            for component in ("u", "v")
        ]
        return load(self.data / RGB_FOLDER / video, frames, self._frame_file), *flow

    def path(self, number: int, part: str = "rgb", frame: int = 0) -> pathlib.Path:
        """The file that holds a frame of a video; `part` is rgb, u or v."""
        if part == "rgb":
            folder, name = self.data / RGB_FOLDER / self.videos[number], self._frame_file
        else:
            folder, name = self._flow_folder(part, self.videos[number]), FRAME_FILE
        return folder / name.format(frame + 1)

    def rate(self, number: int) -> float:
        """Frames per second of a video: unknown, 0.0."""
        return 0.0
