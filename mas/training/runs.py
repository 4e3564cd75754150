"""A training that has been, or is to be resumed: what its run folder holds, as an object."""

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
        description: what run.json holds.
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
            made: (backbone, model), where they are at hand.
            temporary: kept as long as the run is, for a folder that goes away with it.

        Raises:
            FileNotFoundError: there is no run in it.
            ValueError: run.json is damaged.
        """
        self.path, self._made, self._temporary = pathlib.Path(path), made, temporary
        file = self.path / networks.RUN
        if not file.is_file():
            raise FileNotFoundError(
                f"run must be a run folder, which holds {networks.RUN}. Received: run='{path}'."
            )
        self.description: dict[str, Any] = files.read_json(file, networks.MOST_RUN)
        task = self.description.get("task")
        if not isinstance(task, str):
            raise ValueError(f"{file} must be that of a run. Received: task={task!r}.")
        self.task = task

    def __repr__(self) -> str:
        """The folder and what was trained in it."""
        state = "finished" if self.finished else "unfinished"
        return f"Run({str(self.path)!r}: {self.task}, {state})"

    def __fspath__(self) -> str:
        """The folder: a run stands wherever the path of one does."""
        return str(self.path)

    @property
    def finished(self) -> bool:
        """Whether its networks have been written."""
        return bool(self.description.get("finished_epochs"))

    @property
    def network(self) -> Network | None:
        """The settings of its network; None for one of the user's own."""
        return networks.described(self.path).network

    @property
    def clip(self) -> Clip:
        """The settings of its clips."""
        return networks.described(self.path).clip

    @property
    def validation(self) -> dict[str, Any] | None:
        """Which epoch's network this is, where it is the best on validation videos; else None.

        "epoch", counted from 1, and "top1", its accuracy on so many "videos", of which so many are
        "tested" at the end, too.
        """
        return self.description.get("validation")

    @functools.cached_property
    def backbone(self) -> keras.Model:
        """The network without heads: from clips to the last convolution's map.

        Raises:
            FileNotFoundError: the run is unfinished.
        """
        return self._made[0] if self._made else networks.load(networks.file(self.path, "run"))

    @functools.cached_property
    def model(self) -> keras.Model:
        """The network with the task's heads; its outputs are a dict by name.

        Raises:
            FileNotFoundError: the run is unfinished.
        """
        if self._made:
            return self._made[1]
        networks.file(self.path, "run")  # refuses an unfinished run
        return networks.load(self.path / networks.MODEL)

    @property
    def metrics(self) -> dict[str, list[float]]:
        """{name: a value for each epoch}: the rows of metrics.csv by column.

        Raises:
            ValueError: the file is damaged.
        """
        header, rows = metrics.read(self.path / metrics.NAME)
        columns = zip(*([float(value) for value in row] for row in rows), strict=True)
        return dict(zip(header, map(list, columns), strict=bool(rows)))

    @property
    def test(self) -> Accuracy | Any:
        """What its test found, of a task that chooses one of several classes; else None.

        `Any`, so that a type checker takes `tuned.test.top1`.
        """
        return accuracy.read(self.path)


def open_run(path: networks.Source) -> Run:
    """Opens the run folder of an earlier training.

    Args:
        path: the folder.

    Raises:
        FileNotFoundError: there is no run in it.
        ValueError: its run.json is damaged.
    """
    return Run(checks.path("run", path, "a run folder"))
