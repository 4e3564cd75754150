"""Joins consecutive windows of one class into segments of time."""

from __future__ import annotations

import array
import dataclasses
import heapq

import numpy as np

NONE = -1  # label of a window without a likely enough class


@dataclasses.dataclass(frozen=True)
class Segment:
    """A stretch of video with one class.

    Attributes:
        label: number of the class, from 0; NONE if no class is likely enough.
        start: in seconds.
        end: in seconds.
        probability: mean probability of the class over the segment's windows of that class.
        windows: number of windows, including short segments of other classes that joined it.
    """

    label: int
    start: float
    end: float
    probability: float
    windows: int

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.end - self.start


class Track:
    """The most likely class of each window of a video, in 28 bytes per window."""

    def __init__(self) -> None:
        """Begins without windows."""
        self._centres, self._probabilities = array.array("d"), array.array("d")
        self._labels = array.array("i")

    def __len__(self) -> int:
        """Number of windows."""
        return len(self._labels)

    def add(self, start: float, end: float, label: int, probability: float) -> None:
        """Adds the next window."""
        self._centres.append((start + end) / 2)
        self._labels.append(label)
        self._probabilities.append(probability)

    @property
    def labels(self) -> np.ndarray:
        """Int (windows,), most likely classes."""
        return np.array(self._labels, np.int64)

    @property
    def probabilities(self) -> np.ndarray:
        """Float (windows,), probabilities of `labels`."""
        return np.array(self._probabilities)

    def bounds(self, seconds: float) -> np.ndarray:
        """Bounds of the time that each window covers: halfway between centres of neighbours.

        Args:
            seconds: length of the video.

        Returns:
            float (windows + 1,), from 0 to `seconds`.
        """
        centres = np.array(self._centres)
        return np.concatenate([[0.0], (centres[:-1] + centres[1:]) / 2, [seconds]])

    def segments(
        self, seconds: float, threshold: float = 0.0, min_seconds: float = 0.0
    ) -> list[Segment]:
        """Splits the video into consecutive segments; neighbours differ in class.

        Args:
            seconds: length of the video.
            threshold: probability below which a window has no class.
            min_seconds: length of the shortest segment. While a segment is shorter, the shortest
                one joins its longer neighbour (the earlier one if they are equally long).

        Returns:
            Segments that cover the video, including those without a class.
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
    """Joins short segments; returns [(first run, label)] of the segments that remain.

    Args:
        labels: labels of runs of windows; neighbours differ.
        bounds: start of each run, and end of the last one, in seconds.
        least: length of the shortest segment, in seconds.
    """
    label = dict(enumerate(labels))  # {first run: label} of each segment
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
            continue  # it has been joined or has grown
        longer = max(beside(run), key=lambda side: (length(side), -side))
        run = join(run, longer, label[longer])
        for side in beside(run):
            if label[side] == label[run]:
                run = join(run, side, label[run])
        if length(run) < least:
            heapq.heappush(short, (length(run), run))
    return sorted(label.items())
