"""Extracts features of videos from a network, and caches them in the user's cache folder.

    $XDG_CACHE_HOME/mas/features/DIGEST.npz (~/.cache if it is not set)

The digest covers the network's file, the files of the data set (names, sizes and times; for
folders of JPEG files the folders' times), the list's entries and the sampling. Features with
skipped videos are not cached.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from mas import cluster, files, lazy, lists, networks, records
from mas.checks import check_choice, refuse
from mas.features import means
from mas.features.sampling import PlainClips, Sampling
from mas.features.storage import Features, load, save
from mas.settings import Clip

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
else:
    keras, tf = lazy.module("keras"), lazy.module("tensorflow")

GRID = (1, 2, 2)  # of "max": frames, height, width (512 channels give 2048 numbers, ECCV 2020)
ENGINES = ("process", "ray")
_FORMAT = 3  # increased whenever the same settings give different features
# The settings of sampling and clips in the digest, in this order.
_KEYS: tuple[str, ...] = ("how", "clips", "pooling", "static", "frames", "stride")
_KEYS += ("size", "resize", "modality", "crops")


def extract(
    source: networks.Source | keras.Model,
    data: Any,
    videos: str | os.PathLike | Sequence[lists.Entry] | None = None,
    sampling: Sampling | None = None,
    *,
    random: bool = False,
    seed: int = 0,
    columns: str = "video,label",
    cache: bool = True,
    engine: str = ENGINES[0],
    address: str | None = None,
) -> Features:
    """Extracts features of videos: pooled feature maps, averaged over each video's clips.

        found = mas.features.extract(run, data, "test.txt", mas.features.Sampling(clips=10))
        found.values, found.videos, found.labels

    Args:
        source: `mas.Run`, run folder or .keras file of a backbone; or a keras.Model from clips to
            a feature map (batch, t, h, w, c), whose features are not cached.
        data: result of `mas.prepare_videos` or `mas.open_data`, or the folder.
        videos: path of a list, or `lists.Entry`; None takes every video, unlabelled. If entries
            have starts, these clips of the video are used.
        sampling: which clips to use; by default ten, of the source's clip length and size.
        random: whether to replace the learned weights by random ones.
        seed: seed of the random weights.
        columns: columns of the list, or the name of a preset.
        cache: whether to use the cache folder, which is read if nothing has changed.
        engine: "process", this process, or "ray", the cores of a Ray cluster (docs/scale.md).
        address: address of the cluster; see `mas.prepare_videos`.

    Returns:
        A `Features` with one row per video, in the list's order. Its facts: network, pooling, the
        facts of `means.Means`, model, digest, weights ("random" or "loaded"), seed, data, list.

    Raises:
        FileNotFoundError: If the source, data or list does not exist.
        ValueError: If the source is not a backbone or takes other clips, a video cannot be
            decoded, or engine="ray" is used with a keras.Model.
    """
    check_choice("engine", engine, ENGINES)
    cluster.check(engine, address)
    if engine == "ray" and not isinstance(source, str | os.PathLike):
        refuse("source", "a run or a .keras file with engine='ray'", source)
    sampling = sampling or Sampling()
    sampling = dataclasses.replace(sampling, pooling=sampling.pooling or "average")
    modality, known = modality_of(source)
    task = sampling.task(known, modality, stride_of(source))
    data = records.opened(data, modality == "flow")
    entries = lists.entries_of(videos, columns, data.videos, "videos")
    if isinstance(source, keras.Model):
        keras.utils.set_random_seed(seed)
        network = keras.models.clone_model(source) if random else source
        values = means.values_here(function_of(network, sampling, task), data, sampling, task)
        found = _over_clips(values, network.name, data, entries, sampling, task)
    else:
        make = _cached if cache else _extract
        there = (address,) if engine == "ray" else None
        found = make(source, data, entries, sampling, task, random, seed, there)
    path = os.fspath(videos) if isinstance(videos, str | os.PathLike) else None
    return dataclasses.replace(found, facts=found.facts | {"data": str(data.data), "list": path})


def modality_of(source: networks.Source | keras.Model) -> tuple[str, Clip]:
    """Modality ("rgb" or "flow") and clips that a network was trained on.

    Raises:
        FileNotFoundError: If there is no such network.
        ValueError: If the size of its clips is unknown.
    """
    if isinstance(source, str | os.PathLike):
        networks.file(source, "source")
        known = networks.described(source)
        return known.modality, known.clip
    if not isinstance(source, keras.Model) or None in source.input_shape[1:]:
        raise ValueError(
            "source must be a run, a .keras file or a keras.Model of clips of known size. "
            f"Received: {source!r}."
        )
    _, frames, size, _, channels = source.input_shape
    flow = channels == 2
    return "flow" if flow else "rgb", Clip(frames + flow, size, networks.resize_for(size))


def stride_of(source: networks.Source | keras.Model) -> int | None:
    """Frame step within the clips of the source's training; None if unknown."""
    return networks.stride_of(source) if isinstance(source, str | os.PathLike) else None


