"""Commands that run once: a study that was stopped takes up where it was."""

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
        name: of the step, in steps.csv.
        arguments: that are typed after `mas`.
        product: file that is there when, and only when, the command has succeeded.
        shared: another step, of other arguments, may have made the product.
    """

    name: str
    arguments: tuple[str, ...]
    product: pathlib.Path
    shared: bool = False

    @property
    def command(self) -> str:
        """As it is typed."""
        return shlex.join(("mas", *self.arguments))


def run(steps: Iterable[Step], folder: files.PathLike, total: int) -> None:
    """Runs the steps that have not been done, each in a process of its own.

    Args:
        steps: in order; each is asked for when those before it are done.
        folder: of steps.csv, to which a row is added for each command that has run.
        total: how many steps there are.

    Raises:
        RuntimeError: a command failed; the rows of those before it stay.
        ValueError: the folder holds what another command has made; or steps.csv is damaged.
    """
    path = pathlib.Path(folder) / FILE
    before = {row["step"]: row["command"] for row in _rows(path)}
    for number, step in enumerate(steps, 1):
        if step.shared and step.product.exists():
            continue
        earlier = before.get(step.name, step.command)
        if earlier != step.command:
            raise ValueError(
                f"{folder} must hold a study of the same settings. Received: {step.command!r}, "
                f"where {earlier!r} was run."
            )
        if step.product.exists():
            continue
        logging.info("[%d of %d] %s", number, total, step.command)
        status = _run(step, path)
        if status or not step.product.exists():
            raise RuntimeError(f"{step.name} failed with status {status}: {step.command}")


def _run(step, path):
    """Runs a step and notes what it took; the exit status."""
    status, begun, before = "stopped", time.monotonic(), _children()
    process = subprocess.Popen([sys.executable, "-m", "mas", *step.arguments])
    try:
        status = process.wait()
    finally:
        if process.poll() is None:  # this process is to end; after Ctrl-C that one does by itself
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
    """The rows of a steps.csv, as dicts; none without one.

    Raises:
        ValueError: the file holds something else.
    """
    if not path.exists():
        return []
    header, *rows = files.read_csv(path) or [[]]
    if tuple(header) != FIELDS or any(len(row) != len(FIELDS) for row in rows):
        raise ValueError(f"{path} must have the columns {', '.join(FIELDS)}. Received: others.")
    return [dict(zip(FIELDS, row, strict=True)) for row in rows]


def cpu_seconds(folder: files.PathLike) -> dict[str, float]:
    """{step: CPU seconds that it took}, those of stopped attempts included.

    Raises:
        ValueError: steps.csv is damaged.
    """
    path = pathlib.Path(folder) / FILE
    taken: dict[str, float] = collections.defaultdict(float)
    for row in _rows(path):
        try:
            taken[row["step"]] += float(row["cpu_seconds"])
        except ValueError:
            raise ValueError(f"{path} must have numbers of seconds. Received: {row}.") from None
    return dict(taken)
