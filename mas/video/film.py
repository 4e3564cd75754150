"""An open video file: its frames in order, and what is missing."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from mas import lazy
from mas.files import PathLike
from mas.video import containers, opening
from mas.video.opening import NO_FRAME, VideoError, choose, codec_name, open_container

av = lazy.module("av")

MOST_ERRORS = 100  # consecutive read errors that count as the end of a file
USUAL_RATE = 25  # frames per second, if a file has neither times nor a rate


@dataclasses.dataclass(frozen=True)
class Shot:
    """A decoded frame.

    Attributes:
        time: presentation time in the stream's `time_base`.
        length: declared duration in the same unit, or 0 if unknown.
        frame: the `av.VideoFrame`.
    """

    time: int
    length: int
    frame: Any


class Film:
    """An open video file.

    Attributes:
        stream: stream to decode: the default one, else the largest.
        unit: time base of the stream, in seconds.
        rate: declared frames per second, or 0 if unknown.
        step: time between frames at that rate, in the stream's time base.
        keys: {presentation time: decoding time} of the key frames read so far, in the stream's time
            base.
    """

    def __init__(self, path: PathLike):
        """Opens a file.

        Raises:
            VideoError: If the path is not a regular file, or the file is empty, not a video, or has
                a codec that cannot be decoded.
            OSError: If the file does not exist or cannot be read.
        """
        self.path = path
        self._container = open_container(path)
        try:
            self.stream = choose(self._container, path)
        except BaseException:
            self._container.close()
            raise
        context = self.stream.codec_context
        # Decoding several files in parallel is faster than several threads per file.
        context.thread_count, context.thread_type = 1, "NONE"
        context.options = {"max_pixels": str(opening.MOST_PIXELS), "err_detect": "crccheck"}
        # PyAV 19 has rational numbers of its own, whose arithmetic may round.
        self.unit = Fraction(self.stream.time_base)
        self.rate = Fraction(self.stream.average_rate or self.stream.guessed_rate or 0)
        self.step = max(1, round(1 / (self.rate or USUAL_RATE) / self.unit))
        self.keys: dict[int, int] = {}
        self._indexed = len(self.stream.index_entries)  # before reading adds entries
        self._shown, self._lost, self._first_lost = 0, 0, 0  # frames
        self._packets, self._errors = 0, 0
        self._damaged: set[int] = set()  # times of damaged packets
        self._order: collections.deque[int] = collections.deque()  # times of packets in an avi

    def __enter__(self) -> Film:
        """Returns the film."""
        return self

    def __exit__(self, *error: object) -> None:
        """Closes the file."""
        self._container.close()

    @property
    def _is_avi(self):
        return self._container.format.name == "avi"

    def declared(self) -> int:
        """Returns the declared number of frames, often an estimate; 0 if unknown."""
        if self.stream.frames:
            return self.stream.frames
        length = self.stream.duration and self.stream.duration * self.unit
        return max(0, round((length or (self._container.duration or 0) / 10**6) * self.rate))

    def whole(self, damaged: Callable[[str], None] | None = None) -> Iterator[Shot]:
        """Yields all frames in presentation order.

        Args:
            damaged: function called with a description of what is missing, after the last frame. If
                None, an error is raised instead, and no frame after the first missing one is
                yielded.

        Raises:
            VideoError: If no frame can be decoded, or if frames are missing and `damaged` is None.
        """
        structure = containers.check(self.path)
        refused = damaged is None and bool(structure) and not self._expected(structure)
        partial = structure.missing and self._container.format.name == "gif"
        for shot in self._without_last() if partial else self.shots():
            refused = refused or (damaged is None and self._lost > 0)
            if not refused:
                yield shot
        reason = self._missing(structure)
        if reason and (damaged is None or not self._shown):
            raise VideoError(reason)
        if reason and damaged:
            damaged(reason)

    def shots(self) -> Iterator[Shot]:
        """Yields the frames that decode completely, from the current position."""
        time = None
        for frame in self._decoded():
            time = self._time(frame, time)
            if frame.is_corrupt or frame.pts in self._damaged:
                self._count_lost()
            else:
                self._shown += 1
                yield Shot(time, frame.duration or 0, frame)

    def _without_last(self):
        """Yields all frames except the last, for decoders that accept a truncated frame."""
        before = None
        for shot in self.shots():
            if before:
                yield before
            before = shot
        self._shown -= before is not None

    def seek(self, time: int) -> bool:
        """Seeks to the last key frame at or before a time in the stream's time base.

        Returns:
            Whether seeking succeeded. If not, the position is undefined.
        """
        self._order.clear()
        try:
            self._container.seek(time, stream=self.stream)
        except av.error.FFmpegError:
            return False
        return True

    def _decoded(self):
        """Yields decoded frames; packets that the decoder rejects are counted as lost."""
        for packet in self._read():
            try:
                yield from self.stream.codec_context.decode(packet)
            except av.error.FFmpegError:
                self._count_lost()
                if packet is not None and self._order:
                    self._order.pop()

    def _read(self):
        """Yields the packets of the stream, then None."""
        errors = 0
        while errors < MOST_ERRORS:
            try:
                for packet in self._container.demux(self.stream):
                    if packet.size or packet.dts is not None:  # not the end marker
                        errors = 0
                        self._note(packet)
                    if packet.size:  # an empty packet repeats the previous frame
                        yield packet
                break
            except IndexError:  # at the end, if damage looked like another stream (PyAV 18.1)
                break
            except av.error.FFmpegError:
                errors, self._errors = errors + 1, self._errors + 1
        yield None

    def _note(self, packet):
        self._packets += 1
        if packet.pts is not None and packet.is_keyframe:
            self.keys[packet.pts] = packet.pts if packet.dts is None else packet.dts
        if packet.pts is not None and packet.is_corrupt:
            self._damaged.add(packet.pts)
        if packet.size and packet.dts is not None and self._is_avi:
            self._order.append(packet.dts)  # avi has no presentation times

    def _time(self, frame, before):
        """Returns the presentation time of a frame, derived from the rate if the file has none."""
        time = self._order.popleft() if self._order else frame.pts
        if time is None or (before is not None and time <= before):
            return 0 if before is None else before + self.step
        return time

    def _count_lost(self):
        self._first_lost = self._first_lost if self._lost else self._shown
        self._lost += 1

    def _expected(self, structure):
        """Returns the number of packets in the container's index, or 0 if there is none."""
        if "mp4" in self._container.format.name:
            whole = not structure or (self.stream.frames and structure.place is None)
            return self._indexed if whole else 0  # each fragment has an index
        if not self._is_avi:
            return 0
        # The index may be truncated; the count in the header is not always right.
        complete = self._indexed >= self._packets and not structure.missing
        return self._indexed if complete else self.stream.frames

    def _missing(self, structure):
        """Describes what is missing after the file has been read, or returns ""."""
        expected, lost = self._expected(structure), self._lost
        missing = max(0, expected - self._packets)
        if expected and self._shown and not (missing or lost):
            return ""  # whatever was truncated, no frames are missing
        some = f"{self._shown} frame{'' if self._shown == 1 else 's'}"
        if structure.missing:
            some = f"{self._shown} of {expected} declared frames" if missing else some
            return f"truncated: {some} can be decoded, {structure.missing} bytes are missing"
        if not self._shown:
            name = codec_name(self._container, self.stream, self.path)
            tried = f" (codec {name}, {lost} lost)" if lost else ""
            return NO_FRAME + tried
        if structure.place is not None:
            place = f"no part of the container begins at byte {structure.place}"
            return f"damaged: {some} can be decoded, {place}"
        if lost or missing:
            total = max(self._shown + lost + missing, expected)
            first = f", the first is frame {self._first_lost}" if lost else ""
            return f"damaged: {lost + missing} of {total} frames cannot be decoded{first}"
        if self._errors and not expected:
            return f"damaged: {some} can be decoded, then the file cannot be read"
        return ""
