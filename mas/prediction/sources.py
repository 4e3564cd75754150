"""Finds the videos at given paths and gives each a unique name."""

from __future__ import annotations

import os
import pathlib
import zlib
from collections.abc import Callable, Sequence

from absl import logging

from mas import checks, files, lists
from mas.checks import refuse

LONGEST = 230  # bytes of a name; file systems allow 255, endings included


def find(
    videos: str | os.PathLike | Sequence[str | os.PathLike],
    taken: Callable[[str, pathlib.Path], bool] | None = None,
) -> dict[str, pathlib.Path]:
    """Finds video files and names them.

    A file is named by its name without extension, or by its path below the given folder. If two
    would have the same name, the later one also gets the names of the folders above it.

    Args:
        videos: a file, a folder (searched at any depth), or several of either. A file given by its
            own path need not have a video extension.
        taken: function that says whether a name already belongs to another file.

    Returns:
        {name: file}, each file once, in the order of the paths, and within a folder by name.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If a folder has no video, or a path is a FIFO, socket or device.
    """
    given = [videos] if isinstance(videos, str | os.PathLike) else list(videos)
    if not given:
        refuse("videos", "a video file, a folder of them, or several of either", given)
    found: dict[str, pathlib.Path] = {}
    seen: set[str] = set()
    for one in given:
        for name, path in _videos_at(checks.path("videos", one)):
            real = os.path.realpath(path)
            if real not in seen:
                seen.add(real)
                found[_unique_name(name, path, found, taken)] = path
    return found


def _videos_at(path):
    """(name, file) of each video at a path."""
    if path.is_dir():
        videos, ignored = lists.find_videos(path)
        if ignored:
            count = lists.counted(len(ignored), "file")
            logging.info("Ignored %s without a video extension, such as %s.", count, ignored[0])
        return [(name, path / file) for name, file in videos.items()]
    try:
        kind = files.special(path)
    except OSError:
        raise FileNotFoundError(
            "videos must be a video file or a folder of them. "
            f"Received: videos={str(path)!r}: no such file or folder."
        ) from None
    if kind:
        refuse("videos", "a video file or a folder of them", f"{path}, {kind}")
    return [(lists.video_id(path.name), path)]


def _unique_name(name, path, found, taken):
    """The name, with as many parent folders as it needs to be unique."""
    above = list(path.absolute().parents)[len(pathlib.PurePath(name).parts) - 1 :]
    candidates = [name]
    for folder in above:
        if folder.name:
            candidates.append(f"{folder.name}/{candidates[-1]}")
    for candidate in map(_shortened, candidates):
        if candidate not in found and not (taken and taken(candidate, path)):
            return candidate
    raise ValueError(f"videos must have unique names. Received: {path}, {name} twice.")


def _shortened(name):
    """Shortens a name to fit a file name with an extension; a checksum keeps it unique."""
    parts = []
    for part in name.split("/"):
        known = os.fsencode(part)
        end = f"-{zlib.crc32(known):08x}"
        short = known[: LONGEST - len(end)].decode("utf-8", "ignore") + end
        parts.append(part if len(known) <= LONGEST else short)
    return "/".join(parts)
