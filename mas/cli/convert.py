"""`mas convert`: turns an authors' checkpoint into a .keras file."""

from __future__ import annotations

import shlex

from absl import logging

from mas import cli, convert, networks
from mas.cli.flags import Flags, UsageError
from mas.forms import INTEGER
from mas.settings import PRESETS

SUMMARY = (
    "Turns a checkpoint of the authors' into a .keras file that mas finetune starts from. Nothing "
    "in the checkpoint is executed."
)


def flags() -> Flags:
    """The flags of the command."""
    found = Flags("mas convert", SUMMARY, "--network=NAME CHECKPOINT OUTPUT.keras ...")
    found.option(
        "network", None, "Authors and architecture.", group="checkpoint", choices=convert.NAMES
    )
    found.option(
        "key",
        None,
        "Nested dict of the weights, levels separated by /, by default the likeliest.",
        group="checkpoint",
    )
    found.option(
        "prefix",
        None,
        "Prefix of the entries to take, by default that under which most fit.",
        group="checkpoint",
    )
    found.option(
        "partial", False, "Write the file although not everything fits.", group="checkpoint"
    )
    found.option(
        "preset", None, "Colours, by default the authors'.", group="input", choices=PRESETS
    )
    found.option(
        "frames",
        None,
        "Length of a clip, in frames, by default the authors'.",
        group="input",
        form=INTEGER,
        least=1,
    )
    found.option(
        "size",
        None,
        "Side of a clip, in pixels, by default the authors'.",
        group="input",
        form=INTEGER,
        least=1,
    )
    return found


def run(arguments: list[str]) -> int:
    """Converts, says what became of every entry and what to type next; returns the exit status."""
    given = flags()
    paths = given.parse(arguments, 2)
    if len(paths) != 2:
        received = " ".join(paths) or "none"
        raise UsageError(f"mas convert takes CHECKPOINT OUTPUT.keras. Received: {received}.")
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
    _say_next(given, output)
    return 0


def _say_next(given, output):
    """The next command. The file tells everything except how frames were resized."""
    row, more = convert.published(given.network), ""
    if not given.size and row.resize != "x".join(map(str, networks.resize_for(row.size))):
        more = f" --resize={row.resize}"
    lists = "--data=DATA --train_list=LIST --test_list=LIST"
    command = f"mas finetune --init={shlex.quote(output)}{more} {lists}"
    logging.info("Wrote %s.\nNext:    %s", output, command)
