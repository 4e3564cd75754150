"""Videos -> one vector each: clips through a network, their mean over the video.

Nothing but running sums is kept, so memory does not grow with the number of clips.
"""

import dataclasses

import numpy as np
import tensorflow as tf
import tqdm
from absl import logging

from mas import clips
from mas.evaluate.sampling import GRID, Clips
from mas.evaluate.storage import Features


@dataclasses.dataclass(frozen=True)
class Means:
    """What `means` found: of each video that did not fail, in the list's order.

    Attributes:
        videos: ids.
        labels: int64 (videos,).
        values: float64 (videos, D).
        clips: int (videos,), how many the mean is of.
        failures: {id: reason} of those left out.
    """

    videos: list
    labels: np.ndarray
    values: np.ndarray
    clips: np.ndarray
    failures: dict


def means(function, data, entries, settings):
    """Mean over the clips of each video of what a function makes of a clip.

    Args:
        function: from a batch of clips to a tensor (batch, D).
        data: an opened data set.
        entries: `lists.Entry` with the ids of the data set; None takes every video, unlabelled.
            Where lines name starts, those clips of a video are taken.
        settings: a `sampling.Settings`.

    Returns:
        A `Means`.

    Raises:
        ValueError: a video cannot be decoded or leaves no clip (unless failures are allowed: then
            no video is left), or two lines give one video two labels; names the video.
    """
    labels = _labels(data, entries)
    failures = _Failures(data, settings.allow_failures)
    task = Clips(settings.frames, settings.modality, settings.static, settings.stride)
    options = {"how": settings.how, "count": settings.clips, "least": task.least}
    examples = clips.examples(data, entries, settings.span, **options)
    for number in sorted(set(labels) - set(examples.videos.tolist())):
        length = data.lengths[number]
        reason = f"{length} frames leave no clip of {settings.span}"
        failures.add(number, reason if length else "the file cannot be decoded")
    rows = {number: row for row, number in enumerate(labels)}
    sums, counts = None, np.zeros(len(rows), int)
    with tqdm.tqdm(total=len(examples), desc="clips", unit="clip") as bar:
        for numbers, batch in _batches(data, examples, task, settings, failures):
            values = function(batch).numpy()
            sums = np.zeros((len(rows), values.shape[1])) if sums is None else sums
            places = [rows[number] for number in numbers]
            np.add.at(sums, places, values)
            np.add.at(counts, places, 1)
            bar.update(len(values))
    kept = np.array([number not in failures.numbers for number in labels])
    if not kept.any():
        raise ValueError(f"{data.data} must hold a video that decodes. Received: none of them.")
    failures.report(len(rows))
    return Means(
        [data.videos[number] for number in np.array(list(labels))[kept]],
        np.array(list(labels.values()), np.int64)[kept],
        sums[kept] / counts[kept, None],
        counts[kept],
        {data.videos[number]: reason for number, reason in failures.numbers.items()},
    )


def _labels(data, entries):
    """{number of the video: label}, in the list's order."""
    if entries is None:
        return dict.fromkeys(range(len(data.videos)), -1)
    numbers = {video: number for number, video in enumerate(data.videos)}
    labels = {}
    for entry in entries:
        if labels.setdefault(numbers[entry.video], entry.label) != entry.label:
            raise ValueError(
                f"a video must have one label. Received: {entry.video} with "
                f"{labels[numbers[entry.video]]} and {entry.label}."
            )
    return labels


class _Failures:
    """Videos that fail: an error, or named and kept for the report."""

    def __init__(self, data, allowed):
        self.data, self.allowed, self.numbers = data, allowed, {}

    def add(self, number, reason):
        video = self.data.videos[number]
        if not self.allowed:
            raise ValueError(
                f"{self.data.data}: every video must give its clips (or --allow_failures). "
                f"Received: {video}: {reason}."
            )
        logging.warning("Left out %s: %s.", video, reason)
        self.numbers[number] = reason

    def report(self, total):
        if self.numbers:
            logging.warning("%d of %d videos failed and are left out.", len(self.numbers), total)


