"""Run folders as objects."""

from __future__ import annotations

import functools
import pathlib
import tempfile
from typing import Any

import keras

from mas import accuracy, checks, files, networks
from mas.accuracy import Accuracy
from mas.settings import Clip, Network
from mas.training import metrics


class Run:
    """A run folder.

    Attributes:
        path: the folder.
        description: contents of run.json.
    """

    def __init__(
        self,
        path: pathlib.Path,
        made: tuple[keras.Model, keras.Model] | None = None,
        temporary: tempfile.TemporaryDirectory | None = None,
    ):
        """Opens a run folder.

        Args:
            path: the folder.
            made: (backbone, model), if they are in memory.
            temporary: the temporary folder that contains the run, deleted with this object.

        Raises:
            FileNotFoundError: If the folder contains no run.
            ValueError: If run.json is damaged.
        """
        self.path, self._made, self._temporary = pathlib.Path(path), made, temporary
        file = self.path / networks.RUN
        if not file.is_file():
            raise FileNotFoundError(
                f"run must be a run folder, which contains {networks.RUN}. Received: run='{path}'."
            )
        self.description: dict[str, Any] = files.read_json(file, networks.MOST_RUN)
        task = self.description.get("task")
        if not isinstance(task, str):
            raise ValueError(f"{file} must be that of a run. Received: task={task!r}.")
        self.task = task

    def __repr__(self) -> str:
        """Folder, task and state."""
        state = "finished" if self.finished else "unfinished"
        return f"Run({str(self.path)!r}: {self.task}, {state})"

    def __fspath__(self) -> str:
        """The folder, so that a `Run` can be used as a path."""
        return str(self.path)

    @property
    def finished(self) -> bool:
        """Whether training has finished and the networks are written."""
        return bool(self.description.get("finished_epochs"))

    @property
    def network(self) -> Network | None:
        """Settings of the network; None for a keras.Model."""
        return networks.described(self.path).network

    @property
    def clip(self) -> Clip:
        """Settings of the clips."""
        return networks.described(self.path).clip

    @property
    def validation(self) -> dict[str, Any] | None:
        """How validation chose the network; None without validation.

        "epoch", counted from 1; "top1", its accuracy on the validation videos; "videos", their
        number; "tested", how many of them are also test videos.
        """
        return self.description.get("validation")

    @functools.cached_property
    def backbone(self) -> keras.Model:
        """The network without heads, from clips to a feature map.

        Raises:
            FileNotFoundError: If the run is unfinished.
        """
        return self._made[0] if self._made else networks.load(networks.file(self.path, "run"))

    @functools.cached_property
    def model(self) -> keras.Model:
        """The network with the task's heads; its outputs are a dict by name.

        Raises:
            FileNotFoundError: If the run is unfinished.
        """
        if self._made:
            return self._made[1]
        networks.file(self.path, "run")  # raises if the run is unfinished
        return networks.load(self.path / networks.MODEL)

    @property
    def metrics(self) -> dict[str, list[float]]:
        """{name: one value per epoch}: the columns of metrics.csv.

        Raises:
            ValueError: If the file is damaged.
        """
        header, rows = metrics.read(self.path / metrics.NAME)
        columns = zip(*([float(value) for value in row] for row in rows), strict=True)
        return dict(zip(header, map(list, columns), strict=bool(rows)))

    @property
    def test(self) -> Accuracy | Any:
        """Accuracy in the final test, for tasks that predict a class; else None.

        Typed as `Any` so that type checkers accept `tuned.test.top1`.
        """
        return accuracy.read(self.path)


def open_run(path: networks.Source) -> Run:
    """Opens the run folder of an earlier training.

    Args:
        path: the folder.

    Raises:
        FileNotFoundError: If the folder contains no run.
        ValueError: If its run.json is damaged.
    """
    return Run(checks.path("run", path, "a run folder"))
