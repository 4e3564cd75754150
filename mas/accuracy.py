"""What a test of a classifier found: accuracies, the confusion matrix, and the files of both."""

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

MOST_IN_MATRIX = 20  # classes, of a matrix in text or with numbers in its picture


@dataclasses.dataclass(frozen=True, eq=False)
class Accuracy:
    """What a test found.

    Attributes:
        top1: share of videos whose likeliest class is right.
        top5: share whose class is among the five likeliest; None where classes have no scores.
        per_class: accuracy of each class; NaN where no video has it.
        confusion: int (classes, classes); row = true class, column = likeliest class.
    """

    top1: float
    top5: float | None
    per_class: np.ndarray
    confusion: np.ndarray

    @property
    def mean_class(self) -> float:
        """Mean accuracy over the classes that were tested."""
        return float(np.nanmean(self.per_class))


def of_scores(scores: np.ndarray, labels: np.ndarray) -> Accuracy:
    """Accuracies of videos.

    Args:
        scores: (videos, classes).
        labels: int (videos,).

    Raises:
        ValueError: a label that is no class.
    """
    count = scores.shape[1]
    labels = np.asarray(labels)
    if labels.min() < 0 or labels.max() >= count:
        wrong = labels[(labels < 0) | (labels >= count)][0]
        raise ValueError(f"label must be in 0..{count - 1}. Received: label={wrong}.")
    order = np.argsort(-scores, axis=1, kind="stable")
    return dataclasses.replace(of_choices(labels, order[:, 0], count), top5=_top5(order, labels))


def of_choices(labels: np.ndarray, predicted: np.ndarray, count: int) -> Accuracy:
    """Accuracies of videos that were given one class each.

    Args:
        labels: int (videos,), in 0..count - 1.
        predicted: int (videos,), the same.
        count: of classes.
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
        names: of the classes.
        folder: where to.
        unit: what was counted.
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
    """(header, rows), one row a video: id, label, likeliest class, probability of each class."""
    rows = [
        (video, label, int(row.argmax()), *(f"{value:.5f}" for value in row))
        for video, label, row in zip(videos, labels, scores, strict=True)
    ]
    return ("video", "label", "predicted", *range(scores.shape[1])), rows


def text(result: Accuracy, names: Sequence[str], unit: str = "videos") -> str:
    """The report for a terminal: accuracies, and the confusion matrix if it is small."""
    top5 = f"top-5 {result.top5:.4f}, " if result.top5 is not None and len(names) > 5 else ""
    first = (
        f"top-1 {result.top1:.4f}, {top5}mean over classes {result.mean_class:.4f}, "
        f"{result.confusion.sum()} {unit}"
    )
    return "\n".join([first, *rows(result, names)])


def rows(result: Accuracy, names: Sequence[str]) -> list[str]:
    """A line for each class: its accuracy, and its row of the confusion matrix if it is small."""
    lines, width = [], max(map(len, names))
    for number, name in enumerate(names):
        row = f"  {name:{width}}  {result.per_class[number]:6.1%}"
        if len(names) <= MOST_IN_MATRIX:
            row += "  |" + "".join(f"{count:4d}" for count in result.confusion[number])
        lines.append(row)
    return lines


def class_names(
    classes: Sequence[str] | files.PathLike | None,
    highest: int,
    beside: files.PathLike | None = None,
    known: Sequence[str] | None = None,
) -> list[str]:
    """Names in the order of the labels.

    >>> class_names(["run", "walk"], 1), class_names(None, 2)
    (['run', 'walk'], ['0', '1', '2'])

    Args:
        classes: names, or a file of them, one a line; None looks for them.
        highest: label.
        beside: list of videos, whose classes' names may lie beside it.
        known: names that a run knows.

    Returns:
        The names given; else those beside the list or known, if they are enough; else numbers.

    Raises:
        ValueError: fewer names were given than there are classes.
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
        logging.info("Class names are those of the file beside %s.", beside)
        return named
    if known and highest < len(known):
        return list(known)
    return [str(number) for number in range(highest + 1)]


def read(folder: pathlib.Path) -> Accuracy | None:
    """What `write` left in a folder, with scores.csv; None where there was no test.

    Raises:
        ValueError: a file is damaged; names it.
    """
    path, scores = folder / "confusion.csv", folder / "scores.csv"
    if not path.is_file():
        return None
    try:
        confusion = np.array([row[1:] for row in _table(path)], int)
        if confusion.ndim != 2 or len(set(confusion.shape)) > 1 or confusion.min() < 0:
            raise ValueError(f"a table {confusion.shape} that counts nothing")
        found = _of_confusion(confusion)
        if not scores.is_file():
            return found
        path, rows = scores, _table(scores)
        probabilities = np.array([row[3:] for row in rows], float)
        top5 = _top5(np.argsort(-probabilities, axis=1, kind="stable"), [int(r[1]) for r in rows])
        return dataclasses.replace(found, top5=top5)
    except (IndexError, OverflowError, ValueError) as error:
        raise ValueError(f"{path} must be that of a test. Received: {error}.") from None


def _table(path):
    """The rows of a csv file behind its header."""
    return files.read_csv(path, "surrogateescape")[1:]


def _top5(order, labels):
    """Share of rows whose label is among their first five classes."""
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
