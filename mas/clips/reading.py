"""The input pipeline: reads, decodes and batches examples."""

import dataclasses
import functools
import threading

import numpy as np
import tensorflow as tf
from absl import logging

from mas import flow as flow_code
from mas import records, video
from mas.checks import refuse
from mas.clips import batching, pixels
from mas.clips.choosing import ANYWHERE

# First number of every seed, so that the order of an epoch, its examples and its batches have
# separate random streams. It comes first and is not 0 because NumPy pads short seeds with zeros:
# [seed, epoch] (the order) and [seed, epoch, 0] (example 0) would be the same stream.
ORDER, EXAMPLE, BATCH = 1, 2, 3

SUBSTITUTES = 100  # attempts per example; if all fail, hardly any file can be decoded


class Reader:
    """Reads and decodes the examples of a task from a data set.

    Args:
        data: an open data set (`records.open_data`).
        examples: an `Examples`.
        task: selects frames (`sample`) and converts clips to examples (`example`).
        geometry: a `Geometry`.
        seed: random seed.
        shuffle: whether to shuffle each epoch.
        keep_last: whether an incomplete last batch of an epoch is kept.

    Raises:
        ValueError: If the task needs flow and the data set has none.
    """

    def __init__(self, data, examples, task, geometry, seed=0, shuffle=True, keep_last=False):
        """See the class."""
        if "flow" in task.inputs and not data.has_flow:
            raise ValueError(
                f"data must contain optical flow for the task {task.name}: prepare the videos with "
                f"flow=tvl1 or dis. Received: {data.data}, which has none."
            )
        self.data, self.examples, self.task = data, examples, task
        self.geometry = dataclasses.replace(geometry, whole=task.whole)
        self.seed, self.shuffle, self.keep_last = seed, shuffle, keep_last
        self._failed, self._lock = set(), threading.Lock()
        self._order = functools.lru_cache(maxsize=4)(self._draw_order)

    def _draw_order(self, epoch):
        if not self.shuffle:
            return np.arange(len(self.examples))
        return np.random.default_rng([ORDER, self.seed, epoch]).permutation(len(self.examples))

    def load(self, epoch, position, substitute=True):
        """Draws and reads one example. Prepared data are not decoded here.

        Args:
            epoch: epoch, from 0.
            position: position in the order of that epoch.
            substitute: whether to replace an example that is damaged or cannot be decoded by
                another one, drawn from the example's own random stream.

        Returns:
            (rgb, u, v) in frame order, as object arrays of JPEG files if they have checksums, else
            uint8 (frames, height, width, 3 or 1), only rgb for video files; geometry int32 (3,);
            target; label; video id; seed int32 (2,).

        Raises:
            ValueError: If a stored image is damaged, or a video file and all its substitutes cannot
                be decoded; names the data set, the video and the frame.
        """
        example = int(self._order(int(epoch))[position])
        seed = [EXAMPLE, self.seed, int(epoch), example]
        rng = np.random.default_rng(seed)
        for attempt in range(1, SUBSTITUTES + 2):
            try:
                return self._load(example, rng)
            except video.VideoError as error:
                reason = f"{self.data.videos[self.examples.videos[example]]}: {error}"
                fault = f"{self.data.data} must contain videos that decode. Received: {reason}."
            except records.DamagedError as error:
                reason = fault = str(error)
            if not substitute:
                break
            self._warn(example, reason.rstrip("."))
            rng = np.random.default_rng([*seed, attempt])
            example = int(rng.integers(len(self.examples)))
        raise ValueError(fault)

    def _warn(self, example, reason):
        """Logs a video that cannot be decoded, once."""
        number = int(self.examples.videos[example])
        with self._lock:
            known = number in self._failed
            self._failed.add(number)
        if not known:
            logging.warning("%s: other clips replace %s.", self.data.data, reason)

    def _load(self, example, rng):
        number, start = int(self.examples.videos[example]), int(self.examples.starts[example])
        length = int(self.data.lengths[number])
        frames, target = self.task.sample(length, None if start == ANYWHERE else start, rng)
        flow = "flow" in self.task.inputs
        pairs = self.task.pairs(frames) if flow else np.zeros(0, int)
        return (
            *self._read(number, np.ravel(frames), pairs),
            self.geometry.draw(rng),
            np.asarray(target, np.int32),
            np.int32(self.examples.labels[example]),
            self.data.videos[number].encode(),
            rng.integers(0, 2**31 - 1, 2, np.int32),
        )

    def _read(self, number, frames, pairs):
        """Reads (rgb, u, v) of some frames of a video, decoded or as JPEG files."""
        if self.data.decoded:
            none = np.zeros(0, np.uint8)
            return self.data.frames(number, frames, self.geometry.resize), none, none
        files = self.data.read(number, frames, pairs)
        if self.data.verified:
            return [np.array(images, object) for images in files]
        parts = zip(("rgb", "u", "v"), (frames, pairs, pairs), files, strict=True)
        return [pixels.decode(self.data, number, *part) for part in parts]

    def _batch_seed(self, epoch, batch):
        """Returns the seed, int32 (2,), that the examples of a batch share."""
        rng = np.random.default_rng([BATCH, self.seed, int(epoch), int(batch)])
        return rng.integers(0, 2**31 - 1, 2, np.int32)

    def clip(self, epoch, position, batch=0, substitute=True):
        """Returns a clip as tensors: the graph part of `load`.

        Args:
            epoch: as for `load`.
            position: as for `load`.
            batch: batch number in the epoch.
            substitute: as for `load`.
        """
        files = not self.data.decoded and self.data.verified
        kinds = (
            *[tf.string if files else tf.uint8] * 3,
            tf.int32,
            tf.int32,
            tf.int32,
            tf.string,
            tf.int32,
        )
        load = functools.partial(self.load, substitute=substitute)
        rgb, u, v, geometry, target, label, name, seed = tf.numpy_function(
            load, (epoch, position), kinds, stateful=False
        )
        shared = tf.numpy_function(self._batch_seed, (epoch, batch), tf.int32, stateful=False)
        geometry.set_shape((3,))
        clip = {}
        if "rgb" in self.task.inputs:
            clip["rgb"] = self._images([rgb], 3, self.task.frames, geometry)
        if "flow" in self.task.inputs:
            codes = self._images([u, v], 1, self.task.flows, geometry)
            fields = flow_code.decode(tf.cast(codes, tf.float32))
            mirrored = (geometry[2] == 1) & self.task.negate_u
            clip["flow"] = fields * tf.where(mirrored, [-1.0, 1.0], [1.0, 1.0])
        for key, value, shape in (
            ("label", label, ()),
            ("video", name, ()),
            ("seed", seed, (2,)),
            ("batch_seed", shared, (2,)),
        ):
            value.set_shape(shape)
            clip[key] = value
        return clip | {"target": target}

    def _images(self, parts, channels, frames, geometry):
        """Converts files of each part to uint8 (views, frames, height, width, parts * channels)."""
        views = () if self.task.views is None else (self.task.views,)
        count = frames * int(np.prod(views, dtype=int))
        known = (self.geometry, self._fits, geometry)
        images = tf.concat([pixels.cut(part, count, channels, *known) for part in parts], -1)
        return tf.reshape(images, (*views, frames, *images.shape[1:]))

    @property
    def _fits(self):
        """Whether all stored images have the size from which clips are cropped."""
        wanted = self.geometry.resize[::-1]
        sizes = wanted if self.data.decoded else self.data.sizes
        return sizes is not None and np.all(sizes == wanted)

    def batches(self, batch, first_step=0, last_step=None, share=(0, 1), parts=1, threads=None):
        """Returns batches of the task's examples.

        An epoch has `steps(batch)` steps. The remaining examples, different ones in each epoch, are
        skipped, or form a smaller batch with `keep_last`. Step s covers the same examples however
        they are divided into shares and parts.

        Args:
            batch: global batch size.
            first_step: first step, counted over all epochs; the step at which a run resumes.
            last_step: end step, exclusive; None never ends.
            share: (index, count) of this host among the hosts that divide each batch.
            parts: number of local replicas; each takes its own part of the share.
            threads: number of parallel calls; None lets tf.data decide.

        Returns:
            tf.data.Dataset of the results of the task's `example`, with batch size batch / share
            count / parts.

        Raises:
            ValueError: If the batch cannot be divided or is larger than an epoch, or several
                replicas would share an incomplete batch.
        """
        count = share[1]
        if batch % (count * parts):
            raise ValueError(
                f"batch must be divisible by the {count * parts} replicas. Received: batch={batch}."
            )
        per_epoch = self.steps(batch)
        steps = (first_step, 2**62 // batch if last_step is None else last_step)
        if self.keep_last and len(self.examples) % batch:
            if count * parts > 1:
                refuse("last_batch", f"drop on {count * parts} replicas", "keep")
            return batching.with_last(self._example, len(self.examples), batch, *steps, threads)
        places = batching.places(per_epoch, batch, *steps, share)
        return self._pipeline(places, batch // (count * parts), threads, whole=True)

    def steps(self, batch):
        """Returns the number of steps per epoch.

        Raises:
            ValueError: If the batch is larger than an epoch.
        """
        if not 0 < batch <= len(self.examples):
            raise ValueError(
                f"batch must be in 1..{len(self.examples)}, the number of examples. "
                f"Received: batch={batch}."
            )
        whole, rest = divmod(len(self.examples), batch)
        return whole + (self.keep_last and rest > 0)

    def once(self, batch, threads=None, substitute=False):
        """Returns every example once, in order, with a smaller last batch: for testing.

        A video that cannot be decoded is an error, unless `substitute` allows replacing it.
        """
        positions = tf.data.Dataset.range(len(self.examples))
        places = positions.map(lambda p: (tf.zeros_like(p), p, p // batch))
        return self._pipeline(places, batch, threads, False, substitute)

    def _pipeline(self, places, batch, threads, whole, substitute=True):
        """Returns batches; with `whole`, an incomplete last batch is dropped."""
        example = functools.partial(self._example, substitute=substitute)
        examples = places.map(example, num_parallel_calls=threads or tf.data.AUTOTUNE)
        return examples.batch(batch, drop_remainder=whole).prefetch(2)

    def _example(self, epoch, position, number, substitute=True):
        return self.task.example(self.clip(epoch, position, number, substitute))
