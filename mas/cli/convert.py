"""`mas convert`: converts a published checkpoint to a .keras file."""

from __future__ import annotations

import shlex

from absl import logging

from mas import cli, convert, networks
from mas.cli.flags import Flags, UsageError
from mas.forms import INTEGER
from mas.settings import PRESETS

SUMMARY = (
    "Converts a published checkpoint to a .keras file for mas finetune. Nothing in the checkpoint "
    "is executed."
)


def flags() -> Flags:
    """The flags of the command."""
    found = Flags("mas convert", SUMMARY, "--network=NAME CHECKPOINT OUTPUT.keras ...")
    found.option(
        "network", None, "Method and architecture.", group="checkpoint", choices=convert.NAMES
    )
    found.option(
        "key",
        None,
        "Nested dict with the weights, its levels separated by /; by default the most likely one.",
        group="checkpoint",
    )
    found.option(
        "prefix",
        None,
        "Prefix of the entries to use, by default the one with the most matches.",
        group="checkpoint",
    )
    found.option(
        "partial", False, "Write the file even if not everything fits.", group="checkpoint"
    )
    found.option(
        "preset",
        None,
        "Colour preprocessing, by default the authors'.",
        group="input",
        choices=PRESETS,
    )
    found.option(
        "frames",
        None,
        "Clip length in frames, by default the authors'.",
        group="input",
        form=INTEGER,
        least=1,
    )
    found.option(
        "size",
        None,
        "Side of a clip in pixels, by default the authors'.",
        group="input",
        form=INTEGER,
        least=1,
    )
    return found


def run(arguments: list[str]) -> int:
    """Converts, logs a report and the next command; returns the exit status."""
    given = flags()
    paths = given.parse(arguments, 2)
    if len(paths) != 2:
        received = " ".join(paths) or "none"
        raise UsageError(f"mas convert needs CHECKPOINT OUTPUT.keras. Received: {received}.")
    given.require("network")
    checkpoint, output = paths
    convert.check_paths(checkpoint, output)
    cli.load_frameworks()
    convert.convert(
        given.network,
        checkpoint,
        output,
        preset=given.preset,
        frames=given.frames,
        size=given.size,
        key=given.key,
        prefix=given.prefix,
        partial=given.partial,
    )
    _log_next(given, output)
    return 0


def _log_next(given, output):
    """Logs the next command. The file has all settings except the size frames are resized to."""
    row, more = convert.published(given.network), ""
    if not given.size and row.resize != "x".join(map(str, networks.resize_for(row.size))):
        more = f" --resize={row.resize}"
    lists = "--data=DATA --train_list=LIST --test_list=LIST"
    command = f"mas finetune --init={shlex.quote(output)}{more} {lists}"
    logging.info("Wrote %s.\nNext:    %s", output, command)
