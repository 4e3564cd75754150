"""`mas prepare`: decodes videos and stores them with their optical flow."""

from __future__ import annotations

import os

from absl import logging

from mas import cli, cluster, lists, locks, prepare, records
from mas.checks import refuse
from mas.cli.flags import Flags
from mas.forms import INTEGER

SUMMARY = (
    "Decodes every video of a folder, computes optical flow, and stores frames and flow. You can "
    "stop it at any time: the same command resumes."
)
MOST_NAMED = 10  # failures to log; the csv file has all


def flags() -> Flags:
    """The flags of the command."""
    found = Flags("mas prepare", SUMMARY, "--videos=DIR --output=DATA ...")
    found.option("videos", None, "Folder of video files, at any depth.", group="data")
    found.option("output", None, "Folder of the prepared data set.", group="data")
    found.option("list", None, "Prepare only the videos of this list.", group="data")
    found.option(
        "columns",
        "video,label",
        "Columns of the list, or a preset: mas, sts, pace, vtdl.",
        group="data",
        advanced=True,
    )
    found.add(prepare.Storage, "storage")
    found.option(
        "workers",
        None,
        "Number of worker processes, by default one per core.",
        group="run",
        form=INTEGER,
        least=1,
    )
    found.option(
        "engine",
        "pool",
        "Where to run: pool, processes on this machine; ray, a Ray cluster (docs/scale.md).",
        group="run",
        choices=prepare.ENGINES,
    )
    found.option(
        "address",
        None,
        "Ray cluster, auto or HOST:PORT; by default, Ray starts on this machine.",
        group="run",
    )
    found.option(
        "check",
        False,
        "Only compare the files in --output with their checksums; writes nothing.",
        group="run",
    )
    found.option("allow_failures", False, "Exit with status 0 even if videos failed.", group="run")
    return found


def run(arguments: list[str]) -> int:
    """Prepares or checks a data set.

    Returns:
        The exit status: 1 if videos failed, 2 if --check found faults.
    """
    given = flags()
    given.parse(arguments)
    if given.check:
        return _check(given)
    given.require("videos", "output")
    lists.find_videos(given.videos)  # raises for a wrong folder before anything heavy is loaded
    locks.check(given.output, "mas.prepare")
    cluster.check(given.engine, given.address)
    cli.load_frameworks()
    data = prepare.prepare_videos(
        given.videos,
        given.output,
        **given.values(prepare.Storage),
        list=given.list,
        columns=given.columns,
        workers=given.workers,
        engine=given.engine,
        address=given.address,
    )
    for path, reason in sorted(data.failures.items())[:MOST_NAMED]:
        logging.error("%s: %s", path, reason)
    if data.failures:
        named = os.path.join(given.output, records.FAILURES)
        logging.error("%s failed; see %s.", lists.counted(len(data.failures), "video"), named)
    videos = lists.counted(len(data.videos), "video")
    frames = lists.counted(int(data.lengths.sum()), "frame")
    logging.info("%s contains %s, %s.", given.output, videos, frames)
    if data.videos:
        logging.info("Next: mas train%s --data=%s", _training(data), given.output)
    return 1 if data.failures and not given.allow_failures else 0


def _check(given):
    """Checks a data set and logs its faults; returns the exit status."""
    given.require("output")
    if not os.path.isdir(given.output):
        refuse("output", "a prepared data set", given.output)
    cli.load_frameworks()
    found = records.check_data(given.output, progress=True)
    read = f"{lists.counted(found.videos, 'video')}, {lists.counted(found.images, 'image')}"
    for fault in found.faults[:MOST_NAMED]:
        logging.error("%s", fault.line)
    if found.faults:
        faults = lists.counted(len(found.faults), "fault")
        logging.error("%s: found %s in %s.", given.output, faults, read)
        return cli.FAILED
    how = "all intact" if found.checksums else "all decodable; some have no checksums"
    logging.info("%s contains %s, %s.", given.output, read, how)
    return 0


def _training(data):
    """Flags for the next command: the papers' settings on a GPU, a small network on a CPU."""
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return "" if data.has_flow else " --task=pace"
    return " --recipe=mas_small" if data.has_flow else " --recipe=pace_small"
