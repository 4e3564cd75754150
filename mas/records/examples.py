"""Where the parts of a shard's examples are: found without reading the images.

A record of a TFRecord file is its length (uint64), that one's checksum, the example and its
checksum. An example is a protocol buffer, `Features`: a map from names to lists of values. Every
length in it is held against what is around it before it is used.
"""

from __future__ import annotations

import math
import os
import struct

from mas.records.layout import PER_FRAME, RECORD_FRAME, Row

HEAD = 64  # bytes that hold the name of a feature and all lengths before its value
MOST_NAME = 2**16  # bytes of a video's id
LISTS = (0x0A, 0x12, 0x1A)  # tags of bytes, floats, whole numbers
_WRONG = (KeyError, IndexError, ValueError, struct.error)


def walk(shard):
    """Yields (place in the file, `Row`) of each record.

    Raises:
        ValueError: the file is not what was written; names it and the byte.
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
    """Place in the file of the record that a row of the index is about.

    Raises:
        ValueError: the shard does not hold it there; names both.
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
    raise ValueError(f"{shard} must hold {row.video} around byte {first}. Received: other bytes.")


def read(shard, rows):
    """Yields (row, its place in the file, its example) for rows of a shard.

    An example is held against the checksums of its record; where they differ, or where it is not
    there, there is a ValueError in its place, which names the file.
    """
    import tensorflow as tf

    stream = tf.data.TFRecordDataset(os.fspath(shard)).as_numpy_iterator()
    end = 0  # of what was read of the stream; None where it has ended
    for row in rows:
        example = None
        try:
            at = locate(shard, row)
            if at == end:  # a stream is fast; behind damage it cannot be used any more
                example = next(stream, None)
            example = _alone(tf, shard, at) if example is None else example
            end = at + RECORD_FRAME + len(example) if at == end else None
            yield row, at, example
        except (ValueError, tf.errors.DataLossError) as error:
            end = None
            if isinstance(error, tf.errors.DataLossError):
                error = ValueError(
                    f"{shard} must hold the record of {row.video} that was written at byte {at}. "
                    "Received: other bytes; its checksum differs."
                )
            yield row, 0, error


def _alone(tf, shard, at):
    """One example, for which TensorFlow wants a file that begins with its record."""
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
    """(length in bytes, `Row`) of the record at a place."""
    length = struct.unpack("<Q", _read(file, at, 8))[0]
    if length > size - at - RECORD_FRAME:
        raise ValueError(f"a record of {length} bytes, more than the file holds")
    return length, _row(file, _features(file, at + 12, at + 12 + length))


def _read(file, at, count):
    data = os.pread(file.fileno(), count, at)
    if len(data) != count:
        raise ValueError(f"{len(data)} bytes")
    return data


def _features(file, at, end):
    """{name: (place, length) of its value} of an example."""
    found = {}
    at, stop = _inside(os.pread(file.fileno(), HEAD, at), at, 0, (0x0A,))
    if stop != end:
        raise ValueError("an example of another length")
    while at < end:
        head, origin = os.pread(file.fileno(), HEAD, at), at
        entry, stop = _inside(head, origin, 0, (0x0A,))
        name, behind = _inside(head, origin, entry - origin, (0x0A,))
        value = behind
        for tags in ((0x12,), LISTS, (0x0A,)):
            value, last = _inside(head, origin, value - origin, tags)
            if last != stop:
                raise ValueError("a feature of another length")
        if stop > end:
            raise ValueError("a feature beyond its example")
        found[bytes(head[name - origin : behind - origin]).decode()] = (value, stop - value)
        at = stop
    return found


def _inside(head, origin, at, tags):
    """(begin, end) in the file of what stands behind a tag and its length in `head`."""
    if head[at] not in tags:
        raise ValueError(f"a tag of {head[at]}")
    length, at = _number(head, at + 1)
    return origin + at, origin + at + length


def _number(data, at):
    """(value, place behind it) of a varint."""
    value = 0
    for shift in range(0, 63, 7):
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise ValueError("a number without end")


def _row(file, found):
    """The `Row` of the places of an example's features."""
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
        raise ValueError("a size or rate of other numbers")
    video = _read(file, name_at, name).decode()
    places = (lengths_at, found["images"][0], checksums_at)
    fps = struct.unpack("<f", _read(file, rate_at, 4))[0]
    fps = fps if math.isfinite(fps) and fps > 0 else 0.0
    return Row(video, lengths // PER_FRAME, height, width, *places, fps)
