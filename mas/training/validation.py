"""Validation: chooses the epoch of a fine-tuning by its accuracy on validation videos.

RUN/best/003/    the network after epoch 3, the best so far. Each of the last checkpoints has the
                 best network of its time, so that a run can resume from any of them.
"""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from absl import logging

from mas import accuracy, clips, files, lists, networks
from mas.training import engine, kept, testing
from mas.training.checkpoints import ADVICE
from mas.training.run_folder import RunFolder

BEST, METRIC = "best", "validation_top1"


class Best(NamedTuple):
    """The best network so far.

    Attributes:
        epoch: its epoch, counted from 1.
        top1: its top-1 accuracy on the validation videos.
    """

    epoch: int
    top1: float


class Validation:
    """Tests the classifier after each epoch and keeps the best one, the earlier of ties.

    Args:
        experiment: the `engine.Experiment`.
        data: an opened data set.
        examples: `clips.Examples` of the validation videos.
        tested: how many of these videos are also test videos.
    """

    def __init__(
        self, experiment: engine.Experiment, data: Any, examples: clips.Examples, tested: int = 0
    ):
        """See the class."""
        self._plan, self._examples = experiment.plan, examples
        shown = engine.replaced(experiment, task=experiment.task.testing())
        self._reader = shown.reader(data, examples, random=False)
        self._videos, self._tested = len(np.unique(examples.videos)), tested
        self._current: Any = None
        self._run: Any = None
        self._predict: Any = None

    def begin(self, current: kept.Current, run: RunFolder) -> Validation:
        """Sets the network in training and the run folder; returns self.

        Raises:
            ValueError: If a network kept by an earlier call is damaged.
        """
        self._current, self._run = current, run
        for best in held(run.path, self._plan.epochs):
            try:
                networks.load(_folder(run.path, best.epoch) / networks.MODEL)
            except (OSError, ValueError) as error:
                raise ValueError(f"{error} {ADVICE}") from None
        return self

    def __call__(self, epoch: int) -> dict[str, float]:
        """Tests the network after an epoch and keeps it if it is the best; {metric: top-1}."""
        path = self._run.path
        before = held(path, epoch - 1)
        if epoch > 1 and not before:
            allowed = f"the best network of the epochs before {epoch}"
            raise ValueError(f"{path / BEST} must contain {allowed}. Received: none. {ADVICE}")
        # Delete what the two checkpoints do not need: epochs after them, and earlier bests.
        first = next((best.epoch for best in reversed(before) if best.epoch <= epoch - 2), 0)
        for folder in _folders(path):
            if not first <= int(folder.name) < epoch:
                shutil.rmtree(folder)
        top1 = self._top1()
        if not before or top1 > before[-1].top1:
            facts, (backbone, model) = self._facts(Best(epoch, top1)), self._current()
            name = f"{BEST}/{epoch:03d}"
            kept.keep(self._run, name, backbone, model, epoch, validation=facts)
        best = before[-1] if before and top1 <= before[-1].top1 else Best(epoch, top1)
        logging.info(
            "Validation: top-1 %.4f after epoch %d; best so far %.4f after epoch %d.",
            top1, epoch, best.top1, best.epoch,
        )  # fmt: skip
        return {METRIC: top1}

    def _top1(self):
        _, model = self._current()
        self._predict = self._predict or testing.predictor(model)
        plan, examples = self._plan, self._examples
        with engine.reading():
            batches = self._reader.once(plan.batch, plan.threads or None)
            scores = testing.clip_scores(self._predict, batches, len(examples), "validation")
        _, means, truth = testing.of_videos(scores, examples)
        return accuracy.of_scores(means, truth).top1

    def chosen(
        self, path: pathlib.Path, current: kept.Current
    ) -> tuple[keras.Model, keras.Model, dict[str, Any]]:
        """The best network of all epochs: backbone, model, and {"validation": facts for run.json}.

        Args:
            path: the run folder.
            current: the network in training, which receives the best weights.
        """
        best = held(path, self._plan.epochs)[-1]
        backbone, model = current()
        saved = networks.load(_folder(path, best.epoch) / networks.MODEL)
        model.set_weights(saved.get_weights())
        return backbone, model, {"validation": self._facts(best)}

    def _facts(self, best):
        return {**best._asdict(), "videos": self._videos, "tested": self._tested}


def held(path: pathlib.Path, epoch: int) -> list[Best]:
    """The networks that a run has kept up to an epoch, each better than the previous one.

    Raises:
        ValueError: If a run.json is damaged; the message names it.
    """
    found = []
    for folder in _folders(path):
        if int(folder.name) > epoch:
            continue
        known = files.read_json(folder / networks.RUN)
        try:
            facts = known["validation"]
            found.append(Best(int(facts["epoch"]), float(facts["top1"])))
        except (KeyError, TypeError, ValueError):
            received = json.dumps(known.get("validation"))[:60]
            file = folder / networks.RUN
            raise ValueError(
                f"{file} must have the validation result. Received: validation={received}. {ADVICE}"
            ) from None
    return found


def _folders(path):
    found = [folder for folder in (path / BEST).glob("*") if folder.name.isdecimal()]
    return sorted(found, key=lambda folder: int(folder.name))


def _folder(path, epoch):
    return path / BEST / f"{epoch:03d}"


def text(known: dict[str, Any], epochs: int) -> str:
    """How the network was chosen, as a sentence.

    >>> text({"epoch": 3, "top1": 0.5, "videos": 8, "tested": 0}, 5)
    'The network is that of epoch 3 of 5, the best on 8 validation videos (top-1 0.5000).'
    """
    on = lists.counted(known["videos"], "validation video")
    verb = "is" if known["tested"] == 1 else "are"
    also = f", {known['tested']} of which {verb} also tested" if known["tested"] else ""
    return (
        f"The network is that of epoch {known['epoch']} of {epochs}, the best on {on}{also} "
        f"(top-1 {known['top1']:.4f})."
    )


def warn(
    train: Sequence[lists.Entry], validation: Sequence[lists.Entry], test: Sequence[lists.Entry]
) -> int:
    """Warns of validation videos that are also training or test videos; counts the latter."""
    trained, tested, own = ({entry.video for entry in side} for side in (train, test, validation))
    if trained & own:
        count = lists.counted(len(trained & own), "validation video")
        logging.warning("The training list contains %s, such as %s.", count, min(trained & own))
    if tested & own:
        count = lists.counted(len(tested & own), "validation video")
        logging.warning(
            "The test list contains %s of %d, such as %s: since they choose the epoch, the test "
            "accuracy is too optimistic.", count, len(own), min(tested & own),
        )  # fmt: skip
    return len(tested & own)
