"""checksums/ID: lengths and checksums of the images of a video in folders.

uint32, little endian, (frames, 3, 2): length and `zlib.crc32` of RGB, u and v of each frame, 0
without flow. A checksum of these bytes, seeded with the id, follows.
"""

from __future__ import annotations

import os
import pathlib
import zlib

import numpy as np

from mas import files
from mas.records.layout import DamagedError

FOLDER = "checksums"
END = 4  # bytes of the final checksum


def text(video: str, images: dict[str, list[bytes]]) -> bytes:
    """Returns the content of a video's file, given its images: {part: files}."""
    table = np.zeros((len(images["rgb"]), 3, 2), "<u4")
    for place, part in enumerate(("rgb", "u", "v")):
        for frame, image in enumerate(images[part]):
            table[frame, place] = len(image), zlib.crc32(image)
    return table.tobytes() + _end(video, table.tobytes())


def _end(video, data):
    begin = zlib.crc32(video.encode("utf-8", "surrogateescape"))
    return zlib.crc32(data, begin).to_bytes(END, "little")


def frames(root: pathlib.Path) -> dict[str, int]:
    """Returns {id: number of frames} of the videos with checksums; -1 if the size is wrong."""
    found: dict[str, int] = {}
    for folder, _, names in os.walk(root / FOLDER):
        for name in names:
            path = pathlib.Path(folder, name)
            size = path.stat().st_size - END
            found[path.relative_to(root / FOLDER).as_posix()] = size // 24 if size % 24 == 0 else -1
    return found


def read(root: pathlib.Path, video: str) -> np.ndarray:
    """Reads the table of a video, uint32 (frames, 3, 2).

    Raises:
        DamagedError: If the file is missing or is not what was written.
    """
    path = root / FOLDER / video
    try:
        data = files.read_bytes(path)
    except OSError as error:
        raise DamagedError(f"{path}: {error.strerror}.") from error
    except ValueError as error:
        raise DamagedError(str(error)) from error
    if len(data) % 24 != END or data[-END:] != _end(video, data[:-END]):
        raise DamagedError(f"{path} must be as it was written. Received: other bytes.")
    return np.frombuffer(data[:-END], "<u4").reshape(-1, 3, 2)
