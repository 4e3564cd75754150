"""Keeps the networks of some epochs of a run, each in a folder that works like a run folder.

RUN/epochs/045/    after 45 epochs: backbone.keras, model.keras, run.json and flags.txt
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from mas import files, networks
from mas.training.origin import now
from mas.training.run_folder import FLAGS, RunFolder


class Current:
    """The network in training, outside any strategy.

    On one device it is the network itself; on several a copy, made once.

    Args:
        backbone: backbone in training.
        model: the backbone with heads.
        strategy: strategy under which both were built.
        build: function that builds another (backbone, model).
    """

    def __init__(
        self,
        backbone: keras.Model,
        model: keras.Model,
        strategy: tf.distribute.Strategy,
        build: Callable[[], tuple[keras.Model, keras.Model]],
    ):
        """See the class."""
        self._model, self._build = model, build
        several = strategy.num_replicas_in_sync > 1 or strategy.cluster_resolver is not None
        self._outside = None if several else (backbone, model)

    def __call__(self) -> tuple[keras.Model, keras.Model]:
        """Returns (backbone, model) with the current weights."""
        if self._outside is None:
            with tf.device(None):
                self._outside = self._build()
        backbone, model = self._outside
        if model is not self._model:
            for variable, value in zip(model.variables, self._model.variables, strict=True):
                variable.assign(value.numpy())
        return backbone, model


class Keeper:
    """Keeps the network after every N-th epoch.

    Args:
        current: the `Current` network.
        run: the run folder.
        every: N.
    """

    def __init__(self, current: Current, run: RunFolder, every: int):
        """See the class."""
        self._current, self._run, self._every = current, run, every

    def __call__(self, epoch: int) -> dict[str, float]:
        """Keeps the network if the epoch is a multiple of N; returns no metrics."""
        if not epoch % self._every:
            name = f"{networks.EPOCHS}/{epoch:03d}"
            keep(self._run, name, *self._current(), epoch)
            logging.info("Stored the network of this epoch in %s.", self._run.path / name)
        return {}


def keep(
    run: RunFolder,
    name: str,
    backbone: keras.Model,
    model: keras.Model,
    epoch: int,
    **facts: Any,
) -> None:
    """Writes a network to the folder RUN/NAME; on an error, writes nothing.

    Args:
        run: the run folder.
        name: path below the run folder.
        backbone: the network.
        model: the network with heads.
        epoch: number of finished epochs.
        **facts: further entries of its run.json.
    """

    def save(folder):
        folder.mkdir()
        backbone.save(folder / networks.BACKBONE)
        model.save(folder / networks.MODEL)
        known = files.read_json(run.path / networks.RUN)
        known.pop("validation", None)  # from a finished run that continues
        marks = {"finished": now(), "finished_epochs": epoch}
        files.write_json(folder / networks.RUN, known | marks | facts)
        shutil.copy(run.path / FLAGS, folder / FLAGS)

    run.put(name, save, 4 * (backbone.count_params() + model.count_params()))
