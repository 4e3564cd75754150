"""Some frames of a video file, found by their times."""

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

PROBED = (1 / 2, 7 / 8)  # places in a video to which jumps are tried before they are relied on
LONGEST_TEXT = 100_000  # characters of a video's times; longer ones are not kept
SAMPLES = 32  # pixels in each direction that tell two pictures apart


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a whole video file holds.

    Attributes:
        frames: how many.
        height: of the first, in pixels.
        width: of the first, in pixels.
        times: when each is shown, in the file's units; "" if jumps do not lead to the very frame
            that is wanted. As `START STEP`, of which the multiples are rounded, or as the first
            time and how far each is from the one before, `A,B,C*3` for A, B, C, C, C.
        keys: the frames at which decoding can begin, written like the second form.
        lead: how long before a key frame's time a jump must aim, in the file's units.
    """

    frames: int
    height: int
    width: int
    times: str = ""
    keys: str = ""
    lead: int = 0


def measure(path: PathLike) -> Facts:
    """Decodes a file from end to end, for its `Facts`.

    Nothing less will do: containers estimate their frame count, and not every packet is a picture.
    Jumps count as right where the times of the frames increase, and jumps to two frames gave the
    same pixels as going there.

    Raises:
        VideoError: as for `frames`.
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
        step = 1 / (film.rate * film.stream.time_base) if film.rate else Fraction(1)
        # Where a file is searched by the times of decoding (MPEG's streams), a jump must aim there.
        delay = max((shown - decoded for shown, decoded in film.keys.items()), default=0)
        leads = sorted({0, delay, delay + round(1 / film.stream.time_base)})
    facts = Facts(len(prints), height, width)
    if None in times or any(b <= a for a, b in itertools.pairwise(times)) or not keys:
        return facts
    found = dataclasses.replace(facts, times=_write_times(times, step), keys=_write(keys))
    if max(len(found.times), len(found.keys)) > LONGEST_TEXT:
        return facts
    candidates = (dataclasses.replace(found, lead=lead) for lead in leads)
    return next((facts for facts in candidates if _leads_there(path, facts, prints)), facts)


def _leads_there(path, facts, prints):
    """Whether jumps to some frames lead to the pictures with these fingerprints."""
    probed = sorted({int(facts.frames * share) for share in PROBED})
    return all(
        frame is not None and _fingerprint(frame) == prints[number]
        for number, frame in _reached(path, probed, facts)
    )


def pick(
    path: PathLike,
    indices: Sequence[int],
    size: tuple[int, int] | None = None,
    facts: Facts | None = None,
) -> np.ndarray:
    """Decodes some frames of a video file, and what it must on the way to them.

    Args:
        path: the file.
        indices: of the frames, counted from 0, in any order, also repeated.
        size: (width, height) as for `frames`.
        facts: of the file; without, or without times, it is decoded from its start.

    Returns:
        uint8 (len(indices), height, width, 3), R G B: equal to what `frames` yields.

    Raises:
        VideoError: the file cannot be opened, or a frame cannot be decoded.
    """
    wanted = sorted(set(map(int, indices)))
    jumps = facts is not None and facts.times
    pictures, found = Pictures(size), {}
    for index, frame in _reached(path, wanted, facts) if jumps else _passed(path, wanted):
        if frame is None:  # the jump led elsewhere
            return pick(path, indices, size)
        found[index] = pictures.rgb(frame)
    return np.stack([found[int(index)] for index in indices])


def _passed(path, wanted):
    """Yields (index, frame) on the way through a file."""
    with Film(path) as film:
        shots = enumerate(film.shots())
        for index in wanted:
            found = next((shot.frame for number, shot in shots if number == index), None)
            if found is None:
                raise VideoError(f"frame {index} cannot be decoded")
            yield index, found


def _reached(path, wanted, facts):
    """Yields (index, frame) by jumps to key frames; None for a frame that is not found there."""
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
    """The decoded frames from where a film stands; none if the first comes after that time."""
    frames = (shot.frame for shot in film.shots())
    first = next(frames, None)
    late = first is None or (latest is not None and (first.pts is None or first.pts > latest))
    if not late:
        yield first
        yield from frames


def _fingerprint(frame):
    """What tells a decoded frame from another: some of the values of its first plane."""
    plane = frame.planes[0]
    lines = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)
    width = min(plane.width, plane.line_size)
    rows, columns = max(1, plane.height // SAMPLES), max(1, width // SAMPLES)
    return hash(lines[::rows, :width:columns].tobytes())


def _write_times(times, step):
    """Times as text: by a step if that gives the very same, else one after the other."""
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
    """Increasing numbers as text."""
    steps = [b - a for a, b in itertools.pairwise(numbers)]
    runs = ((step, len(list(run))) for step, run in itertools.groupby(steps))
    return ",".join([str(numbers[0]), *(f"{s}*{n}" if n > 1 else str(s) for s, n in runs)])


@functools.lru_cache(maxsize=256)
def _read(text):
    """The numbers that `_write` wrote."""
    parts = [part.partition("*") for part in text.split(",")]
    steps = [int(step) for step, _, _ in parts]
    return np.cumsum(np.repeat(steps, [int(count or 1) for _, _, count in parts]))
