"""Verifies a data set against its checksums."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tqdm

from mas import checks
from mas.files import PathLike
from mas.records import examples
from mas.records.description import Faults, described, read_sealed
from mas.records.folders import PARTS, Folders
from mas.records.images import decode
from mas.records.layout import (
    DAMAGED,
    DESCRIPTION,
    FAILURES,
    RECORD_FRAME,
    RGB_FOLDER,
    DamagedError,
    damaged,
    read_failures,
    read_table,
    shard_numbers,
)
from mas.records.shards import Shards
from mas.records.writing import image_checksums


class Fault(NamedTuple):
    """A fault of a data set: a message that names the file, and the video ("" if none)."""

    line: str
    video: str = ""


@dataclasses.dataclass(frozen=True)
class Checked:
    """The result of verifying a data set.

    Attributes:
        faults: all faults, each with a message and a video.
        videos: number of videos read.
        images: number of images read (RGB, u and v).
        checksums: whether all images had checksums; without checksums, images were decoded.
    """

    faults: tuple[Fault, ...]
    videos: int
    images: int
    checksums: bool


def check_data(data: PathLike, progress: bool = False) -> Checked:
    """Reads and verifies a prepared data set, or frames extracted by other tools.

    Args:
        data: folder of the data set.
        progress: whether to show a progress bar.

    Returns:
        A `Checked`; it has no faults if every byte is as it was written. Images without checksums,
        from earlier versions or other tools, must decode.

    Raises:
        FileNotFoundError: If there is no data set.
    """
    root = checks.path("data", data, "a folder")
    if not (root / DESCRIPTION).is_file() and not (root / RGB_FOLDER).is_dir():
        raise FileNotFoundError(
            f"data must be a folder that mas.prepare finished, or one with {RGB_FOLDER}/. "
            f"Received: {root}."
        )
    faults = [Fault(line) for line in _tables(root)]
    known = _known(root)
    collected = Faults(root, True, words="")
    opened: Shards | Folders
    if known.get("form") == "shards":
        opened = Shards(root, True, collected, known)
    else:
        opened = Folders(root, True, collected, known)
    faults += [Fault(line) for line in collected.found.values()]
    images = 0
    for count, more in read_through(opened, progress):
        images += count
        faults += more
    certain = isinstance(opened, Shards) or opened.verified  # TFRecord has its own checksums
    return Checked(tuple(faults), len(opened.videos), images, certain)


def read_through(data: Shards | Folders, progress: bool) -> Iterator[tuple[int, list[Fault]]]:
    """Yields (number of images, faults) for each shard or video of an open data set."""
    if isinstance(data, Shards):
        yield from _check_shards(data, progress)
    else:
        yield from _check_folders(data, progress)


def _known(root):
    """Returns dataset.json; if it is damaged, infers the format from the other files."""
    try:
        return described(root)
    except ValueError:
        return {"form": "shards" if shard_numbers(root) else "folders"}


def _tables(root):
    """Returns the faults of the small files next to the images."""
    found: list[str] = []
    readers = {DESCRIPTION: lambda path: described(root), "plan.json": read_sealed}
    for name, read in (readers | {"sources.csv": read_table}).items():
        if (root / name).is_file():
            try:
                read(root / name)
            except ValueError as error:
                found.append(str(error))
    for name in (FAILURES, DAMAGED):
        read_failures(root, name, found)
    return found


def _each(function, items, progress):
    """Applies a function to items in parallel and yields the results."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = pool.map(function, items)
        yield from tqdm.tqdm(found, total=len(items), desc="check", disable=not progress)


def _check_shards(data: Shards, progress: bool) -> Iterator[tuple[int, list[Fault]]]:
    def check(item):
        shard, rows = item
        images, faults, end = 0, [], 0
        for row, at, example in examples.read(shard, rows):
            if isinstance(example, ValueError):
                faults.append(Fault(str(example), row.video))
                continue
            count, more = _check_example(shard, example)
            images, end = images + count, at + RECORD_FRAME + len(example)
            faults += more
        size = shard.stat().st_size
        if not faults and end != size:
            words = f"{shard} must end at byte {end}. Received: {size} bytes."
            faults.append(Fault(words, rows[-1].video))
        return images, faults

    yield from _each(check, data.rows().items(), progress)


def _check_example(shard, text):
    """Returns (images, faults) of an example whose record has a valid checksum."""
    import tensorflow as tf

    feature = tf.train.Example.FromString(text).features.feature
    video = feature["video"].bytes_list.value[0].decode()
    images, lengths = (feature[name].bytes_list.value[0] for name in ("images", "lengths"))
    lengths = np.frombuffer(lengths, "<u4")
    if lengths.sum(dtype=np.int64) != len(images):
        return 0, [Fault(f"{shard} must contain images of {video} of the declared lengths.", video)]
    count, known = int(np.count_nonzero(lengths)), feature["checksums"].bytes_list.value
    if not known:
        return count, []
    wrong = np.flatnonzero(image_checksums(images, lengths) != np.frombuffer(known[0], "<u4"))
    return count, [Fault(str(damaged(shard, video, n // 3, "other bytes")), video) for n in wrong]


def _check_folders(data: Folders, progress: bool) -> Iterator[tuple[int, list[Fault]]]:
    def check(number):
        count = int(data.lengths[number])
        flows = range(count - 1) if data.has_flow else range(0)
        try:
            parts = data.read(number, range(count), flows)
        except DamagedError:  # read one by one to name them all
            parts = [[None] * count, [None] * len(flows), [None] * len(flows)]
        found = []
        for place, images in enumerate(parts):
            for frame, image in enumerate(images):
                try:
                    _check_frame(data, number, place, frame, image)
                except DamagedError as error:
                    found.append(Fault(str(error), data.videos[number]))
        return sum(map(len, parts)), found

    yield from _each(check, range(len(data.videos)), progress)


def _check_frame(data, number, place, frame, image):
    if image is None:
        frames = ((), (frame,)) if place else ((frame,), ())
        image = data.read(number, *frames)[place][0]
    if not data.has_checksums(number) and decode(image, 1 if place else 3) is None:
        raise damaged(data.path(number, PARTS[place], frame), data.videos[number], frame, image)
