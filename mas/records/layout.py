"""Names of features and files, and what both writing and reading need."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import re
import zlib
from typing import NamedTuple

from absl import logging

from mas import files
from mas.files import PathLike

RGB_FOLDER = "jpegs_256"
FLOW_FOLDER = "tvl1_flow"
FRAME_FILE = "frame{:06d}.jpg"  # counted from 1
DESCRIPTION = "dataset.json"
UNFINISHED = ".unfinished"  # exists during preparation
FAILURES = "failures.csv"  # path, reason: videos that could not be prepared
DAMAGED = "damaged.csv"  # path, reason: videos that were only partly prepared
RECORD_FRAME = 16  # bytes that TFRecord adds to an example: length and two checksums
PER_FRAME = 12  # bytes for three lengths or three checksums
MOST_SIDE = 65535  # pixels per side of a JPEG file


class Row(NamedTuple):
    """A row of an index: size of a video, and offsets of its parts in the shard."""

    video: str
    frames: int
    height: int
    width: int
    lengths_at: int
    images_at: int
    checksums_at: int = 0  # 0 if written by an earlier version
    rate: float = 0.0  # frames per second, 0 if unknown


INDEX_FIELDS = (*Row._fields, "crc32")
EARLIER_FIELDS = INDEX_FIELDS[:6]


class DamagedError(ValueError):
    """Raised if a stored frame is not what was written; the message names it."""


@dataclasses.dataclass
class Prepared:
    """A decoded video as image files in memory. `u` and `v` have one less than `rgb`, or none."""

    video: str
    height: int
    width: int
    rate: float
    rgb: list[bytes]
    u: list[bytes]
    v: list[bytes]

    @property
    def frames(self) -> int:
        """Number of RGB frames."""
        return len(self.rgb)


def shard_path(data, number):
    """Returns the file of a shard; its index has the suffix .csv."""
    return pathlib.Path(data) / f"videos-{number:05d}.tfrecord"


def shard_numbers(data):
    """Returns the sorted numbers of the shards that have a file or an index."""
    found = (re.fullmatch(r"videos-([0-9]{5,9})\.(csv|tfrecord)", p.name) for p in data.iterdir())
    return sorted({int(match[1]) for match in found if match})


def read_index(index: PathLike) -> list[Row]:
    """Reads the rows of a shard's index.

    Raises:
        ValueError: If a line is not what was written; names the file and the line.
    """
    lines = read_table(index)
    header, *rows = lines or [[]]
    if tuple(header) not in (INDEX_FIELDS, EARLIER_FIELDS):
        raise ValueError(
            f"{index}:1: expected the columns {','.join(INDEX_FIELDS)}. "
            f"Received: {','.join(header)[:100]!r}."
        )
    return [_row(index, line, fields, len(header)) for line, fields in enumerate(rows, 2)]


def _row(index, line, fields, count):
    sealed = count == len(INDEX_FIELDS)
    known = fields[:-1] if sealed else fields
    if len(fields) == count and (not sealed or fields[-1] == row_checksum(known)):
        with contextlib.suppress(ValueError):
            return Row(known[0], *map(int, known[1:7]), *map(float, known[7:]))
    raise ValueError(
        f"{index}:{line}: expected the line that was written. Received: {','.join(fields)[:100]!r}."
    )


def row_checksum(row):
    """Returns the checksum of a line of an index."""
    return f"{zlib.crc32(','.join(map(str, row)).encode('utf-8', 'surrogateescape')):08x}"


def index_checksum(rows):
    """Returns the checksum of an index, which tells shards of different data sets apart."""
    return f"{zlib.crc32(''.join(map(row_checksum, rows)).encode()):08x}"


def write_index(index, rows):
    """Writes the index of a shard."""
    files.write_csv(index, INDEX_FIELDS, [(*row, row_checksum(row)) for row in rows])


def check_rows(index, rows, size):
    """Rejects rows that cannot describe a shard, before their numbers are used.

    Args:
        index: file of the rows.
        rows: rows of the index.
        size: size of the shard in bytes.

    Raises:
        ValueError: If a row is not possible; names the file and the line.
    """
    end = 0
    for line, row in enumerate(rows, 2):
        count = PER_FRAME * row.frames
        begin = row.checksums_at or row.images_at
        behind = begin + count if row.checksums_at else begin
        ordered = end < begin and behind <= row.images_at <= row.lengths_at
        end = row.lengths_at + count
        sides = 0 < row.height <= MOST_SIDE and 0 < row.width <= MOST_SIDE
        if not (row.video and row.frames > 0 and sides and ordered and end <= size):
            raise ValueError(
                f"{index}:{line}: expected a video within the {size} bytes of its shard, after the "
                f"previous one. Received: {','.join(map(str, row))[:100]!r}."
            )


def read_table(path):
    """Reads a csv file as lists of text. File names in it need not be valid UTF-8.

    Raises:
        ValueError: If a line is not valid csv.
    """
    return files.read_csv(path, errors="surrogateescape")


def read_failures(
    data: PathLike, name: str = FAILURES, faults: list[str] | None = None
) -> dict[str, str]:
    """Reads {path: reason} of the videos that could not be prepared. Names need not be UTF-8.

    Args:
        data: folder of the data set.
        name: name of the file; `DAMAGED` lists the videos that were only partly prepared.
        faults: collects faults of the file; None logs them. Valid lines are always returned,
            because training does not depend on the file.
    """
    path = pathlib.Path(data) / name
    wrong: list[str] = []
    try:
        lines = read_table(path) if path.is_file() else []
    except ValueError as error:
        lines, wrong = [], [str(error)]
    for line, fields in enumerate(lines, 1):
        if len(fields) != 2:
            shown = ",".join(fields)[:100]
            wrong.append(f"{path}:{line}: expected path,reason. Received: {shown!r}.")
    if faults is None:
        for text in wrong[:1]:
            logging.warning("%s", text)
    else:
        faults += wrong
    return dict(fields for fields in lines[1:] if len(fields) == 2)


def check_frames(data, number, frames, flow_frames=()):
    """Raises IndexError if a video of a data set does not have some frames."""
    count = int(data.lengths[number])
    flows = count - 1 if data.has_flow else 0
    for name, indices, end in (("frames", frames, count), ("flow_frames", flow_frames, flows)):
        if len(indices) and not 0 <= min(indices) <= max(indices) < end:
            raise IndexError(
                f"{name} of {data.videos[number]!r} must be in 0..{end - 1}. "
                f"Received: {name}={[int(i) for i in indices]}."
            )


def damaged(path, video, frame, received):
    """Returns the error for a frame that is not what was written, or cannot be decoded.

    Args:
        path: file that contains it.
        video: id of the video.
        frame: index of the frame, from 0.
        received: the bytes, or a description of what is there.
    """
    if not isinstance(received, str):
        received = f"{len(received)} damaged bytes"
    return DamagedError(
        f"{path}: frame {frame} of {video} must be a whole JPEG file. Received: {received}."
    )
