"""`mas study`: compares pre-training tasks on a small network and videos in class folders."""

from __future__ import annotations

import hashlib
import itertools
import pathlib

import numpy as np
from absl import logging

from mas import accuracy, features, files, lists, networks, records, study
from mas.cli.flags import Flags
from mas.evaluate import classifiers
from mas.forms import INTEGER, several
from mas.networks import BACKBONE

SUMMARY = (
    "Pre-trains a small network with each task, and compares the accuracy of its frozen features "
    "and fine-tuned classifiers on held-out groups with that of random weights. The same command "
    "resumes."
)
TASKS = (
    "mas",
    "mas_motion",
    "mas_appearance",
    "pace",
    "pace_contrast",
    "moco",
    "vtdl",
    "dsm",
    "dsm_triplet",
)
# Ablations that the papers report, as name: (task, flags to change).
VARIANTS = {
    "mas_pattern_1": ("mas_motion", "--patterns=1", "--noglobal_labels"),
    "mas_pattern_2": ("mas_motion", "--patterns=2", "--noglobal_labels"),
    "mas_pattern_3": ("mas_motion", "--patterns=3", "--noglobal_labels"),
    "mas_r3d_10": ("mas_motion", "--backbone=r3d_10"),
    "mas_r2plus1d_10": ("mas_motion", "--backbone=r2plus1d_10"),
    "pace_jitter": ("pace", "--jitter"),
    "vtdl_without_tca": ("vtdl", "--mixup=0"),
}
FINETUNE = ("--recipe=finetune_small",)


def flags() -> Flags:
    """The flags of the command."""
    found = Flags("mas study", SUMMARY, "--videos=DIR --groups=EXPRESSION --output=FOLDER ...")
    found.option("videos", None, "Folder with a subfolder of videos for each class.", group="data")
    found.option(
        "groups",
        None,
        "Regular expression whose parenthesis matches a video's group in its id, such as "
        r"'/(\w+?)_'; each group is held out in turn.",
        group="data",
    )
    found.option("output", None, "Folder of the study.", group="data")
    found.option(
        "tasks",
        TASKS,
        "Tasks to compare, each with its small recipe; others, such as mas_pattern_1, change one "
        "setting of a recipe.",
        group="study",
        choices=(*TASKS, *VARIANTS),
    )
    words = "Random seeds of weights, order and augmentation."
    found.option("seeds", (0, 1, 2), words, group="study", least=0)
    found.option(
        "few",
        (),
        "Also fine-tune on these numbers of labelled groups, such as 1,2,4.",
        group="study",
        form=several(INTEGER),
        least=1,
    )
    found.option(
        "stride", 2, "Frame step within the clips that are tested.", group="study", least=1
    )
    found.option("whiten", 32, "Size of whitened features.", group="study", least=1)
    found.option("flow", "dis", "Optical flow method, as in mas prepare.", group="study")
    return found


def run(arguments: list[str]) -> int:
    """Runs a study; returns the exit status."""
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
    each = 5 + 2 * len(given.few)  # steps per task and seed: training, four features, classifiers
    total = 1 + len(given.seeds) * len(given.tasks) * each
    study.run(_steps(given, folder), folder, total)
    rows, seconds = list(_rows(given, folder)), _seconds(given, folder)
    study.write(folder, rows, seconds)
    logging.info("%s", study.table(rows, seconds).rstrip())
    logging.info("Wrote %s: results.csv, results.md, results.png, steps.csv.", folder)
    return 0


def _write_lists(folder, entries, names, few):
    """Writes all.txt, its classes, and the training and test lists of each choice of groups."""
    lists.write(folder / "all.txt", entries)
    for (count, seed), sides in few.items():
        for part, side in zip(("train", "test"), sides, strict=True):
            lists.write(folder / "lists" / f"few_{count}_{seed}_{part}.txt", side)
    classes = lists.folder_classes(names)
    files.write(folder / "all_classes.txt", "".join(f"{name}\n" for name in classes))


def _recipe(task):
    """The flags of a task's pre-training."""
    task, *others = VARIANTS.get(task, (task,))
    return (f"--recipe={task}_small", *others)


