"""`mas search`: finds the clips of an index that are nearest to a query."""

from __future__ import annotations

import os
import pathlib
import re

from absl import logging

from mas import cli, index
from mas.cli.flags import Flags, UsageError
from mas.forms import NUMBER
from mas.index import report

SUMMARY = (
    "Finds the clips of an index that are nearest to a query. Writes a table, and a page on which "
    "the clips play."
)


def flags() -> Flags:
    """The flags of the command."""
    found = Flags("mas search", SUMMARY, "--index=INDEX --query=CLIP.mp4 ...")
    found.option("index", None, "Folder written by mas index.", group="search")
    words = "A video file, or VIDEO:SECOND of the index."
    found.option("query", None, words, group="search")
    found.option(
        "start",
        None,
        "Second at which the clip begins; by default, the mean over all clips of the file is used.",
        group="search",
        form=NUMBER,
        least=0,
    )
    found.option("top", 20, "Number of hits.", group="search", least=1)
    found.option("other_videos", False, "Exclude the whole video of VIDEO:SECOND.", group="search")
    found.option(
        "approximate",
        False,
        "Search only part of the clips, with faiss: for many millions of clips.",
        group="search",
    )
    found.option(
        "output", None, "Folder of the results, by default runs/search_QUERY.", group="run"
    )
    found.option(
        "model",
        None,
        "New place of the network, if it was moved.",
        group="run",
        advanced=True,
    )
    found.option(
        "data", None, "New place of the videos, if they were moved.", group="run",
        advanced=True,
    )  # fmt: skip
    return found


def run(arguments: list[str]) -> int:
    """Searches an index and writes the results; returns the exit status."""
    given = flags()
    given.parse(arguments)
    given.require("index", "query")
    if given.start is not None and not os.path.exists(given.query):
        raise UsageError(f"--start belongs to a video file. Received: --query={given.query}.")
    found = index.Index.open(given.index, model=given.model)
    if os.path.exists(given.query):
        cli.load_frameworks()
    query = found.query(given.query, given.start)
    hits = found.search(
        query, given.top, other_videos=given.other_videos, approximate=given.approximate
    )
    name = re.sub(r"[^\w.-]+", "_", pathlib.Path(given.query).name)
    folder = given.output or f"runs/search_{name}"
    written = report.write(found, query, hits, folder, given.data)
    for rank, hit in enumerate(hits, 1):
        logging.info("%2d  %.3f  %s  %s", rank, hit.cosine, hit.video, report.span_text(hit))
    logging.info("%s", report.described(found))
    logging.info("Wrote %s and %s.", *written)
    return 0
