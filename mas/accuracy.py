"""Results of testing a classifier: accuracies, the confusion matrix, and their files."""

from __future__ import annotations

import dataclasses
import io
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging

from mas import files, lists
from mas.checks import refuse

MOST_IN_MATRIX = 20  # classes up to which the matrix is printed, and drawn with numbers


@dataclasses.dataclass(frozen=True, eq=False)
class Accuracy:
    """The result of a test.

    Attributes:
        top1: fraction of videos whose top-scoring class is correct.
        top5: fraction of videos whose class is among the five highest scores; None without scores.
        per_class: accuracy of each class; NaN if it has no videos.
        confusion: int (classes, classes); rows are true classes, columns are predictions.
    """

    top1: float
    top5: float | None
    per_class: np.ndarray
    confusion: np.ndarray

    @property
    def mean_class(self) -> float:
        """Mean accuracy over the classes with videos."""
        return float(np.nanmean(self.per_class))


def of_scores(scores: np.ndarray, labels: np.ndarray) -> Accuracy:
    """Computes accuracies from class scores.

    Args:
        scores: (videos, classes).
        labels: int (videos,).

    Raises:
        ValueError: If a label is out of range.
    """
    count = scores.shape[1]
    labels = np.asarray(labels)
    if labels.min() < 0 or labels.max() >= count:
        wrong = labels[(labels < 0) | (labels >= count)][0]
        raise ValueError(f"label must be in 0..{count - 1}. Received: label={wrong}.")
    order = np.argsort(-scores, axis=1, kind="stable")
    return dataclasses.replace(of_choices(labels, order[:, 0], count), top5=_top5(order, labels))


def of_choices(labels: np.ndarray, predicted: np.ndarray, count: int) -> Accuracy:
    """Computes accuracies from predicted classes.

    Args:
        labels: int (videos,), in 0..count - 1.
        predicted: int (videos,), in 0..count - 1.
        count: number of classes.
    """
    confusion = np.zeros((count, count), int)
    np.add.at(confusion, (labels, predicted), 1)
    return _of_confusion(confusion)


def _of_confusion(confusion):
    right, counts = confusion.diagonal(), confusion.sum(1)
    with np.errstate(invalid="ignore"):
        return Accuracy(float(right.sum() / counts.sum()), None, right / counts, confusion)


def write(
    result: Accuracy, names: Sequence[str], folder: pathlib.Path, unit: str = "videos"
) -> None:
    """Writes per_class.csv, confusion.csv and confusion.png.

    Args:
        result: an `Accuracy`.
        names: class names.
        folder: folder to write to.
        unit: what was counted, in the plural.
    """
    counts = result.confusion.sum(1)
    table = zip(names, counts, result.per_class, strict=True)
    shares = [(name, count, f"{accuracy:.4f}") for name, count, accuracy in table]
    files.write_csv(folder / "per_class.csv", ("class", unit, "accuracy"), shares)
    header = ("true class \\ predicted class", *names)
    matrix = [(name, *row) for name, row in zip(names, result.confusion, strict=True)]
    files.write_csv(folder / "confusion.csv", header, matrix)
    _draw(result, names, folder / "confusion.png", unit)


def score_table(
    videos: Sequence[str], labels: np.ndarray, scores: np.ndarray
) -> tuple[tuple, list[tuple]]:
    """Returns (header, rows), a row per video: id, label, prediction, class probabilities."""
    rows = [
        (video, label, int(row.argmax()), *(f"{value:.5f}" for value in row))
        for video, label, row in zip(videos, labels, scores, strict=True)
    ]
    return ("video", "label", "predicted", *range(scores.shape[1])), rows


def text(result: Accuracy, names: Sequence[str], unit: str = "videos") -> str:
    """Formats a result for a terminal: accuracies, and the confusion matrix if it is small."""
    top5 = f"top-5 {result.top5:.4f}, " if result.top5 is not None and len(names) > 5 else ""
    first = (
        f"top-1 {result.top1:.4f}, {top5}mean over classes {result.mean_class:.4f}, "
        f"{result.confusion.sum()} {unit}"
    )
    return "\n".join([first, *rows(result, names, unit)])


