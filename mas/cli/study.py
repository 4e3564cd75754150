"""`mas study`: what each task teaches a small network, measured on videos in class folders."""

from __future__ import annotations

import itertools
import pathlib

import numpy as np
from absl import logging

from mas import accuracy, features, files, lists, networks, records, study
from mas.cli.flags import Flags
from mas.evaluate import classifiers
from mas.forms import INTEGER, several

SUMMARY = (
    "Pre-trains a small network by each task, and reports what its frozen features and fine-tuned "
    "classifiers reach on groups that they were not fitted on, beside random weights. The same "
    "command resumes."
)
# task: the flags of its pre-training.
TASKS = {
    "mas": ("--recipe=mas_small_c3d",),
    "mas_motion": ("--recipe=mas_small_c3d", "--branches=motion"),
    "mas_appearance": ("--recipe=mas_small_c3d", "--branches=appearance"),
    "pace": ("--recipe=pace_small_c3d",),
    "moco": ("--recipe=contrast_small_c3d_bn", "--task=moco"),
    "vtdl": ("--recipe=contrast_small_c3d_bn", "--task=vtdl"),
    "dsm": ("--recipe=contrast_small_c3d_bn", "--task=dsm"),
    "dsm_triplet": ("--recipe=dsm_triplet_small_c3d_bn",),
}
FINETUNE = ("--recipe=finetune_small",)


def flags() -> Flags:
    """The flags of the command."""
    found = Flags("mas study", SUMMARY, "--videos=DIR --groups=EXPRESSION --output=FOLDER ...")
    found.option("videos", None, "Videos in a folder for each class.", group="data")
    found.option(
        "groups",
        None,
        "Groups that are left out in turn, told by what the first group of this expression matches "
        r"in an id, as '/(\w+?)_'.",
        group="data",
    )
    found.option("output", None, "Folder of the study.", group="data")
    found.option(
        "tasks", tuple(TASKS), "Tasks that are compared.", group="study", choices=tuple(TASKS)
    )
    found.option("seeds", (0, 1, 2), "Of weights, order and augmentation.", group="study", least=0)
    found.option(
        "few",
        (),
        "Fine-tune on so many labelled groups, too, as in 1,2,4.",
        group="study",
        form=several(INTEGER),
        least=1,
    )
    found.option("whiten", 32, "Numbers that features are whitened to.", group="study", least=1)
    found.option("flow", "dis", "Flow of the prepared videos.", group="study")
    return found


def run(arguments: list[str]) -> int:
    """Carries out a study; returns the exit status."""
    given = flags()
    given.parse(arguments)
    given.require("videos", "groups", "output")
    names, folder = lists.find_videos(given.videos)[0], pathlib.Path(given.output)
    entries, groups = lists.folders(names), classifiers.groups(list(names), given.groups)
    few = {
        (n, s): study.few(entries, groups, n, max(given.few), s)
        for n in given.few
        for s in given.seeds
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write_lists(folder, entries, names, few)
    each = 3 + 2 * len(given.few)  # of a task and seed: training, two features, classifiers
    total = 1 + len(given.seeds) * len(given.tasks) * each
    study.run(_steps(given, folder), folder, total)
    rows, seconds = list(_rows(given, folder)), _seconds(given, folder)
    study.write(folder, rows, seconds)
    logging.info("%s", study.table(rows, seconds).rstrip())
    logging.info("Wrote %s: results.csv, results.md, results.png, steps.csv.", folder)
    return 0


def _write_lists(folder, entries, names, few):
    """all.txt and its classes, and the two lists of each choice of few groups."""
    lists.write(folder / "all.txt", entries)
    for (count, seed), sides in few.items():
        for part, side in zip(("train", "test"), sides, strict=True):
            lists.write(folder / "lists" / f"few_{count}_{seed}_{part}.txt", side)
    classes = lists.folder_classes(names)
    files.write(folder / "all_classes.txt", "".join(f"{name}\n" for name in classes))


def _steps(given, folder):
    """Yields the steps in order: a task of one seed is measured before the next begins."""
    data = folder / "data"
    prepare = ("prepare", f"--videos={given.videos}", f"--output={data}", f"--flow={given.flow}")
    yield study.Step("prepare", prepare, data / records.DESCRIPTION)
    for seed, task in itertools.product(given.seeds, given.tasks):
        run = folder / "runs" / f"{task}_{seed}"
        known = (f"--data={data}", f"--seed={seed}", f"--run={run}")
        train = ("train", *TASKS[task], *known)
        yield study.Step(f"{task} {seed}", train, run / networks.BACKBONE)
        for weights, flag in (("trained", ()), ("random", ("--random",))):
            path = folder / "features" / f"{task}_{seed}_{weights}.npz"
            asked = (f"--model={run}", f"--data={data}", f"--list={folder / 'all.txt'}")
            asked += (*flag, f"--seed={seed}", f"--output={path}")
            arguments = ("evaluate", "features", *asked)
            yield study.Step(f"{task} {seed} {weights} features", arguments, path)
        for count, start in itertools.product(given.few, ("trained", "scratch")):
            yield _finetuned(folder, run, (task, seed, start, count))


def _finetuned(folder, pretrained, key):
    """A classifier on few groups: from a pre-trained network, or from one of the same form."""
    task, seed, start, count = key
    named = folder / "lists" / f"few_{count}_{seed}"
    run = _classifier(folder, key)
    lists_of = (f"--train_list={named}_train.txt", f"--test_list={named}_test.txt")
    arguments = ("finetune", *FINETUNE, f"--data={folder / 'data'}", *lists_of)
    arguments += (f"--classes={folder / 'all_classes.txt'}", f"--seed={seed}", f"--run={run}")
    if start == "trained":
        arguments += (f"--init={pretrained}",)
    else:
        known = networks.described(pretrained)
        texts = known.network.texts() | known.clip.texts() | {"head": "auto"}
        arguments += tuple(f"--{name}={text}" for name, text in texts.items())
    return study.Step(f"{task} {seed} {start} few {count}", arguments, run / "confusion.csv")


def _classifier(folder, key):
    task, seed, start, count = key
    return folder / "runs" / f"{task}_{seed}_{start}_few{count}"


def _rows(given, folder):
    """Yields what each network reaches."""
    for seed, task in itertools.product(given.seeds, given.tasks):
        for weights in ("trained", "random"):
            found = features.load(folder / "features" / f"{task}_{seed}_{weights}.npz")
            for name, share in study.measure(found, given.groups, given.whiten).items():
                yield study.Row(task, seed, weights, name, share)
        for count, start in itertools.product(given.few, ("trained", "scratch")):
            found = accuracy.read(_classifier(folder, (task, seed, start, count)))
            yield study.Row(task, seed, start, f"few {count}", found.top1)


def _seconds(given, folder):
    """{task: mean CPU seconds of its training}."""
    known, found = study.cpu_seconds(folder), {}
    for task in given.tasks:
        names = [f"{task} {seed}" for seed in given.seeds]
        found[task] = float(np.mean([known.get(name, 0.0) for name in names]))
    return found
