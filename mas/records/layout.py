"""The names of features and files, and what both writing and reading need."""

from __future__ import annotations

import csv
import dataclasses
import pathlib

from mas.files import PathLike

RGB_FOLDER = "jpegs_256"
FLOW_FOLDER = "tvl1_flow"
FRAME_FILE = "frame{:06d}.jpg"  # counted from 1
# RGB frames that others extracted: Feichtenhofer; Something-Something v1 as it comes; HMDB51 and
# Diving48 as the authors of VTDL and DSM have them.
FRAME_FILES = (FRAME_FILE, "{:05d}.jpg", "img_{:05d}.jpg", "image_{:05d}.jpg")
DESCRIPTION = "dataset.json"
FAILURES = "failures.csv"  # path, reason: the videos that could not be prepared
DAMAGED = "damaged.csv"  # path, reason: those of which only a part could be prepared
RECORD_FRAME = 16  # bytes that TFRecord adds to an example: its length and two checksums
INDEX_FIELDS = ("video", "frames", "height", "width", "lengths_at", "images_at")


@dataclasses.dataclass
class Prepared:
    """One decoded video: JPEG files in memory. `u`, `v`: one less than `rgb`, or none."""

    video: str
    height: int
    width: int
    rate: float
    rgb: list[bytes]
    u: list[bytes]
    v: list[bytes]

    @property
    def frames(self) -> int:
        """How many RGB frames it has."""
        return len(self.rgb)


def shard_path(data, number):
    """The file of one shard; its index has the suffix .csv."""
    return pathlib.Path(data) / f"videos-{number:05d}.tfrecord"


def read_index(index):
    """Rows of one shard's index: (video, frames, height, width, lengths_at, images_at)."""
    with open(index, newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        if tuple(next(reader, ())) != INDEX_FIELDS:
            raise ValueError(f"{index}:1: expected the columns {','.join(INDEX_FIELDS)}.")
        return [(row[0], *map(int, row[1:])) for row in reader]


def read_failures(data: PathLike, name: str = FAILURES) -> dict[str, str]:
    """{path: reason} of the videos that could not be prepared. Names need not be UTF-8.

    Args:
        data: the folder of the data set.
        name: of the file: `DAMAGED` has the videos of which only a part could be prepared.
    """
    path = pathlib.Path(data) / name
    if not path.is_file():
        return {}
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return dict(list(csv.reader(file))[1:])


def check_frames(data, number, frames, flow_frames=()):
    """Refuses frames that a video of a data set does not have, with an IndexError."""
    count = int(data.lengths[number])
    flows = count - 1 if data.has_flow else 0
    for name, indices, end in (("frames", frames, count), ("flow_frames", flow_frames, flows)):
        if len(indices) and not 0 <= min(indices) <= max(indices) < end:
            raise IndexError(
                f"{name} of {data.videos[number]!r} must be in 0..{end - 1}. "
                f"Received: {name}={[int(i) for i in indices]}."
            )
