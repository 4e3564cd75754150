"""Stored videos -> examples in batches: the pipeline."""

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

# The first number of every seed, so that the order of an epoch, its examples and its batches draw
# from streams of their own. It comes first, and is not 0, because NumPy fills a short seed up with
# zeros: [seed, epoch] and [seed, epoch, 0] would be one stream, that of the order and of example 0.
ORDER, EXAMPLE, BATCH = 1, 2, 3

SUBSTITUTES = 100  # drawn for one example; if none can be decoded, hardly any file can


class Reader:
    """Reads and decodes the examples of one task from one data set.

    Args:
        data: an opened data set (`records.open_data`).
        examples: an `Examples`.
        task: says which frames it wants (`sample`) and what it makes of a clip (`example`).
        geometry: a `Geometry`.
        seed: of everything random.
        shuffle: whether each epoch has an order of its own.
        keep_last: whether an epoch's examples that fill no batch are a smaller one, its last.

    Raises:
        ValueError: the task needs flow that the data set does not hold.
    """

    def __init__(self, data, examples, task, geometry, seed=0, shuffle=True, keep_last=False):
        """See the class."""
        if "flow" in task.inputs and not data.has_flow:
            raise ValueError(
                f"data must hold optical flow for the task {task.name}: prepare the videos with "
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
        """Draws and reads one example; of prepared data without decoding it.

        Args:
            epoch: counted from 0.
            position: in the order of that epoch.
            substitute: whether another example, drawn from a stream of this one's own, takes the
                place of one that is damaged or cannot be decoded.

        Returns:
            (rgb, u, v) in frame order: object arrays of JPEG files where checksums vouch for them,
            else uint8 (frames, height, width, 3 or 1), of video files rgb alone; geometry int32
            (3,); target; label; video id; seed int32 (2,).

        Raises:
            ValueError: a stored image is damaged, or a video file cannot be decoded, nor any of
                its substitutes; names data set, video and frame.
        """
        example = int(self._order(int(epoch))[position])
        seed = [EXAMPLE, self.seed, int(epoch), example]
        rng = np.random.default_rng(seed)
        for attempt in range(1, SUBSTITUTES + 2):
            try:
                return self._load(example, rng)
            except video.VideoError as error:
                reason = f"{self.data.videos[self.examples.videos[example]]}: {error}"
                fault = f"{self.data.data} must hold videos that decode. Received: {reason}."
            except records.DamagedError as error:
                reason = fault = str(error)
            if not substitute:
                break
            self._warn(example, reason.rstrip("."))
            rng = np.random.default_rng([*seed, attempt])
            example = int(rng.integers(len(self.examples)))
        raise ValueError(fault)

    def _warn(self, example, reason):
        """Names a video that cannot be decoded, once."""
        number = int(self.examples.videos[example])
        with self._lock:
            known = number in self._failed
            self._failed.add(number)
        if not known:
            logging.warning("%s: other clips take the place of %s.", self.data.data, reason)

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
        """(rgb, u, v) of some frames of one video, decoded or as JPEG files."""
        if self.data.decoded:
            none = np.zeros(0, np.uint8)
            return self.data.frames(number, frames, self.geometry.resize), none, none
        files = self.data.read(number, frames, pairs)
        if self.data.verified:
            return [np.array(images, object) for images in files]
        parts = zip(("rgb", "u", "v"), (frames, pairs, pairs), files, strict=True)
        return [pixels.decode(self.data, number, *part) for part in parts]

    def _batch_seed(self, epoch, batch):
        """int32 (2,) that the examples of a batch share."""
        rng = np.random.default_rng([BATCH, self.seed, int(epoch), int(batch)])
        return rng.integers(0, 2**31 - 1, 2, np.int32)

    def clip(self, epoch, position, batch=0, substitute=True):
        """One clip as tensors: the graph side of `load`.

        Args:
            epoch: as for `load`.
            position: as for `load`.
            batch: number of its batch in the epoch.
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
        """Files of each part -> uint8 (views, frames, height, width, parts * channels)."""
        views = () if self.task.views is None else (self.task.views,)
        count = frames * int(np.prod(views, dtype=int))
        known = (self.geometry, self._fits, geometry)
        images = tf.concat([pixels.cut(part, count, channels, *known) for part in parts], -1)
        return tf.reshape(images, (*views, frames, *images.shape[1:]))

    @property
    def _fits(self):
        """Whether every stored image has the size that clips are cut from."""
        wanted = self.geometry.resize[::-1]
        sizes = wanted if self.data.decoded else self.data.sizes
        return sizes is not None and np.all(sizes == wanted)

    def batches(self, batch, first_step=0, last_step=None, share=(0, 1), parts=1, threads=None):
        """Batches of the task's examples.

        An epoch has `steps(batch)` steps; what is left over is another part of the examples in each
        epoch, or with `keep_last` a batch of its own. Step s of all shares and parts together is
        the same set, however they are split.

        Args:
            batch: global batch size.
            first_step: where to begin, counted over all epochs; a resumed run's step.
            last_step: where to end; None never ends.
            share: (index, count) of the host among hosts that divide each batch.
            parts: local replicas; each takes its own piece of the share.
            threads: parallel calls; None lets tf.data decide.

        Returns:
            tf.data.Dataset of what the task's `example` returns, batched to
            batch / share count / parts.

        Raises:
            ValueError: the batch does not divide, or is larger than an epoch; or several replicas
                would share an epoch's last one.
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
        """Steps of one epoch.

        Raises:
            ValueError: the batch is larger than an epoch.
        """
        if not 0 < batch <= len(self.examples):
            raise ValueError(
                f"batch must be in 1..{len(self.examples)}, the number of examples. "
                f"Received: batch={batch}."
            )
        whole, rest = divmod(len(self.examples), batch)
        return whole + (self.keep_last and rest > 0)

    def once(self, batch, threads=None, substitute=False):
        """Every example once, in order, the last batch as small as it comes: for tests.

        A video that cannot be decoded is an error here, unless another example may `substitute`.
        """
        positions = tf.data.Dataset.range(len(self.examples))
        places = positions.map(lambda p: (tf.zeros_like(p), p, p // batch))
        return self._pipeline(places, batch, threads, False, substitute)

    def _pipeline(self, places, batch, threads, whole, substitute=True):
        """Batches in training, all of them `whole`, or for a test."""
        example = functools.partial(self._example, substitute=substitute)
        examples = places.map(example, num_parallel_calls=threads or tf.data.AUTOTUNE)
        return examples.batch(batch, drop_remainder=whole).prefetch(2)

    def _example(self, epoch, position, number, substitute=True):
        return self.task.example(self.clip(epoch, position, number, substitute))