def _batches(data, examples, task, settings, failures):
    """(numbers of the clips' videos, clips) in order; goes on behind a video that fails."""
    left = np.flatnonzero(~np.isin(examples.videos, list(failures.numbers)))
    while len(left):
        parts = (examples.videos[left], examples.starts[left], examples.labels[left])
        reader = clips.Reader(data, clips.Examples(*parts), task, settings.geometry, shuffle=False)
        done = 0
        try:
            for batch, _ in reader.once(settings.batch, settings.threads or None):
                yield parts[0][done : done + len(batch)].tolist(), batch
                done += len(batch)
            return
        except (OSError, ValueError, tf.errors.OpError) as error:
            number, reason = _culprit(reader, range(done, min(done + settings.batch, len(left))))
            if number is None:
                raise error
            failures.add(number, reason)
        left = left[done:]
        left = left[examples.videos[left] != number]


def _culprit(reader, positions):
    """(number, reason) of the first video that fails among some examples; (None, "") without."""
    for position in positions:
        number = int(reader.examples.videos[position])
        try:
            reader.load(0, position, substitute=False)
        except (OSError, ValueError) as error:
            return number, str(error).rstrip(".")
        try:
            reader.clip(0, position, substitute=False)
        except tf.errors.OpError as error:
            return number, error.message.splitlines()[0]
    return None, ""


def pooled(maps, pooling):
    """What is kept of a map.

    Args:
        maps: (batch, t, h, w, c).
        pooling: one of `sampling.POOLINGS`.

    Returns:
        (batch, c), or (batch, 4 c) of "max": the windows of PyTorch's AdaptiveMaxPool3d, from
        floor(i n / k) to ceil((i + 1) n / k).
    """
    if pooling == "average":
        return tf.reduce_mean(maps, [1, 2, 3])
    for axis, (length, parts) in enumerate(zip(maps.shape[1:4], GRID, strict=True), 1):
        windows = [(i * length // parts, -(-(i + 1) * length // parts)) for i in range(parts)]
        cut = [tf.gather(maps, range(*window), axis=axis) for window in windows]
        maps = tf.concat([tf.reduce_max(part, axis, keepdims=True) for part in cut], axis)
    return tf.reshape(maps, (-1, np.prod(maps.shape[1:])))


def extract(network, data, entries, settings):
    """Features of videos: mean over the clips of the pooled map.

    Args:
        network: keras.Model from clips to a map (batch, t, h, w, c).
        data: an opened data set.
        entries: `lists.Entry` with the ids of the data set; None takes every video, unlabelled.
        settings: a `sampling.Settings`.

    Returns:
        A `Features`, one row a video in the list's order. Its facts: network, how, clips (least and
        most of a video), pooling, static, frames, size, resize, modality, videos, failures.

    Raises:
        ValueError: the network takes other clips; or as `means`.
    """
    check_shape(network, settings)

    @tf.function(reduce_retracing=True)
    def features(batch):
        maps = tf.cast(network(batch, training=False), tf.float32)
        return pooled(maps, settings.pooling)

    found = means(features, data, entries, settings)
    described = {"network": network.name, "pooling": settings.pooling, **facts(found, settings)}
    return Features(found.values.astype(np.float32), found.videos, found.labels, described)


def check_shape(network, settings):
    """Refuses a network that takes other clips, with a ValueError."""
    if tuple(network.input_shape[1:]) != settings.shape:
        raise ValueError(
            f"clips must be {network.input_shape[1:]} (frames, height, width, channels) for this "
            f"network. Received: {settings.shape}."
        )


_SAID = ("static", "frames", "stride", "size", "modality")


def facts(found, settings):
    """How a `Means` was made, as JSON can hold it."""
    return {
        "how": settings.how,
        "clips": [int(found.clips.min()), int(found.clips.max())],
        "resize": list(settings.resize),
        **{name: getattr(settings, name) for name in _SAID},
        "videos": len(found.videos),
        "failures": found.failures,
    }


def limit_threads(threads):
    """Lets TensorFlow's kernels use so many threads; 0 leaves it to TensorFlow."""
    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