def function_of(network: keras.Model, sampling: Sampling, task: PlainClips) -> Callable[[Any], Any]:
    """Compiles the function from clips to their features.

    Raises:
        ValueError: If the network takes other clips or lacks the layer to pool.
    """
    check_shape(network, task)
    if sampling.pooling == "fc6" and len(network.output_shape) != 2:
        refuse("pooling", "one of average, max, pool5 for a network without heads", "fc6")

    def features(batch):
        found = tf.cast(network(batch, training=False), tf.float32)
        return found if sampling.pooling == "fc6" else pooled(found, sampling.pooling)

    return compiled(features, task)


def compiled(function: Callable[[Any], Any], task: PlainClips) -> Callable[[Any], Any]:
    """Compiles a function of batches of clips as a graph, traced once for all batch sizes.

    With several crops, the result is the mean over them, and the batches hold whole frames.
    """
    kind = tf.uint8 if task.network.modality == "rgb" else tf.float32
    frames, size, _, channels = task.shape

    def mean(whole):
        parts = [
            function(whole[:, :, top : top + size, left : left + size]) for top, left in task.places
        ]
        return tf.add_n(parts) / len(parts)

    if task.crops == 1:
        clips = tf.TensorSpec((None, *task.shape), kind)
        return tf.function(function).get_concrete_function(clips)
    width, height = task.clip.resize
    clips = tf.TensorSpec((None, frames, height, width, channels), kind)
    return tf.function(mean).get_concrete_function(clips)


def check_shape(network: keras.Model, task: PlainClips) -> None:
    """Raises ValueError if a network takes other clips than the task gives."""
    if tuple(network.input_shape[1:]) != task.shape:
        raise ValueError(
            f"clips must be {network.input_shape[1:]} (frames, height, width, channels) for this "
            f"network. Received: {task.shape}."
        )


