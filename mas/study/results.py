"""Results of a study: a row per measure, and a table and a figure of means over seeds."""

from __future__ import annotations

import collections
import dataclasses
import io
import pathlib
import re
from collections.abc import Sequence

import numpy as np

from mas import evaluate, files
from mas.features import Features

FIELDS = ("task", "seed", "weights", "measure", "accuracy")
# name: (heading, classifier); a classifier fine-tuned on N groups has the measure "few N".
PROBES = {
    "nearest": ("nearest neighbour", "knn"),
    "whitened": ("nearest neighbour, whitened", "knn"),
    "linear": ("linear probe", "linear"),
    "static": ("linear probe, middle frame alone", "linear"),
}
FEW = re.compile(r"few (\d+)")
SHOWN = "whitened"  # in the figure


@dataclasses.dataclass(frozen=True)
class Row:
    """One measure of one network.

    Attributes:
        task: pre-training task.
        seed: seed of training and of random weights.
        weights: "trained", "random", or "scratch" for a classifier trained from scratch.
        measure: a key of `PROBES`, or "few N": a classifier trained on N groups.
        accuracy: in [0, 1].
    """

    task: str
    seed: int
    weights: str
    measure: str
    accuracy: float


def measure(found: Features, static: Features, groups: str, whiten: int) -> dict[str, float]:
    """Measures frozen features by leave-one-group-out classification.

    Args:
        found: features with labels.
        static: features of the same clips with the middle frame repeated.
        groups: regular expression; its first group matches the group in a video's id.
        whiten: size of whitened features.

    Returns:
        {measure: accuracy in [0, 1]}.
    """
    accuracies = {}
    for name, (_, classifier) in PROBES.items():
        numbers = whiten if name == "whitened" else 0
        probe = evaluate.Probe(classifier, groups=groups, whiten=numbers)
        accuracies[name] = probe(videos=static if name == "static" else found).accuracy
    return accuracies


def write(folder: files.PathLike, rows: Sequence[Row], seconds: dict[str, float]) -> None:
    """Writes results.csv, results.md and results.png.

    Args:
        folder: folder to write.
        rows: results of all tasks and seeds.
        seconds: {task: mean CPU seconds of training}.
    """
    folder = pathlib.Path(folder)
    content = [(*dataclasses.astuple(row)[:-1], f"{row.accuracy:.6f}") for row in rows]
    files.write_csv(folder / "results.csv", FIELDS, content)
    files.write(folder / "results.md", table(rows, seconds))
    files.write(folder / "results.png", _figure(rows))


def table(rows: Sequence[Row], seconds: dict[str, float]) -> str:
    """Makes a Markdown table with a row per task and two columns per measure, in percent.

    `71.1 ± 2.0` is the mean and the standard deviation over the seeds.

    Args:
        rows: results of all tasks and seeds.
        seconds: {task: mean CPU seconds of training}.
    """
    shares = _shares(rows)
    measures = [name for name in PROBES if any(key[2] == name for key in shares)]
    measures += sorted({key[2] for key in shares} - set(measures), key=_groups)
    header = ["task", "seeds"]
    for name in measures:
        other = "from scratch" if FEW.fullmatch(name) else "random"
        header += [_heading(name), other]
    lines = [[*header, "CPU minutes"], ["---"] * (len(header) + 1)]
    for task in dict.fromkeys(row.task for row in rows):
        cells = [f"`{task}`", str(len({row.seed for row in rows if row.task == task}))]
        for name in measures:
            other = "scratch" if FEW.fullmatch(name) else "random"
            cells += [_spread(shares.get((task, w, name), [])) for w in ("trained", other)]
        taken = f"{seconds[task] / 60:.1f}" if task in seconds else ""
        lines.append([*cells, taken])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _shares(rows):
    """{(task, weights, measure): accuracies of all seeds}."""
    found = collections.defaultdict(list)
    for row in rows:
        found[row.task, row.weights, row.measure].append(row.accuracy)
    return found


def _groups(name):
    return int(FEW.fullmatch(name)[1])


def _heading(name):
    if name in PROBES:
        return PROBES[name][0]
    count = _groups(name)
    return f"fine-tuned on {count} group{'' if count == 1 else 's'}"


def _spread(shares):
    """Mean and standard deviation in percent; only the value for a single seed."""
    if not shares:
        return ""
    mean = f"{100 * np.mean(shares):.1f}"
    return f"{mean} ± {100 * np.std(shares, ddof=1):.1f}" if len(shares) > 1 else mean


def _figure(rows):
    """Draws bars of pre-trained and random weights per task, with a dot per seed; a PNG file."""
    from matplotlib import figure

    shares, tasks = _shares(rows), list(dict.fromkeys(row.task for row in rows))
    canvas = figure.Figure(figsize=(1.5 + 0.9 * len(tasks), 3.6), layout="constrained")
    axes = canvas.add_subplot()
    styles = (("random", -0.2, "0.75", "random weights"), ("trained", 0.2, "C0", "pre-trained"))
    for weights, shift, colour, label in styles:
        values = [[100 * v for v in shares.get((task, weights, SHOWN), [])] for task in tasks]
        places = np.arange(len(tasks)) + shift
        means = [np.mean(v) if v else 0 for v in values]
        axes.bar(places, means, 0.4, color=colour, label=label)
        for place, found in zip(places, values, strict=True):
            axes.plot([place] * len(found), found, "k.", markersize=4)
    axes.set_xticks(range(len(tasks)), tasks, rotation=30, ha="right")
    axes.set_ylabel("accuracy (%)")
    axes.set_title(f"Frozen features: {PROBES[SHOWN][0]}. A dot is a seed.", fontsize=9)
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    drawn = io.BytesIO()
    canvas.savefig(drawn, dpi=150, format="png")
    return drawn.getvalue()
