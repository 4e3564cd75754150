"""Action recognition: clips -> mean over the video -> accuracy (CVPR 2019, section 4.1)."""

import dataclasses
import io

import numpy as np
import tensorflow as tf
import tqdm

from mas import files, lists


@dataclasses.dataclass(frozen=True)
class Report:
    """What a test found.

    Attributes:
        top1: share of videos whose likeliest class is right.
        top5: share whose class is among the five likeliest; None where classes have no scores.
        per_class: accuracy of each class; NaN where no video has it.
        confusion: int (classes, classes); row = true class, column = likeliest class.
    """

    top1: float
    top5: float
    per_class: np.ndarray
    confusion: np.ndarray

    @property
    def mean_class(self):
        """Mean accuracy over the classes that were tested."""
        return float(np.nanmean(self.per_class))


def clip_scores(model, batches, total):
    """Class probabilities of every clip.

    Args:
        model: with the output "logits".
        batches: data set of (clips, _).
        total: how many clips come, for the progress bar.

    Returns:
        float32 (clips, classes).
    """

    @tf.function(reduce_retracing=True)
    def predict(clips):
        return tf.nn.softmax(model(clips, training=False)["logits"])

    scores = []
    with tqdm.tqdm(total=total, desc="test", unit="clip") as bar:
        for clips, _ in batches:
            scores.append(predict(clips).numpy())
            bar.update(len(scores[-1]))
    return np.concatenate(scores)


def video_scores(scores, videos):
    """Mean of the clip scores of each video.

    Args:
        scores: (clips, classes).
        videos: int (clips,); the video of each clip.

    Returns:
        (numbers, means): the videos in ascending order, and their (videos, classes) scores.
    """
    numbers, places, counts = np.unique(videos, return_inverse=True, return_counts=True)
    sums = np.zeros((len(numbers), scores.shape[1]))
    np.add.at(sums, places, scores)
    return numbers, sums / counts[:, None]


def report(scores, labels):
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
    top5 = float(np.mean((order[:, :5] == labels[:, None]).any(1)))
    return dataclasses.replace(tally(labels, order[:, 0], count), top5=top5)


def tally(labels, predicted, count):
    """Accuracies of videos that were given one class each.

    Args:
        labels: int (videos,), in 0..count - 1.
        predicted: int (videos,), the same.
        count: of classes.
    """
    confusion = np.zeros((count, count), int)
    np.add.at(confusion, (labels, predicted), 1)
    with np.errstate(invalid="ignore"):
        per_class = confusion.diagonal() / confusion.sum(1)
    return Report(float(np.mean(predicted == labels)), None, per_class, confusion)


def write(result, names, folder, unit="videos"):
    """Writes per_class.csv, confusion.csv and confusion.png.

    Args:
        result: a `Report`.
        names: of the classes.
        folder: where to.
        unit: what was counted.
    """
    counts = result.confusion.sum(1)
    rows = zip(names, counts, result.per_class, strict=True)
    rows = [(name, count, f"{accuracy:.4f}") for name, count, accuracy in rows]
    files.write_csv(folder / "per_class.csv", ("class", unit, "accuracy"), rows)
    header = ("true class \\ predicted class", *names)
    rows = [(name, *row) for name, row in zip(names, result.confusion, strict=True)]
    files.write_csv(folder / "confusion.csv", header, rows)
    _draw(result, names, folder / "confusion.png", unit)


def write_scores(path, videos, labels, scores):
    """Writes one row a video: id, label, likeliest class, probability of each class."""
    rows = [
        (video, label, int(row.argmax()), *(f"{value:.5f}" for value in row))
        for video, label, row in zip(videos, labels, scores, strict=True)
    ]
    files.write_csv(path, ("video", "label", "predicted", *range(scores.shape[1])), rows)


def text(result, names, unit="videos"):
    """The report for a terminal: accuracies, and the confusion matrix if it is small."""
    first = (
        f"top-1 {result.top1:.4f}, top-5 {result.top5:.4f}, "
        f"mean over classes {result.mean_class:.4f}, {result.confusion.sum()} {unit}"
    )
    return "\n".join([first, *rows(result, names)])


def rows(result, names):
    """A line for each class: its accuracy, and its row of the confusion matrix if it is small."""
    lines, width = [], max(map(len, names))
    for number, name in enumerate(names):
        row = f"  {name:{width}}  {result.per_class[number]:6.1%}"
        if len(names) <= 20:
            row += "  |" + "".join(f"{count:4d}" for count in result.confusion[number])
        lines.append(row)
    return lines


def class_names(path, highest):
    """Names in the order of the labels: those of a file, or without one their numbers.

    Raises:
        ValueError: the file has no line for the highest label.
    """
    if not path:
        return [str(number) for number in range(highest + 1)]
    names = lists.class_names(path)
    if highest >= len(names):
        raise ValueError(
            f"labels must be below {len(names)}, the lines of {path}. Received: {highest}."
        )
    return names


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
    if len(names) <= 20:
        for (row, column), count in np.ndenumerate(result.confusion):
            if count:
                shade = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, count, ha="center", va="center", color=shade, fontsize=7)
    drawn = io.BytesIO()
    canvas.savefig(drawn, dpi=150, format="png")
    files.write(path, drawn.getvalue())