def _steps(given, folder):
    """Yields the steps in order: each task and seed is measured before the next is trained."""
    data = folder / "data"
    prepare = ("prepare", f"--videos={given.videos}", f"--output={data}", f"--flow={given.flow}")
    yield study.Step("prepare", prepare, data / records.DESCRIPTION)
    for seed, task in itertools.product(given.seeds, given.tasks):
        run = _run_folder(folder, task, seed)
        known = (f"--data={data}", f"--seed={seed}", f"--run={run}")
        yield study.Step(f"{task} {seed}", ("train", *_recipe(task), *known), run / BACKBONE)
        for weights, static in itertools.product(("trained", "random"), (False, True)):
            path = _features(given, folder, task, seed, weights, static)
            flags = [f"--model={run}", f"--data={data}", f"--list={folder / 'all.txt'}"]
            flags += [f"--stride={given.stride}"]
            flags += ["--static"] * static + ["--random"] * (weights == "random")
            flags += [f"--seed={seed}", f"--output={path}"]
            arguments = ("evaluate", "features", *flags)
            yield study.Step(path.stem, arguments, path, shared=weights == "random")
        for count, start in itertools.product(given.few, ("trained", "scratch")):
            yield _finetuned(given, folder, (task, seed, start, count))


def _run_folder(folder, task, seed):
    return folder / "runs" / f"{task}_{seed}"


def _features(given, folder, task, seed, weights, static):
    """File of a network's features, of clips or of their middle frames only.

    Random networks with the same architecture and clips share a file.
    """
    name = f"{task}_{seed}" if weights == "trained" else _form(given, folder, task, seed)
    return folder / "features" / f"{name}_{weights}{'_static' * static}.npz"


def _classifier(given, folder, key):
    """Run folder of a classifier; those from scratch are shared in the same way."""
    task, seed, start, count = key
    name = f"{task}_{seed}" if start == "trained" else _form(given, folder, task, seed)
    return folder / "runs" / f"{name}_{start}_few{count}"


def _form(given, folder, task, seed):
    """Part of a file name that identifies architecture, clip and seed."""
    texts = sorted(_texts(given, _run_folder(folder, task, seed)).items())
    return f"{hashlib.sha256(repr(texts).encode()).hexdigest()[:8]}_{seed}"


def _texts(given, run):
    """The flags of a pre-trained network and of the clips that are tested, as text."""
    known = networks.described(run)
    return known.network.texts() | known.clip.texts() | {"stride": str(given.stride)}


def _finetuned(given, folder, key):
    """Step that trains a classifier on few groups, from a pre-trained network or from scratch."""
    task, seed, start, count = key
    named = folder / "lists" / f"few_{count}_{seed}"
    run, pretrained = _classifier(given, folder, key), _run_folder(folder, task, seed)
    lists_of = (f"--train_list={named}_train.txt", f"--test_list={named}_test.txt")
    arguments = ("finetune", *FINETUNE, f"--data={folder / 'data'}", *lists_of)
    arguments += (f"--classes={folder / 'all_classes.txt'}", f"--seed={seed}", f"--run={run}")
    if start == "trained":
        arguments += (f"--init={pretrained}", f"--stride={given.stride}")
    else:
        texts = _texts(given, pretrained) | {"head": "auto"}
        arguments += tuple(f"--{name}={text}" for name, text in texts.items())
    return study.Step(run.name, arguments, run / "confusion.csv", shared=start == "scratch")


def _rows(given, folder):
    """Yields the results of each network."""
    for seed, task in itertools.product(given.seeds, given.tasks):
        for weights in ("trained", "random"):
            paths = [_features(given, folder, task, seed, weights, s) for s in (False, True)]
            both = [features.load(path) for path in paths]
            for name, share in study.measure(*both, given.groups, given.whiten).items():
                yield study.Row(task, seed, weights, name, share)
        for count, start in itertools.product(given.few, ("trained", "scratch")):
            found = accuracy.read(_classifier(given, folder, (task, seed, start, count)))
            yield study.Row(task, seed, start, f"few {count}", found.top1)


def _seconds(given, folder):
    """{task: mean CPU seconds of training}."""
    known, found = study.cpu_seconds(folder), {}
    for task in given.tasks:
        names = [f"{task} {seed}" for seed in given.seeds]
        found[task] = float(np.mean([known.get(name, 0.0) for name in names]))
    return found
