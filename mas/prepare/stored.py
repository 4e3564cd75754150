"""Finds what a data set already contains, and which of it is damaged."""

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
    """Opens the data set without its damaged videos, and warns about these."""
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
    """Ids of damaged videos, found by reading all of them."""
    found: dict[str, str] = {}
    for _, faults in records.read_through(data, progress):
        for fault in faults:
            found.setdefault(fault.video, fault.line)
    return _named(found)


def damaged_beside(root: pathlib.Path, numbers: Iterable[int]) -> set[str]:
    """Ids of damaged videos in shards that are about to be rewritten."""
    found: dict[str, str] = {}
    for number in numbers:
        found.update(records.read_shard(root, number)[1])
    return _named(found)


def build_shard(
    root: str, number: int, names: Sequence[str], staged: Mapping[str, str], folder: str
) -> tuple[str, list[records.Row]]:
    """Writes a shard from its staged videos and its previous contents, to a temporary file.

    Args:
        root: folder of the data set.
        number: number of the shard.
        names: ids of the shard's videos, in order.
        staged: {id: file written by `records.stage`}.
        folder: folder of the temporary file.

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
    """The complete files among `paths`, which `records.stage` wrote; deletes damaged ones."""
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
            logging.warning("%s is damaged; preparing its video again.", path)
            path.unlink()
    return found


def table(data: records.Shards | records.Folders) -> dict:
    """Entries of dataset.json on checksums and shards."""
    found: dict[str, object] = {"checksums": data.verified}
    if isinstance(data, records.Shards):
        rows = data.rows()
        found["shards"] = {shard.stem: len(held) for shard, held in rows.items()}
        found["indices"] = {shard.stem: records.index_checksum(r) for shard, r in rows.items()}
    return found
