"""Random access to shards."""

from __future__ import annotations

import itertools
import os
import pathlib
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from mas import lists
from mas.files import PathLike
from mas.records import examples
from mas.records.description import Faults, described
from mas.records.layout import (
    DESCRIPTION,
    EARLIER_FIELDS,
    PER_FRAME,
    DamagedError,
    Row,
    check_frames,
    check_rows,
    damaged,
    index_checksum,
    read_failures,
    read_index,
    shard_numbers,
    shard_path,
)


class Shards:
    """A data set in TFRecord shards, with random access."""

    decoded = False

    def __init__(
        self,
        data: PathLike,
        flow: bool = False,
        faults: Faults | None = None,
        known: dict[str, Any] | None = None,
    ):
        """Reads all indices of the data set and compares them with the shards and dataset.json.

        Args:
            data: folder of the data set.
            flow: ignored; flow is stored with the frames.
            faults: collects faults; None raises them.
            known: content of dataset.json, if it should not be read.

        Raises:
            ValueError: If something is missing or is not what was written.
        """
        self.data = pathlib.Path(data)
        known = described(self.data) if known is None else known
        faults = faults or Faults(self.data, False)
        self.has_flow = known.get("method", "none") != "none"
        self._checked = bool(known.get("checksums"))
        self._rows, self._shards = [], []
        for number, rows in self._read(known, faults):
            self._rows += rows
            self._shards += [number] * len(rows)
        self.videos = [row.video for row in self._rows]
        if len(set(self.videos)) < len(self.videos):
            raise ValueError(
                f"{self.data} must contain each video once. Received: {_repeated_video(self)}."
            )
        self.verified = all(row.checksums_at for row in self._rows)
        self.lengths = np.array([row.frames for row in self._rows], np.int64)
        sizes = [(row.height, row.width) for row in self._rows]
        self.sizes = np.array(sizes, np.int64).reshape(-1, 2)
        faults.check_counts(known, len(self.videos), int(self.lengths.sum()))
        self.failures = read_failures(self.data) | faults.report()

    def _read(self, known, faults):
        """Yields (number, rows) of each shard that is complete according to its index."""
        numbers = {shard_path("", n).stem: n for n in shard_numbers(self.data)}
        wanted, unfinished = known.get("shards"), known.get("unfinished")
        sums = known.get("indices", {})
        for name in sorted({*numbers, *(wanted or ())}):
            shard = self.data / f"{name}.tfrecord"
            index = shard.with_suffix(".csv")
            gone = [path for path in (shard, index) if not path.is_file()]
            if gone or name not in numbers:
                faults.add((gone or [shard])[0], "must exist. Received: no such file")
                continue
            if wanted is not None and name not in wanted and not unfinished:
                faults.add(shard, f"must not exist: {DESCRIPTION} does not name it")
                continue
            try:
                rows = shard_rows(self.data, numbers[name], self._checked)
            except (OSError, ValueError) as error:
                faults.add_error(index, error)
                continue
            least = len(rows) if wanted is None else wanted.get(name, 0)
            if len(rows) < least or (len(rows) > least and not unfinished):
                words = f"must have {lists.counted(least, 'line')}, as {DESCRIPTION} says"
                faults.add(index, f"{words}. Received: {len(rows)}")
            elif not unfinished and sums.get(name) not in (None, index_checksum(rows)):
                words = f"must match its checksum in {DESCRIPTION}"
                faults.add(index, f"{words}. Received: other data")
            else:
                yield numbers[name], rows

    def read(
        self, number: int, frames: Sequence[int], flow_frames: Sequence[int] = ()
    ) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """Reads the JPEG files of some frames of a video.

        Args:
            number: index of the video in `videos`.
            frames: indices of the RGB frames, from 0, in any order.
            flow_frames: indices of the frames whose flow (to the next frame) is read.

        Returns:
            (rgb, u, v), lists of bytes.

        Raises:
            IndexError: If the video does not have such a frame.
            DamagedError: If an image is not what was written, or the shard ends early.
        """
        check_frames(self, number, frames, flow_frames)
        row = self._rows[number]
        wanted = np.concatenate([frames, flow_frames]).astype(int)
        first, last = int(wanted.min()), int(wanted.max()) + 1
        try:
            lengths, sums, block = self._block(number, first, last)
        except OSError as error:
            raise DamagedError(f"{error.filename}: {error.strerror}.") from error
        ends = np.cumsum(lengths, dtype=np.int64)
        starts = ends - lengths

        def cut(indices, part):
            images = []
            for frame in indices:
                place = 3 * (frame - first) + part
                image = block[starts[place] : ends[place]]
                # If a whole record was overwritten with zeros, both are 0.
                if not image or (sums is not None and zlib.crc32(image) != sums[place]):
                    raise damaged(self.path(number), row.video, frame, image)
                images.append(image)
            return images

        return cut(frames, 0), cut(flow_frames, 1), cut(flow_frames, 2)

    def _block(self, number, first, last):
        """Reads (lengths, checksums or None, concatenated images) of consecutive frames."""
        row = self._rows[number]
        with open(self.path(number), "rb", buffering=0) as file:
            lengths = np.frombuffer(_read_at(file, row.lengths_at, PER_FRAME * last), "<u4")
            skipped = int(lengths[: 3 * first].sum(dtype=np.int64))
            lengths = lengths[3 * first :]
            count = int(lengths.sum(dtype=np.int64))
            if row.images_at + skipped + count > row.lengths_at:
                raise DamagedError(
                    f"{file.name}: the images of {row.video} must end before byte "
                    f"{row.lengths_at}. Received: {skipped + count} bytes of images."
                )
            sums, at = None, row.checksums_at
            if at:
                part = _read_at(file, at + PER_FRAME * first, PER_FRAME * (last - first))
                sums = np.frombuffer(part, "<u4")
            return lengths, sums, _read_at(file, row.images_at + skipped, count)

    def rate(self, number: int) -> float:
        """Returns the frames per second of a video, or 0.0 if unknown."""
        return self._rows[number].rate

    def rows(self) -> dict[pathlib.Path, list[Row]]:
        """Returns the rows of each index, by shard."""
        found: dict[pathlib.Path, list[Row]] = {}
        for number, row in enumerate(self._rows):
            found.setdefault(self.path(number), []).append(row)
        return found

    def path(self, number: int, part: str = "rgb", frame: int = 0) -> pathlib.Path:
        """Returns the shard that contains a video, for any part and frame."""
        return shard_path(self.data, self._shards[number])


