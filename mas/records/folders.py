"""Random access to frames in folders."""

from __future__ import annotations

import pathlib
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging

from mas import files
from mas.files import PathLike
from mas.records import measures, sums
from mas.records.description import MOST_NAMED, Faults, described
from mas.records.frames import KNOWN, Naming, image_names, listed, recognise
from mas.records.layout import (
    FLOW_FOLDER,
    RGB_FOLDER,
    DamagedError,
    check_frames,
    damaged,
    read_failures,
)

PARTS = ("rgb", "u", "v")


class Folders:
    """A data set in folders of images, with random access."""

    decoded = False
    sizes = None  # known only once a file is decoded

    def __init__(
        self,
        data: PathLike,
        flow: bool = False,
        faults: Faults | None = None,
        known: dict[str, Any] | None = None,
    ):
        """Lists all folders of frames and recognises the naming of the frames.

        Args:
            data: folder that contains `jpegs_256/`, or the folders of frames.
            flow: whether flow is needed and should be checked.
            faults: collects faults; None raises them.
            known: content of dataset.json, if it should not be read.

        Raises:
            ValueError: If something is missing, has an unknown name, or is not what was written.
        """
        self.data = pathlib.Path(data)
        self._top = self.data / RGB_FOLDER
        self._top = self._top if self._top.is_dir() else self.data
        known = described(self.data) if known is None else known
        faults = faults or Faults(self.data, False)
        self._sums = sums.frames(self.data)
        found = self._listed(faults)
        self._check_sums(known, found, faults)
        measured = [video for video in found if video not in self._sums]
        self._measure({video: found[video] for video in measured}, faults)
        self.verified = not measured
        self._parts = {video: parts for video, (parts, _) in found.items()}
        self._flow: dict[tuple[str, str], tuple[Naming, int]] = {}  # flow in separate folders
        self.has_flow = self._has_flow(known)
        if flow and self.has_flow:
            self._check_flow(faults)
        self.videos = sorted(video for video in found if not faults.names(self._top / video))
        lengths = [self._parts[video]["rgb"][1] for video in self.videos]
        self.lengths = np.array(lengths, np.int64)
        faults.check_counts(known, len(self.videos), sum(lengths))
        self.failures = read_failures(self.data) | faults.report()
        if not self.videos and "form" not in known:
            raise ValueError(f"{self._top} must contain folders of frames. Received: none.")

    def _listed(self, faults):
        """Returns {id: ({part: (Naming, count)}, names of images)} for the folders of frames."""
        found = {}
        for video, names, other in listed(self._top):
            folder = self._top / video
            try:
                parts = recognise(folder, names)
                if "rgb" not in parts:
                    other = min(names, default=other) or "no file"
                    raise ValueError(
                        f"{folder} must contain frames named {KNOWN}, .jpg or .png. "
                        f"Received: {other}."
                    )
                found[video] = parts, names
            except ValueError as error:
                faults.add_error(folder, error)
        return found

    def _check_sums(self, known, found, faults):
        """Compares the folders with the checksum files."""
        wanted = {*self._sums, *(found if known.get("checksums") else ())}
        for video in sorted(wanted):
            folder, count = self._top / video, self._sums.get(video)
            file = self.data / sums.FOLDER / video
            if count is None:
                faults.add(folder, f"must have checksums in {file}. Received: no such file")
            elif count < 0:
                words = "must be unchanged. Received: the wrong number of bytes."
                faults.add_error(folder, ValueError(f"{file} {words}"))
            elif video not in found:
                faults.add(folder, f"must contain {count} frames. Received: none")
            elif found[video][0]["rgb"][1] != count:
                there = found[video][0]["rgb"][1]
                faults.add(folder, f"must contain {count} frames. Received: {there}")

    def _measure(self, folders, faults):
        """Reports frames without checksums that are not images or differ in size."""
        top = self._top.relative_to(self.data)
        names = {str(top / video): found[1] for video, found in folders.items()}
        unreadable = []
        for folder, (first, odd) in measures.measure(self.data, names).items():
            if odd:
                faults.add_error(self.data / folder, ValueError(odd))
            if first:
                unreadable.append(self.data / folder / first)
        for path in sorted(unreadable)[:MOST_NAMED]:
            logging.warning("%s is not a readable image.", path)
        if len(unreadable) > MOST_NAMED:
            logging.warning("%s: %d videos have unreadable frames.", self._top, len(unreadable))

    def _has_flow(self, known):
        if "method" in known:
            return known["method"] != "none"
        inside = bool(self._parts) and all(len(parts) == 3 for parts in self._parts.values())
        return inside or all((self.data / FLOW_FOLDER / part).is_dir() for part in "uv")

    def _check_flow(self, faults):
        """Compares the flow of each video with its frames."""
        for video, parts in self._parts.items():
            for part in "uv":
                folder, least = self._folder(part, video), parts["rgb"][1] - 1
                try:
                    count = self._part(part, video)[1] if least else 0
                    if count < least:
                        raise ValueError(
                            f"{folder} must contain flow of {least} frames. Received: {count}."
                        )
                except (OSError, ValueError) as error:
                    faults.add_error(self._top / video, error)

    def _folder(self, part, video):
        """Returns a part's folder; the journal's layout has flow of `Class/video` in `video`."""
        if part in self._parts[video]:
            return self._top / video
        parent = self.data / FLOW_FOLDER / part
        nested = parent / video
        return nested if nested.is_dir() else parent / video.rsplit("/", 1)[-1]

    def _part(self, part, video):
        """Returns (Naming, count) of a part of a video; lists separate flow folders on demand."""
        if part in self._parts[video]:
            return self._parts[video][part]
        if (part, video) not in self._flow:
            folder = self._folder(part, video)
            found = recognise(folder, image_names(folder))
            found = found.get(part) or found.get("rgb") or (Naming("", 1, 0, ""), 0)
            self._flow[part, video] = found
        return self._flow[part, video]

    def has_checksums(self, number: int) -> bool:
        """Whether the images of a video have checksums."""
        return self.videos[number] in self._sums

    def path(self, number: int, part: str = "rgb", frame: int = 0) -> pathlib.Path:
        """Returns the file that contains a frame of a video; `part` is rgb, u or v."""
        video = self.videos[number]
        return self._folder(part, video) / self._part(part, video)[0].name(frame)

    def read(
        self, number: int, frames: Sequence[int], flow_frames: Sequence[int] = ()
    ) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """Reads the image files of some frames of a video; see `Shards.read`."""
        check_frames(self, number, frames, flow_frames)
        video = self.videos[number]
        table = sums.read(self.data, video) if video in self._sums else None

        def load(place, part, indices):
            if not len(indices):
                return []
            try:
                folder, naming = self._folder(part, video), self._part(part, video)[0]
            except OSError as error:
                raise DamagedError(f"{error.filename}: {error.strerror}.") from error
            images = []
            for frame in indices:
                path = folder / naming.name(frame)
                try:
                    image = files.read_bytes(path)
                except OSError as error:
                    raise damaged(path, video, frame, error.strerror) from error
                except ValueError as error:
                    raise DamagedError(str(error)) from error
                if table is not None:
                    length, checksum = table[frame, place]
                    if len(image) != length or zlib.crc32(image) != checksum:
                        raise damaged(path, video, frame, image)
                images.append(image)
            return images

        return tuple(
            load(place, part, flow_frames if place else frames) for place, part in enumerate(PARTS)
        )

    def rate(self, number: int) -> float:
        """Returns the frames per second of a video; 0.0 if unknown.

        Frames extracted by other tools, and those of earlier versions, do not tell it.

        Raises:
            DamagedError: If the file with the checksums is not what was written.
        """
        video = self.videos[number]
        return sums.rate(self.data, video) if video in self._sums else 0.0
