"""`mas study`: what each task teaches a small network, measured on videos in class folders."""

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
    "Pre-trains a small network by each task, and reports what its frozen features and fine-tuned "
    "classifiers reach on groups that they were not fitted on, beside random weights. The same "
    "command resumes."
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
# What the papers claim of parts of their methods: name: (task, other flags).
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
        "tasks",
        TASKS,
        "Tasks to compare, each by its small recipe; mas_pattern_1 and the like change one setting "
        "of it.",
        group="study",
        choices=(*TASKS, *VARIANTS),
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
    each = 5 + 2 * len(given.few)  # of a task and seed: training, four features, classifiers
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


def _recipe(task):
    """The flags of a task's pre-training."""
    task, *others = VARIANTS.get(task, (task,))
    return (f"--recipe={task}_small", *others)


def _steps(given, folder):
    """Yields the steps in order: a task of one seed is measured before the next begins."""
    data = folder / "data"
    prepare = ("prepare", f"--videos={given.videos}", f"--output={data}", f"--flow={given.flow}")
    yield study.Step("prepare", prepare, data / records.DESCRIPTION)
    for seed, task in itertools.product(given.seeds, given.tasks):
        run = _run_folder(folder, task, seed)
        known = (f"--data={data}", f"--seed={seed}", f"--run={run}")
        yield study.Step(f"{task} {seed}", ("train", *_recipe(task), *known), run / BACKBONE)
        for weights, static in itertools.product(("trained", "random"), (False, True)):
            path = _features(folder, task, seed, weights, static)
            flags = [f"--model={run}", f"--data={data}", f"--list={folder / 'all.txt'}"]
            flags += ["--static"] * static + ["--random"] * (weights == "random")
            flags += [f"--seed={seed}", f"--output={path}"]
            arguments = ("evaluate", "features", *flags)
            yield study.Step(path.stem, arguments, path, shared=weights == "random")
        for count, start in itertools.product(given.few, ("trained", "scratch")):
            yield _finetuned(folder, (task, seed, start, count))


def _run_folder(folder, task, seed):
    return folder / "runs" / f"{task}_{seed}"


def _features(folder, task, seed, weights, static):
    """The file of a network's features, of clips or of their middle frames alone.

    Random networks that see the same clips share it.
    """
    name = f"{task}_{seed}" if weights == "trained" else _form(folder, task, seed)
    return folder / "features" / f"{name}_{weights}{'_static' * static}.npz"


def _classifier(folder, key):
    """The run of a classifier; those from scratch are shared likewise."""
    task, seed, start, count = key
    name = f"{task}_{seed}" if start == "trained" else _form(folder, task, seed)
    return folder / "runs" / f"{name}_{start}_few{count}"


def _form(folder, task, seed):
    """Network, clip and seed as a part of a file's name."""
    texts = sorted(_texts(_run_folder(folder, task, seed)).items())
    return f"{hashlib.sha256(repr(texts).encode()).hexdigest()[:8]}_{seed}"


def _texts(run):
    """The flags of a pre-trained network and of its clips, as text."""
    known = networks.described(run)
    return known.network.texts() | known.clip.texts() | {"stride": str(networks.stride_of(run))}


def _finetuned(folder, key):
    """A classifier on few groups: from a pre-trained network, or from one of the same form."""
    task, seed, start, count = key
    named = folder / "lists" / f"few_{count}_{seed}"
    run, pretrained = _classifier(folder, key), _run_folder(folder, task, seed)
    lists_of = (f"--train_list={named}_train.txt", f"--test_list={named}_test.txt")
    arguments = ("finetune", *FINETUNE, f"--data={folder / 'data'}", *lists_of)
    arguments += (f"--classes={folder / 'all_classes.txt'}", f"--seed={seed}", f"--run={run}")
    texts = _texts(pretrained)
    if start == "trained":
        arguments += (f"--init={pretrained}", f"--stride={texts['stride']}")
    else:
        texts |= {"head": "auto"}
        arguments += tuple(f"--{name}={text}" for name, text in texts.items())
    return study.Step(run.name, arguments, run / "confusion.csv", shared=start == "scratch")


def _rows(given, folder):
    """Yields what each network reaches."""
    for seed, task in itertools.product(given.seeds, given.tasks):
        for weights in ("trained", "random"):
            both = [features.load(_features(folder, task, seed, weights, s)) for s in (False, True)]
            for name, share in study.measure(*both, given.groups, given.whiten).items():
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
