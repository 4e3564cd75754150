"""Clips as the networks see them, as arrays."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, TypeAlias

import numpy as np

from mas import lazy, lists, records, tasks
from mas.checks import option, refuse

clips = lazy.module("mas.clips")

Source: TypeAlias = "records.Data | str | os.PathLike"  # a data set, opened or not


@dataclasses.dataclass(frozen=True)
class _Frames(tasks.Task):
    """Frames in a row, and flow where the data hold it: nothing is asked about them."""

    count: int = option(16, "How many frames.", least=1)
    flow: bool = option(False, "Whether flow is read.")

    name = "visualize"
    wraps = False

    @property
    def frames(self):
        """How many: unlike a clip to train on, one frame will do."""
        return self.count

    @property
    def inputs(self):
        """What is decoded."""
        return ("rgb", "flow") if self.flow else ("rgb",)


def number(data: records.Data, video: str | None = None) -> int:
    """The number of a video in a data set; without a name, that of the first one that can be read.

    Args:
        data: an opened data set.
        video: what lists may call it: see `lists.find_video`.

    Raises:
        ValueError: there is no such video.
    """
    if video is None:
        return int(np.flatnonzero(data.lengths)[0])
    return data.videos.index(lists.find_video(video, data.videos))


def read_clip(
    data: Source,
    video: str | None = None,
    start: int = 0,
    frames: int = 16,
    size: int = 112,
    resize: tuple[int, int] = (171, 128),
) -> dict[str, Any]:
    """A clip of a video, cut at the centre.

    Args:
        data: an opened data set, or the folder of one.
        video: its id, its last component or its file name; the first by default.
        start: first frame, from 0.
        frames: how many, 1 or more.
        size: side of the square, in pixels.
        resize: (width, height) of a frame before that, in pixels.

    Returns:
        {"rgb": uint8 (T, S, S, 3), "video": id}, and "flow", float32 (T - 1, S, S, 2), where the
        data hold it and the clip is of two frames or more.

    Raises:
        ValueError: there is no such video, or it does not hold these frames.
    """
    stored = records.opened(data)
    place = number(stored, video)
    last = int(stored.lengths[place]) - frames
    if not 0 <= last < last + frames:
        refuse("frames", f"in 1..{last + frames}", frames)
    if not 0 <= start <= last:
        refuse("start", f"in 0..{last}", start)
    task = _Frames(frames, bool(stored.has_flow) and frames > 1)
    geometry = clips.Geometry(resize, size, random=False)
    found = _reader(stored, place, start, task, geometry).clip(0, 0, False)
    return {name: found[name].numpy() for name in task.inputs} | {"video": stored.videos[place]}


def read_example(
    data: Source,
    task: tasks.Task,
    video: str | None = None,
    start: int | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, dict[str, np.ndarray], str]:
    """What a task makes of one clip of a video, as in training: crop and flip are random.

    Args:
        data: an opened data set, or the folder of one.
        task: a `tasks.Task`, bound to a `mas.Clip`.
        video: its id, its last component or its file name; the first by default.
        start: first frame, from 0; None lets the task draw it.
        seed: of everything random.

    Returns:
        (x, y, id of the video): x and y are the task's.

    Raises:
        ValueError: there is no such video, it is too short, or the clip would begin, or where the
            task does not begin a video again end, behind its last frame.
    """
    stored = records.opened(data)
    place = number(stored, video)
    length, name = int(stored.lengths[place]), stored.videos[place]
    if not task.wraps and length < task.span:
        raise ValueError(
            f"video must have {task.span} frames for the task {task.name}. "
            f"Received: {name} with {length}."
        )
    last = length - (1 if task.wraps else task.span)
    if start is not None and start > last:
        refuse("start", f"in 0..{last} for the task {task.name}", start)
    geometry = clips.Geometry(task.clip.resize, task.clip.size, random=True)
    first = clips.ANYWHERE if start is None else start
    x, y = task.example(_reader(stored, place, first, task, geometry, seed).clip(0, 0, False))
    return np.asarray(x), {output: np.asarray(value) for output, value in y.items()}, name


def middle_frame(data: Source, video: str) -> np.ndarray:
    """The middle frame of a video: the whole of it, uint8 (height, width, 3)."""
    stored = records.opened(data)
    place = number(stored, video)
    return records.pictures(stored, place, [int(stored.lengths[place]) // 2])[0]


def _reader(data, place, start, task, geometry, seed=0):
    examples = clips.Examples(np.array([place]), np.array([start]), np.array([-1]))
    return clips.Reader(data, examples, task, geometry, seed)
