"""Prepared videos -> their stored form."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterable, Sequence

import numpy as np

from mas import files
from mas.files import PathLike
from mas.records.layout import (
    DESCRIPTION,
    FLOW_FOLDER,
    FRAME_FILE,
    INDEX_FIELDS,
    RECORD_FRAME,
    RGB_FOLDER,
    Prepared,
    shard_path,
)


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
    except OSError:
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
    """Writes one shard and its index; an earlier form of the same shard is replaced.

    At every moment either the shard's earlier form is whole or its new one is, so that a killed
    writer loses nothing: `restore_indices` makes an index that is missing.

    Args:
        data: the folder of the data set.
        number: of the shard.
        staged: files written by `stage`, in their order.
        kept: serialised examples of the earlier form, by position in that order (or None each).
    """
    import tensorflow as tf  # here, because the decoding workers do without it

    shard, index = shard_path(data, number), shard_path(data, number).with_suffix(".csv")
    kept = list(kept) or [None] * len(staged)
    rows, position = [], 0
    with tf.io.TFRecordWriter(f"{shard}.tmp") as writer:
        for path, example in zip(staged, kept, strict=True):
            example = example or _example(tf, path)
            rows.append(_index_row(tf, example, position))
            writer.write(example)
            position += len(example) + RECORD_FRAME
    index.unlink(missing_ok=True)
    os.replace(f"{shard}.tmp", shard)
    files.write_csv(index, INDEX_FIELDS, rows)


def restore_indices(data: PathLike) -> None:
    """Writes the index of every shard that lacks one, from what the shard holds."""
    for shard in sorted(pathlib.Path(data).glob("videos-*.tfrecord")):
        index = shard.with_suffix(".csv")
        if index.is_file():
            continue
        import tensorflow as tf

        rows, position = [], 0
        for example in tf.data.TFRecordDataset(str(shard)).as_numpy_iterator():
            rows.append(_index_row(tf, example, position))
            position += len(example) + RECORD_FRAME
        files.write_csv(index, INDEX_FIELDS, rows)


def _example(tf, path):
    with np.load(path) as staged:
        values = {
            "video": [str(staged["video"]).encode()],
            "images": [staged["images"].tobytes()],
            "lengths": [staged["lengths"].tobytes()],
        }
        feature = {
            name: tf.train.Feature(bytes_list=tf.train.BytesList(value=value))
            for name, value in values.items()
        }
        feature["size"] = tf.train.Feature(int64_list=tf.train.Int64List(value=staged["size"]))
        feature["rate"] = tf.train.Feature(
            float_list=tf.train.FloatList(value=[float(staged["rate"])])
        )
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    return example.SerializeToString(deterministic=True)


def _index_row(tf, example, position):
    feature = tf.train.Example.FromString(example).features.feature
    lengths, images = (feature[name].bytes_list.value[0] for name in ("lengths", "images"))
    start = position + 12  # after the record's length and its checksum
    return (
        feature["video"].bytes_list.value[0].decode(),
        len(lengths) // 12,
        *feature["size"].int64_list.value,
        start + example.index(lengths, example.index(images) + len(images)),
        start + example.index(images),
    )


def stage_folders(prepared: Prepared, folder: PathLike) -> None:
    """Puts one prepared video aside as a folder of its own, until `place_folders` moves it."""
    with _removed_on_error(folder):
        for part in ("u", "v", "rgb"):
            for number, image in enumerate(getattr(prepared, part), 1):
                path = pathlib.Path(folder, part, FRAME_FILE.format(number))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(image)


def place_folders(data: PathLike, video: str, folder: PathLike) -> None:
    """Makes what `stage_folders` wrote a video of the data set; the RGB folder appears last.

    An earlier one goes first, so that at no moment frames and flow are of different files.
    """
    root = pathlib.Path(data)
    places = {
        "rgb": root / RGB_FOLDER,
        "u": root / FLOW_FOLDER / "u",
        "v": root / FLOW_FOLDER / "v",
    }
    shutil.rmtree(places["rgb"] / video, ignore_errors=True)
    for part in ("u", "v", "rgb"):
        images, place = pathlib.Path(folder, part), places[part] / video
        if images.is_dir():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(place, ignore_errors=True)
            os.replace(images, place)
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
    files.write_json(pathlib.Path(data, DESCRIPTION), description)
