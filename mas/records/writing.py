"""Prepared videos -> their stored form."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from absl import logging

from mas import files
from mas.files import PathLike
from mas.records import examples, sums
from mas.records.description import seal
from mas.records.layout import (
    DESCRIPTION,
    FLOW_FOLDER,
    FRAME_FILE,
    RGB_FOLDER,
    UNFINISHED,
    Prepared,
    Row,
    read_index,
    shard_numbers,
    shard_path,
    write_index,
)
from mas.records.shards import shard_rows


def stage(prepared: Prepared, path: PathLike) -> None:
    """Puts one prepared video aside in a file of its own until its shard is written.

    A killed process may leave a part of it: the file must get its lasting name afterwards.
    """
    count = prepared.frames
    lengths = np.zeros((count, 3), "<u4")
    images = []
    for frame in range(count):
        files = [prepared.rgb[frame]] + [
            part[frame] for part in (prepared.u, prepared.v) if frame < len(part)
        ]
        lengths[frame, : len(files)] = [len(file) for file in files]
        images += files
    with _removed_on_error(path), open(path, "wb") as file:
        np.savez(
            file,
            video=prepared.video,
            size=(prepared.height, prepared.width),
            rate=prepared.rate,
            lengths=lengths,
            images=np.frombuffer(b"".join(images), np.uint8),
        )


@contextlib.contextmanager
def _removed_on_error(path):
    """A full disk keeps no part of what did not fit."""
    try:
        yield
    except Exception:  # TensorFlow has errors of its own
        with contextlib.suppress(OSError):
            remove(path)
        raise


def remove(path: PathLike) -> None:
    """Removes a file or a folder, where it is."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        pathlib.Path(path).unlink(missing_ok=True)


def write_shard(
    data: PathLike,
    number: int,
    staged: Sequence[PathLike | None],
    kept: Sequence[bytes | None] = (),
) -> None:
    """Writes one shard and its index: `build_shard` and `place_shard`.

    Args:
        data: the folder of the data set.
        number: of the shard.
        staged: files written by `stage`, in their order.
        kept: serialised examples of the earlier form, by position in that order (or None each).
    """
    part = f"{shard_path(data, number)}.tmp"
    place_shard(data, number, part, build_shard(part, staged, kept))


def build_shard(
    part: PathLike, staged: Sequence[PathLike | None], kept: Sequence[bytes | None] = ()
) -> list[Row]:
    """Writes a shard under another name, for `place_shard`; `staged`, `kept`: see `write_shard`.

    Returns:
        Rows of its index.
    """
    import tensorflow as tf  # here, because the decoding workers do without it

    kept = list(kept) or [None] * len(staged)
    need = sum(len(example) for example in kept if example)
    need += sum(os.path.getsize(path) for path in staged if path)
    with files.writing(part, need), _removed_on_error(part):
        with tf.io.TFRecordWriter(os.fspath(part)) as writer:
            for path, example in zip(staged, kept, strict=True):
                writer.write(_with_checksums(tf, example) if example else _example(tf, path))
        return [row for _, row in examples.walk(part)]


def place_shard(data: PathLike, number: int, part: PathLike, rows: Sequence[Row]) -> None:
    """Makes what `build_shard` wrote a shard; an earlier form of the same shard is replaced.

    At every moment either the shard's earlier form is whole or its new one is, so that a killed
    writer loses nothing: `restore_indices` makes an index that is missing.
    """
    shard = shard_path(data, number)
    index = shard.with_suffix(".csv")
    with files.writing(shard), _removed_on_error(part):
        index.unlink(missing_ok=True)
        os.replace(part, shard)
    write_index(index, rows)


def restore_indices(data: PathLike) -> None:
    """Makes the index of every shard right, from what the shard holds.

    One that is missing is written, and one that is not what was written, with a warning. Videos
    whose record is damaged are not in it, so they are prepared again.
    """
    for number in shard_numbers(pathlib.Path(data)):
        shard = shard_path(data, number)
        index = shard.with_suffix(".csv")
        if not shard.is_file():
            logging.warning("%s is gone; its videos are prepared again.", shard)
            index.unlink()
            continue
        if index.is_file():
            try:
                rows = shard_rows(data, number)
                if rows != read_index(index):  # an earlier version's
                    write_index(index, rows)
                continue
            except ValueError as error:
                logging.warning("%s It is made again from the shard.", error)
        rows = _whole_rows(shard)
        if rows:
            write_index(index, rows)
        else:
            remove(index)
            remove(shard)


