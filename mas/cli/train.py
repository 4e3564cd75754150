"""`mas train`: pre-trains a network on unlabelled videos."""

from __future__ import annotations

import os
import pathlib
import re
import sys

from absl import logging

from mas import cli, tasks
from mas.cli import recipes, training
from mas.cli.flags import Flags, UsageError
from mas.settings import Clip, Network, Optimisation, Plan

SUMMARY = "Pre-trains a network on unlabelled videos; without flags, on generated videos."
SAMPLE = pathlib.Path("data", "sample")
COMPARED = 3  # clips of a generated video, which is twice as long as a clip
WHITENED = 16  # numbers of a feature in the comparison at the end of the quick start


def flags(arguments: list[str]) -> tuple[Flags, type[tasks.Task]]:
    """The flags of the task that the arguments name, and its class."""
    found = Flags("mas train", SUMMARY, "--data=DATA --task=TASK ...", recipes.of)
    name = found.last(arguments, "task", "mas")
    sys.path.append(os.getcwd())  # for custom tasks
    try:
        kind = tasks.kind(name)
    except ValueError as error:
        raise UsageError(f"--{error}") from None
    training.define_data(found)
    found.option(
        "list", None, "List of training videos; by default the whole data set.", group="data"
    )
    found.option(
        "held_out",
        None,
        "List of videos to test the task on at the end. By default, tasks that predict a class are "
        "tested on the training videos.",
        group="data",
        advanced=True,
    )
    found.option("sample", False, "Generate videos and train on them.", group="data", advanced=True)
    names = ", ".join(tasks.TASKS)
    found.option("task", "mas", f"One of {names}; or module:Class of a custom task.", group="task")
    found.add(kind, "task")
    for other, task in tasks.TASKS.items():
        found.elsewhere([n for n in task.options() if n not in kind.options()], f"--task={other}")
    found.add(Network, "network and clip")
    training.define(found)
    return found, kind


def run(arguments: list[str]) -> int:
    """Trains; returns the exit status."""
    given, kind = flags(_with_recipe(arguments))
    given.parse(training.without_options(given.ordered(_with_recipe(arguments))))
    task = given.make(kind).bound(given.make(Clip), given.make(Network))
    task.check()
    data, videos = given.data, given.list
    if given.sample:
        data, videos = _make_sample(given, task)
    data = training.open_data(data, task.inputs, given.allow_missing)
    trained = _train(given, task, data, videos)
    if given.sample:
        _log_comparison(trained, data)
    _log_next(given, trained, data, videos, arguments)
    return 0


def _train(given, task, data, videos):
    cli.load_frameworks()
    from mas.training import pretrain

    return pretrain(
        data,
        task,
        network=task.network,
        clip=task.clip,
        optimisation=given.make(Optimisation),
        plan=given.make(Plan),
        videos=videos,
        held_out=given.held_out,
        columns=given.columns,
        run=given.run or f"runs/{task.name}_{given.backbone}",
        seed=given.seed,
        restart=given.restart,
        callbacks=training.callbacks(given),
    )


def _with_recipe(arguments):
    """Adds the sample recipe if there is neither data nor a flag file."""
    known = ("data", "flagfile", "recipe", "help", "helpfull", "sample", "nosample")
    if any(part.lstrip("-").split("=")[0] in known for part in arguments):
        return arguments
    return ["--recipe=sample", *arguments]


def _make_sample(given, task):
    """Generates videos and prepares them; returns (data, list)."""
    cli.load_frameworks()
    from mas import prepare, sample

    if given.data and not given.data.startswith(str(SAMPLE)):
        raise UsageError(f"--data must not be given with --sample. Received: --data={given.data}.")
    if task.span > sample.FRAMES and not task.wraps:
        raise ValueError(
            f"frames must give clips of at most {sample.FRAMES} frames, the length of generated "
            f"videos. Received: frames={task.frames}, which covers {task.span} frames of a video."
        )
    logging.info("[1/3] Writing generated videos to %s.", SAMPLE / "videos")
    digest = sample.write(SAMPLE)
    width, height = task.clip.resize
    data = SAMPLE / f"prepared_{width}x{height}_{digest}"  # one folder per size and set of videos
    logging.info("[2/3] Preparing them in %s: decoding, TV-L1 flow, shards.", data)
    options = {"size": task.clip.resize, "flow_size": "stored"}
    prepared = prepare.prepare_videos(SAMPLE / "videos", data, **options)
    for path, reason in prepared.failures.items():
        raise RuntimeError(f"{path}, a generated video, cannot be prepared: {reason}")
    logging.info("[3/3] Training on them.")
    return str(data), str(SAMPLE / "train.txt")


def _log_comparison(run, data):
    """Compares the features of the generated videos before and after training, in one line."""
    from mas import evaluate, features, lists

    probe = evaluate.Probe("knn", groups=r"_(\d+)", whiten=WHITENED)
    videos, sampling = lists.folders(data.videos), features.Sampling(clips=COMPARED)
    trained, random = (
        probe(run.path, data, videos, sampling=sampling, random=r).accuracy for r in (False, True)
    )
    logging.info(
        "Nearest neighbours by frozen features: %.1f%% of %d videos are right; with random "
        "weights, %.1f%%.",
        *(100 * trained, len(videos), 100 * random),
    )


def _log_next(given, run, data, videos, arguments):
    logging.info("Wrote %s: backbone.keras, model.keras, export/, metrics.csv.", run.path)
    logging.info("Curves:  tensorboard --logdir=%s", run.path)
    lists = "--train_list=LIST --test_list=LIST"
    if given.sample:
        folder = pathlib.Path(videos).parent
        lists = f"--train_list={folder}/train.txt --test_list={folder}/test.txt"
        lists = f"--recipe=sample_finetune {lists}"
    elif re.search(r"-recipe[= ]\w+_small(?!\S)", " ".join(arguments)):
        lists = f"--recipe=finetune_small {lists}"
    path = os.fspath(data.data)
    logging.info("Next:    mas finetune --init=%s --data=%s %s", run.path, path, lists)
