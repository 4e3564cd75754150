"""What `mas train` and `mas finetune` share."""

from __future__ import annotations

from collections.abc import Sequence

from mas import records
from mas.cli.flags import Flags, UsageError
from mas.settings import Clip, Optimisation, Plan

NAMES = "video,label"


def define(flags: Flags) -> None:
    """The flags on clips, optimisation, plan and run, behind those of data and network."""
    flags.add(Clip, "network and clip")
    flags.add(Plan, "training")
    flags.add(Optimisation, "training")
    words = "Run folder; an unfinished run in it is resumed."
    flags.option("run", None, words, group="run", alias="output")
    flags.option("restart", False, "Throw away an earlier run in the folder.", group="run")
    flags.option("seed", 0, "Of weights, order and augmentation.", group="run", least=0)
    flags.option(
        "tensorboard_clips",
        2,
        "Clips of which TensorBoard shows where the network looks.",
        group="run",
        least=0,
        most=16,
        advanced=True,
        alias="pictures",
    )


def define_data(flags: Flags) -> None:
    """The flags on data and on the columns of lists."""
    flags.option(
        "data",
        None,
        "Folder that mas prepare wrote, or of video files; those have no flow.",
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
    """The flag that takes data of which a part is missing or damaged."""
    words = "Use what is there of data that lack files, or have others than were written."
    flags.option("allow_missing", False, words, group=group, advanced=True)


def open_data(path: str | None, inputs=("rgb",), allow_missing: bool = False):
    """The data set of --data, for what a task decodes."""
    if not path:
        raise UsageError(
            "--data must be a folder that mas prepare wrote, or one of video files for tasks "
            "without flow. Received: none."
        )
    return records.open_data(path, "flow" in inputs, allow_missing)


def callbacks(flags: Flags) -> list:
    """Pictures of a few clips for TensorBoard."""
    from mas import visualize

    return [visualize.TrainingPictures(flags.tensorboard_clips)] if flags.tensorboard_clips else []


def without_options(arguments: Sequence[str]) -> list[str]:
    """--option=FIELD=VALUE of earlier versions as --FIELD=VALUE."""
    found, left = [], list(arguments)
    while left:
        argument = left.pop(0)
        if argument == "--option" and left:
            argument = f"--option={left.pop(0)}"
        name, _, text = argument.lstrip("-").partition("=")
        found.append(f"--{text}" if name == "option" and text else argument)
    return found
