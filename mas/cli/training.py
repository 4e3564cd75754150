"""Flags and helpers shared by `mas train` and `mas finetune`."""

from __future__ import annotations

from collections.abc import Sequence

from mas import records
from mas.cli.flags import Flags, UsageError
from mas.settings import Clip, Optimisation, Plan

NAMES = "video,label"


def define(flags: Flags) -> None:
    """Defines the flags for clips, optimisation, plan and run."""
    flags.add(Clip, "network and clip")
    flags.add(Plan, "training")
    flags.add(Optimisation, "training")
    words = "Run folder, resumed if unfinished."
    flags.option("run", None, words, group="run", alias="output")
    flags.option("restart", False, "Discard an earlier run in the folder.", group="run")
    flags.option("seed", 0, "Seed of weights, order and augmentation.", group="run", least=0)
    flags.option(
        "tensorboard_clips",
        2,
        "Number of clips whose attention maps TensorBoard shows.",
        group="run",
        least=0,
        most=16,
        advanced=True,
        alias="pictures",
    )


def define_data(flags: Flags) -> None:
    """Defines the flags for data and the columns of lists."""
    flags.option(
        "data",
        None,
        "Prepared data set, or folder of videos (without flow).",
        group="data",
    )
    define_missing(flags)
    flags.option(
        "columns",
        NAMES,
        "Columns of the lists, or a preset: mas, sts, pace, vtdl.",
        group="data",
        advanced=True,
    )


def define_missing(flags: Flags, group: str = "data") -> None:
    """Defines the flag that accepts incomplete or damaged data."""
    words = "Skip videos whose files are missing or damaged, instead of stopping."
    flags.option("allow_missing", False, words, group=group, advanced=True)


def open_data(path: str | None, inputs=("rgb",), allow_missing: bool = False):
    """Opens the data set of --data, with flow if the inputs need it."""
    if not path:
        raise UsageError(
            "--data must be a folder written by mas prepare, or a folder of video files for tasks "
            "without flow. Received: none."
        )
    return records.open_data(path, "flow" in inputs, allow_missing)


def callbacks(flags: Flags) -> list:
    """Pictures of a few clips for TensorBoard."""
    from mas import visualize

    return [visualize.TrainingPictures(flags.tensorboard_clips)] if flags.tensorboard_clips else []


def without_options(arguments: Sequence[str]) -> list[str]:
    """Replaces --option=FIELD=VALUE of earlier versions by --FIELD=VALUE."""
    found, left = [], list(arguments)
    while left:
        argument = left.pop(0)
        if argument == "--option" and left:
            argument = f"--option={left.pop(0)}"
        name, _, text = argument.lstrip("-").partition("=")
        found.append(f"--{text}" if name == "option" and text else argument)
    return found
