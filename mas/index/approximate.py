"""Approximate search of many millions of clips, with faiss (extra [search]).

    INDEX/lists-N-CLIPS.faiss    the vectors of unit-N.f16 in lists, one list per centre
          lists-N-CLIPS.json     size and checksum of that file

A search reads the lists whose centres are nearest to the query. It finds most of the clips that an
exact search finds: docs/search.md has the share. The file is made when it is first needed, and
mapped into memory. The cosines of the clips found are exact: they use the index's own vectors.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from mas import files, records
from mas.index import storage

if TYPE_CHECKING:
    from mas.index.index import Index

LEAST = 2000  # clips; with fewer an exact search is as fast
SAMPLES = 40  # training clips per list
PROBES = 32  # lists that a search reads
ROUNDS = 10  # iterations of k-means
BLOCK = 65536  # clips at a time


def faiss() -> Any:
    """Imports faiss.

    Raises:
        ImportError: If it is not installed. The message says how to install it.
    """
    try:
        import faiss as found
    except ImportError as error:
        raise ImportError(
            f"approximate needs faiss: pip install 'mas-video[search]'. Received: {error}."
        ) from None
    return found


def opened(index: Index) -> Any:
    """Opens the lists of an index, and makes them first if there are none.

    Raises:
        ImportError: If faiss is not installed.
        ValueError: If the index has too few clips, or the file is damaged.
        WriteError: If the file cannot be written.
    """
    library = faiss()
    if len(index) < LEAST:
        raise ValueError(
            f"approximate must be false for fewer than {LEAST} clips. Received: {len(index)}."
        )
    path = (
        index.path / f"{index.unit_file.replace('unit', 'lists').split('.')[0]}-{len(index)}.faiss"
    )
    note = path.with_suffix(".json")
    if not note.is_file():
        _make(index, library, path, note)
    try:
        known = files.read_json(note)
    except ValueError as error:
        raise storage.DamagedIndexError(
            f"{error} Remove the file; the next search makes it again."
        ) from None
    content = {name: value for name, value in known.items() if name != "crc32"}
    if records.seal(content) != known:
        raise storage.damaged(note, "be unchanged", "other values; its checksum differs")
    storage.verify(index.path, content, read=True)
    return library.read_index(os.fspath(path), library.IO_FLAG_MMAP)


def _make(index, library, path, note):
    count, width = index.unit.shape
    lists = round(math.sqrt(count))
    logging.info("Approximate search: sorting %d clips into %d lists, once.", count, lists)
    centres = library.IndexFlatIP(width)
    kind = library.ScalarQuantizer.QT_fp16
    made = library.IndexIVFScalarQuantizer(
        centres, width, lists, kind, library.METRIC_INNER_PRODUCT, False
    )
    made.cp.niter, made.cp.seed = ROUNDS, 1
    rows = np.linspace(0, count - 1, min(count, SAMPLES * lists)).round().astype(int)
    made.train(index.unit[rows].astype(np.float32))
    for _, block in index.blocks(BLOCK):
        made.add(block)
    for old in (*index.path.glob("lists-*.json"), *index.path.glob("lists-*.faiss")):
        old.unlink(missing_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with files.writing(path):
        try:
            library.write_index(made, os.fspath(temporary))
            files.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    files.write_json(note, records.seal({path.name: storage.measured(path)}))


def nearest(
    index: Index, lists: Any, query: np.ndarray, count: int, probes: int = PROBES
) -> tuple[np.ndarray, np.ndarray]:
    """Finds most of the nearest clips.

    Args:
        index: an open index.
        lists: what `opened` returned.
        query: float32 (K,) of length 1.
        count: number of clips to find.
        probes: number of lists to read.

    Returns:
        (rows, cosines), largest cosine first; fewer than `count` if the lists hold fewer clips.
    """
    lists.nprobe = probes
    rows = np.sort(lists.search(query[None], min(count, len(index)))[1][0])
    rows = rows[rows >= 0]
    values = index.unit[rows].astype(np.float32) @ query
    order = np.argsort(-values, kind="stable")
    return rows[order], values[order]
