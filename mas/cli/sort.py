"""`mas sort`: finds clusters and near-duplicates in an index."""

from __future__ import annotations

from absl import logging

from mas import lazy, lists
from mas.cli.flags import Flags

sorting = lazy.module("mas.index.sorting")


def flags() -> Flags:
    """The flags of the command."""
    found = Flags(
        "mas sort",
        "Sorts the clips of an index into clusters, and finds near-duplicates.",
        "--index=INDEX --output=DIR ...",
    )
    found.option("index", None, "Folder written by mas index.", group="files")
    found.option("output", None, "Folder to write.", group="files")
    moved = "Folder of the videos, if they were moved."
    found.option("data", None, moved, group="files", advanced=True)
    found.add(sorting.Sorting, "sorting")
    return found


def run(arguments: list[str]) -> int:
    """Sorts the clips of an index; returns the exit status."""
    given = flags()
    given.parse(arguments)
    given.require("index", "output")
    chosen = given.make(sorting.Sorting)
    made = sorting.sort(given.index, given.output, given.data, **chosen.values())
    count = lists.counted(len(made.clusters), "cluster")
    pairs = lists.counted(made.total, "pair")
    looked = f"{pairs} of near-duplicates" if chosen.duplicates else "no search for near-duplicates"
    logging.info("%s, %s.", count, looked)
    logging.info("Wrote %s: open %s in a browser.", made.path, sorting.CLUSTERS_PAGE)
    return 0
