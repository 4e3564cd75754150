"""Tests after training: a classifier on whole videos, a pretext task on its examples."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf
import tqdm
from absl import logging

from mas import accuracy, checks, clips, files, lists
from mas.accuracy import Accuracy
from mas.training.loop import no_retracing_warning

DRAWS = 10  # per held-out example, since a task may draw frames and targets at random


def warn_of_overlap(data, examples, trained):
    """Warns if a held-out video is also a training video.

    Args:
        data: an opened data set.
        examples: `clips.Examples` of the held-out videos.
        trained: `clips.Examples` of the training.
    """
    both = np.intersect1d(examples.videos, trained.videos)
    if len(both):
        name, count = data.videos[both[0]], lists.counted(len(both), "held-out video")
        logging.warning("The training videos include %s, such as %s.", count, name)


def drawn(task, examples, batch, draws=DRAWS, name="videos"):
    """Examples and batch size for the test of a pretext task.

    Each example is used `draws` times, with new random draws each time. If the task compares the
    examples of a batch, all batches are full and contain each video at most once: the videos take
    turns, each with its next example, and the batch size is at most their number.

    Args:
        task: a `tasks.Task`.
        examples: a `clips.Examples`.
        batch: largest batch size.
        draws: draws per example; if the task compares them, the fewest draws per video.
        name: name of the list of videos in error messages.

    Returns:
        (`clips.Examples`, batch size).

    Raises:
        ValueError: If the task compares examples and there is only one video.
    """
    order = np.tile(np.arange(len(examples)), draws)
    if task.contrasts:
        each = [np.flatnonzero(examples.videos == video) for video in np.unique(examples.videos)]
        if len(each) < 2:
            checks.refuse(name, f"2 videos or more for {task.name} to compare", len(each))
        batch = min(max(batch, 2), len(each))
        count = -(-draws * len(each) // batch) * batch
        turns = (divmod(place, len(each)) for place in range(count))
        order = np.array([each[video][turn % len(each[video])] for turn, video in turns])
    parts = (examples.videos, examples.starts, examples.labels)
    return clips.Examples(*(part[order] for part in parts)), batch


@dataclasses.dataclass(frozen=True)
class PretextTest:
    """Result of the test of a pretext task.

    Attributes:
        means: {metric: mean over the examples}.
        accuracy: accuracy on the clips, for tasks that predict a class; else None.
        choice: (output, class names) of such a task.
    """

    means: dict[str, float]
    accuracy: Accuracy | None = None
    choice: tuple = ()

    def write(self, folder):
        """Writes test.csv; if classes are predicted, also per_class.csv and confusion.*."""
        rows = [(name, f"{value:.6g}") for name, value in self.means.items()]
        files.write_csv(folder / "test.csv", ("metric", "mean"), rows)
        if self.accuracy is not None:
            accuracy.write(self.accuracy, self.choice[1], folder, unit="clips")

    @property
    def text(self):
        """The means and the confusion matrix, as text."""
        lines = [f"{name} {value:.4f}" for name, value in self.means.items() if "/" not in name]
        if self.accuracy is not None:
            output, names = self.choice
            lines.append(
                f"chance {1 / len(names):.4f}; rows: true {output}, accuracy, number of clips per "
                f"predicted {output}"
            )
            lines += accuracy.rows(self.accuracy, names, "clips")
        return "\n".join(lines)


def pretext(task, model, batches, total):
    """Computes a task's metrics over a data set; its losses if it has no metrics.

    Args:
        task: a `tasks.Task`.
        model: its model.
        batches: data set of the task's (x, y).
        total: number of examples, for the progress bar.

    Returns:
        A `PretextTest`.
    """
    losses = {name: function for name, (function, _) in task.losses().items()}
    functions, encoders = task.metrics() or losses, task.encoders(model)

    @tf.function(reduce_retracing=True)
    def measure(x, y):
        outputs = encoders(x)
        values = {name: function(y, outputs) for name, function in functions.items()}
        if task.choice is None:
            return values, ()
        output, names = task.choice
        return values, (tf.reshape(outputs[output], (-1, len(names))), tf.reshape(y[output], (-1,)))

    found, chosen = [], []
    with tqdm.tqdm(total=total, desc="test", unit="example") as bar, no_retracing_warning():
        for x, y in batches:
            values, choices = measure(x, y)
            found.append({name: value.numpy() for name, value in values.items()})
            chosen.append([part.numpy() for part in choices])
            bar.update(len(x))
    means = {name: float(np.mean(np.concatenate([f[name] for f in found]))) for name in functions}
    if task.choice is None:
        return PretextTest(means)
    scores, labels = (np.concatenate(parts) for parts in zip(*chosen, strict=True))
    return PretextTest(means, accuracy.of_scores(scores, labels), task.choice)


def predictor(model):
    """Compiles the function from clips to class probabilities of a model with output "logits".

    Returns:
        Function from clips (batch, ...) to float32 (batch, classes).
    """

    @tf.function(reduce_retracing=True)
    def predict(clips):
        return tf.nn.softmax(model(clips, training=False)["logits"])

    return predict


def clip_scores(predict, batches, total, name="test"):
    """Computes the class probabilities of every clip.

    Args:
        predict: function returned by `predictor`.
        batches: data set of (clips, _).
        total: number of clips, for the progress bar.
        name: name of the bar.

    Returns:
        float32 (clips, classes).
    """
    scores = []
    with tqdm.tqdm(total=total, desc=name, unit="clip") as bar, no_retracing_warning():
        for clips, _ in batches:
            scores.append(predict(clips).numpy())
            bar.update(len(scores[-1]))
    return np.concatenate(scores)


def video_scores(scores, videos):
    """Averages the clip scores of each video.

    Args:
        scores: (clips, classes).
        videos: int (clips,), the video of each clip.

    Returns:
        (numbers, means): the video numbers in ascending order, and their scores (videos, classes).
    """
    numbers, places, counts = np.unique(videos, return_inverse=True, return_counts=True)
    sums = np.zeros((len(numbers), scores.shape[1]))
    np.add.at(sums, places, scores)
    return numbers, sums / counts[:, None]


def of_videos(scores, examples):
    """Scores and labels of videos, from those of their clips.

    In a list of clips a video may have several labels: then it counts once for each, by its clips
    of that label.

    Args:
        scores: float (clips, classes).
        examples: the `clips.Examples` that were scored.

    Returns:
        (numbers, means, labels): numbers and means as from `video_scores`; labels int (videos,).
    """
    both = np.stack([examples.videos, examples.labels], axis=1)
    found, places = np.unique(both, axis=0, return_inverse=True)
    return found[:, 0], video_scores(scores, places.reshape(-1))[1], found[:, 1]


def write_scores(scores, examples, data, names, folder):
    """Writes the scores of videos, accuracies and the confusion matrix.

    Args:
        scores: float (clips, classes).
        examples: the `clips.Examples` that were scored.
        data: their data set.
        names: class names.
        folder: folder to write to.

    Returns:
        An `Accuracy`.
    """
    videos, means, truth = of_videos(scores, examples)
    result = accuracy.of_scores(means, truth)
    accuracy.write(result, names, folder)
    named = [data.videos[number] for number in videos]
    files.write_csv(folder / "scores.csv", *accuracy.score_table(named, truth, means))
    return result
