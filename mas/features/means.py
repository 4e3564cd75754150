"""Averages a function of clips over each video: one vector per video.

Only running sums are kept, so memory does not grow with the number of clips.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import tqdm
from absl import logging

from mas import lazy, lists
from mas.features.sampling import PlainClips, Sampling

if TYPE_CHECKING:
    import tensorflow as tf

    from mas import clips
else:
    clips, tf = lazy.module("mas.clips"), lazy.module("tensorflow")


@dataclasses.dataclass(frozen=True, eq=False)
class Means:
    """Result of `over_clips`: the videos that did not fail, in the list's order.

    Attributes:
        videos: ids.
        labels: int64 (videos,).
        values: float64 (videos, D).
        facts: how they were computed, serialisable as JSON: how, clips (minimum and maximum per
            video), resize, static, frames, stride, size, crops, modality, videos, failures
            ({id: reason}).
    """

    videos: list[str]
    labels: np.ndarray
    values: np.ndarray
    facts: dict[str, Any]


class Failure(NamedTuple):
    """A video that failed: its number in the data set, and the reason."""

    number: int
    reason: str


# Function from clips.Examples to arrays (clips, D), in order; it ends after the first `Failure`.
Source: TypeAlias = "Callable[[clips.Examples], Generator[np.ndarray | Failure, None, None]]"


def over_clips(
    source: Source,
    data: Any,
    entries: Sequence[lists.Entry] | None,
    sampling: Sampling,
    task: PlainClips,
) -> Means:
    """Averages a function of clips over the clips of each video.

    Args:
        source: computes the values: `values_here` or `remote.values_there`.
        data: an opened data set.
        entries: `lists.Entry` with the ids of the data set; None takes every video, unlabelled.
            If entries have starts, these clips of the video are used.
        sampling: which clips to use.
        task: the task made by `sampling`.

    Returns:
        A `Means`.

    Raises:
        ValueError: If a video cannot be decoded or has no clip (with `allow_failures`: if this is
            so for all videos), or has two labels; the message names the video.
    """
    numbers = {video: number for number, video in enumerate(data.videos)}
    labels = dict.fromkeys(numbers, -1) if entries is None else labels_of(entries)
    rows = {numbers[video]: row for row, video in enumerate(labels)}
    failures = _Failures(data, sampling.allow_failures)
    options = {"how": sampling.how, "count": sampling.clips, "least": task.least}
    examples = clips.examples(data, entries, task.span, **options, again=True)
    for number in sorted(set(rows) - set(examples.videos.tolist())):
        length = data.lengths[number]
        reason = f"its {lists.counted(int(length), 'frame')} give no clip of {task.span}"
        failures.add(number, reason if length else "the file cannot be decoded")
    sums, counts = None, np.zeros(len(rows), int)
    with tqdm.tqdm(total=len(examples), desc="clips", unit="clip") as bar:
        for of, values in numbered(source, examples, failures):
            sums = np.zeros((len(rows), values.shape[1])) if sums is None else sums
            places = [rows[number] for number in of]
            np.add.at(sums, places, values)
            np.add.at(counts, places, 1)
            bar.update(len(values))
    kept = np.array([number not in failures.reasons for number in rows])
    if sums is None or not kept.any():
        raise ValueError(f"{data.data} must contain a video that decodes. Received: none.")
    if failures.reasons:
        failed = (len(failures.reasons), len(rows))
        logging.warning("%d of %d videos failed and are skipped.", *failed)
    named = {data.videos[number]: reason for number, reason in failures.reasons.items()}
    return Means(
        [video for video, there in zip(labels, kept, strict=True) if there],
        np.array(list(labels.values()), np.int64)[kept],
        sums[kept] / counts[kept, None],
        _facts(sampling, task, counts[kept], named),
    )


def labels_of(entries: Iterable[lists.Entry]) -> dict[str, int]:
    """{video: label}, in order of first appearance.

    Raises:
        ValueError: If a video has two labels.
    """
    labels: dict[str, int] = {}
    for entry in entries:
        if labels.setdefault(entry.video, entry.label) != entry.label:
            raise ValueError(
                f"a video must have one label. Received: {entry.video} with "
                f"{labels[entry.video]} and {entry.label}."
            )
    return labels


def _facts(sampling, task, counts, failures):
    return {
        "how": sampling.how,
        "clips": [int(counts.min()), int(counts.max())],
        "resize": list(task.clip.resize),
        "static": task.static,
        "frames": task.frames,
        "stride": task.stride,
        "size": task.clip.size,
        "crops": task.crops,
        "modality": task.network.modality,
        "videos": len(counts),
        "failures": failures,
    }


class _Failures:
    """Collects failing videos, or raises an error for the first if failures are not allowed."""

    def __init__(self, data, allowed):
        self.data, self.allowed, self.reasons = data, allowed, {}

    def add(self, number, reason):
        video = self.data.videos[number]
        if not self.allowed:
            raise ValueError(
                f"{self.data.data}: every video must decode, unless allow_failures is true. "
                f"Received: {video}: {reason}."
            )
        logging.warning("Skipping %s: %s.", video, reason)
        self.reasons[number] = reason


def values_here(
    function: Callable[[Any], Any], data: Any, sampling: Sampling, task: PlainClips
) -> Source:
    """Source for `over_clips` that computes values in this process.

    Args:
        function: function from a batch of clips to a tensor (batch, D).
        data: an opened data set.
        sampling: which clips to use.
        task: the task made by `sampling`.
    """
    geometry = clips.Geometry(task.clip.resize, task.clip.size, random=False)

    def values(examples):
        reader = clips.Reader(data, examples, task, geometry, shuffle=False)
        done = 0
        try:
            for batch, _ in reader.once(sampling.batch, sampling.threads or None):
                yield function(batch).numpy()
                done += len(batch)
        except (OSError, ValueError, tf.errors.OpError) as error:
            failure = _first_failure(reader, range(done, min(done + sampling.batch, len(examples))))
            if failure is None:
                raise error
            yield failure

    return values


def numbered(
    source: Source, examples: clips.Examples, failures: Any
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Computes the values of examples in order; skips the rest of a failing video.

    Args:
        source: computes the values.
        examples: clips to use.
        failures: `add(number, reason)` records a failing video; videos in `reasons` are skipped.

    Yields:
        (video numbers of the clips, values (clips, D)).
    """
    left = np.flatnonzero(~np.isin(examples.videos, list(failures.reasons)))
    while len(left):
        part, done, failure = examples[left], 0, None
        with contextlib.closing(source(part)) as found:
            for values in found:
                if isinstance(values, Failure):
                    failure = values
                    break
                yield part.videos[done : done + len(values)].tolist(), values
                done += len(values)
        if failure is None:
            return
        failures.add(*failure)
        left = left[done:]
        left = left[examples.videos[left] != failure.number]


def _first_failure(reader, positions):
    """`Failure` of the first of these examples that fails; None if they all succeed."""
    for position in positions:
        number = int(reader.examples.videos[position])
        try:
            reader.load(0, position, substitute=False)
        except (OSError, ValueError) as error:
            return Failure(number, str(error).rstrip("."))
        try:
            reader.clip(0, position, substitute=False)
        except tf.errors.OpError as error:
            return Failure(number, error.message.splitlines()[0])
    return None
