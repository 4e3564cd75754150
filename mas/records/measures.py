"""Cached sizes of the frames in folders without checksums.

$XDG_CACHE_HOME/mas/frames-DIGEST.csv   (default: ~/.cache)
    folder, stamp          if names, sizes or times of the files change, it is read again
    unreadable             first file without an image header
    odd                    message about the first frame of another size
    crc32                  checksum of the line; damaged lines are measured again
"""

from __future__ import annotations

import collections
import concurrent.futures
import os
import pathlib
import zlib

import tqdm
from absl import logging

from mas import files
from mas.records.images import HEADER, image_size
from mas.records.layout import read_table, row_checksum
from mas.records.videos import index_path

FIELDS = ("folder", "stamp", "unreadable", "odd", "crc32")
FIRST = 2048  # bytes that usually include the size


def measure(root: pathlib.Path, folders: dict[str, list[str]]) -> dict[str, tuple[str, str]]:
    """Reads the headers of all frames, or the cache.

    Args:
        root: folder of the data set.
        folders: {folder below it: names of its images}.

    Returns:
        {folder: (first file that is not an image, or "", message about the first frame of another
        size, or "")}.
    """
    path = index_path(root)
    path = path.with_name(path.name.replace("videos", "frames"))
    stamps = {name: _stamp(root / name, images) for name, images in folders.items()}
    before = _read(path)
    known = {n: before[n][1:] for n in folders if n in before and before[n][0] == stamps[n]}
    left = [name for name in folders if name not in known]
    if not left:
        return known
    with concurrent.futures.ThreadPoolExecutor() as pool:
        found = pool.map(lambda name: _measure(root / name, folders[name]), left)
        options = {"total": len(left), "unit": "video", "desc": "measure", "delay": 2}
        bar = tqdm.tqdm(zip(left, found, strict=True), **options)
        for name, odd in bar:
            known[name] = odd
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [(name, stamps[name], *known[name]) for name in sorted(known)]
        rows = [(*row, row_checksum(row)) for row in rows]
        files.write_csv(path, FIELDS, rows)
    except OSError as error:
        logging.warning("%s cannot be written, so nothing is cached: %s.", path, error.strerror)
    return known


def _stamp(folder, names):
    """Returns a checksum of the names, sizes and times of files."""
    total = 0
    for name in names:
        try:
            status = os.stat(folder / name)
        except OSError:  # deleted meanwhile
            return ""
        text = f"{name}/{status.st_size}/{status.st_mtime_ns}"
        total ^= zlib.crc32(text.encode("utf-8", "surrogateescape"))
    return f"{total:08x}"


def _measure(folder, names):
    sizes = {name: _size(folder / name) for name in sorted(names)}
    unreadable = next((name for name, size in sizes.items() if size is None), "")
    found = collections.Counter(size for size in sizes.values() if size)
    if len(found) < 2:
        return unreadable, ""
    (height, width), _ = found.most_common(1)[0]
    for name, size in sizes.items():
        if size and size != (height, width):
            return unreadable, (
                f"{folder / name} must be of {width}x{height} pixels like the other frames. "
                f"Received: {size[1]}x{size[0]}."
            )
    return unreadable, ""


def _size(path):
    try:
        if files.special(path):  # opening it may block forever
            return None
        with open(path, "rb", buffering=0) as file:
            head = file.read(FIRST)
            return image_size(head) or image_size(head + file.read(HEADER))
    except OSError:
        return None


def _read(path):
    """Reads {folder: (stamp, unreadable, odd)}; {} if the file is damaged."""
    try:
        rows = read_table(path)
    except (OSError, ValueError):
        return {}
    rows = [row for row in rows if len(row) == len(FIELDS) and row[-1] == row_checksum(row[:-1])]
    return {row[0]: tuple(row[1:-1]) for row in rows}
