"""checksums/ID: lengths and checksums of the images of a video in folders.

uint32, little endian, (frames, 3, 2): length and `zlib.crc32` of RGB, u and v of each frame, 0
without flow. The frame rate follows as a float64, which earlier versions left out, then a checksum
of these bytes, seeded with the id.
"""

from __future__ import annotations

import os
import pathlib
import struct
import zlib

import numpy as np

from mas import files
from mas.records.layout import DamagedError

FOLDER = "checksums"
ROW, RATE, END = 24, 8, 4  # bytes of a frame, of the frame rate, and of the final checksum


def text(video: str, images: dict[str, list[bytes]], rate: float) -> bytes:
    """Returns the content of a video's file, given its images and its frames per second.

    Args:
        video: id.
        images: {part: files}.
        rate: 0 if unknown.
    """
    table = np.zeros((len(images["rgb"]), 3, 2), "<u4")
    for place, part in enumerate(("rgb", "u", "v")):
        for frame, image in enumerate(images[part]):
            table[frame, place] = len(image), zlib.crc32(image)
    data = table.tobytes() + struct.pack("<d", rate)
    return data + _end(video, data)


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
            right = size % ROW in (0, RATE)
            found[path.relative_to(root / FOLDER).as_posix()] = size // ROW if right else -1
    return found


def read(root: pathlib.Path, video: str) -> np.ndarray:
    """Reads the table of a video, uint32 (frames, 3, 2).

    Raises:
        DamagedError: If the file is missing or is not what was written.
    """
    data = _read(root, video)
    return np.frombuffer(data[: len(data) // ROW * ROW], "<u4").reshape(-1, 3, 2)


def rate(root: pathlib.Path, video: str) -> float:
    """Returns the frames per second of a video; 0 if unknown, or written by an earlier version.

    Raises:
        DamagedError: As for `read`.
    """
    data = _read(root, video)
    return struct.unpack("<d", data[-RATE:])[0] if len(data) % ROW == RATE else 0.0


def _read(root, video):
    """Reads the file without its final checksum, which must fit."""
    path = root / FOLDER / video
    try:
        data = files.read_bytes(path)
    except OSError as error:
        raise DamagedError(f"{path}: {error.strerror}.") from error
    except ValueError as error:
        raise DamagedError(str(error)) from error
    if len(data) % ROW not in (END, RATE + END) or data[-END:] != _end(video, data[:-END]):
        raise DamagedError(f"{path} must be unchanged. Received: other bytes.")
    return data[:-END]
