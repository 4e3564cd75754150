"""Queries: a clip of a video file, a clip of the index, or features."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from mas import lists, video
from mas.checks import check_range, refuse

if TYPE_CHECKING:
    from mas.index.index import Index

ALLOWED = "a video file, VIDEO:SECOND of a video of the index, a uint8 clip or features"


@dataclasses.dataclass(frozen=True, eq=False)
class Query:
    """A query, ready to compare with an index.

    Attributes:
        name: name to show.
        vector: float32 (K,) of length 1.
        row: row of the query in the index; None if it is not a clip of the index.
        frames: uint8 (T, H, W, 3) of its first clip; None if not available.
        rate: frames per second of `frames`.
    """

    name: str
    vector: np.ndarray
    row: int | None = None
    frames: np.ndarray | None = None
    rate: float = 0.0


def query(index: Index, source: Any, start: float | None = None) -> Query:
    """Makes a query.

    Args:
        index: an open index.
        source: path of a video file; "VIDEO:SECOND", a video of the index and a time in it (a frame
            if its rate is unknown); a clip of the network's size, uint8 (T, H, W, 3); or features,
            float (D,) or (n, D), which are averaged.
        start: second of the file at which the clip begins; None averages over all clips of the
            file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is shorter than a clip or does not decode, or if the video is not
            in the index.
    """
    if isinstance(source, Query):
        return source
    if start is not None:
        check_range("start", start, least=0)
    if isinstance(source, str | os.PathLike):
        text = os.fspath(source)
        if not os.path.exists(text) and ":" in text:
            return _of_index(index, text, start)
        return _of_file(index, pathlib.Path(text), start)
    if not isinstance(source, np.ndarray):
        refuse("query", ALLOWED, source)
    if source.dtype == np.uint8:
        return Query("clip", _vector(index, index.network(_batch(index, source))), None, source)
    values = np.atleast_2d(source)
    if values.ndim != 2 or values.shape[1] != index.vectors.shape[1] or not len(values):
        refuse("query", f"features of {index.vectors.shape[1]} numbers", source.shape)
    if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        refuse("query", "features that are finite numbers", source)
    return Query("features", _vector(index, values))


def _batch(index, clip):
    if clip.shape != index.network.task.shape:
        refuse("query", f"a clip {index.network.task.shape}", clip.shape)
    return clip[None]


def _vector(index, values):
    return index.whitening(np.mean(values, axis=0, dtype=np.float64, keepdims=True))[0]


def _of_index(index, text, start):
    """Makes a query of the clip in the index whose middle is nearest to a time."""
    name, _, time = text.rpartition(":")
    if start is not None:
        refuse("start", "None with VIDEO:SECOND", start)
    try:
        second = float(time)
        if not 0 <= second < math.inf:
            raise ValueError
    except ValueError:
        refuse("query", f"{ALLOWED}, where SECOND is a number from 0", text)
    ids = [known.video for known in index.videos]
    found = ids.index(lists.find_video(name, ids))
    known = index.videos[found]
    frame = round(min(second * (known.rate or 1), known.frames))
    if frame >= known.frames:
        length = known.frames / (known.rate or 1)
        unit = "seconds" if known.rate else "frames"
        refuse("query", f"a time below {length:g} {unit} in {known.video}", text)
    rows = np.flatnonzero(index.clips["video"] == found)
    middles = index.clips["first"][rows] + (index.frames - 1) / 2
    row = int(rows[np.argmin(np.abs(middles - frame))])
    first = int(index.clips["first"][row])
    place = f"{first / known.rate:.1f} s" if known.rate else f"frame {first}"
    shown = f"{known.video} from {place}"
    return Query(shown, index.unit[row].astype(np.float32), row, None, known.rate)


def _of_file(index, path, start):
    if not path.is_file():
        raise FileNotFoundError(f"query must be {ALLOWED}. Received: {path}, which is not a file.")
    network = index.network
    if network.task.network.modality != "rgb":
        refuse("query", "VIDEO:SECOND for a network of flow", os.fspath(path))
    try:
        return _decoded(index, network, path, start)
    except video.VideoError as error:
        raise ValueError(
            f"query must be a video file that decodes. Received: {path}: {error}."
        ) from None


def _decoded(index, network, path, start):
    fps = index.facts["sampling"]["fps"]
    rate = fps or video.frame_rate(path)
    if start is not None and not rate:
        refuse("start", f"None for {path}, whose frame rate is unknown", start)
    task, shown, short = network.task, None, 0
    values, batch, size = [], [], 1 if start is not None else network.batch
    first = round(min((start or 0) * rate, sys.maxsize >> 1))
    with contextlib.closing(video.frames(path, task.clip.resize, fps=fps)) as frames:
        begun = itertools.islice(frames, first, None)
        for stretch in _stretches(begun, task.span):
            short = len(stretch)
            if short == task.span:
                shown = stretch if shown is None else shown
                batch.append(network.clip(stretch))
            if len(batch) == size:
                values.append(network(np.stack(batch)))
                batch = []
                if start is not None:
                    break
    values += [network(np.stack(batch))] if batch else []
    if not values:
        where = "" if start is None else f" from {start:g} s"
        raise ValueError(
            f"query must have at least {task.span} frames{where}, like a clip of the index. "
            f"Received: {path}, which has {short}."
        )
    count = sum(map(len, values))
    if count > 1:
        logging.info("%s: using the mean of its %d clips; start selects one.", path, count)
    name = path.name if start is None else f"{path.name} from {start:g} s"
    return Query(name, _vector(index, np.concatenate(values)), None, shown, rate)


def _stretches(frames: Iterator[np.ndarray], span: int) -> Iterator[np.ndarray]:
    """Yields stretches of frames (span, H, W, 3); the last one may be shorter."""
    while held := list(itertools.islice(frames, span)):
        yield np.stack(held)
