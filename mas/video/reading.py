"""Reads the frames of a video file in order, optionally resized, resampled or deinterlaced."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

import numpy as np

from mas import lazy
from mas.files import PathLike
from mas.video.film import Film, Shot
from mas.video.opening import VideoError
from mas.video.pictures import Pictures

av = lazy.module("av")

LONGEST_PAUSE = 3600  # seconds that one frame may fill at a constant rate
FINEST_RATE = 10**5  # rates are rounded to a fraction with no larger denominator


def frames(
    path: PathLike,
    size: tuple[int, int] | None = None,
    *,
    deinterlace: bool = False,
    fps: float | None = None,
    damaged: Callable[[str], None] | None = None,
) -> Iterator[np.ndarray]:
    """Yields the frames of a video file in order.

    Args:
        path: file in any container and codec that PyAV's FFmpeg reads.
        size: (width, height) in pixels to resize to, bilinear, without keeping the aspect ratio;
            None keeps the size.
        deinterlace: whether to deinterlace interlaced frames (bwdif), without changing their
            number.
        fps: frames per second to resample to. Each output frame is the one shown at that time. None
            yields every frame once, however long it is shown.
        damaged: function called with a description of what is missing if the file is truncated or
            damaged, after all complete frames. If None, such a file raises an error.

    Yields:
        uint8 (height, width, 3), R G B, rotated and mirrored as a player shows it.

    Raises:
        VideoError: If the file cannot be opened, contains no frames, or is not whole. The last may
            be detected only after frames have been yielded.
    """
    for _, image in timed(path, size, deinterlace=deinterlace, fps=fps, damaged=damaged):
        yield image


def timed(
    path: PathLike,
    size: tuple[int, int] | None = None,
    *,
    deinterlace: bool = False,
    fps: float | None = None,
    damaged: Callable[[str], None] | None = None,
) -> Iterator[tuple[float, np.ndarray]]:
    """Yields (time, frame) for each frame of `frames`, in seconds since the first frame.

    With `fps` the times are multiples of 1 / fps.

    Args:
        path: as for `frames`.
        size: as for `frames`.
        deinterlace: as for `frames`.
        fps: as for `frames`.
        damaged: as for `frames`.

    Raises:
        VideoError: as for `frames`.
    """
    with Film(path) as film:
        shots = film.whole(damaged)
        if deinterlace:
            shots = _deinterlaced(shots)
        counted: Iterable[tuple[Shot, int]] = ((shot, 1) for shot in shots)
        if fps is not None:
            counted = resampled(shots, fps, film.unit, film.step)
        pictures, first, place = Pictures(size), None, 0
        for shot, count in counted:
            first = shot.time if first is None else first
            if not count:
                continue
            image = pictures.rgb(shot.frame)
            since = float((shot.time - first) * film.unit)
            for _ in range(count):
                yield since if fps is None else place / fps, image
                place += 1


def frame_rate(path: PathLike) -> float:
    """Returns the frames per second that the container declares, or 0.0 if unknown."""
    with Film(path) as film:
        return float(film.rate)


def declared_frames(path: PathLike, fps: float | None = None) -> int:
    """Returns the declared number of frames, often an estimate; 0 if unknown.

    Args:
        path: path of the file.
        fps: as for `frames`.
    """
    with Film(path) as film:
        count = film.declared()
        return round(count / film.rate * Fraction(fps)) if fps and film.rate else count


def resampled(
    shots: Iterable[Shot], fps: float, unit: Fraction, step: int
) -> Iterator[tuple[Shot, int]]:
    """Yields each frame with the number of times it is shown at a constant rate, which may be 0.

    A frame occupies the slots from its own time, rounded, to the time of the next, as in FFmpeg's
    filter `fps`. The first frame starts at slot 0.

    Args:
        shots: frames in order.
        fps: frames per second, above 0.
        unit: time base in seconds.
        step: duration of the last frame if the file does not declare it, in units.

    Raises:
        VideoError: If a frame would be shown for longer than `LONGEST_PAUSE`.
    """
    rate = Fraction(fps).limit_denominator(FINEST_RATE) * unit
    begin, place, before = 0, 0, None

    def places(end):
        if (end - before.time) * unit > LONGEST_PAUSE:
            raise VideoError(f"its times jump by {float((end - before.time) * unit):.0f} seconds")
        return math.floor((end - begin) * rate + Fraction(1, 2)) - place

    for shot in shots:
        if before is None:
            begin = shot.time
        else:
            count = places(shot.time)
            yield before, count
            place += count
        before = shot
    if before is not None:
        yield before, places(before.time + (before.length or step))


def _deinterlaced(shots):
    """Deinterlaces frames that are interlaced."""
    try:
        yield from _filtered(shots)
    except av.error.FFmpegError as error:
        raise VideoError(f"its frames cannot be deinterlaced: {error.strerror}") from error


def _filtered(shots):
    graph, form, waiting = None, None, collections.deque()
    for number, shot in enumerate(shots):
        frame = shot.frame
        if form != (frame.format.name, frame.width, frame.height):
            yield from _pull(graph, waiting, last=True)
            form = (frame.format.name, frame.width, frame.height)
            graph = _bwdif(frame)
        frame.pts = number
        waiting.append(shot)
        graph.push(frame)
        yield from _pull(graph, waiting)
    yield from _pull(graph, waiting, last=True)


def _bwdif(frame):
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add_buffer(template=frame, time_base=Fraction(1, 1000))  # arbitrary
    bwdif = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
    graph.link_nodes(source, bwdif, graph.add("buffersink")).configure()
    return graph


def _pull(graph, waiting, last=False):
    """Yields the filter's available output, one frame per input, with the input's time."""
    if graph is None:
        return
    if last:
        graph.push(None)
    while waiting:
        try:
            frame = graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        yield dataclasses.replace(waiting.popleft(), frame=frame)
