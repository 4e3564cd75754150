"""Tests a pre-trained network on its own pretext task, with other videos."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from mas import files, lazy, lists, networks, records, tasks
from mas.checks import Settings, option, refuse
from mas.evaluate.inputs import Inputs
from mas.evaluate.report import Result
from mas.features import Sampling
from mas.settings import Network, Optimisation, Plan

training = lazy.module("mas.training")
engine = lazy.module("mas.training.engine")
pretraining = lazy.module("mas.training.pretraining")
recorded, testing = lazy.module("mas.training.recorded"), lazy.module("mas.training.testing")


@dataclasses.dataclass(frozen=True)
class Pretext(Settings):
    """Computes the metrics of a run's pretext task on other videos.

        mas.evaluate.Pretext()(run, data, "test.txt").means

    >>> Pretext().draws
    10
    """

    draws: int = option(
        10, "Random draws per clip, for tasks that draw frames and targets.", least=1
    )

    def __call__(
        self,
        source: networks.Source,
        data: Any,
        videos: str | os.PathLike | Sequence[lists.Entry] | None = None,
        *,
        sampling: Sampling | None = None,
        seed: int = 0,
        columns: str = "video,label",
        task: str | None = None,
    ) -> Result:
        """Tests with centre crops, unless the task makes its own crops.

        Args:
            source: `mas.Run` or run folder of `mas.pretrain`.
            data: result of `mas.prepare_videos` or `mas.open_data`, or the folder.
            videos: path of a list, or `lists.Entry`; None takes every video.
            sampling: batch size and threads; the task decides the clips.
            seed: seed of the draws.
            columns: columns of the list, or the name of a preset.
            task: module:Class of the run's task, if it is a custom one: code named only in a run
                folder is not imported.

        Returns:
            A `Result` with `means` ({metric: mean}) and `chance`. Its accuracy is that of the
            predicted class; for other tasks it is the first metric, for which less may be better.

        Raises:
            FileNotFoundError: If the source, the data or the list does not exist.
            ValueError: If the source is not a pre-trained run, or the data lack an input of its
                task.
        """
        run = training.open_run(source)
        networks.file(run.path, "source")
        texts = settings_of(run.path)
        bound = task_of(run, texts, task)
        found = records.opened(data, "flow" in bound.inputs)
        plan, by = Plan.parsed(texts), sampling or Sampling()
        examples = pretraining.examples_of(found, videos, bound, plan, columns)
        drawn, batch = testing.drawn(bound, examples, by.batch, self.draws)
        experiment = engine.Experiment(bound, Optimisation(), plan, seed)
        reader = experiment.reader(found, drawn, random=False)
        with engine.reading():
            batches = reader.once(batch, by.threads or None, substitute=True)
            test = testing.pretext(bound, run.model, batches, len(drawn))
        made = Inputs(source, found, None, seed=seed, columns=columns)
        path = os.fspath(videos) if isinstance(videos, str | os.PathLike) else None
        return _result(test, run, made.settings(self, videos=videos), path, len(drawn))


def settings_of(path: pathlib.Path) -> dict[str, str]:
    """Reads {name: text} from a run folder's flags.txt."""
    found = recorded.read_flags(path / "flags.txt")
    options = [option.partition("=") for option in found.pop("option", [])]
    own = {name: text for name, _, text in options}  # --option=NAME=TEXT of earlier versions
    return {name: texts[-1] for name, texts in found.items()} | own


def task_of(run: Any, texts: dict[str, str], told: str | None = None) -> tasks.Task:
    """The task of a run, with its settings, in its test form.

    Args:
        run: a `mas.Run`.
        texts: settings, as returned by `settings_of`.
        told: name of the task given by the caller, which allows importing its module.

    Raises:
        ValueError: If it is not a pretext task, there is no such task, or its module would have to
            be imported and `told` does not allow it.
    """
    if told not in (None, run.task):
        refuse("task", f"{run.task}, as in the run {run.path}", told)
    module, own, _ = run.task.partition(":")
    if own and told is None and module not in sys.modules:
        raise ValueError(
            f"{run.path} was trained on a custom task, whose module is imported only with "
            f"task={run.task!r}. Received: task=None."
        )
    if run.task == tasks.Classify.name:
        refuse("source", "a pre-trained run", str(run.path))
    known = networks.described(run.path)
    network = known.network or Network(modality=known.modality)
    return tasks.kind(run.task).parsed(texts).bound(known.clip, network).testing()


def _result(test, run, settings, path, count):
    digest = files.digest(networks.file(run.path))
    chosen = test.accuracy is not None
    main = test.accuracy.top1 if chosen else next(iter(test.means.values()))
    numbers: dict[str, Any] = {"accuracy": main, "means": test.means, "task": run.task}
    where = f"the videos of {path}" if path else "all videos"
    values = ", ".join(f"{n} {v:.4g}" for n, v in test.means.items() if "/" not in n)
    text = (
        f"Pretext task {run.task}: {lists.counted(count, 'clip')} of {where}, weights of "
        f"{run.path} (sha256 {digest[:12]}). Means: {values}."
    )
    matrices = {}
    if chosen:
        output, names = test.choice
        matrices[""] = (test.accuracy, list(names))
        numbers |= {"chance": 1 / len(names), "classes": list(names)}
        numbers |= {"per_class": test.accuracy.per_class, "confusion": test.accuracy.confusion}
        text += f" Accuracy of {output}: {main:.1%} (chance {1 / len(names):.1%})."
    numbers |= {"list": path, "digest": digest, "settings": settings}
    rows = [(name, f"{value:.6g}") for name, value in test.means.items()]
    tables = {"test.csv": (("metric", "mean"), rows)}
    return Result("pretext", main, text, numbers, matrices, tables, unit="clips")
