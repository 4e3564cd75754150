"""Pre-training with `mas.pretrain`, and a task's examples as a tf.data.Dataset."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from mas import clips, lists, records, tasks
from mas.checks import check_seed, instance, refuse
from mas.settings import Clip, Network, Optimisation, Plan
from mas.training import distribution, engine, testing
from mas.training.engine import Experiment
from mas.training.runs import Run

Videos = str | os.PathLike | Sequence[lists.Entry] | None


def pretrain(
    data: Any,
    task: str | tasks.Task = "mas",
    *,
    network: Network | keras.Model | None = None,
    clip: Clip | None = None,
    optimisation: Optimisation | None = None,
    plan: Plan | None = None,
    videos: Videos = None,
    held_out: Videos = None,
    columns: str = "video,label",
    run: str | os.PathLike | None = None,
    seed: int = 0,
    restart: bool = False,
    callbacks: Sequence[Callable] = (),
) -> Run:
    """Trains a network on unlabelled videos, or resumes an earlier call.

        run = mas.pretrain("data", "mas", plan=mas.Plan(epochs=30, batch=16), run="runs/x")
        run.metrics["loss"], run.backbone

    Args:
        data: result of `mas.prepare_videos` or `mas.open_data`, or the folder.
        task: a name in `mas.tasks.TASKS`, "module:Class", or a `mas.tasks.Task`.
        network: settings; or a functional keras.Model from clips (batch, T, S, S, 3) to a feature
            map (batch, t, h, w, c).
        clip: settings; by default the paper's, or those of the keras.Model.
        optimisation: settings of the optimiser; by default the paper's.
        plan: settings of the training; by default the paper's. The batch size is at most the
            number of examples.
        videos: list of training videos: a path, or `lists.Entry`; by default all.
        held_out: list of videos on which the task is tested at the end. By default, tasks that
            predict a class are tested on the training videos, and others not at all.
        columns: columns of the lists, or the name of a preset.
        run: folder to write or resume; by default a temporary one.
        seed: seed of weights, order and augmentation.
        restart: whether to discard an earlier run in the folder.
        callbacks: functions of (reader, backbone, run folder, plan); each returns a function of
            (epoch, step) to call after each epoch, or None.

    Returns:
        A `Run`.

    Raises:
        ValueError: If settings, data, lists and an earlier run do not fit together.
        FileNotFoundError: If the data or a list does not exist.
        FloatingPointError: If the loss is no longer finite.
    """
    settings, own_clip, own = engine.resolve(network, clip)
    bound = tasks.task(task).bound(own_clip, settings)
    if isinstance(bound, tasks.Classify):
        refuse("task", "a pretext task; mas.finetune trains a classifier", bound.name)
    plan = instance("plan", plan, Plan)
    optimisation = instance("optimisation", optimisation, Optimisation)
    engine.check_call(seed, restart, callbacks)
    bound.check()
    data = records.opened(data, "flow" in bound.inputs)
    examples = examples_of(data, videos, bound, plan, columns)
    plan = engine.cut_batch(plan, examples)
    bound.check(plan.batch)
    tested = _tested(data, held_out, bound, plan, columns, examples)
    for doubt in bound.doubts(len(np.unique(examples.videos)), len(examples)):
        logging.warning("%s", doubt)
    notes = engine.notes(data=data.data, list=videos, held_out=held_out, columns=columns)
    experiment = Experiment(
        bound, optimisation, plan, seed, own, notes=notes,
        facts={"list": notes.get("list")},
    )  # fmt: skip
    reader = experiment.reader(data, examples)
    read = {"list": videos} if own is None else {"list": videos, "network": own}
    folder, strategy, temporary = engine.begin(experiment, reader, run, restart, read)
    with folder:
        made = engine.train(experiment, reader, strategy, folder, callbacks)
        if tested is not None and distribution.is_chief(strategy):
            _test(experiment, data, tested, made[1], folder, held_out)
    return Run(folder.path, made, temporary)


def examples_of(
    data: Any,
    videos: Videos,
    task: tasks.Task,
    plan: Plan,
    columns: str,
    name: str = "videos",
) -> clips.Examples:
    """Examples of an epoch; `name` is the list's name in error messages."""
    entries = lists.entries_of(videos, columns, data.videos, name)
    how = task.sampling if plan.sampling == "auto" else plan.sampling
    return clips.examples(data, entries, task.span, how, least=task.least, step=task.step)


def _tested(data, held_out, task, plan, columns, trained):
    """(examples, batch size) of the test at the end; None without a test."""
    if held_out is None:
        return (trained, plan.batch) if task.choice else None
    found = examples_of(data, held_out, task, plan, columns, "held_out")
    testing.warn_of_overlap(data, found, trained)
    return testing.drawn(task, found, plan.batch, name="held_out")


def _test(experiment, data, tested, model, folder, held_out):
    """Tests the task, with centre crops unless the task crops; random draws follow the seed."""
    examples, batch = tested
    task = experiment.task.testing()
    reader = engine.replaced(experiment, task=task).reader(data, examples, random=False)
    # An unreadable video is replaced by another clip, as in training.
    plan = experiment.plan
    with engine.reading():
        batches = reader.once(batch, plan.threads or None, substitute=True)
        found = testing.pretext(task, model, batches, len(examples))
    found.write(folder.path)
    whose = "training" if held_out is None else "held-out"
    logging.info("Tested on %d examples of the %s videos.", len(examples), whose)
    logging.info("%s", found.text)


def dataset(
    data: Any,
    task: str | tasks.Task = "mas",
    clip: Clip | None = None,
    *,
    batch: int,
    network: Network | None = None,
    videos: Videos = None,
    columns: str = "video,label",
    sampling: str = "auto",
    flip: bool = True,
    seed: int = 0,
    epochs: int = 1,
) -> tf.data.Dataset:
    """Batches of a task's examples, for a custom training loop.

        examples = mas.dataset(data, "pace", mas.Clip(size=56, resize=(85, 64)), batch=16)
        model.fit(examples)

    Args:
        data: as in `pretrain`.
        task: as in `pretrain`.
        clip: settings of the clips.
        batch: examples per batch; a smaller last batch of an epoch is dropped.
        network: settings, for a task whose input depends on the modality.
        videos: list of the videos; by default all.
        columns: columns of the list.
        sampling: as `mas.Plan.sampling`.
        flip: whether to mirror half of the clips.
        seed: seed of order and augmentation.
        epochs: passes over the examples, each in a new order.

    Returns:
        tf.data.Dataset of (x, y): x is uint8 (batch, T, S, S, 3), or (batch, views, T, S, S, 3)
        for tasks with views; y is a dict of targets by output.

    Raises:
        ValueError: As `pretrain`.
    """
    settings, own_clip, _ = engine.resolve(network, clip)
    bound = tasks.task(task).bound(own_clip, settings)
    check_seed(seed)
    plan = Plan(epochs=epochs, batch=batch, sampling=sampling, flip=flip)
    bound.check(batch)
    data = records.opened(data, "flow" in bound.inputs)
    examples = examples_of(data, videos, bound, plan, columns)
    reader = Experiment(bound, Optimisation(), plan, seed).reader(data, examples)
    steps = epochs * reader.steps(batch)
    found = reader.batches(batch, 0, steps)
    return found.apply(tf.data.experimental.assert_cardinality(steps))
