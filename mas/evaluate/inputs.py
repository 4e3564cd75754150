"""Features of videos, for whatever compares or classifies them: made, kept, read again.

    features = extract(network("runs/mas_c3d"), data, entries, Settings())
    save("features.npz", features)           # values, videos, labels, facts

The kind `features` of `python -m mas.evaluate`, and what the other kinds have their features from
(`of_flags`).
"""

import dataclasses
import pathlib

import numpy as np
from absl import logging

from mas import lists, records
from mas.evaluate import networks, protocol
from mas.evaluate.caching import cached, fresh
from mas.evaluate.extraction import extract
from mas.evaluate.networks import network, settings
from mas.evaluate.sampling import Settings
from mas.evaluate.storage import Features, check_output, load, save

# The flags on network and clips that `of_flags` understands.
SOURCE = ("model", "data", "columns", "random", "seed", "cache")
CLIPS = ("clips", "pooling", "static", "frames", "stride", "size", "resize", "allow_failures")
FLAGS = (*SOURCE, *CLIPS, "batch", "threads")

NEEDED = ("model", "data", "output")
OPTIONAL = ("list", *FLAGS)


def run(flags):
    """Writes the features of a list's videos, or of all; beside FILE.npz FILE.npz.json and .txt."""
    check_output(flags.output)
    protocol.writable(pathlib.Path(flags.output).parent)
    if flags.list and is_file(flags.list):
        raise ValueError(f"list must be a list of videos. Received: list={flags.list}.")
    found = of_flags(flags, flags.list)
    save(flags.output, found)
    path = pathlib.Path(flags.output)
    numbers = {"facts": found.facts, "videos": found.videos, "labels": found.labels}
    source = flags.list or "all of the data set"
    paragraph = (
        f"Features of {len(found.videos)} videos ({source}), {found.values.shape[1]} numbers each. "
        f"{protocol.describe(found.facts)}"
    )
    protocol.write(path.parent, path.name, paragraph, numbers)  # train.txt may well be the list
    logging.info("Wrote %s: %d x %d.", path, *found.values.shape)


def is_file(path):
    """Whether a flag names features, rather than a list."""
    return str(path).endswith(".npz")


def check_source(flags, *paths, but=()):
    """Refuses lists without a network for them, and flags on a network that files do not need.

    Args:
        flags: absl's.
        *paths: lists or .npz files.
        but: names of flags that the kind needs for files, too.

    Raises:
        ValueError: it is so.
    """
    listed = [path for path in paths if not is_file(path)]
    missing = [name for name in ("model", "data") if listed and not getattr(flags, name)]
    if missing:
        raise ValueError(
            f"a list must come with --model and --data. Received: {listed[0]} without "
            f"--{' and --'.join(missing)}."
        )
    given = [name for name in sorted({*SOURCE, *CLIPS} - {*but}) if flags[name].present]
    if given and not listed:
        raise ValueError(
            f"features of .npz files must come without flags on network and clips. "
            f"Received: --{', --'.join(given)}."
        )


def of_flags(flags, path, settings=None, entries=None):
    """Features of a file, or of the videos of a list through the network of the flags.

    Args:
        flags: absl's, of `FLAGS`.
        path: .npz file; or a list, None for every video of --data.
        settings: a `Settings`, in place of that of the flags.
        entries: `lists.Entry`, in place of those of the list; `path` names them in errors.

    Returns:
        A `Features`; with facts on the weights beside those of `extract` (model, weights, digest,
        seed, data, list) where it comes from a network.

    Raises:
        OSError: a file is not there.
        ValueError: as `load`, `lists.read`, `lists.resolve`, `network` or `extract`.
    """
    if path and is_file(path):
        return load(path)
    check_source(flags, path)
    settings = settings or networks.settings(flags)
    data = records.open_data(flags.data, settings.modality == "flow")
    if entries is None and path:
        entries = lists.read(path, flags.columns)
    if entries is not None:
        entries = lists.resolve(entries, data.videos, path)
    make = cached if flags.cache else fresh
    found = make(flags.model, data, entries, settings, flags.random, flags.seed)
    return dataclasses.replace(found, facts=found.facts | {"data": str(flags.data), "list": path})


def labelled(features, name, classes=2):
    """The same features, if each has a label.

    Args:
        features: a `Features`.
        name: of the list or file, for errors.
        classes: least number of them.

    Raises:
        ValueError: a video has none, or there are fewer classes.
    """
    if np.min(features.labels) < 0:
        video = features.videos[int(np.argmin(features.labels))]
        raise ValueError(f"{name}: every video must have a label. Received: {video} without one.")
    found = len(np.unique(features.labels))
    if found < classes:
        raise ValueError(
            f"{name} must hold {classes} classes or more. Received: {found} class, "
            f"label {features.labels[0]}."
        )
    return features


def check_alike(first, second, names):
    """Refuses features of two networks, or of two ways to pool.

    Args:
        first: a `Features`.
        second: another.
        names: of the two, for errors.

    Raises:
        ValueError: width, or one of the facts that both know, is not the same.
    """
    both = {"width": [part.values.shape[1] for part in (first, second)]}
    for name in ("digest", "weights", "seed", "pooling"):
        if name in first.facts and name in second.facts:
            both[name] = [part.facts[name] for part in (first, second)]
    for name, (one, other) in both.items():
        if one != other:
            raise ValueError(
                f"{names[0]} and {names[1]} must be features of the same network and pooling. "
                f"Received: {name} {one} and {other}."
            )


__all__ = [
    "CLIPS",
    "FLAGS",
    "SOURCE",
    "Features",
    "Settings",
    "cached",
    "check_alike",
    "check_source",
    "extract",
    "fresh",
    "is_file",
    "labelled",
    "load",
    "network",
    "of_flags",
    "save",
    "settings",
]
