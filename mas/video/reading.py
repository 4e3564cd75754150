"""The frames of a video file in order, with what a caller may ask for: size, rate, whole frames."""

from __future__ import annotations

import collections
import dataclasses
import itertools
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
        path: file of any container and codec that PyAV's FFmpeg reads.
        size: (width, height) in pixels to resize to, bilinear, aspect ignored; None keeps the size.
        deinterlace: whether interlaced frames become progressive ones, as many (bwdif); else the
            lines of both fields stay in one frame.
        fps: frames per second that the video is resampled to by its times, each the frame that is
            shown then; None yields every frame once, however long it is shown.
        damaged: function that is called with what is missing of a file that is cut or damaged,
            after the frames that decode in full; None refuses such a file.

    Yields:
        uint8 (height, width, 3), R G B, turned and mirrored as a player shows them.

    Raises:
        VideoError: the file cannot be opened, holds no frames, or is not whole. The last may be
            known only after frames were yielded.
    """
    with Film(path) as film:
        shots = film.whole(damaged)
        if deinterlace:
            shots = _deinterlaced(shots)
        counted: Iterable[tuple[Shot, int]] = ((shot, 1) for shot in shots)
        if fps is not None:
            counted = resampled(shots, fps, film.stream.time_base, film.step)
        pictures = Pictures(size)
        for shot, count in counted:
            if count:
                image = pictures.rgb(shot.frame)
                yield from itertools.repeat(image, count)


def frame_rate(path: PathLike) -> float:
    """Frames per second as the container declares them; 0.0 where it does not."""
    with Film(path) as film:
        return float(film.rate)


def declared_frames(path: PathLike, fps: float | None = None) -> int:
    """How many frames the container declares, often an estimate; 0 where it does not.

    Args:
        path: the file.
        fps: as for `frames`.
    """
    with Film(path) as film:
        count = film.declared()
        return round(count / film.rate * Fraction(fps)) if fps and film.rate else count


def resampled(
    shots: Iterable[Shot], fps: float, unit: Fraction, step: int
) -> Iterator[tuple[Shot, int]]:
    """Yields each picture and how often it is shown at a constant rate, 0 for one that is left out.

    A picture takes the places from its own time, rounded, to that of the next, as in FFmpeg's
    filter `fps`; the first begins at place 0.

    Args:
        shots: in order.
        fps: frames per second, > 0.
        unit: of the times, in seconds.
        step: how long the last picture is shown where the file does not say, in units.

    Raises:
        VideoError: a picture would be shown for longer than `LONGEST_PAUSE`.
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
    """The pictures with the lines of one field filled in from its neighbours, if interlaced."""
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
    source = graph.add_buffer(template=frame, time_base=Fraction(1, 1000))  # of any unit
    bwdif = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
    graph.link_nodes(source, bwdif, graph.add("buffersink")).configure()
    return graph


def _pull(graph, waiting, last=False):
    """What the filter has ready, with the times of what went in: one for one, in order."""
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
