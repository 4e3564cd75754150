"""checksums/ID: lengths and checksums of the images of a video in folders.

uint32, little endian, (frames, 3, 2): length and `zlib.crc32` of r g b, u and v of each frame, 0
where there is no flow; and the checksum of all that, begun with the id.
"""

from __future__ import annotations

import os
import pathlib
import zlib

import numpy as np

from mas import files
from mas.records.layout import DamagedError

FOLDER = "checksums"
END = 4  # bytes of the last checksum


def text(video: str, images: dict[str, list[bytes]]) -> bytes:
    """What the file of a video holds, from its images: {part: files}."""
    table = np.zeros((len(images["rgb"]), 3, 2), "<u4")
    for place, part in enumerate(("rgb", "u", "v")):
        for frame, image in enumerate(images[part]):
            table[frame, place] = len(image), zlib.crc32(image)
    return table.tobytes() + _end(video, table.tobytes())


def _end(video, data):
    begin = zlib.crc32(video.encode("utf-8", "surrogateescape"))
    return zlib.crc32(data, begin).to_bytes(END, "little")


def frames(root: pathlib.Path) -> dict[str, int]:
    """{id: frames} of the videos of a data set that have the file; {} without any."""
    found: dict[str, int] = {}
    for folder, _, names in os.walk(root / FOLDER):
        for name in names:
            path = pathlib.Path(folder, name)
            size = path.stat().st_size - END
            found[path.relative_to(root / FOLDER).as_posix()] = size // 24 if size % 24 == 0 else -1
    return found


def read(root: pathlib.Path, video: str) -> np.ndarray:
    """uint32 (frames, 3, 2) of a video.

    Raises:
        DamagedError: the file is gone or is not what was written; names it.
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
