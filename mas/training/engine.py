"""Shared code of pre-training and fine-tuning: from settings to a finished run folder."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from mas import checks, clips, networks, tasks
from mas.backbones import norm
from mas.checks import Option, check_seed, instance, refuse
from mas.forms import BOOLEAN
from mas.settings import Clip, Network, Optimisation, Plan
from mas.tasks import Task
from mas.training import distribution, kept, optimizers
from mas.training.errors import reading
from mas.training.loop import Trainer
from mas.training.recorded import Recorded, identity
from mas.training.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything that determines a training.

    Attributes:
        task: the task, bound to clip and network.
        optimisation: a `mas.Optimisation`.
        plan: a `mas.Plan`.
        seed: seed of weights, order and augmentation.
        model: custom backbone that replaces the task's network; or None.
        init: run folder or .keras file with the backbone's initial weights; or None.
        notes: {name: text} for flags.txt, such as the paths of lists.
        facts: further entries of run.json.
    """

    task: Task
    optimisation: Optimisation
    plan: Plan
    seed: int = 0
    model: keras.Model | None = None
    init: Any = None
    notes: dict[str, str] = dataclasses.field(default_factory=dict)
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)

    def build(self) -> tuple[keras.Model, keras.Model]:
        """Builds (backbone, model with the task's heads); call it in the strategy's scope."""
        task = self.task
        if self.model is not None:
            # A cloned Sequential has no input before it is called.
            given = self.model
            own = keras.Model(given.inputs[0], given.outputs[0], name=given.name)
            backbone = keras.models.clone_model(own, clone_function=norm.copied, recursive=True)
            backbone.set_weights(self.model.get_weights())
        else:
            shape = task.clip.shape(task.network.modality)
            backbone = networks.build(task.network, shape)
            if self.init is not None:
                networks.copy_weights(self.init, backbone)
        return backbone, task.model(backbone)

    def reader(self, data: Any, examples: clips.Examples, random: bool = True) -> clips.Reader:
        """Makes a reader: random crops, flips and order, or centre crops in order."""
        clip = self.task.clip
        geometry = clips.Geometry(clip.resize, clip.size, random=random, flip=self.plan.flip)
        keep = self.plan.last_batch == "keep"
        return clips.Reader(data, examples, self.task, geometry, self.seed, random, keep)

    def recorded(self, *others: Any) -> Recorded:
        """Settings as text, for flags.txt."""
        task = self.task
        network = [task.network] if self.model is None else []
        parts = (task, *network, task.clip, self.optimisation, self.plan, *others)
        # mas finetune, which trains classifiers, has no task flag.
        named = {} if isinstance(task, tasks.Classify) else {"task": tasks.name_of(task)}
        return Recorded(*parts, **named, **self.notes, seed=str(self.seed))

    def described(self) -> dict[str, Any]:
        """Settings as JSON, for run.json."""
        task = self.task
        network = task.network.values()
        if self.model is not None:
            network = {"model": self.model.name, "modality": task.network.modality}
        return {
            "task": tasks.name_of(task),
            "options": task.values(),
            "network": network,
            "clip": task.clip.values(),
            "optimisation": self.optimisation.values(),
            "plan": self.plan.values(),
            "seed": self.seed,
            **self.facts,
        }


def resolve(
    network: Network | keras.Model | None, clip: Clip | None
) -> tuple[Network, Clip, keras.Model | None]:
    """Settings of a network and its clips.

    Args:
        network: settings, or a functional keras.Model from clips (batch, T, S, S, 3), or flow
            (batch, T - 1, S, S, 2), to a feature map (batch, t, h, w, c).
        clip: settings; None for the clips of the keras.Model.

    Returns:
        (network settings, clip settings, the keras.Model or None).

    Raises:
        ValueError: If the keras.Model has other inputs or outputs, or `clip` does not fit it.
    """
    clip = clip and instance("clip", clip, Clip)
    if network is None or isinstance(network, Network):
        return network or Network(), clip or Clip(), None
    if not isinstance(network, keras.Model):
        refuse("network", "a mas.Network or a keras.Model", network)
    takes, gives = (getattr(network, f"{end}_shape", None) for end in ("input", "output"))
    if not all(isinstance(shape, tuple) and len(shape) == 5 for shape in (takes, gives)):
        raise ValueError(
            "network must be a functional keras.Model from (batch, frames, side, side, channels) "
            "to a feature map (batch, t, h, w, c). "
            f"Received: {network.name}, from {takes} to {gives}."
        )
    shape: tuple = takes[1:]  # type: ignore[index]
    frames, height, width, channels = shape
    if None in shape or height != width or channels not in (2, 3):
        raise ValueError(
            "network must take square clips of known length, with 3 channels (R G B) or 2 (flow). "
            f"Received: {network.name}, which takes {shape}."
        )
    flow = channels == 2
    own = Clip(frames + flow, height, networks.resize_for(height)) if clip is None else clip
    settings = Network(modality="flow" if flow else "rgb")
    if own.shape(settings.modality) != shape:
        raise ValueError(
            f"clip must be what the network takes, {shape}. "
            f"Received: frames={own.frames}, size={own.size}."
        )
    return settings, own, network


def check_call(seed: int, restart: bool, callbacks: Sequence[Callable]) -> None:
    """Checks the arguments that are not settings; raises ValueError."""
    check_seed(seed)
    Option(form=BOOLEAN).convert("restart", restart)
    if not (isinstance(callbacks, Sequence) and all(map(callable, callbacks))):
        refuse("callbacks", "functions of (reader, backbone, run folder, plan)", callbacks)


