"""Files of an index and their checksums.

    INDEX/index.json     network, settings, and the valid length and checksum of each file below;
                         the only file that is replaced, and always written last
        videos.csv       video, data (folder), frames, rate (per second, 0: unknown), clips; `crc32`
        clips.bin        a `CLIP` for each clip: number of its video, first frame, scale
        vectors.f16      float16 (clips, D), little endian: features divided by their clip's scale
        unit-N.f16       float16 (clips, K): whitened features of length 1, which a search compares
        whitening-N.f64  float64 (1 + K, D): the mean and the K whitening directions

Files only grow. Bytes past the length in index.json come from a call that was killed: readers
ignore them, and the next call overwrites them. N changes each time the whitening is fitted again,
so a reader can keep using the files it opened.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import pathlib
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from mas import checks, files, pages, records

VERSION = 1
STATE, VIDEOS, CLIPS, VECTORS = "index.json", "videos.csv", "clips.bin", "vectors.f16"
GROWING = (VIDEOS, CLIPS, VECTORS)
CLIP = np.dtype([("video", "<i4"), ("first", "<i4"), ("scale", "<f4")])
HALF, DOUBLE = np.dtype("<f2"), np.dtype("<f8")
WHITEN = 32  # default size of whitened features
MOST_STATE = 16 * 2**20  # bytes of index.json
_READ = 2**24  # bytes at a time


class DamagedIndexError(ValueError):
    """Raised for a damaged file of an index; the message names the file."""


class Video(NamedTuple):
    """A line of videos.csv."""

    video: str
    data: str  # folder of the data set
    frames: int
    rate: float  # frames per second, 0 if unknown
    clips: int


FIELDS = (*Video._fields, "crc32")


def damaged(path: str | os.PathLike, wanted: str, received: str) -> DamagedIndexError:
    """Makes the error for a damaged file of an index."""
    return DamagedIndexError(
        f"{path} must {wanted}. Received: {received}. Remove the folder and make the index again."
    )


def read_state(root: pathlib.Path) -> dict[str, Any]:
    """Reads index.json.

    Raises:
        FileNotFoundError: If there is no index.
        ValueError: If the file is damaged or has another version. The message names the file.
    """
    path = root / STATE
    if not path.is_file():
        raise FileNotFoundError(
            f"index must be a folder written by mas index. Received: {root}, which has no {STATE}."
        )
    try:
        found = files.read_json(path, MOST_STATE)
    except ValueError as error:
        raise DamagedIndexError(f"{error} Remove the folder and make the index again.") from None
    content = {name: value for name, value in found.items() if name != "crc32"}
    if records.seal(content) != found:
        raise damaged(path, "be unchanged", "other values; its checksum differs")
    if found.get("version") != VERSION:
        version = found.get("version")
        raise ValueError(
            f"{path} must be of version {VERSION}, that of this mas. Received: version={version!r}."
        )
    return content


def write_state(root: pathlib.Path, state: dict[str, Any]) -> None:
    """Writes index.json, which makes the data written so far valid."""
    files.write_json(root / STATE, records.seal(state))


def start(root: pathlib.Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Reads index.json of a locked folder, or writes that of a new index before its other files.

    Raises:
        ValueError: If the index was made with another network or another choice of clips, or if
            the folder contains other files.
    """
    if not (root / STATE).is_file():
        _check_empty(root)
        empty = {name: [0, 0] for name in GROWING}
        counts = {"clips": 0, "videos": 0, "width": 0}
        more = {"whiten": WHITEN, "files": empty, "compared": None}
        state: dict[str, Any] = {"version": VERSION, "facts": facts, **counts, **more}
        write_state(root, state)
        return state
    state = read_state(root)
    for part in ("network", "sampling") if state["clips"] else ():
        before, now = state["facts"][part], facts[part]
        for name in [name for name in now if name != "model"]:
            if before.get(name) != now[name]:
                raise ValueError(
                    f"{root} must be an index of the same {part}, with {name}={before.get(name)}. "
                    f"Received: {name}={now[name]}."
                )
    return state | {"facts": facts}


def _check_empty(root):
    """Refuses a folder of other things: a videos.csv there may be someone's only one."""
    names = [path.name for path in root.iterdir()]
    others = [name for name in names if name[0] != "." and not name.endswith(".tmp")]
    if others:
        raise ValueError(
            "index must be a folder that is new, empty or of an earlier mas index. "
            f"Received: {root}, which contains {min(others)} and no {STATE}."
        )


