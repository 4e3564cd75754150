"""Opens data sets of all formats."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from absl import logging

from mas import checks, lists
from mas.files import PathLike
from mas.records.description import Faults, described
from mas.records.folders import Folders
from mas.records.frames import listed
from mas.records.images import decode
from mas.records.layout import FLOW_FOLDER, RGB_FOLDER, damaged, shard_numbers
from mas.records.shards import Shards
from mas.records.videos import Videos


def open_data(data: PathLike, flow: bool = False, allow_missing: bool = False) -> Data:
    """Opens a prepared data set of either format, or a folder of video files.

    Args:
        data: folder of the data set.
        flow: whether flow is needed. Data without flow are then rejected; video files before they
            are measured.
        allow_missing: whether to open prepared data that lack a shard, a folder or frames, or do
            not match what was written, without the faulty parts, which are logged as warnings.

    Returns:
        A `Shards`, `Folders` or `Videos`. Attributes: `videos` (list of ids), `lengths` (int array,
        number of frames), `sizes` (int array, height and width, or None if unknown), `has_flow`,
        `failures` ({path: reason} for videos that could not be prepared or read), and `decoded`,
        the kind of access: prepared formats have `read(number, frames, flow_frames)`, which returns
        JPEG files, and `Videos` has `frames(number, frames, size)`, which returns pixels.
        `rate(number)` is the number of frames per second, 0.0 if unknown.

    Raises:
        FileNotFoundError: If the folder does not exist or contains none of these formats.
        ValueError: If preparation was interrupted, something is missing or is not what was written,
            no video file can be read, or flow is needed and missing.

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> (folder / "jpegs_256" / "walk" / "ann").mkdir(parents=True)
    >>> (folder / "jpegs_256" / "walk" / "ann" / "frame000001.jpg").touch()
    >>> open_data(folder).videos
    ['walk/ann']
    """
    root = checks.path("data", data, "a folder")
    found = _prepared(root, flow, allow_missing) if root.is_dir() else None
    if found is None:
        try:
            videos, ignored = lists.find_videos(root)
        except ValueError:
            if not root.is_dir() or not any(images for _, images, _ in listed(root)):
                raise FileNotFoundError(
                    f"data must be a folder that mas.prepare wrote, one with {RGB_FOLDER}/ and "
                    f"{FLOW_FOLDER}/, or one of video files. Received: {root}"
                    f"{'' if root.is_dir() else ', which is not a folder'}."
                ) from None
            found = Folders(root, flow, Faults(root, allow_missing))
    if flow and not (found and found.has_flow):
        lack = "was prepared without" if found else "contains video files"
        raise ValueError(
            "data must contain optical flow: prepare the videos with flow=tvl1 or dis. "
            f"Received: {root}, which {lack}."
        )
    if found is not None:
        return found
    if ignored:
        files = lists.counted(len(ignored), "file")
        logging.info("Ignored %s without a video extension, such as %s.", files, ignored[0])
    return Videos(root, videos)


def opened(data: Any, flow: bool = False, allow_missing: bool = False) -> Any:
    """Returns an open data set; opens it with `open_data` if it is given as a folder.

    Raises:
        FileNotFoundError, ValueError: See `open_data`; or if `data` is neither.
    """
    if isinstance(data, str | os.PathLike):
        return open_data(data, flow, allow_missing)
    if not hasattr(data, "videos"):
        allowed = "what mas.prepare_videos or mas.open_data returned, or a folder"
        checks.refuse("data", allowed, data)
    return data


def pictures(data: Any, number: int, frames: Sequence[int] | np.ndarray) -> list[np.ndarray]:
    """Reads whole frames of a video, for display, from any kind of data set.

    Args:
        data: an open data set.
        number: index of the video in its `videos`.
        frames: frame indices, from 0.

    Returns:
        List of uint8 (height, width, 3), R G B.

    Raises:
        IndexError: If the video does not have such a frame.
        ValueError: If a frame is not what was written, or does not decode.
        OSError: If the file does not exist any more.
    """
    if data.decoded:
        height, width = data.sizes[number]
        return list(data.frames(number, frames, (int(width), int(height))))
    found = []
    for frame, file in zip(frames, data.read(number, frames)[0], strict=True):
        picture = decode(file, 3)
        if picture is None:
            raise damaged(data.path(number, "rgb", frame), data.videos[number], frame, file)
        found.append(picture)
    return found


def _prepared(root, flow, allow_missing):
    """Opens a data set of a prepared format; returns None if the folder does not hold one."""
    form = described(root).get("form")
    if form is not None:
        return READERS[form](root, flow, Faults(root, allow_missing))
    if (root / "plan.json").is_file() or shard_numbers(root):
        raise ValueError(
            f"{root} must be a finished data set. Received: one whose preparation was interrupted; "
            "prepare the same videos again to resume."
        )
    return (
        Folders(root, flow, Faults(root, allow_missing)) if (root / RGB_FOLDER).is_dir() else None
    )


READERS = {"shards": Shards, "folders": Folders}
Data: TypeAlias = "Shards | Folders | Videos"
