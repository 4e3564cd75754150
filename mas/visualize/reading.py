"""Reads clips and frames as arrays, as the networks see them."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, TypeAlias

import numpy as np

from mas import lazy, lists, records, tasks
from mas.checks import option, refuse

clips = lazy.module("mas.clips")

Source: TypeAlias = "records.Data | str | os.PathLike"  # an opened data set, or its folder


@dataclasses.dataclass(frozen=True)
class _Frames(tasks.Task):
    """Consecutive frames, with flow if the data set has it, without a target."""

    count: int = option(16, "Number of frames.", least=1)
    flow: bool = option(False, "Whether to read flow.")

    name = "visualize"
    wraps = False

    @property
    def frames(self):
        """Number of frames; unlike in training, it may be 1."""
        return self.count

    @property
    def inputs(self):
        """Inputs to decode."""
        return ("rgb", "flow") if self.flow else ("rgb",)


def number(data: records.Data, video: str | None = None) -> int:
    """Number of a video in a data set; without a name, of the first readable video.

    Args:
        data: an opened data set.
        video: name of the video, as accepted by `lists.find_video`.

    Raises:
        ValueError: If there is no such video.
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
    """Reads a centre-cropped clip of a video.

    Args:
        data: an opened data set, or its folder.
        video: id of the video, its last part, or its file name; by default the first video.
        start: first frame, counted from 0.
        frames: number of frames, at least 1.
        size: side of the crop, in pixels.
        resize: (width, height) of a frame before the crop, in pixels.

    Returns:
        {"rgb": uint8 (T, S, S, 3), "video": id}, and "flow", float32 (T - 1, S, S, 2), if the data
        set has flow and the clip has at least two frames.

    Raises:
        ValueError: If there is no such video, or it does not have these frames.
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
    """Reads one training example of a task, with random crop and flip.

    Args:
        data: an opened data set, or its folder.
        task: a `tasks.Task`, bound to a `mas.Clip`.
        video: id of the video, its last part, or its file name; by default the first video.
        start: first frame, counted from 0; None lets the task draw it.
        seed: seed of all random choices.

    Returns:
        (x, y, id of the video): the task's input and targets.

    Raises:
        ValueError: If there is no such video, it is too short, or the clip would start after its
            last frame (or end after it, for tasks that do not repeat short videos).
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
    """Reads the middle frame of a video, uncropped: uint8 (height, width, 3)."""
    stored = records.opened(data)
    place = number(stored, video)
    return records.pictures(stored, place, [int(stored.lengths[place]) // 2])[0]


def _reader(data, place, start, task, geometry, seed=0):
    examples = clips.Examples(np.array([place]), np.array([start]), np.array([-1]))
    return clips.Reader(data, examples, task, geometry, seed)
