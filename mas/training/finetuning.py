"""Fine-tuning: trains a classifier from a pre-trained network or from scratch, and tests it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
from absl import logging

from mas import accuracy, checks, clips, files, lists, networks, records, tasks
from mas.checks import instance, refuse
from mas.settings import Clip, Network, Optimisation, Plan, Test
from mas.training import distribution, engine, testing
from mas.training import validation as validating
from mas.training.engine import Experiment
from mas.training.pretraining import Videos, examples_of
from mas.training.runs import Run

WINDOWS = {"even": "uniform", "first": "first", "random": "drawn"}  # names in `clips.examples`


def finetune(
    source: Run | networks.Source | None,
    data: Any,
    *,
    train: Videos,
    test: Videos,
    validation: Videos = None,
    classes: Sequence[str] | str | os.PathLike | None = None,
    task: tasks.Classify | None = None,
    network: Network | keras.Model | None = None,
    clip: Clip | None = None,
    optimisation: Optimisation | None = None,
    plan: Plan | None = None,
    test_clips: int = 0,
    test_windows: str = "even",
    columns: str = "video,label",
    run: str | os.PathLike | None = None,
    seed: int = 0,
    restart: bool = False,
    callbacks: Sequence[Callable] = (),
) -> Run:
    """Trains a classifier on labelled videos and tests it, or resumes an earlier call.

        tuned = mas.finetune(run, data, train="train.txt", test="test.txt", run="runs/y")
        tuned.test.top1

    Args:
        source: `Run`, run folder or .keras file of a pre-trained network; None trains from scratch.
        data: result of `mas.prepare_videos` or `mas.open_data`, or the folder.
        train: list of labelled training videos: a path, or `lists.Entry`.
        test: list of labelled test videos.
        validation: list of labelled videos that choose the epoch: they are tested after each
            epoch, and the best network, the earlier one of ties, is tested and saved.
            `Run.validation` has the result. None uses the last epoch.
        classes: names in label order, or a file with one name per line; by default the file next to
            the training list (`lists.class_names_beside`), else numbers.
        task: a `mas.tasks.Classify` with its settings.
        network: settings, by default the source's; or a keras.Model to train from scratch.
        clip: settings, by default the source's.
        optimisation: settings of the optimiser.
        plan: settings of the training. The batch size is at most the number of examples.
        test_clips: test clips per video; 0 means all non-overlapping ones.
        test_windows: placement of the test clips: "even", "first" or "random", as described by
            `mas finetune --helpfull`.
        columns: columns of the lists, or the name of a preset.
        run: folder to write or resume; by default a temporary one.
        seed: seed of weights, order and augmentation.
        restart: whether to discard an earlier run in the folder.
        callbacks: as in `mas.pretrain`.

    Returns:
        A `Run`, whose `test` is the accuracy on the test videos.

    Raises:
        ValueError: If settings, data, lists, source and an earlier run do not fit together.
        FileNotFoundError: If the data, a list or the source does not exist.
        FloatingPointError: If the loss is no longer finite.
    """
    settings, own_clip, own = _resolve(source, network, clip, run)
    plan, how = instance("plan", plan, Plan), Test(test_clips, test_windows)
    chosen = instance("task", task, tasks.Classify)
    engine.check_call(seed, restart, callbacks)
    chosen.bound(own_clip, settings).check()
    data = records.opened(data, settings.modality == "flow")
    sides, names = _sides(data, train, test, validation, classes, columns)
    bound = dataclasses.replace(chosen, classes=len(names)).bound(own_clip, settings)
    tested = _tested(data, sides["test"], bound.testing(), how)
    examples = examples_of(data, sides["train"], bound, plan, columns)
    named = classes if isinstance(classes, str | os.PathLike) else None
    lists_read = {"train_list": train, "test_list": test, "validation_list": validation}
    lists_read["classes"] = named
    notes = engine.notes(data=data.data, **lists_read, init=source, columns=columns)
    facts = {name: notes.get(name) for name in ("init", *lists_read) if name != "classes"}
    experiment = Experiment(
        bound,
        instance("optimisation", optimisation, Optimisation),
        engine.cut_batch(plan, examples),
        seed,
        model=own,
        init=source if own is None else None,
        notes=notes,
        facts={**facts, "classes": names},
    )
    reader = experiment.reader(data, examples)
    read = {**lists_read, "init": source and networks.file(source, "source")}
    if isinstance(network, keras.Model):
        read["network"] = network
    chooses = _validation(experiment, data, sides, how) if validation is not None else None
    folder, strategy, temporary = engine.begin(experiment, reader, run, restart, read, how)
    with folder:
        made = engine.train(experiment, reader, strategy, folder, callbacks, chooses)
        if distribution.is_chief(strategy):
            _test(experiment, data, tested, made[1], folder)
    return Run(folder.path, made, temporary)


def _resolve(source, network, clip, run):
    """(network, clip, keras.Model or None); by default those of the source."""
    if source is None:
        return engine.resolve(network, clip)
    path = networks.file(source, "source")
    if run is not None and path.resolve().is_relative_to(checks.path("run", run).resolve()):
        refuse("run", f"a folder that does not contain the source {path}", str(run))
    if isinstance(network, keras.Model):
        refuse("source", "None if network is a keras.Model", str(source))
    known = networks.described(source)
    if network is None and known.network is None:
        return engine.resolve(networks.load(path), clip or known.clip)
    # The classifier's head, not that of the pretext task.
    network = network or dataclasses.replace(known.network, head="auto")
    return network, clip or known.clip, None


def _sides(data, train, test, validation, classes, columns):
    """Reads the lists; returns ({name: entries}, class names)."""
    known = _known_names(classes, train)
    given = {"train": train, "test": test}
    given |= {} if validation is None else {"validation": validation}
    sides = {n: _labelled(data, side, columns, n, known) for n, side in given.items()}
    highest = max(entry.label for side in sides.values() for entry in side)
    _warn_of_lists(sides["train"], sides["test"], known)
    return sides, known or accuracy.class_names(None, highest)


def _known_names(classes, train):
    """Class names from the argument or the file next to the list; None without either."""
    if classes is not None:
        return accuracy.class_names(classes, -1)
    file = lists.classes_file(train if isinstance(train, str | os.PathLike) else None)
    if file is None:
        return None
    logging.info("Reading class names from %s.", file)
    return lists.class_names(file)


def _labelled(data, source, columns, name, known):
    """Entries of a list; checks that all have labels, within the known class names."""
    if source is None:
        refuse(name, "a list of labelled videos", source)
    entries = lists.entries_of(source, columns, data.videos, name, known)
    for entry in entries:
        if entry.label < 0:
            where = f"{source}:{entry.line}" if isinstance(source, str | os.PathLike) else name
            raise ValueError(f"{where}: expected a label. Received: none for {entry.video}.")
    return entries


def _warn_of_lists(train, test, names):
    """Warns about what looks wrong in the lists and their class names."""
    both = {entry.video for entry in train} & {entry.video for entry in test}
    if both:
        count = lists.counted(len(both), "test video")
        logging.warning("The training list contains %s, such as %s.", count, min(both))
    untrained = {entry.label for entry in test} - {entry.label for entry in train}
    if untrained:
        count = lists.counted(len(untrained), "class", "classes")
        logging.warning("No training video for %s, such as label %d.", count, min(untrained))
    wrong = lists.misplaced([*train, *test], names or ())
    if wrong:
        count, first = lists.counted(len(wrong), "video"), wrong[0]
        message = "The lists have %s outside its class's folder, such as %s with label %d, %s."
        logging.warning(message, count, first.video, first.label, names[first.label])


def _validation(experiment, data, sides, how):
    """Makes the `Validation` that chooses the epoch."""
    train, test, own = (sides[name] for name in ("train", "test", "validation"))
    shared = validating.warn(train, own, test)
    found = _tested(data, own, experiment.task.testing(), how, "validation")
    return validating.Validation(experiment, data, found, shared)


def _tested(data, entries, task, test, name="test"):
    """Clips of each test video; a video shorter than a clip is repeated."""
    count = test.test_clips
    how = WINDOWS[test.test_windows] if count else "consecutive"
    known = (count, task.least, task.step)
    found = clips.examples(data, entries, task.inside, how, *known, again=True)
    tested = {data.videos[number] for number in found.videos}
    missing = [entry.video for entry in entries if entry.video not in tested]
    if missing:
        length = data.lengths[data.videos.index(missing[0])]
        raise ValueError(
            f"{name}: every video must give a clip of {task.inside} frames. Received: "
            f"{lists.counted(len(missing), 'video')} without a clip, such as {missing[0]} "
            f"({lists.counted(int(length), 'frame')})."
        )
    return found


def _test(experiment, data, examples, model, folder):
    """Tests on videos: averages the scores of each video's clips."""
    task = experiment.task.testing()
    reader = engine.replaced(experiment, task=task).reader(data, examples, random=False)
    plan, names = experiment.plan, experiment.facts["classes"]
    with engine.reading():
        batches = reader.once(plan.batch, plan.threads or None)
        scores = testing.clip_scores(testing.predictor(model), batches, len(examples))
    result = testing.write_scores(scores, examples, data, names, folder.path)
    known = files.read_json(folder.path / networks.RUN).get("validation")
    if known:
        logging.info("%s", validating.text(known, experiment.plan.epochs))
    logging.info("%s", accuracy.text(result, names))
    written = "per_class.csv, confusion.csv, confusion.png, scores.csv, model.keras, export/"
    logging.info("Wrote %s: %s.", folder.path, written)
