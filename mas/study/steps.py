"""Runs each command of a study once, so that a stopped study resumes where it stopped."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable

from absl import logging

from mas import files

FIELDS = ("step", "seconds", "cpu_seconds", "status", "command")
FILE = "steps.csv"


@dataclasses.dataclass(frozen=True)
class Step:
    """A `mas` command.

    Attributes:
        name: name of the step in steps.csv.
        arguments: arguments after `mas`.
        product: file that exists if and only if the command has succeeded.
        shared: whether a step with other arguments may have made the product.
    """

    name: str
    arguments: tuple[str, ...]
    product: pathlib.Path
    shared: bool = False

    @property
    def command(self) -> str:
        """The command line."""
        return shlex.join(("mas", *self.arguments))


def run(steps: Iterable[Step], folder: files.PathLike, total: int) -> None:
    """Runs the steps that are not done yet, each in its own process.

    Args:
        steps: steps in order; the iterable is advanced when the steps before are done.
        folder: folder of steps.csv, which gets a row for each command.
        total: number of steps.

    Raises:
        RuntimeError: If a command fails. Rows of earlier commands are kept.
        ValueError: If the folder contains a study with other settings, or steps.csv is damaged.
    """
    path = pathlib.Path(folder) / FILE
    before = {row["step"]: row["command"] for row in _rows(path)}
    for number, step in enumerate(steps, 1):
        if step.shared and step.product.exists():
            continue
        earlier = before.get(step.name, step.command)
        if earlier != step.command:
            raise ValueError(
                f"{folder} must contain a study of the same settings. Received: {step.command!r}, "
                f"where {earlier!r} was run."
            )
        if step.product.exists():
            continue
        logging.info("[%d of %d] %s", number, total, step.command)
        status = _run(step, path)
        if status or not step.product.exists():
            raise RuntimeError(f"{step.name} failed with status {status}: {step.command}")


def _run(step, path):
    """Runs a step, records its time and returns its exit status."""
    status, begun, before = "stopped", time.monotonic(), _children()
    process = subprocess.Popen([sys.executable, "-m", "mas", *step.arguments])
    try:
        status = process.wait()
    finally:
        if process.poll() is None:  # we are being stopped; after Ctrl-C the child stops by itself
            process.terminate()
            process.wait()
        took = time.monotonic() - begun, _children() - before
        _note(path, (step.name, *(f"{seconds:.1f}" for seconds in took), status, step.command))
    return status


def _children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _note(path, row):
    files.write_csv(path, FIELDS, [*(list(known.values()) for known in _rows(path)), row])


def _rows(path):
    """Reads the rows of steps.csv as dicts; [] if there is no file.

    Raises:
        ValueError: If the file has other columns.
    """
    if not path.exists():
        return []
    header, *rows = files.read_csv(path) or [[]]
    if tuple(header) != FIELDS or any(len(row) != len(FIELDS) for row in rows):
        raise ValueError(f"{path} must have the columns {', '.join(FIELDS)}. Received: others.")
    return [dict(zip(FIELDS, row, strict=True)) for row in rows]


def cpu_seconds(folder: files.PathLike) -> dict[str, float]:
    """{step: its CPU seconds}, including stopped attempts.

    Raises:
        ValueError: If steps.csv is damaged.
    """
    path = pathlib.Path(folder) / FILE
    taken: dict[str, float] = collections.defaultdict(float)
    for row in _rows(path):
        try:
            taken[row["step"]] += float(row["cpu_seconds"])
        except ValueError:
            raise ValueError(f"{path} must have numbers of seconds. Received: {row}.") from None
    return dict(taken)
