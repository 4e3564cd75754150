"""Runs clips of videos through a network and stores their features in an index."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tqdm
from absl import logging

from mas import lazy, lists
from mas.features import means
from mas.index import fitting, storage
from mas.index.network import Network

if TYPE_CHECKING:
    from mas import clips
else:
    clips = lazy.module("mas.clips")

SAVE_EVERY = 10.0  # seconds of work that a killed call may lose


def extend(
    root: pathlib.Path,
    state: dict[str, Any],
    load: Callable[[], Network],
    data: Any,
    fps: float | None = None,
) -> dict[str, str]:
    """Adds the videos of a data set that are not in the index yet, one whole video at a time.

    Args:
        root: folder of the index, locked.
        state: content of index.json.
        load: function that loads the network.
        data: an opened data set.
        fps: frames per second of videos whose rate is unknown; None leaves them without times.

    Returns:
        {id: reason} of the videos that have no clip.

    Raises:
        ValueError: If the index is damaged, or if no video has a clip.
    """
    compared = state["compared"] or {"files": {}}
    storage.verify(root, state["files"] | compared["files"], read=True)
    held = {v.video: v for v in storage.read_videos(root, state["files"][storage.VIDEOS][0])}
    failed = Failures(data)
    left = _missing(data, held, failed)
    counts = lists.counted(len(data.videos), "video"), len(left)
    logging.info("%s: %s, %d to do.", data.data, *counts)
    with storage.appended(root, state["files"]) as file:
        writer = Writer(root, state, file)
        for found in made(load, data, state["facts"], left, failed):
            writer.add(data, found, float(data.rate(found.number) or fps or 0))
        writer.save()
    if not writer.state["clips"]:
        raise ValueError(
            f"{data.data} must contain a video with at least one clip. Received: none."
        )
    fitting.update(root, writer.state, state["whiten"])
    return {data.videos[number]: reason for number, reason in failed.reasons.items()}


def _missing(data, held, failed):
    """Numbers of the videos that are not in the index; videos that have changed fail."""
    left = []
    for number, video in enumerate(data.videos):
        before, now = held.get(video), int(data.lengths[number])
        if before is None:
            left.append(number)
        elif before.frames != now:
            counts = f"{now} frames, but had {before.frames} when it was indexed"
            failed.add(number, f"it has {counts}; rename it, or make another index")
    return left


class Made(NamedTuple):
    """The clips of one video: first frames (n,) and features (n, D)."""

    number: int
    firsts: np.ndarray
    values: np.ndarray


class Failures:
    """Videos without a clip and the reasons. The next call tries them again."""

    def __init__(self, data: Any):
        """Begins with no failures."""
        self.data = data
        self.reasons: dict[int, str] = {}

    def add(self, number: int, reason: str) -> None:
        """Adds a video and logs it."""
        logging.warning("Left out %s: %s.", self.data.videos[number], reason.rstrip("."))
        self.reasons[number] = reason


def made(
    load: Callable[[], Network], data: Any, facts: dict[str, Any], numbers: list[int], failed: Any
) -> Iterator[Made]:
    """Yields the clips of videos in order, one whole video at a time.

    Args:
        load: function that loads the network; called if there is at least one clip.
        data: an opened data set.
        facts: the index's facts.
        numbers: numbers of the videos.
        failed: collects the videos without a clip.
    """
    for number in numbers:
        if not data.lengths[number]:
            failed.add(number, "no readable frames")
    entries = [lists.Entry(data.videos[n]) for n in numbers if n not in failed.reasons]
    if not entries:
        return
    network = load()
    task, sampling = network.task, network.sampling
    options = {"how": sampling.how, "count": sampling.clips, "least": task.least}
    examples = clips.examples(data, entries, task.span, **options, again=True)
    for number in sorted(set(numbers) - set(failed.reasons) - set(examples.videos.tolist())):
        failed.add(
            number, f"{lists.counted(int(data.lengths[number]), 'frame')}, too few for a clip"
        )
    values = means.numbered(
        means.values_here(network.function, data, sampling, task), examples, failed
    )
    with tqdm.tqdm(total=len(examples), desc="clips", unit="clip") as bar:
        yield from _whole_videos(values, examples, failed, bar)


def _whole_videos(values, examples, failed, bar):
    """Regroups batches of rows into whole videos, without videos that fail on the way."""
    borders = np.flatnonzero(np.diff(examples.videos)) + 1
    numbers = examples.videos[[0, *borders]].tolist()
    firsts = dict(zip(numbers, np.split(examples.starts, borders), strict=True))
    parts: dict[int, list[np.ndarray]] = {}
    for of, rows in values:
        for number, row in zip(of, rows, strict=True):
            parts.setdefault(number, []).append(row)
        bar.update(len(rows))
        for number in [n for n in parts if n in failed.reasons]:
            del parts[number]
        for number in [n for n in parts if len(parts[n]) == len(firsts[n])]:
            yield Made(number, firsts.pop(number), np.stack(parts.pop(number)))


class Writer:
    """Appends clips to the growing files; `save` makes them valid.

    Args:
        root: folder of the index.
        state: content of index.json.
        file: the growing files, open.
    """

    def __init__(self, root: pathlib.Path, state: dict[str, Any], file: storage.Appended):
        """Starts at the end of the valid data."""
        self.root, self.state, self.file = root, dict(state), file
        self._saved = time.monotonic()

    def add(self, data: Any, found: Made, rate: float) -> None:
        """Appends the clips of one video.

        Args:
            data: an opened data set.
            found: the clips.
            rate: frames per second of the video.

        Raises:
            ValueError: If a feature is not finite. The message names the video.
        """
        video, number = data.videos[found.number], self.state["videos"]
        if not np.isfinite(found.values).all():
            raise ValueError(f"features must be finite. Received: NaN or infinity in {video}.")
        if self.state["width"] not in (0, found.values.shape[1]):
            width = self.state["width"]
            raise ValueError(f"features must have {width} numbers. Received: {found.values.shape}.")
        table = np.zeros(len(found.firsts), storage.CLIP)
        largest = np.abs(found.values).max(axis=1)
        scales = np.where(largest > 0, largest, 1).astype(np.float32)
        table["video"], table["first"], table["scale"] = number, found.firsts, scales
        vectors = (found.values / scales[:, None]).astype(storage.HALF)
        known = (video, os.path.abspath(data.data), int(data.lengths[found.number]), rate)
        line = storage.lines([storage.Video(*known, len(table))], header=not number)
        self.file.write(storage.VECTORS, vectors.tobytes())
        self.file.write(storage.CLIPS, table.tobytes())
        self.file.write(storage.VIDEOS, line)
        self.state["clips"] += len(table)
        self.state |= {"videos": number + 1, "width": vectors.shape[1]}
        if time.monotonic() - self._saved > SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Writes the state, which makes the appended clips valid."""
        self.state["files"] = self.file.sync()
        storage.write_state(self.root, self.state)
        self._saved = time.monotonic()