def rows(result: Accuracy, names: Sequence[str], unit: str = "videos") -> list[str]:
    """Formats a line per class: its accuracy, and its row of a small confusion matrix."""
    counts = result.confusion.sum(1)
    shares = [
        f"{share:.1%}" if count else f"no {unit}"
        for share, count in zip(result.per_class, counts, strict=True)
    ]
    lines, pairs = [], list(zip(names, shares, strict=False))
    width = max(max(map(len, names)) + 8, *(len(f"{name}  {share}") for name, share in pairs))
    for (name, share), row in zip(pairs, result.confusion, strict=False):
        line = f"  {name}{share:>{width - len(name)}}"
        if len(names) <= MOST_IN_MATRIX:
            line += "  |" + "".join(f"{count:4d}" for count in row)
        lines.append(line)
    return lines


def class_names(
    classes: Sequence[str] | files.PathLike | None,
    highest: int,
    beside: files.PathLike | None = None,
    known: Sequence[str] | None = None,
) -> list[str]:
    """Returns class names in label order.

    >>> class_names(["run", "walk"], 1), class_names(None, 2)
    (['run', 'walk'], ['0', '1', '2'])

    Args:
        classes: names, or a file with one name per line; None searches for names.
        highest: largest label.
        beside: list of videos, which may have a file of class names next to it.
        known: class names of a run.

    Returns:
        The given names; else those next to the list, or `known`, if there are enough; else numbers.

    Raises:
        ValueError: If fewer names are given than there are classes.
    """
    if classes is not None:
        path = isinstance(classes, str | os.PathLike)
        names: Any = lists.class_names(classes) if path else classes  # type: ignore[arg-type]
        if not (isinstance(names, Sequence) and all(isinstance(name, str) for name in names)):
            refuse("classes", "names, or a file of them", classes)
        if highest >= len(names):
            allowed = f"{highest + 1} or more names, as many as the labels need"
            refuse("classes", allowed, names)
        return list(names)
    named = lists.class_names_beside(beside)
    if named and highest < len(named):
        logging.info("Using the class names next to %s.", beside)
        return named
    if known and highest < len(known):
        return list(known)
    return [str(number) for number in range(highest + 1)]


def read(folder: pathlib.Path) -> Accuracy | None:
    """Reads the result that `write` left in a folder, and scores.csv; None if there was no test.

    Raises:
        ValueError: If a file is damaged.
    """
    path, scores = folder / "confusion.csv", folder / "scores.csv"
    if not path.is_file():
        return None
    try:
        confusion = np.array([row[1:] for row in _table(path)], int)
        if confusion.ndim != 2 or len(set(confusion.shape)) > 1 or confusion.min() < 0:
            raise ValueError(f"a table {confusion.shape} that is not a confusion matrix")
        found = _of_confusion(confusion)
        if not scores.is_file():
            return found
        path, rows = scores, _table(scores)
        probabilities = np.array([row[3:] for row in rows], float)
        top5 = _top5(np.argsort(-probabilities, axis=1, kind="stable"), [int(r[1]) for r in rows])
        return dataclasses.replace(found, top5=top5)
    except (IndexError, OverflowError, ValueError) as error:
        raise ValueError(f"{path} must be the result of a test. Received: {error}.") from None


def _table(path):
    """Returns the rows of a csv file without its header."""
    return files.read_csv(path, "surrogateescape")[1:]


def _top5(order, labels):
    """Returns the fraction of rows whose label is among their first five classes."""
    return float(np.mean((order[:, :5] == np.asarray(labels)[:, None]).any(1)))


def _draw(result, names, path, unit):
    from matplotlib import figure

    side = max(4, 0.22 * len(names) + 2)
    canvas = figure.Figure(figsize=(side, side), layout="constrained")
    axes = canvas.add_subplot()
    shares = result.confusion / np.maximum(result.confusion.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    canvas.colorbar(image, label="share of the true class", shrink=0.7)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title(f"top-1 {result.top1:.1%} of {result.confusion.sum()} {unit}", fontsize=9)
    if len(names) <= MOST_IN_MATRIX:
        for (row, column), count in np.ndenumerate(result.confusion):
            if count:
                shade = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, count, ha="center", va="center", color=shade, fontsize=7)
    drawn = io.BytesIO()
    canvas.savefig(drawn, dpi=150, format="png")
    files.write(path, drawn.getvalue())
