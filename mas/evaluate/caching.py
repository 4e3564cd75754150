"""Features through the network of a run, and the copy of them in the user's cache folder."""

import dataclasses
import hashlib
import json
import os
import pathlib

import keras
from absl import logging

from mas import files, lists, records
from mas.evaluate.extraction import extract
from mas.evaluate.networks import file, network
from mas.evaluate.storage import load, save

_FORMAT = 1  # another one when the same settings give other features


def fresh(model, data, entries, settings, random=False, seed=0):
    """Features through the network of a run, with facts on its weights."""
    built = network(model, random, seed, settings.shape)
    found = extract(built, data, entries, settings)
    facts = {
        "model": str(model),
        "digest": files.digest(file(model)),
        "weights": "random" if random else "loaded",
        "seed": seed if random else None,
    }
    return dataclasses.replace(found, facts=found.facts | facts)


def cached(model, data, entries, settings, random=False, seed=0):
    """`fresh`, but what was made before is read from the user's cache folder, if nothing changed.

    $XDG_CACHE_HOME/mas/features/DIGEST.npz (~/.cache where that is not set): the digest is that of
    the network's file, the stored files of the data set (names, sizes and times; of folders of
    JPEG files the folders' times), the list's entries and the settings. Features from which a
    video is left out are not kept.

    Returns:
        A `Features`.

    Raises:
        OSError, ValueError: as `network` and `extract`.
    """
    digest = _digest(model, data, entries, settings, random and seed + 1)
    path = records.index_path(data.data).parent / "features" / f"{digest}.npz"
    try:
        found = load(path)
        logging.info("Features of %d videos from %s.", len(found.videos), path)
        return dataclasses.replace(found, facts=found.facts | {"model": str(model)})
    except OSError:  # not there, or not to be read
        pass
    except ValueError as error:
        logging.warning("%s They are made anew.", error)
    found = fresh(model, data, entries, settings, random, seed)
    try:
        if not found.facts["failures"]:
            save(path, found)
    except OSError as error:
        logging.warning("%s cannot be written, so nothing is kept: %s.", path, error.strerror)
    return found


def _digest(model, data, entries, settings, random):
    chosen = dataclasses.asdict(settings)
    for name in ("batch", "threads", "allow_failures"):  # change no feature
        del chosen[name]
    rows = [(e.video, e.label, e.start) for e in entries] if entries is not None else None
    network = [files.digest(file(model)), random, keras.__version__]
    numbers = {video: number for number, video in enumerate(data.videos)}
    videos = data.videos if entries is None else sorted({entry.video for entry in entries})
    lengths = [int(data.lengths[numbers[video]]) for video in videos]
    parts = (_FORMAT, network, _stamps(data, videos), lengths, rows, chosen)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _stamps(data, videos):
    """Names, sizes and times of change of what the videos are stored in."""
    root = pathlib.Path(data.data)
    if isinstance(data, records.Shards):
        paths = sorted(root.glob("videos-*.*"))
    elif isinstance(data, records.Folders):
        paths = [root / records.RGB_FOLDER / video for video in videos]
        paths += [root / records.FLOW_FOLDER / part / video for part in "uv" for video in videos]
    else:
        files = lists.find_videos(root)[0]
        paths = [root / files[video] for video in videos]
    found = [(os.path.realpath(root), records.settings(data))]
    for path in paths:
        if path.exists():
            status = path.stat()
            found.append((path.name, status.st_size, status.st_mtime_ns))
    return found
