"""Tests at the end of a training: a classifier on whole videos, a pretext task on its examples."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf
import tqdm
from absl import logging

from mas import accuracy, checks, clips, files
from mas.accuracy import Accuracy
from mas.training.loop import no_word_of_tracing

DRAWS = 10  # of each held-out example, since a task may draw frames and targets


def warn_of_both(data, examples, trained):
    """Says so if a held-out video was trained on as well.

    Args:
        data: an opened data set.
        examples: a `clips.Examples` of the held-out videos.
        trained: that of the training.
    """
    both = np.intersect1d(examples.videos, trained.videos)
    if len(both):
        name = data.videos[both[0]]
        logging.warning("%d held-out videos are trained on as well, such as %s.", len(both), name)


def drawn(task, examples, batch, draws=DRAWS, name="videos"):
    """What a test of a pretext task shows, and its batch.

    Every example `draws` times: each time it draws from a stream of its own. Where the task
    compares the examples of a batch, all batches are full and none has a video twice: the videos
    come in turn, each with its next example, and a batch is no larger than their number.

    Args:
        task: a `tasks.Task`.
        examples: a `clips.Examples`.
        batch: examples in a batch, at most.
        draws: of each example, or where the task compares them, of each video, at least.
        name: of the list of videos, for errors.

    Returns:
        (`clips.Examples`, batch).

    Raises:
        ValueError: the task compares examples, and there is one video.
    """
    order = np.tile(np.arange(len(examples)), draws)
    if task.contrasts:
        each = [np.flatnonzero(examples.videos == video) for video in np.unique(examples.videos)]
        if len(each) < 2:
            checks.refuse(name, f"2 videos or more, which {task.name} compares", len(each))
        batch = min(max(batch, 2), len(each))
        count = -(-draws * len(each) // batch) * batch
        turns = (divmod(place, len(each)) for place in range(count))
        order = np.array([each[video][turn % len(each[video])] for turn, video in turns])
    parts = (examples.videos, examples.starts, examples.labels)
    return clips.Examples(*(part[order] for part in parts)), batch


@dataclasses.dataclass(frozen=True)
class PretextTest:
    """What a test of a pretext task found.

    Attributes:
        means: {metric: mean over the examples}.
        accuracy: of the clips, for a task that chooses one of several classes; else None.
        choice: (output, class names) of that task.
    """

    means: dict[str, float]
    accuracy: Accuracy | None = None
    choice: tuple = ()

    def write(self, folder):
        """Writes test.csv, and of a choice per_class.csv, confusion.csv and confusion.png."""
        rows = [(name, f"{value:.6g}") for name, value in self.means.items()]
        files.write_csv(folder / "test.csv", ("metric", "mean"), rows)
        if self.accuracy is not None:
            accuracy.write(self.accuracy, self.choice[1], folder, unit="clips")

    @property
    def text(self):
        """The means, and the confusion matrix."""
        lines = [f"{name} {value:.4f}" for name, value in self.means.items() if "/" not in name]
        if self.accuracy is not None:
            output, names = self.choice
            lines.append(
                f"chance {1 / len(names):.4f}; rows: true {output}, its accuracy, and the clips by "
                f"predicted {output}"
            )
            lines += accuracy.rows(self.accuracy, names)
        return "\n".join(lines)


def pretext(task, model, batches, total):
    """Measures a task's model on every example of a data set; its losses, if it has no metrics.

    Args:
        task: a `tasks.Task`.
        model: its model.
        batches: data set of the task's (x, y).
        total: how many examples come, for the progress bar.

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
    with tqdm.tqdm(total=total, desc="test", unit="example") as bar, no_word_of_tracing():
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
    """A compiled function from clips to class probabilities, of a model with the output "logits".

    Returns:
        Function of clips (batch, ...) to float32 (batch, classes).
    """

    @tf.function(reduce_retracing=True)
    def predict(clips):
        return tf.nn.softmax(model(clips, training=False)["logits"])

    return predict


def clip_scores(predict, batches, total, name="test"):
    """Class probabilities of every clip.

    Args:
        predict: as of `predictor`.
        batches: data set of (clips, _).
        total: how many clips come, for the progress bar.
        name: of the bar.

    Returns:
        float32 (clips, classes).
    """
    scores = []
    with tqdm.tqdm(total=total, desc=name, unit="clip") as bar, no_word_of_tracing():
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


def of_videos(scores, examples):
    """Scores and labels of videos, from those of their clips.

    Args:
        scores: float (clips, classes).
        examples: the `clips.Examples` that were scored.

    Returns:
        (numbers, means, labels): of the videos, as `video_scores`; int (videos,).
    """
    numbers, means = video_scores(scores, examples.videos)
    return numbers, means, examples.labels[np.unique(examples.videos, return_index=True)[1]]


def write_scores(scores, examples, data, names, folder):
    """Writes what a classifier found on videos: their scores, accuracies and confusion matrix.

    Args:
        scores: float (clips, classes).
        examples: the `clips.Examples` that were scored.
        data: their data set.
        names: of the classes.
        folder: where to.

    Returns:
        An `Accuracy`.
    """
    videos, means, truth = of_videos(scores, examples)
    result = accuracy.of_scores(means, truth)
    accuracy.write(result, names, folder)
    named = [data.videos[number] for number in videos]
    files.write_csv(folder / "scores.csv", *accuracy.score_table(named, truth, means))
    return result
