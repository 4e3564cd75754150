"""Selection of the clips in an epoch."""

import dataclasses

import numpy as np
from absl import logging

WINDOW = 10  # frames between starts of clips in VTDL's released test
ANYWHERE = -1  # start of an example whose frames are drawn by the task


@dataclasses.dataclass(frozen=True)
class Examples:
    """The examples of an epoch.

    Attributes:
        videos: int array, index of each example's video in the data set.
        starts: int array, first frame or ANYWHERE.
        labels: int array.
    """

    videos: np.ndarray
    starts: np.ndarray
    labels: np.ndarray

    def __len__(self):
        """Returns the number of examples."""
        return len(self.videos)

    def __getitem__(self, positions):
        """Selects examples by a slice or an array of positions."""
        return Examples(self.videos[positions], self.starts[positions], self.labels[positions])


def examples(data, entries, frames, how, count=10, least=1, step=None, again=False):
    """Selects the examples of an epoch.

    Args:
        data: an open data set.
        entries: `lists.Entry` with the ids of the data set. None takes every video, unlabelled. An
            entry with a start gives the clip at that start.
        frames: clip length in frames.
        how: "consecutive" takes non-overlapping clips (the paper, section 3.4). "overlapping"
            starts a clip every half clip (frames // 2). "anywhere" takes one clip per video and
            epoch, with frames drawn by the task. "uniform" takes `count` clips, evenly spaced from
            the first frame to the last. "first" takes up to `count` clips that start every ten
            frames. "drawn" takes `count` clips with frames drawn by the task.
        count: number of clips per video for "uniform", "first" and "drawn".
        least: minimum number of frames of a video; see the task's `least`. With "anywhere" and
            "uniform", videos shorter than a clip may be looped.
        step: frames between the starts of consecutive clips; None means `frames`.
        again: whether videos shorter than a clip, and clips that start too near the end, are also
            looped with "consecutive" and "overlapping", so that a test covers every video.

    Returns:
        An `Examples`. Videos without a clip are skipped with a warning.

    Raises:
        ValueError: If no example is left, or `how` is unknown.
    """
    if how not in SAMPLINGS:
        raise ValueError(f"clips must be one of {list(SAMPLINGS)}. Received: clips={how!r}.")
    numbers = {video: number for number, video in enumerate(data.videos)}
    rows = [(number, -1, None) for number in numbers.values()]
    if entries is not None:
        rows = [(numbers[entry.video], entry.label, entry.start) for entry in entries]
    found, short = [], []
    for number, label, start in rows:
        length = int(data.lengths[number])
        if start is not None:
            leaves = again and least < frames and start < length >= least
            starts = [start] if start + frames <= length or leaves else []
        else:
            # Unreadable videos have no frames.
            size = count if how in COUNTED else step or frames
            starts = SAMPLINGS[how](length, frames, size) if length >= least else []
            starts = [0] if again and not len(starts) and length >= least else starts
        found += [(number, first, label) for first in starts]
        if not len(starts):
            short.append(number)
    if short:
        logging.warning(
            "%d of %d list lines are too short for a clip of %d frames, such as %s (%d frames).",
            *(len(short), len(rows), frames, data.videos[short[0]], data.lengths[short[0]]),
        )
    if not found:
        raise ValueError(f"{data.data} must contain a clip of {frames} frames. Received: none.")
    return Examples(*np.array(found, np.int64).T)


SAMPLINGS = {
    "consecutive": lambda length, frames, step: range(0, length - frames + 1, step),
    "overlapping": lambda length, frames, step: range(0, length - frames + 1, max(1, step // 2)),
    "anywhere": lambda length, frames, step: [ANYWHERE],
    "uniform": lambda length, frames, count: (
        np.linspace(0, max(0, length - frames), count).round().astype(int)
    ),
    "first": lambda length, frames, count: range(
        0, max(1, min(length - frames + 1, count * WINDOW)), WINDOW
    ),
    "drawn": lambda length, frames, count: [ANYWHERE] * count,
}
COUNTED = ("uniform", "first", "drawn")
