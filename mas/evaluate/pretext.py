"""A pretext task on videos: the means of its metrics, and what it chose for each clip."""

import numpy as np
import tensorflow as tf
import tqdm
from absl import logging

from mas import clips, files
from mas.evaluate import action

DRAWS = 10  # of each held-out example, since a task may draw frames and targets


def held_out(data, examples, trained):
    """Every held-out example `DRAWS` times: each time it draws from a stream of its own.

    Says so if a video is among those that were trained on.

    Args:
        data: an opened data set.
        examples: a `clips.Examples` of the held-out videos.
        trained: that of the training.
    """
    both = np.intersect1d(examples.videos, trained.videos)
    if len(both):
        name = data.videos[both[0]]
        logging.warning("%d held-out videos are trained on as well, such as %s.", len(both), name)
    parts = (examples.videos, examples.starts, examples.labels)
    return clips.Examples(*(np.tile(part, DRAWS) for part in parts))


def test(task, model, batches, total):
    """Measures a model on every example of a data set.

    Args:
        task: a `tasks.Task`.
        model: its model.
        batches: data set of the task's (x, y).
        total: how many examples come, for the progress bar.

    Returns:
        ({metric: mean over the examples}, an `action.Report` of the clips), the latter None for a
        task without a `choice`.
    """
    functions, encoders = task.metrics(), task.encoders(model)

    @tf.function(reduce_retracing=True)
    def measure(x, y):
        outputs = encoders(x)
        values = {name: function(y, outputs) for name, function in functions.items()}
        if task.choice is None:
            return values, ()
        output, names = task.choice
        return values, (tf.reshape(outputs[output], (-1, len(names))), tf.reshape(y[output], (-1,)))

    found, chosen = [], []
    with tqdm.tqdm(total=total, desc="test", unit="example") as bar:
        for x, y in batches:
            values, choices = measure(x, y)
            found.append({name: value.numpy() for name, value in values.items()})
            chosen.append([part.numpy() for part in choices])
            bar.update(len(x))
    means = {name: float(np.mean(np.concatenate([f[name] for f in found]))) for name in functions}
    if task.choice is None:
        return means, None
    return means, action.report(*(np.concatenate(parts) for parts in zip(*chosen, strict=True)))


def write(task, means, result, folder):
    """Writes test.csv, and for a task with a choice per_class.csv, confusion.csv and .png."""
    rows = [(name, f"{value:.6g}") for name, value in means.items()]
    files.write_csv(folder / "test.csv", ("metric", "mean"), rows)
    if result is not None:
        action.write(result, task.choice[1], folder, unit="clips")


def text(task, means, result):
    """What `test` found, for a terminal."""
    lines = [f"{name} {value:.4f}" for name, value in means.items() if "/" not in name]
    if result is not None:
        names = task.choice[1]
        lines.append(f"chance {1 / len(names):.4f}; rows: true {task.choice[0]}, its accuracy, ")
        lines[-1] += "and the clips by predicted " + task.choice[0]
        lines += action.text(result, names, unit="clips").splitlines()[1:]
    return "\n".join(lines)