def pooled(maps: tf.Tensor, pooling: str) -> tf.Tensor:
    """Pools feature maps.

    Args:
        maps: (batch, t, h, w, c).
        pooling: "average", "max" or "pool5".

    Returns:
        (batch, c) for "average". (batch, 4 c) for "max", in the order t, h, w, c, over the windows
        of PyTorch's AdaptiveMaxPool3d, from floor(i n / k) to ceil((i + 1) n / k). For "pool5",
        C3D's fifth pooling, (batch, ceil(t / 2) ceil(h / 2) ceil(w / 2) c), in the same order.
    """
    if pooling == "average":
        return tf.reduce_mean(maps, [1, 2, 3])
    if pooling == "pool5":
        maps = tf.nn.max_pool3d(maps, 2, 2, "SAME")
        return tf.reshape(maps, (-1, np.prod(maps.shape[1:])))
    for axis, (length, parts) in enumerate(zip(maps.shape[1:4], GRID, strict=True), 1):
        windows = [(i * length // parts, -(-(i + 1) * length // parts)) for i in range(parts)]
        cut = [tf.gather(maps, range(*window), axis=axis) for window in windows]
        maps = tf.concat([tf.reduce_max(part, axis, keepdims=True) for part in cut], axis)
    return tf.reshape(maps, (-1, np.prod(maps.shape[1:])))


def load_network(source, sampling, task, random, seed):
    """Loads the network up to the layer that `sampling` pools."""
    if sampling.pooling == "fc6":
        return networks.fc6(source, random, seed)
    return networks.network(source, random, seed, task.shape)


def _over_clips(values, name, data, entries, sampling, task):
    found = means.over_clips(values, data, entries, sampling, task)
    facts = {"network": name, "pooling": sampling.pooling, **found.facts}
    return Features(found.values.astype(np.float32), found.videos, found.labels, facts)


def _extract(source, data, entries, sampling, task, random, seed, there):
    """Computes features with a saved network, on a cluster if `there` is its (address,)."""
    network = load_network(source, sampling, task, random, seed)
    function = function_of(network, sampling, task)
    with contextlib.ExitStack() as stack:
        if there:
            from mas.features import remote  # it imports this module

            known = (source, data, sampling, random, seed)
            values = stack.enter_context(remote.values_there(*known, *there))
        else:
            values = means.values_here(function, data, sampling, task)
        found = _over_clips(values, network.name, data, entries, sampling, task)
    facts = {
        "model": os.fspath(source),
        "digest": files.digest(file_of(source, sampling)),
        "weights": "random" if random else "loaded",
        "seed": seed if random else None,
    }
    return dataclasses.replace(found, facts=found.facts | facts)


def file_of(source: networks.Source, sampling: Sampling) -> pathlib.Path:
    """Path of the network file that is used: for fc6, the one with heads."""
    return (networks.with_heads if sampling.pooling == "fc6" else networks.file)(source)


def _cached(source, data, entries, sampling, task, random, seed, there):
    """Reads features from the cache, or computes and caches them."""
    digest = _digest(source, data, entries, sampling, task, random and seed + 1)
    path = records.index_path(data.data).parent / "features" / f"{digest}.npz"
    try:
        found = load(path)
        logging.info("Read features of %d videos from %s.", len(found.videos), path)
        return dataclasses.replace(found, facts=found.facts | {"model": os.fspath(source)})
    except OSError:  # missing or unreadable
        pass
    except ValueError as error:
        logging.warning("%s Extracting the features again.", error)
    found = _extract(source, data, entries, sampling, task, random, seed, there)
    try:
        if not found.facts["failures"]:
            save(path, found)
    except OSError as error:
        logging.warning("%s cannot be written; not caching: %s.", path, error.strerror)
    return found


def _digest(source, data, entries, sampling, task, random):
    clip = {"modality": task.network.modality, "clips": sampling.clips or 1}
    known = sampling.values() | task.clip.values() | clip | {"stride": task.stride}
    rows = [(e.video, e.label, e.start) for e in entries] if entries is not None else None
    network = [files.digest(file_of(source, sampling)), random, keras.__version__]
    numbers = {video: number for number, video in enumerate(data.videos)}
    videos = data.videos if entries is None else sorted({entry.video for entry in entries})
    lengths = [int(data.lengths[numbers[video]]) for video in videos]
    chosen = {name: known[name] for name in _KEYS}
    parts = (_FORMAT, network, _stamps(data, videos), lengths, rows, chosen)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _stamps(data, videos):
    """Names, sizes and modification times of the files that store the videos."""
    root = pathlib.Path(data.data)
    if isinstance(data, records.Shards):
        paths = sorted(root.glob("videos-*.*"))
    elif isinstance(data, records.Folders):
        numbers = {video: number for number, video in enumerate(data.videos)}
        paths = [data.path(numbers[video]).parent for video in videos]
        paths += [root / records.FLOW_FOLDER / part / video for part in "uv" for video in videos]
    else:
        named = lists.find_videos(root)[0]
        paths = [root / named[video] for video in videos]
    found = [(os.path.realpath(root), records.settings(data))]
    for path in paths:
        if path.exists():
            status = path.stat()
            found.append((path.name, status.st_size, status.st_mtime_ns))
    return found
