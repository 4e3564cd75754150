"""Which clips an epoch shows."""

import dataclasses

import numpy as np
from absl import logging

WINDOW = 10  # frames from one clip to the next in VTDL's released test
ANYWHERE = -1  # start of an example whose frames the task draws


@dataclasses.dataclass(frozen=True)
class Examples:
    """What one epoch shows.

    Attributes:
        videos: int array; number of each example's video in the data set.
        starts: int array; first frame, or ANYWHERE.
        labels: int array.
    """

    videos: np.ndarray
    starts: np.ndarray
    labels: np.ndarray

    def __len__(self):
        """The number of examples."""
        return len(self.videos)

    def __getitem__(self, positions):
        """Some of them: a slice, or an array of their positions."""
        return Examples(self.videos[positions], self.starts[positions], self.labels[positions])


def examples(data, entries, frames, how, count=10, least=1, step=None, again=False):
    """Chooses the examples of an epoch.

    Args:
        data: an opened data set.
        entries: `lists.Entry` with the ids of the data set; None takes every video, unlabelled.
            A line that names a start is taken at that start.
        frames: length of a clip.
        how: "consecutive", non-overlapping clips end to end (the paper's, section 3.4);
            "overlapping", the same, but each begins half a clip (frames // 2) after the one before;
            "anywhere", one clip a video in each epoch, its frames drawn by the task; or
            "uniform", `count` clips a video, evenly spaced from its first frame to its last; or
            "first", up to `count`, one every ten frames from the first on; or "drawn", `count`,
            the frames of each drawn by the task.
        count: of uniform, first or drawn clips.
        step: frames from the start of one consecutive clip to that of the next; None: `frames`.
        least: frames that a video must have for "anywhere" and "uniform", where one that is
            shorter than a clip may begin again; a task's `least`.
        again: whether one that is shorter, or a start too near its end, gives a clip that begins
            again with "consecutive" and "overlapping" as well: in a test every video counts.

    Returns:
        An `Examples`. Videos that leave no clip are left out, and named.

    Raises:
        ValueError: no example is left, or `how` is unknown.
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
            # Also a video that cannot be read has no frames.
            size = count if how in COUNTED else step or frames
            starts = SAMPLINGS[how](length, frames, size) if length >= least else []
            starts = [0] if again and not len(starts) and length >= least else starts
        found += [(number, first, label) for first in starts]
        if not len(starts):
            short.append(number)
    if short:
        logging.warning(
            "%d of %d list lines leave no clip of %d frames, such as that of %s (%d frames).",
            *(len(short), len(rows), frames, data.videos[short[0]], data.lengths[short[0]]),
        )
    if not found:
        raise ValueError(f"{data.data} must hold a clip of {frames} frames. Received: none.")
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
