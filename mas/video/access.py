"""Random access to the frames of a video file."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from mas.files import PathLike
from mas.video.film import Film
from mas.video.opening import VideoError
from mas.video.pictures import Pictures

PROBED = (1 / 2, 7 / 8)  # positions at which seeking is tested before it is used
LONGEST_TEXT = 100_000  # characters of the encoded times; longer ones are not kept
SAMPLES = 32  # pixels per axis in a fingerprint


@dataclasses.dataclass(frozen=True)
class Facts:
    """Properties of a whole video file.

    Attributes:
        frames: number of frames.
        height: height of the first frame in pixels.
        width: width of the first frame in pixels.
        times: presentation times in the stream's time base; "" if seeking does not find exact
            frames. Either `START STEP`, whose multiples are rounded, or the first time followed by
            run-length encoded differences: `A,B,C*3` for A, B, C, C, C.
        keys: numbers of the key frames, encoded like the second form of `times`.
        lead: how long before a key frame's time to seek, in the stream's time base.
    """

    frames: int
    height: int
    width: int
    times: str = ""
    keys: str = ""
    lead: int = 0


def measure(path: PathLike) -> Facts:
    """Decodes a file completely and returns its `Facts`.

    Decoding is necessary: containers only estimate the frame count, and not every packet is a
    frame. Seeking counts as exact if the times increase and two test seeks give the same pixels as
    decoding from the start.

    Raises:
        VideoError: See `frames`.
    """
    times: list[int] = []
    prints: list[int] = []
    with Film(path) as film:
        pictures = Pictures()
        for shot in film.whole():
            if not prints:
                height, width = pictures.rgb(shot.frame).shape[:2]
            times.append(shot.frame.pts)
            prints.append(_fingerprint(shot.frame))
        keys = [number for number, time in enumerate(times) if time in film.keys]
        step = 1 / (film.rate * film.unit) if film.rate else Fraction(1)
        # MPEG streams are searched by decoding time, so seeking must aim at that.
        delay = max((shown - decoded for shown, decoded in film.keys.items()), default=0)
        leads = sorted({0, delay, delay + round(1 / film.unit)})
    facts = Facts(len(prints), height, width)
    if None in times or any(b <= a for a, b in itertools.pairwise(times)) or not keys:
        return facts
    found = dataclasses.replace(facts, times=_write_times(times, step), keys=_write(keys))
    if max(len(found.times), len(found.keys)) > LONGEST_TEXT:
        return facts
    candidates = (dataclasses.replace(found, lead=lead) for lead in leads)
    return next((facts for facts in candidates if _seeking_works(path, facts, prints)), facts)


def _seeking_works(path, facts, prints):
    """Whether seeking to some frames finds the pictures with these fingerprints."""
    probed = sorted({int(facts.frames * share) for share in PROBED})
    return all(
        frame is not None and _fingerprint(frame) == prints[number]
        for number, frame in _by_seeking(path, probed, facts)
    )


def pick(
    path: PathLike,
    indices: Sequence[int],
    size: tuple[int, int] | None = None,
    facts: Facts | None = None,
) -> np.ndarray:
    """Decodes selected frames of a video file.

    Args:
        path: path of the file.
        indices: frame numbers from 0, in any order; may repeat.
        size: (width, height) in pixels, as for `frames`.
        facts: facts about the file; without them, or without times, decoding begins at the start.

    Returns:
        uint8 (len(indices), height, width, 3), R G B, identical to what `frames` yields.

    Raises:
        VideoError: If the file cannot be opened, or a frame cannot be decoded.
    """
    wanted = sorted(set(map(int, indices)))
    jumps = facts is not None and facts.times
    pictures, found = Pictures(size), {}
    for index, frame in _by_seeking(path, wanted, facts) if jumps else _by_decoding(path, wanted):
        if frame is None:  # seeking failed
            return pick(path, indices, size)
        found[index] = pictures.rgb(frame)
    return np.stack([found[int(index)] for index in indices])


def _by_decoding(path, wanted):
    """Yields (index, frame) by decoding from the start."""
    with Film(path) as film:
        shots = enumerate(film.shots())
        for index in wanted:
            found = next((shot.frame for number, shot in shots if number == index), None)
            if found is None:
                raise VideoError(f"frame {index} cannot be decoded")
            yield index, found


def _by_seeking(path, wanted, facts):
    """Yields (index, frame) by seeking to key frames; frame is None if it is not found."""
    times, keys = _read_times(facts.times, facts.frames), _read(facts.keys)
    with Film(path) as film:
        frames, position = _frames(film), 0
        for index in wanted:
            key = int(np.searchsorted(keys, index, "right")) - 1
            if key >= 0 and keys[key] > position:
                start = int(times[keys[key]])
                there = film.seek(start - facts.lead)
                frames = _frames(film, start) if there else iter(())
            frame = next((f for f in frames if f.pts is None or f.pts >= times[index]), None)
            yield index, frame if frame is not None and frame.pts == times[index] else None
            position = index + 1


def _frames(film, latest=None):
    """Yields decoded frames from the current position; none if the first is after `latest`."""
    frames = (shot.frame for shot in film.shots())
    first = next(frames, None)
    late = first is None or (latest is not None and (first.pts is None or first.pts > latest))
    if not late:
        yield first
        yield from frames


def _fingerprint(frame):
    """Returns a hash of some values of a frame's first plane."""
    plane = frame.planes[0]
    lines = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)
    width = min(plane.width, plane.line_size)
    rows, columns = max(1, plane.height // SAMPLES), max(1, width // SAMPLES)
    return hash(lines[::rows, :width:columns].tobytes())


def _write_times(times, step):
    """Encodes times: as a start and a step if that is exact, else as differences."""
    text = f"{times[0]} {step}"
    same = np.array_equal(_read_times(text, len(times)), times)
    return text if same else _write(times)


def _read_times(text, count):
    start, _, step = text.partition(" ")
    if not step:
        return _read(text)
    step = Fraction(step)
    numbers = np.arange(count, dtype=np.int64)
    return int(start) + (2 * numbers * step.numerator + step.denominator) // (2 * step.denominator)


def _write(numbers):
    """Encodes increasing numbers as text."""
    steps = [b - a for a, b in itertools.pairwise(numbers)]
    runs = ((step, len(list(run))) for step, run in itertools.groupby(steps))
    return ",".join([str(numbers[0]), *(f"{s}*{n}" if n > 1 else str(s) for s, n in runs)])


@functools.lru_cache(maxsize=256)
def _read(text):
    """Decodes numbers written by `_write`."""
    parts = [part.partition("*") for part in text.split(",")]
    steps = [int(step) for step, _, _ in parts]
    return np.cumsum(np.repeat(steps, [int(count or 1) for _, _, count in parts]))