def verify(root: pathlib.Path, known: dict[str, Any], read: bool) -> None:
    """Checks files against the sizes and checksums in index.json.

    Args:
        root: folder of the index.
        known: {name: [bytes, checksum]}.
        read: whether to read the files and check their checksums, or check only their sizes.

    Raises:
        DamagedIndexError: If a file is damaged. The message names the file.
    """
    for name, (size, checksum) in known.items():
        path = root / name
        if not size:
            continue
        try:
            there = path.stat().st_size
        except OSError as error:
            raise damaged(path, "exist", str(error.strerror)) from None
        if not path.is_file():
            raise damaged(path, "be a file", "something else")
        if there < size:
            raise damaged(path, f"contain {size} bytes", str(there))
        if read and _checksum(path, size) != checksum:
            raise damaged(path, "be unchanged", "other bytes; its checksum differs")


def measured(path: pathlib.Path) -> list[int | None]:
    """Returns [bytes, checksum] of a file, as `verify` expects them."""
    size = path.stat().st_size
    return [size, _checksum(path, size)]


def _checksum(path, size):
    found, buffer = 0, bytearray(min(size, _READ))
    with open(path, "rb", buffering=0) as file:
        while size:
            view = memoryview(buffer)[: min(size, _READ)]
            count = file.readinto(view)
            if not count:
                return None
            found, size = zlib.crc32(view[:count], found), size - count
    return found


def mapped(path: pathlib.Path, kind: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Maps an array from a file, which is read on access."""
    if not np.prod(shape):
        return np.zeros(shape, kind)
    return np.memmap(path, kind, "r", shape=shape)


def read_videos(root: pathlib.Path, size: int) -> list[Video]:
    """Reads the first `size` bytes of videos.csv, the valid part.

    Raises:
        DamagedIndexError: If a line is damaged.
    """
    path = root / VIDEOS
    if not size:
        return []
    with open(path, "rb") as file:
        text = file.read(size).decode("utf-8", "surrogateescape")
    found: list[Video] = []
    for line, row in enumerate(csv.reader(io.StringIO(text, newline="")), 1):
        if line == 1 and tuple(row) == FIELDS:
            continue
        if len(row) != len(FIELDS) or row[-1] != records.row_checksum(row[:-1]):
            raise damaged(f"{path}:{line}", "be unchanged", repr(",".join(row)[:100]))
        video, data, frames, rate, clips, _ = row
        found.append(Video(pages.cell_text(video), data, int(frames), float(rate), int(clips)))
    return found


def lines(videos: Iterable[Video], header: bool) -> bytes:
    """Formats lines of videos.csv; file names need not be valid UTF-8."""
    text = io.StringIO(newline="")
    rows = [(pages.cell(name), *map(str, facts)) for name, *facts in videos]
    writer = csv.writer(text)
    writer.writerows([FIELDS] if header else [])
    writer.writerows((*row, records.row_checksum(row)) for row in rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


class Appended:
    """The growing files of an index, open to append.

    Appended data become valid when index.json is written with the new sizes.

    Args:
        root: folder of the index.
        known: {name: [bytes, checksum]} of the files from index.json; 0 bytes for a new file.
    """

    def __init__(self, root: pathlib.Path, known: dict[str, Any]):
        """Opens the files and truncates them to their valid length."""
        self.known = {name: list(found) for name, found in known.items()}
        self._root = root
        with contextlib.ExitStack() as stack:
            self._files: dict[str, Any] = {}
            for name, (size, _) in self.known.items():
                with files.writing(root / name):
                    file = stack.enter_context(open(root / name, "r+b" if size else "wb"))
                    file.truncate(size)
                    file.seek(size)
                self._files[name] = file
            self._stack = stack.pop_all()

    def write(self, name: str, content: bytes | memoryview) -> None:
        """Appends to a file; the data become valid when the state is written."""
        with files.writing(self._root / name, len(content)):
            self._files[name].write(content)
        size, checksum = self.known[name]
        self.known[name] = [size + len(content), zlib.crc32(content, checksum)]

    def sync(self) -> dict[str, Any]:
        """Flushes the files to the disk; returns {name: [bytes, checksum]} for the state."""
        for name, file in self._files.items():
            with files.writing(self._root / name):
                file.flush()
                os.fsync(file.fileno())
        files.sync_folder(self._root)
        return {name: list(found) for name, found in self.known.items()}

    def close(self) -> None:
        """Closes the files."""
        self._stack.close()


@contextlib.contextmanager
def appended(root: pathlib.Path, known: dict[str, Any]) -> Iterator[Appended]:
    """Opens an `Appended` and closes it at the end."""
    made = Appended(root, known)
    try:
        yield made
    finally:
        made.close()


def root_of(path: Any) -> pathlib.Path:
    """Returns the path of an index, which need not exist yet.

    Raises:
        ValueError: If it is not a path, or exists and is not a folder.
    """
    root = checks.path("index", path, "the folder of an index")
    if root.exists() and not root.is_dir():
        raise ValueError(f"index must be a folder. Received: {root}, which is not a folder.")
    return root
