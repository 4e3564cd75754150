"""Writes prepared videos in either format."""

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
    """Writes a prepared video to a temporary file, until its shard is written.

    A killed process may leave a partial file, so rename it when it is complete.
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
    """Removes a partial file or folder if writing fails."""
    try:
        yield
    except Exception:  # TensorFlow has its own errors
        with contextlib.suppress(OSError):
            remove(path)
        raise


def remove(path: PathLike) -> None:
    """Removes a file or a folder if it exists."""
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
    """Writes a shard and its index: `build_shard` and `place_shard`.

    Args:
        data: folder of the data set.
        number: number of the shard.
        staged: files written by `stage`, in order.
        kept: serialised examples from the previous version of the shard, by position (or None).
    """
    part = f"{shard_path(data, number)}.tmp"
    place_shard(data, number, part, build_shard(part, staged, kept))


def build_shard(
    part: PathLike, staged: Sequence[PathLike | None], kept: Sequence[bytes | None] = ()
) -> list[Row]:
    """Writes a shard under a temporary name, for `place_shard`; see `write_shard`.

    Returns:
        Rows of its index.
    """
    import tensorflow as tf  # here, because decoding workers do not need it

    kept = list(kept) or [None] * len(staged)
    need = sum(len(example) for example in kept if example)
    need += sum(os.path.getsize(path) for path in staged if path)
    with files.writing(part, need), _removed_on_error(part):
        with tf.io.TFRecordWriter(os.fspath(part)) as writer:
            for path, example in zip(staged, kept, strict=True):
                writer.write(_with_checksums(tf, example) if example else _example(tf, path))
        return [row for _, row in examples.walk(part)]


def place_shard(data: PathLike, number: int, part: PathLike, rows: Sequence[Row]) -> None:
    """Moves the result of `build_shard` into place; replaces a previous version of the shard.

    At any moment either the old or the new version is complete, so a killed writer loses nothing.
    `restore_indices` rebuilds a missing index.
    """
    shard = shard_path(data, number)
    index = shard.with_suffix(".csv")
    with files.writing(shard), _removed_on_error(part):
        index.unlink(missing_ok=True)
        os.replace(part, shard)
    write_index(index, rows)


def restore_indices(data: PathLike) -> None:
    """Repairs the index of every shard from the content of the shard.

    Missing indices are written; damaged ones are rewritten with a warning. Videos with damaged
    records are omitted, so that they are prepared again.
    """
    for number in shard_numbers(pathlib.Path(data)):
        shard = shard_path(data, number)
        index = shard.with_suffix(".csv")
        if not shard.is_file():
            logging.warning("%s is missing; its videos are prepared again.", shard)
            index.unlink()
            continue
        if index.is_file():
            try:
                rows = shard_rows(data, number)
                if rows != read_index(index):  # written by an earlier version
                    write_index(index, rows)
                continue
            except ValueError as error:
                logging.warning("%s It is rebuilt from the shard.", error)
        rows = _whole_rows(shard)
        if rows:
            write_index(index, rows)
        else:
            remove(index)
            remove(shard)


def _whole_rows(shard):
    """Returns the rows of the undamaged records of a shard; logs the others."""
    rows = []
    try:
        for _, row in examples.walk(shard):
            rows.append(row)
    except ValueError as error:  # later records cannot be located
        logging.warning("%s This video and later ones are prepared again.", error)
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
    """Adds the checksum of each image to a serialised example."""
    example = tf.train.Example.FromString(text)
    feature = example.features.feature
    images, lengths = (feature[name].bytes_list.value[0] for name in ("images", "lengths"))
    sums = image_checksums(images, np.frombuffer(lengths, "<u4")).tobytes()
    feature["checksums"].bytes_list.value[:] = [sums]
    return example.SerializeToString(deterministic=True)


def image_checksums(images: bytes, lengths: np.ndarray) -> np.ndarray:
    """Returns the uint32 checksums of concatenated images, given their lengths."""
    view, ends = memoryview(images), np.cumsum(lengths, dtype=np.int64)
    parts = zip(ends - lengths, ends, strict=True)
    return np.array([zlib.crc32(view[start:end]) for start, end in parts], "<u4")


def stage_folders(prepared: Prepared, folder: PathLike) -> None:
    """Writes a prepared video to a temporary folder, until `place_folders` moves it."""
    with _removed_on_error(folder):
        for part in ("u", "v", "rgb"):
            for number, image in enumerate(getattr(prepared, part), 1):
                path = pathlib.Path(folder, part, FRAME_FILE.format(number))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(image)
        images = {part: getattr(prepared, part) for part in ("rgb", "u", "v")}
        known = sums.text(prepared.video, images, prepared.rate)
        pathlib.Path(folder, sums.FOLDER).write_bytes(known)


def place_folders(data: PathLike, video: str, folder: PathLike) -> None:
    """Moves the result of `stage_folders` into the data set; the frames appear last.

    A previous version is removed first, so that frames and flow never come from different files.
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
    """Removes partial output of some videos that version 0.1 left when it was killed."""
    root = pathlib.Path(data)
    for top in (root / RGB_FOLDER, root / FLOW_FOLDER / "u", root / FLOW_FOLDER / "v"):
        for parent in {(top / video).parent for video in videos}:
            for path in parent.glob(".*.tmp"):
                shutil.rmtree(path, ignore_errors=True)


def write_description(data: PathLike, description: dict) -> None:
    """Writes dataset.json, which marks the data set as finished."""
    files.write_json(pathlib.Path(data, DESCRIPTION), seal(description))
    pathlib.Path(data, UNFINISHED).unlink(missing_ok=True)
