"""Windows of one class that follow each other -> segments of time."""

from __future__ import annotations

import array
import dataclasses
import heapq

import numpy as np

NONE = -1  # the class of a window whose likeliest one is too unlikely


@dataclasses.dataclass(frozen=True)
class Segment:
    """A stretch of a video that is of one class.

    Attributes:
        label: of the class, from 0; NONE where none is likely enough.
        start: in seconds.
        end: in seconds.
        probability: of the class, the mean over those of its windows that are of it.
        windows: how many begin and end it, those of other classes that joined it among them.
    """

    label: int
    start: float
    end: float
    probability: float
    windows: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


class Track:
    """The likeliest class of each window of a video: 28 bytes a window."""

    def __init__(self) -> None:
        """Begins without any."""
        self._centres, self._probabilities = array.array("d"), array.array("d")
        self._labels = array.array("i")

    def __len__(self) -> int:
        """How many windows there are."""
        return len(self._labels)

    def add(self, start: float, end: float, label: int, probability: float) -> None:
        """Adds the next window."""
        self._centres.append((start + end) / 2)
        self._labels.append(label)
        self._probabilities.append(probability)

    @property
    def labels(self) -> np.ndarray:
        """Int (windows,)."""
        return np.array(self._labels, np.int64)

    @property
    def probabilities(self) -> np.ndarray:
        """Float (windows,), of those classes."""
        return np.array(self._probabilities)

    def bounds(self, seconds: float) -> np.ndarray:
        """Where the time that a window speaks for begins and ends: half way to its neighbours.

        Args:
            seconds: of the video.

        Returns:
            float (windows + 1,), from 0 to `seconds`.
        """
        centres = np.array(self._centres)
        return np.concatenate([[0.0], (centres[:-1] + centres[1:]) / 2, [seconds]])

    def segments(
        self, seconds: float, threshold: float = 0.0, min_seconds: float = 0.0
    ) -> list[Segment]:
        """The video in segments, one behind another, each of another class than the one before.

        Args:
            seconds: of the video.
            threshold: probability below which a window is of no class.
            min_seconds: the shortest segment; the shortest of those below joins the longer of its
                neighbours first, of two as long the earlier, until no segment is too short.

        Returns:
            They cover the video, those of no class among them.
        """
        if not len(self):
            return []
        labels = np.where(self.probabilities >= threshold, self.labels, NONE)
        starts = np.flatnonzero(np.append(True, labels[1:] != labels[:-1]))
        bounds = self.bounds(seconds)[np.append(starts, len(labels))]
        kept = _joined(labels[starts].tolist(), bounds.tolist(), min_seconds)
        edges = [*(starts[run] for run, _ in kept), len(labels)]
        found = []
        for (run, label), first, last in zip(kept, edges[:-1], edges[1:], strict=True):
            own = self.probabilities[first:last][labels[first:last] == label]
            end = bounds[np.searchsorted(starts, last)]
            found.append(
                Segment(label, bounds[run], float(end), float(own.mean()), int(last - first))
            )
        return found


def _joined(labels, bounds, least):
    """[(its first run, its label)] of segments that are long enough.

    Args:
        labels: of runs of windows, each other than the one before.
        bounds: where the runs begin, and where the last one ends.
        least: shortest segment.
    """
    label = dict(enumerate(labels))  # of segments, each by its first run
    before = {run: run - 1 for run in label}
    after = {run: run + 1 for run in label}

    def length(run):
        return bounds[after[run]] - bounds[run]

    def join(one, other, name):
        """Makes one segment of two neighbours; returns its first run."""
        left, right = min(one, other), max(one, other)
        after[left], label[left] = after[right], name
        before[after[right]] = left
        del label[right]
        return left

    def beside(run):
        return [side for side in (before[run], after[run]) if side in label]

    short = [(length(run), run) for run in label if length(run) < least]
    heapq.heapify(short)
    while short and len(label) > 1:
        known, run = heapq.heappop(short)
        if run not in label or length(run) != known:
            continue  # it has joined another, or grown
        longer = max(beside(run), key=lambda side: (length(side), -side))
        run = join(run, longer, label[longer])
        for side in beside(run):
            if label[side] == label[run]:
                run = join(run, side, label[run])
        if length(run) < least:
            heapq.heappush(short, (length(run), run))
    return sorted(label.items())
