"""What a data set holds already, and what of it is damaged and must be prepared again."""

from __future__ import annotations

import os
import pathlib
import uuid
import zipfile
from collections.abc import Collection, Iterable, Mapping, Sequence

from absl import logging

from mas import records
from mas.prepare.plan import Storage

MOST_NAMED = 10  # faults


def opened(root: pathlib.Path, storage: Storage) -> records.Shards | records.Folders:
    """The data set as it is there: without the videos at fault, which a warning names."""
    faults = records.Faults(root, True, words="Damaged")
    reader = records.Shards if storage.form == "shards" else records.Folders
    try:
        known = records.described(root)
    except ValueError as error:
        logging.warning("%s", error)
        known = {}
    indices = {} if known.get("unfinished") else known.get("indices", {})
    kept = {"indices": indices, "checksums": known.get("checksums", False)}
    return reader(root, True, faults, {**storage.recorded(), **kept})


def damaged(data: records.Shards | records.Folders, progress: bool) -> set[str]:
    """Ids of videos that are not as they were written, found by reading all of them."""
    found: dict[str, str] = {}
    for _, faults in records.read_through(data, progress):
        for fault in faults:
            found.setdefault(fault.video, fault.line)
    return _named(found)


def damaged_beside(root: pathlib.Path, numbers: Iterable[int]) -> set[str]:
    """The same of some shards, which are about to be written again."""
    found: dict[str, str] = {}
    for number in numbers:
        found.update(records.read_shard(root, number)[1])
    return _named(found)


def build_shard(
    root: str, number: int, names: Sequence[str], staged: Mapping[str, str], folder: str
) -> tuple[str, list[records.Row]]:
    """Writes a shard of what is staged and of what it held before, under a name of its own.

    Args:
        root: folder of the data set.
        number: of the shard.
        names: ids of the shard's videos, in their order.
        staged: {id: file that `records.stage` wrote}.
        folder: where to write.

    Returns:
        The file and the rows of its index, for `records.place_shard`.
    """
    kept, _ = records.read_shard(root, number)
    there = [name for name in names if name in staged or name in kept]
    part = os.path.join(folder, f"{number:05d}.{uuid.uuid4().hex}.part")
    old = [None if name in staged else kept[name] for name in there]
    return part, records.build_shard(part, [staged.get(name) for name in there], old)


def _named(found: dict[str, str]) -> set[str]:
    for line in list(found.values())[:MOST_NAMED]:
        logging.warning("%s", line)
    return set(found)


def staged(paths: Collection[pathlib.Path]) -> set[pathlib.Path]:
    """Those of the files of `records.stage` that are there and whole; others are removed."""
    found = set()
    for path in paths:
        try:
            with zipfile.ZipFile(path) as file:
                whole = file.testzip() is None
        except FileNotFoundError:
            continue
        except (OSError, zipfile.BadZipFile, ValueError, EOFError, NotImplementedError):
            whole = False
        if whole:
            found.add(path)
        else:
            logging.warning("%s is damaged; its video is prepared again.", path)
            path.unlink()
    return found


def table(data: records.Shards | records.Folders) -> dict:
    """What dataset.json says of the images: whether all have checksums, and of which shards."""
    found: dict[str, object] = {"checksums": data.verified}
    if isinstance(data, records.Shards):
        rows = data.rows()
        found["shards"] = {shard.stem: len(held) for shard, held in rows.items()}
        found["indices"] = {shard.stem: records.index_checksum(r) for shard, r in rows.items()}
    return found
