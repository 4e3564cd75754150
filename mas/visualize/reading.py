"""Clips as the networks see them, as arrays."""

import io

import numpy as np
from PIL import Image

from mas import clips, tasks


class _Look(tasks.Task):
    """Frames in a row, and flow if the data hold it: nothing is asked about them."""

    name = "visualize"
    wraps = False

    def __init__(self, frames, inputs):
        self.frames, self.inputs = frames, inputs


def number(data, video=None):
    """The number of a video in a data set; without an id, the first one that can be read.

    Raises:
        ValueError: no video has this id.
    """
    if video is None:
        return int(np.flatnonzero(data.lengths)[0])
    if video not in data.videos:
        raise ValueError(f"video must be an id of {data.data}. Received: video={video!r}.")
    return data.videos.index(video)


def clip(data, video, start, frames, geometry):
    """A clip of a video.

    Args:
        data: an opened data set.
        video: id.
        start: first frame, counted from 0.
        frames: how many.
        geometry: a `clips.Geometry`.

    Returns:
        {"rgb": uint8 (T, S, S, 3), "video": id}, and "flow", float32 (T - 1, S, S, 2), if the data
        hold it.

    Raises:
        ValueError: no such video, or it does not hold these frames.
    """
    place = number(data, video)
    last = int(data.lengths[place]) - frames
    if last < 0:
        raise ValueError(f"frames must be in 1..{last + frames}. Received: frames={frames}.")
    if not 0 <= start <= last:
        raise ValueError(f"start must be in 0..{last}. Received: start={start}.")
    inputs = ("rgb", "flow") if data.has_flow and frames > 1 else ("rgb",)
    found = _reader(data, place, start, _Look(frames, inputs), geometry).clip(0, 0, False)
    return {name: found[name].numpy() for name in inputs} | {"video": data.videos[place]}


def example(data, video, start, task, geometry, seed):
    """What a task makes of one clip of a video.

    Args:
        data: an opened data set.
        video: id.
        start: first frame, or None to let the task draw it.
        task: a `tasks.Task`.
        geometry: a `clips.Geometry`.
        seed: of everything random.

    Returns:
        (x, y) of the task, as arrays.

    Raises:
        ValueError: no such video, it is too short, or the clip would begin or, where the task does
            not begin a video again, end behind its last frame.
    """
    place = number(data, video)
    if not task.wraps and data.lengths[place] < task.span:
        raise ValueError(
            f"video must have {task.span} frames for task={task.name}. Received: "
            f"{data.videos[place]} with {data.lengths[place]}."
        )
    last = int(data.lengths[place]) - (1 if task.wraps else task.span)
    if start is not None and start > last:
        raise ValueError(
            f"start must be in 0..{last} for task={task.name}. Received: start={start}."
        )
    first = clips.ANYWHERE if start is None else start
    x, y = task.example(_reader(data, place, first, task, geometry, seed).clip(0, 0, False))
    return np.asarray(x), {name: np.asarray(value) for name, value in y.items()}


def _reader(data, place, start, task, geometry, seed=0):
    examples = clips.Examples(np.array([place]), np.array([start]), np.array([-1]))
    return clips.Reader(data, examples, task, geometry, seed)


def middle_frame(data, video):
    """The middle frame of a video: the whole of it, uint8 (height, width, 3)."""
    place = number(data, video)
    middle = int(data.lengths[place]) // 2
    if data.decoded:
        height, width = data.sizes[place]
        return data.frames(place, [middle], (int(width), int(height)))[0]
    (file,), _, _ = data.read(place, [middle])
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