def _whole_rows(shard):
    """Rows of the records of a shard that are whole; says which are not."""
    rows = []
    try:
        for _, row in examples.walk(shard):
            rows.append(row)
    except ValueError as error:  # what follows cannot be found
        logging.warning("%s What follows is prepared again.", error)
    whole = []
    for row, _, example in examples.read(shard, rows):
        if isinstance(example, ValueError):
            logging.warning("%s It is prepared again.", example)
        else:
            whole.append(row)
    return whole


def _example(tf, path):
    with np.load(path) as staged:
        values = {name: staged[name].tobytes() for name in ("images", "lengths")}
        values["video"] = str(staged["video"]).encode()
        feature = {
            name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
            for name, value in values.items()
        }
        feature["size"] = tf.train.Feature(int64_list=tf.train.Int64List(value=staged["size"]))
        feature["rate"] = tf.train.Feature(
            float_list=tf.train.FloatList(value=[float(staged["rate"])])
        )
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    return _with_checksums(tf, example.SerializeToString())


def _with_checksums(tf, text):
    """A serialised example with the checksum of each of its images, which earlier ones lack."""
    example = tf.train.Example.FromString(text)
    feature = example.features.feature
    images, lengths = (feature[name].bytes_list.value[0] for name in ("images", "lengths"))
    sums = image_checksums(images, np.frombuffer(lengths, "<u4")).tobytes()
    feature["checksums"].bytes_list.value[:] = [sums]
    return example.SerializeToString(deterministic=True)


def image_checksums(images: bytes, lengths: np.ndarray) -> np.ndarray:
    """uint32 checksums of images that stand end to end, by their lengths."""
    view, ends = memoryview(images), np.cumsum(lengths, dtype=np.int64)
    parts = zip(ends - lengths, ends, strict=True)
    return np.array([zlib.crc32(view[start:end]) for start, end in parts], "<u4")


def stage_folders(prepared: Prepared, folder: PathLike) -> None:
    """Puts one prepared video aside as a folder of its own, until `place_folders` moves it."""
    with _removed_on_error(folder):
        for part in ("u", "v", "rgb"):
            for number, image in enumerate(getattr(prepared, part), 1):
                path = pathlib.Path(folder, part, FRAME_FILE.format(number))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(image)
        images = {part: getattr(prepared, part) for part in ("rgb", "u", "v")}
        pathlib.Path(folder, sums.FOLDER).write_bytes(sums.text(prepared.video, images))


def place_folders(data: PathLike, video: str, folder: PathLike) -> None:
    """Makes what `stage_folders` wrote a video of the data set; the frames appear last.

    An earlier one goes first, so that at no moment frames and flow are of different files.
    """
    root = pathlib.Path(data)
    places = {
        "rgb": root / RGB_FOLDER,
        "u": root / FLOW_FOLDER / "u",
        "v": root / FLOW_FOLDER / "v",
        sums.FOLDER: root / sums.FOLDER,
    }
    shutil.rmtree(places["rgb"] / video, ignore_errors=True)
    for part in ("u", "v", sums.FOLDER, "rgb"):
        staged, place = pathlib.Path(folder, part), places[part] / video
        shutil.rmtree(place, ignore_errors=True)
        if staged.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(staged, place)
    remove(folder)


def remove_unfinished(data: PathLike, videos: Iterable[str]) -> None:
    """Removes what version 0.1 left half-written of some of these videos, when it was killed."""
    root = pathlib.Path(data)
    for top in (root / RGB_FOLDER, root / FLOW_FOLDER / "u", root / FLOW_FOLDER / "v"):
        for parent in {(top / video).parent for video in videos}:
            for path in parent.glob(".*.tmp"):
                shutil.rmtree(path, ignore_errors=True)


def write_description(data: PathLike, description: dict) -> None:
    """Writes dataset.json: with it the data set counts as finished."""
    files.write_json(pathlib.Path(data, DESCRIPTION), seal(description))
    pathlib.Path(data, UNFINISHED).unlink(missing_ok=True)