def replaced(experiment: Experiment, **changes: Any) -> Experiment:
    """Copies an experiment with changes."""
    return dataclasses.replace(experiment, **changes)


def notes(**paths: Any) -> dict[str, str]:
    """Entries of flags.txt for data, lists and sources that were given as paths."""
    return {n: os.fspath(p) for n, p in paths.items() if isinstance(p, str | os.PathLike)}


def cut_batch(plan: Plan, examples: clips.Examples) -> Plan:
    """Reduces the plan's batch size to the number of examples, with a warning."""
    if plan.batch <= len(examples):
        return plan
    logging.warning("Reducing batch from %d to %d, all examples.", plan.batch, len(examples))
    return dataclasses.replace(plan, batch=len(examples))


def begin(
    experiment: Experiment,
    reader: clips.Reader,
    path: str | os.PathLike | None,
    restart: bool,
    read: dict[str, Any],
    *others: Any,
) -> tuple[RunFolder, tf.distribute.Strategy, tempfile.TemporaryDirectory | None]:
    """Sets TensorFlow up and opens the run folder.

    Args:
        experiment: an `Experiment`.
        reader: reader of its examples.
        path: the run folder; None for a temporary one.
        restart: whether to discard an earlier run in the folder.
        read: other inputs besides the data, for `identity`.
        *others: further `mas.checks.Settings` of the run.

    Returns:
        (run folder, strategy, the temporary folder or None).
    """
    reader.steps(experiment.plan.batch)
    strategy = distribution.setup(experiment.plan, experiment.seed)
    if strategy.num_replicas_in_sync > 1 and experiment.plan.last_batch == "keep":
        refuse("last_batch", "drop on several devices (strategy=none uses one)", "keep")
    recorded, temporary = experiment.recorded(*others), None
    if path is None:
        if strategy.cluster_resolver is not None:
            checks.refuse("run", "a folder shared by all hosts", path)
        temporary = tempfile.TemporaryDirectory(prefix="mas_")
        folder = pathlib.Path(temporary.name, "run")
    else:
        folder = checks.path("run", path)
        recorded.texts["run"] = os.fspath(path)
    chief = distribution.is_chief(strategy)
    run = RunFolder(folder, recorded, identity(reader, **read), restart, chief)
    try:
        with reading():
            distribution.barrier(strategy)
    except BaseException:
        run.close()
        raise
    logging.info(
        "%d clips; batch %d; run folder %s.",
        len(reader.examples), experiment.plan.batch, run.path,
    )  # fmt: skip
    return run, strategy, temporary


def train(
    experiment: Experiment,
    reader: clips.Reader,
    strategy: tf.distribute.Strategy,
    run: RunFolder,
    callbacks: Sequence[Callable] = (),
    validation: Any = None,
) -> tuple[keras.Model, keras.Model]:
    """Trains and finishes the run folder.

    Args:
        experiment: an `Experiment`.
        reader: reader of its examples.
        strategy: the strategy returned by `setup`.
        run: the run folder.
        callbacks: functions of (reader, backbone, run folder, plan); each returns a function of
            (epoch, step) to call after each epoch, or None.
        validation: a `validation.Validation` that chooses the epoch; None for the last.

    Returns:
        (backbone, model) with the final weights, outside any strategy.
    """
    plan, chief = experiment.plan, distribution.is_chief(strategy)
    if run.finished_epochs == plan.epochs:
        try:
            names = (networks.BACKBONE, networks.MODEL)
            backbone, model = (networks.load(run.path / name) for name in names)
        except (FileNotFoundError, ValueError) as error:
            logging.warning("%s Writing it again from the last checkpoint.", error)
        else:
            logging.info("%s is finished.", run.path)
            if chief:
                run.keep_settings()
            return backbone, model
    with distribution.arithmetic(plan.precision), reading():
        with strategy.scope():
            backbone, model = experiment.build()
            steps = reader.steps(plan.batch)
            optimizer = optimizers.build(experiment.optimisation, steps, plan.precision)
            trainer = Trainer(experiment.task, model, optimizer, strategy)
        check_fit(reader, backbone)
        if chief:
            run.describe(model, strategy, **experiment.described())
        made = [callback(reader, backbone, run, plan) for callback in callbacks if chief]
        current = kept.Current(backbone, model, strategy, replaced(experiment, init=None).build)
        keeping: list = [kept.Keeper(current, run, plan.keep_every)] if plan.keep_every else []
        keeping += [validation.begin(current, run)] if validation and chief else []
        trainer.fit(reader, plan, run, [function for function in made if function], keeping)
        backbone, model, facts = (
            validation.chosen(run.path, current) if validation else (*current(), {})
        )
    if chief:
        run.finish(backbone, model, plan.epochs, **facts)
    return backbone, model


def check_fit(reader: clips.Reader, backbone: keras.Model) -> None:
    """Checks that the task's examples fit the network, before the first step.

    Raises:
        ValueError: If they do not fit.
    """
    x, _ = reader.task.example(reader.clip(0, 0))
    clip = tuple(x.shape[-4:])  # without the axis of views
    if clip != tuple(backbone.input_shape[1:]):
        raise ValueError(
            f"task must give clips that the network takes, {backbone.input_shape[1:]}. Received: "
            f"{clip} from the task {reader.task.name}."
        )
