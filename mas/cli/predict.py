"""`mas predict`: classifies unlabelled videos of any length with a fine-tuned network."""

from __future__ import annotations

import os

from absl import logging

from mas import cli, lists, locks, prediction
from mas.checks import path
from mas.cli.flags import Flags, UsageError
from mas.prediction import results, sources

SUMMARY = (
    "Classifies unlabelled videos of any length with a fine-tuned network: the most likely classes "
    "of each time window, segments of one class, and a page for each video. The same command "
    "resumes."
)
MOST_NAMED = 10  # failures to log; the csv file names all


def flags() -> Flags:
    """The flags of the command."""
    found = Flags("mas predict", SUMMARY, "--model=RUN --output=DIR VIDEO_OR_FOLDER ...")
    found.option("model", None, "Run folder of mas finetune, or its model.keras.", group="network")
    names = "File of class names, one per line, by default the run's."
    found.option("classes", None, names, group="network")
    found.option("output", None, "Folder for the results.", group="results")
    found.add(prediction.Windows, "windows")
    found.add(prediction.Report, "results")
    found.option("restart", False, "Delete earlier predictions in --output.", group="results")
    found.option(
        "allow_failures", False, "Exit with status 0 even if videos failed.", group="results"
    )
    return found


def run(arguments: list[str]) -> int:
    """Classifies videos.

    Returns:
        The exit status: 1 if videos failed and --allow_failures is not set.
    """
    given = flags()
    videos = given.parse(arguments, others=1)
    given.require("model", "output")
    if not videos:
        raise UsageError("mas predict needs a video file or a folder of them: see --help.")
    sources.find(videos)  # refuses wrong paths before TensorFlow is loaded
    prediction.check(given.model)
    locks.check(path("output", given.output), results.COMMAND)
    cli.load_frameworks()
    written = prediction.write(
        given.model,
        videos,
        given.output,
        windows=given.make(prediction.Windows),
        report=given.make(prediction.Report),
        classes=given.classes,
        restart=given.restart,
        progress=True,
    )
    for file, reason in list(written.failures.items())[:MOST_NAMED]:
        logging.error("%s: %s", file, reason)
    if written.failures:
        named = os.path.join(given.output, results.FAILURES)
        logging.error("%s failed; see %s.", lists.counted(len(written.failures), "video"), named)
    page = results.INDEX if given.pages else results.VIDEOS
    count = lists.counted(len(written.videos), "video")
    logging.info("%s contains %s; open %s.", given.output, count, os.path.join(given.output, page))
    return 1 if written.failures and not given.allow_failures else 0
