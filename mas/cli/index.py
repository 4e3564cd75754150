"""`mas index`: makes an index of clips, or adds to one."""

from __future__ import annotations

from absl import logging

from mas import cli, features, lists, locks, networks, records
from mas.cli import training
from mas.cli.flags import Flags
from mas.forms import NUMBER
from mas.index import Index, storage

SUMMARY = (
    "Stores features of clips and their times, for mas search and mas sort. The same command "
    "resumes, and adds new videos."
)
_SKIPPED = ("clips", "static")  # sampling flags left out: an index contains clips of whole videos
MOST_NAMED = 10  # failures to log


def flags() -> Flags:
    """The flags of the command."""
    found = Flags("mas index", SUMMARY, "--model=RUN --data=DATA --output=INDEX ...")
    found.option("model", None, "Run folder, or .keras file.", group="network and data")
    found.option("data", None, "Prepared data set, or folder of videos.", group="network and data")
    training.define_missing(found, "network and data")
    found.option("output", None, "Folder of the index.", group="network and data")
    found.option(
        "fps",
        None,
        "Frames per second of videos of unknown rate; by default their times are frame numbers.",
        group="network and data",
        form=NUMBER,
        above=0,
    )
    found.add(features.Sampling, "clips", _SKIPPED, how="consecutive")
    found.option(
        "whiten",
        storage.WHITEN,
        "Size of whitened features; 0 compares features as they are.",
        group="clips",
        least=0,
    )
    found.option("random", False, "Give the network random weights.", group="run")
    found.option("seed", 0, "Of random weights.", group="run", least=0, advanced=True)
    return found


def run(arguments: list[str]) -> int:
    """Makes or extends an index.

    Returns:
        The exit status: 1 if videos were left out and --allow_failures is not set.
    """
    given = flags()
    given.parse(arguments)
    given.require("model", "data", "output")
    networks.file(given.model, "model")
    root = storage.root_of(given.output)
    locks.check(root, "mas index")
    sampling = given.make(features.Sampling, clips=0)
    flow = features.modality_of(given.model)[0] == "flow"
    data = records.open_data(given.data, flow, given.allow_missing)
    cli.load_frameworks()
    from mas.training import distribution, engine

    distribution.limit_threads(given.threads)
    options = {"fps": given.fps, "random": given.random, "seed": given.seed}
    options["whiten"] = given.whiten if given.given("whiten") else None
    with engine.reading():
        index = Index.build(root, given.model, data, sampling, **options)
    for video, reason in sorted(index.failures.items())[:MOST_NAMED]:
        logging.error("%s: %s", video, reason)
    counts = lists.counted(len(index), "clip"), lists.counted(len(index.videos), "video")
    logging.info("%s contains %s of %s.", root, *counts)
    unknown = sum(not video.rate for video in index.videos)
    if unknown:
        videos = lists.counted(unknown, "video")
        logging.info(
            "The rate of %s is unknown: their times are frame numbers. --fps sets it.", videos
        )
    logging.info("Next: mas search --index=%s --query=CLIP.mp4", root)
    return 1 if index.failures and not given.allow_failures else 0
