"""Locates the parts of a shard's examples without reading the images.

A record of a TFRecord file is its length (uint64), a checksum of the length, the example, and a
checksum of the example. An example is a protocol buffer, `Features`: a map from names to lists of
values. Every length in it is checked against its surroundings before use.
"""

from __future__ import annotations

import math
import os
import struct

from mas.records.layout import PER_FRAME, RECORD_FRAME, Row

HEAD = 64  # bytes that include a feature's name and all lengths before its value
MOST_NAME = 2**16  # bytes in a video's id
LISTS = (0x0A, 0x12, 0x1A)  # tags of bytes, floats, integers
_WRONG = (KeyError, IndexError, ValueError, struct.error)


def walk(shard):
    """Yields (offset, `Row`) for each record of a shard.

    Raises:
        ValueError: If the file is damaged; names it and the offset.
    """
    with open(shard, "rb", buffering=0) as file:
        at, size = 0, os.fstat(file.fileno()).st_size
        while at < size:
            try:
                length, row = _record(file, at, size)
            except _WRONG as error:
                raise ValueError(
                    f"{shard}: expected a video at byte {at}. Received: {error}."
                ) from None
            yield at, row
            at += RECORD_FRAME + length


def locate(shard, row):
    """Returns the offset of the record that a row of the index describes.

    Raises:
        ValueError: If the record is not there.
    """
    first = row.checksums_at or row.images_at
    with open(shard, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        for at in range(first - 12, max(-1, first - HEAD), -1):
            try:
                _, found = _record(file, at, size)
            except _WRONG:
                continue
            if found == row:
                return at
    raise ValueError(
        f"{shard} must contain {row.video} around byte {first}. Received: other bytes."
    )


def read(shard, rows):
    """Yields (row, offset, example) for rows of a shard.

    Examples are verified against the checksums of their records. If one does not match or does not
    exist, a ValueError that names the file is yielded in its place.
    """
    import tensorflow as tf

    stream = tf.data.TFRecordDataset(os.fspath(shard)).as_numpy_iterator()
    end = 0  # current offset of the stream; None if it cannot be used
    for row in rows:
        example = None
        try:
            at = locate(shard, row)
            if at == end:  # a stream is fast but unusable after damage
                example = next(stream, None)
            example = _read_alone(tf, shard, at) if example is None else example
            end = at + RECORD_FRAME + len(example) if at == end else None
            yield row, at, example
        except (ValueError, tf.errors.DataLossError) as error:
            end = None
            if isinstance(error, tf.errors.DataLossError):
                error = ValueError(
                    f"{shard} must contain the record of {row.video} that was written at byte "
                    f"{at}. Received: other bytes; its checksum differs."
                )
            yield row, 0, error


def _read_alone(tf, shard, at):
    """Reads one example from a file with only its record, because TensorFlow cannot seek."""
    with open(shard, "rb", buffering=0) as file:
        length = struct.unpack("<Q", _read(file, at, 8))[0]
        size = min(length, os.fstat(file.fileno()).st_size) + RECORD_FRAME
        text = os.pread(file.fileno(), size, at)
    alone = os.memfd_create("record")
    try:
        with open(alone, "wb", closefd=False) as file:
            file.write(text)
        found = tf.data.TFRecordDataset(f"/proc/self/fd/{alone}")
        return next(found.as_numpy_iterator(), b"")
    finally:
        os.close(alone)


def _record(file, at, size):
    """Returns (length in bytes, `Row`) of the record at an offset."""
    length = struct.unpack("<Q", _read(file, at, 8))[0]
    if length > size - at - RECORD_FRAME:
        raise ValueError(f"a record of {length} bytes, more than the file contains")
    return length, _row(file, _features(file, at + 12, at + 12 + length))


def _read(file, at, count):
    data = os.pread(file.fileno(), count, at)
    if len(data) != count:
        raise ValueError(f"{len(data)} bytes")
    return data


def _features(file, at, end):
    """Returns {name: (offset, length) of the value} of an example."""
    found = {}
    at, stop = _inside(os.pread(file.fileno(), HEAD, at), at, 0, (0x0A,))
    if stop != end:
        raise ValueError("an example of the wrong length")
    while at < end:
        head, origin = os.pread(file.fileno(), HEAD, at), at
        entry, stop = _inside(head, origin, 0, (0x0A,))
        name, behind = _inside(head, origin, entry - origin, (0x0A,))
        value = behind
        for tags in ((0x12,), LISTS, (0x0A,)):
            value, last = _inside(head, origin, value - origin, tags)
            if last != stop:
                raise ValueError("a feature of the wrong length")
        if stop > end:
            raise ValueError("a feature beyond its example")
        found[bytes(head[name - origin : behind - origin]).decode()] = (value, stop - value)
        at = stop
    return found


def _inside(head, origin, at, tags):
    """Returns (start, end) in the file of the content after a tag and a length in `head`."""
    if head[at] not in tags:
        raise ValueError(f"a tag of {head[at]}")
    length, at = _number(head, at + 1)
    return origin + at, origin + at + length


def _number(data, at):
    """Decodes a varint; returns (value, offset after it)."""
    value = 0
    for shift in range(0, 63, 7):
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise ValueError("an endless number")


def _row(file, found):
    """Builds the `Row` from the locations of an example's features."""
    (name_at, name), (lengths_at, lengths) = found["video"], found["lengths"]
    if name > MOST_NAME or lengths % PER_FRAME:
        raise ValueError(f"{name} bytes of name, {lengths} bytes of lengths")
    checksums_at, checksums = found.get("checksums", (0, lengths))
    if checksums != lengths:
        raise ValueError(f"{checksums} bytes of checksums, {lengths} bytes of lengths")
    (size_at, size), (rate_at, rate) = found["size"], found["rate"]
    sides = _read(file, size_at, min(size, 20))
    height, behind = _number(sides, 0)
    width, behind = _number(sides, behind)
    if behind != size or rate != 4:
        raise ValueError("a malformed size or rate")
    video = _read(file, name_at, name).decode()
    places = (lengths_at, found["images"][0], checksums_at)
    fps = struct.unpack("<f", _read(file, rate_at, 4))[0]
    fps = fps if math.isfinite(fps) and fps > 0 else 0.0
    return Row(video, lengths // PER_FRAME, height, width, *places, fps)