def _repeated_video(data):
    seen: set[str] = set()
    return next(video for video in data.videos if video in seen or seen.add(video))


def shard_rows(data, number, checked=False):
    """Reads the rows of a shard's index and compares them with the shard.

    Args:
        data: folder of the data set.
        number: number of the shard.
        checked: whether rows must have checksums.

    Raises:
        ValueError: If the rows are not what was written.
    """
    shard = shard_path(data, number)
    index = shard.with_suffix(".csv")
    rows = read_index(index)
    check_rows(index, rows, shard.stat().st_size)
    if not all(row.checksums_at for row in rows):
        if checked:
            raise ValueError(f"{index} must name the checksums of each video. Received: none.")
        there, known = [row for _, row in examples.walk(shard)], len(EARLIER_FIELDS)
        for line, (row, found) in enumerate(itertools.zip_longest(rows, there, fillvalue=()), 2):
            if row[:known] != found[:known]:
                raise ValueError(
                    f"{index}:{line}: expected what {shard.name} contains there, {found[:known]}. "
                    f"Received: {row[:known]}."
                )
        return there
    return rows


def _read_at(file, start, count):
    data = os.pread(file.fileno(), count, start)
    if len(data) != count:
        raise DamagedError(
            f"{file.name} must contain {count} bytes from byte {start} on. Received: {len(data)}."
        )
    return data


def read_shard(data, number):
    """Reads the serialised examples of a shard and verifies their checksums.

    Returns:
        ({id: bytes}, {id: message about a damaged example}); both are empty if there is no index.
    """
    shard = shard_path(data, number)
    if not shard.with_suffix(".csv").is_file():
        return {}, {}
    whole, wrong = {}, {}
    for row, _, example in examples.read(shard, read_index(shard.with_suffix(".csv"))):
        if isinstance(example, ValueError):
            wrong[row.video] = str(example)
        else:
            whole[row.video] = example
    return whole, wrong
