"""A pre-trained run's own task on other videos."""

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
    """Measures a pre-training's metrics on videos that it need not have seen.

        mas.evaluate.Pretext()(run, data, "test.txt").means

    >>> Pretext().draws
    10
    """

    draws: int = option(
        10, "Times that each clip is tested: a task may draw frames and targets.", least=1
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
        """Tests with centre crops, unless the task crops for itself.

        Args:
            source: `mas.Run` or run folder of `mas.pretrain`.
            data: what `mas.prepare_videos` or `mas.open_data` returned, or the folder.
            videos: a list's path, or `lists.Entry`; None takes every video.
            sampling: its batch and threads; the clips are those of the task.
            seed: of the draws.
            columns: of the list, or the name of a preset.
            task: module:Class, where the run's task is one of your own: the run's word alone
                imports nothing.

        Returns:
            A `Result` with `means` ({metric: mean}) and `chance`. Its accuracy is that of the class
            that the task chooses, or else its first metric, where less may be better.

        Raises:
            FileNotFoundError: there are no such source, data or list.
            ValueError: the source is no pre-trained run, or the data lack what its task needs.
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
    """{name: text} of a run folder's flags.txt."""
    found = recorded.read_flags(path / "flags.txt")
    options = [option.partition("=") for option in found.pop("option", [])]
    own = {name: text for name, _, text in options}  # --option=NAME=TEXT of earlier versions
    return {name: texts[-1] for name, texts in found.items()} | own


def task_of(run: Any, texts: dict[str, str], told: str | None = None) -> tasks.Task:
    """The task of a run as it is tested, with the settings that it was trained with.

    Args:
        run: a `mas.Run`.
        texts: of `settings_of`.
        told: the task's name by the caller, who may name a module that is not imported yet.

    Raises:
        ValueError: it is no pretext task, there is no such task, or the run alone names a module.
    """
    if told not in (None, run.task):
        refuse("task", f"that of the run {run.path}, {run.task}", told)
    module, own, _ = run.task.partition(":")
    if own and told is None and module not in sys.modules:
        raise ValueError(
            f"{run.path} was trained on a task of a module, which is imported for "
            f"task={run.task!r} alone. Received: task=None."
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
    where = f"videos of {path}" if path else "all videos"
    values = ", ".join(f"{n} {v:.4g}" for n, v in test.means.items() if "/" not in n)
    text = (
        f"Pretext task {run.task}: {count} clips, {where}; weights of {run.path} "
        f"(sha256 {digest[:12]}). Means: {values}."
    )
    matrices = {}
    if chosen:
        output, names = test.choice
        matrices[""] = (test.accuracy, list(names))
        numbers |= {"chance": 1 / len(names), "classes": list(names)}
        numbers |= {"per_class": test.accuracy.per_class, "confusion": test.accuracy.confusion}
        text += f" Accuracy of {output}: {main:.1%}, chance {1 / len(names):.1%}."
    numbers |= {"list": path, "digest": digest, "settings": settings}
    rows = [(name, f"{value:.6g}") for name, value in test.means.items()]
    tables = {"test.csv": (("metric", "mean"), rows)}
    return Result("pretext", main, text, numbers, matrices, tables, unit="clips")
