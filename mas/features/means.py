"""Videos -> one vector each: the mean over a video's clips of what a function makes of a clip.

Nothing but running sums is kept, so memory does not grow with the number of clips.
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
    """What `over_clips` found: of each video that did not fail, in the list's order.

    Attributes:
        videos: ids.
        labels: int64 (videos,).
        values: float64 (videos, D).
        facts: how they were made, as JSON can hold it: how, clips (least and most of a video),
            resize, static, frames, stride, size, crops, modality, videos, failures ({id: reason}).
    """

    videos: list[str]
    labels: np.ndarray
    values: np.ndarray
    facts: dict[str, Any]


class Failure(NamedTuple):
    """A video that fails: its number in the data set, and why."""

    number: int
    reason: str


# From clips.Examples to arrays (clips, D) in their order; after the first `Failure`, nothing.
Source: TypeAlias = "Callable[[clips.Examples], Generator[np.ndarray | Failure, None, None]]"


def over_clips(
    source: Source,
    data: Any,
    entries: Sequence[lists.Entry] | None,
    sampling: Sampling,
    task: PlainClips,
) -> Means:
    """Mean over the clips of each video of what a function makes of a clip.

    Args:
        source: where the values come from: `values_here`, or `remote.values_there`.
        data: an opened data set.
        entries: `lists.Entry` with the ids of the data set; None takes every video, unlabelled.
            Where lines name starts, those clips of a video are taken.
        sampling: which clips.
        task: of `sampling`.

    Returns:
        A `Means`.

    Raises:
        ValueError: a video cannot be decoded or leaves no clip (unless failures are allowed: then
            no video is left), or two lines give one video two labels; names the video.
    """
    numbers = {video: number for number, video in enumerate(data.videos)}
    labels = dict.fromkeys(numbers, -1) if entries is None else labels_of(entries)
    rows = {numbers[video]: row for row, video in enumerate(labels)}
    failures = _Failures(data, sampling.allow_failures)
    options = {"how": sampling.how, "count": sampling.clips, "least": task.least}
    examples = clips.examples(data, entries, task.span, **options, again=True)
    for number in sorted(set(rows) - set(examples.videos.tolist())):
        length = data.lengths[number]
        reason = f"{length} frames leave no clip of {task.span}"
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
        raise ValueError(f"{data.data} must hold a video that decodes. Received: none of them.")
    if failures.reasons:
        failed = (len(failures.reasons), len(rows))
        logging.warning("%d of %d videos failed and are left out.", *failed)
    named = {data.videos[number]: reason for number, reason in failures.reasons.items()}
    return Means(
        [video for video, there in zip(labels, kept, strict=True) if there],
        np.array(list(labels.values()), np.int64)[kept],
        sums[kept] / counts[kept, None],
        _facts(sampling, task, counts[kept], named),
    )


def labels_of(entries: Iterable[lists.Entry]) -> dict[str, int]:
    """{video: label}, in the order in which the videos come first.

    Raises:
        ValueError: a video has two labels.
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
    """Videos that fail: an error, or named and kept."""

    def __init__(self, data, allowed):
        self.data, self.allowed, self.reasons = data, allowed, {}

    def add(self, number, reason):
        video = self.data.videos[number]
        if not self.allowed:
            raise ValueError(
                f"{self.data.data}: every video must give its clips, unless allow_failures is "
                f"true. Received: {video}: {reason}."
            )
        logging.warning("Left out %s: %s.", video, reason)
        self.reasons[number] = reason


def values_here(
    function: Callable[[Any], Any], data: Any, sampling: Sampling, task: PlainClips
) -> Source:
    """What a function makes of clips, in this process: for `over_clips`.

    Args:
        function: from a batch of clips to a tensor (batch, D).
        data: an opened data set.
        sampling: which clips.
        task: of `sampling`.
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
            failure = _culprit(reader, range(done, min(done + sampling.batch, len(examples))))
            if failure is None:
                raise error
            yield failure

    return values


def numbered(
    source: Source, examples: clips.Examples, failures: Any
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Values of examples in order; resumes behind a video that fails.

    Args:
        source: where the values come from.
        examples: which clips.
        failures: `add(number, reason)` takes a video that fails; those in `reasons` are left out.

    Yields:
        (numbers of the clips' videos, values (clips, D)).
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


def _culprit(reader, positions):
    """The `Failure` of the first video that fails among some examples; None without."""
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
