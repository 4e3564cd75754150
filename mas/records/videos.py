"""Video files without preparation: decoded for every clip.

What the files hold is measured once and kept in a file of the user's cache folder, none in the
folder of the videos: it may be shared, or not writable.

    $XDG_CACHE_HOME/mas/videos-DIGEST.csv   (~/.cache where that is not set)
        file                   below the folder
        bytes, changed         a file that does not have both, time in ns, is measured again
        frames, height, width, times, keys, lead    its `video.Facts`; 0 frames where it cannot be
                               read
        reason                 why it cannot
        crc32                  of the line before it
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import os
import pathlib
import time
from collections.abc import Sequence

import numpy as np
import tqdm
from absl import logging

from mas import files, video
from mas.files import PathLike
from mas.records.layout import check_frames, read_table, row_checksum

FACTS = tuple(field.name for field in dataclasses.fields(video.Facts))
FIELDS = ("file", "bytes", "changed", *FACTS, "reason", "crc32")
UNREADABLE = video.Facts(frames=0, height=0, width=0)
SAVE_EVERY = 30  # seconds; what a killed run has measured since is measured again
MOST_NAMED = 10  # of the unreadable files; the csv file names all


class Videos:
    """A folder of video files, decoded as they are read; those that cannot be have 0 frames."""

    decoded, has_flow = True, False

    def __init__(self, data: PathLike, files: dict[str, str]):
        """Measures every file that is new or has changed, several at a time.

        Args:
            data: the folder.
            files: {id: path below the folder}, as of `lists.find_videos`.

        Raises:
            ValueError: none of the files can be read.
        """
        self.data = pathlib.Path(data)
        self.videos, self._files = list(files), list(files.values())
        found = _index(self.data, self._files)
        self._stamps = [_stamp(self.data / file) for file in self._files]
        self._facts = [found[file][0] for file in self._files]
        self.lengths = np.array([facts.frames for facts in self._facts], np.int64)
        self.sizes = np.array([(facts.height, facts.width) for facts in self._facts], np.int64)
        reasons = {file: reason for file, (_, reason) in found.items() if reason}
        _report(self.data, reasons, len(files))
        root = os.path.abspath(self.data)
        self.failures = {os.path.join(root, file): reason for file, reason in reasons.items()}

    def frames(self, number: int, frames: Sequence[int], size: tuple[int, int]) -> np.ndarray:
        """Some frames of one video, decoded.

        Args:
            number: of the video in `videos`.
            frames: indices, counted from 0, in any order.
            size: (width, height) that they are resized to, bilinear, aspect ignored: as
                `mas.prepare` does, so the pixels are those of a data set prepared in this size
                with flow of the same size or none, before the loss of JPEG.

        Returns:
            uint8 (len(frames), height, width, 3), R G B.

        Raises:
            IndexError: the video has no such frame.
            video.VideoError: a frame cannot be decoded, or the file is gone.
        """
        check_frames(self, number, frames)
        path = self.data / self._files[number]
        if _stamp(path) not in (self._stamps[number], None):
            raise video.VideoError("has changed since it was measured")
        try:
            return video.pick(path, frames, size, self._facts[number])
        except OSError as error:
            raise video.VideoError(error.strerror or str(error)) from error

    def rate(self, number: int) -> float:
        """Frames per second of a video as its container declares them; 0.0 where it does not."""
        return video.frame_rate(self.data / self._files[number])


def index_path(data: PathLike) -> pathlib.Path:
    """The file in which the measures of a folder's videos are kept: one for each decoder."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    text = f"{video.decoder()}\n{os.path.realpath(data)}"
    digest = hashlib.sha256(os.fsencode(text)).hexdigest()[:16]
    return pathlib.Path(cache, "mas", f"videos-{digest}.csv")


def _index(data, files):
    """{file: (`video.Facts`, reason or "")}, measured where it is not known."""
    stamps, path = {file: _stamp(data / file) for file in files}, index_path(data)
    known = {
        file: found for (file, *stamp), found in _read(path) if stamps.get(file) == tuple(stamp)
    }
    left = [file for file in files if file not in known]
    if not left:
        return known
    logging.info("%s: measuring %d of %d video files, once.", data, len(left), len(files))
    saved = time.monotonic()
    pool = concurrent.futures.ThreadPoolExecutor()  # the decoder releases the interpreter's lock
    try:
        jobs = {pool.submit(_measure, data, file): file for file in left}
        ended = concurrent.futures.as_completed(jobs)
        for job in tqdm.tqdm(ended, total=len(jobs), unit="video", desc="measure"):
            file = jobs[job]
            try:
                known[file] = job.result()
            except OSError as error:  # may go well the next time, so it is not kept
                known[file], stamps[file] = (UNREADABLE, error.strerror or str(error)), None
            if time.monotonic() - saved > SAVE_EVERY:
                _write(path, stamps, known)
                saved = time.monotonic()
    finally:
        pool.shutdown(cancel_futures=True)
        _write(path, stamps, known)
    return known


def _stamp(path):
    """(bytes, time of the last change in ns) of a file; None if the system does not tell."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _measure(data, file):
    if file != os.fsencode(file).decode("utf-8", "replace"):
        return UNREADABLE, "its name is not UTF-8"
    try:
        return video.measure(data / file), ""
    except video.VideoError as error:
        return UNREADABLE, str(error)


def _read(path):
    """Yields ((file, bytes, changed), (facts, reason)) of a file that `_write` wrote."""
    if not path.is_file():
        return
    try:
        header, *rows = read_table(path) or [()]
        if tuple(header) != FIELDS:  # of another version
            return
        for *row, checksum in rows:
            name, size, changed, frames, height, width, times, keys, lead, reason = row
            if checksum != row_checksum(row):
                raise ValueError(f"{name} has another checksum.")
            numbers = map(int, (frames, height, width))
            facts = video.Facts(*numbers, times=times, keys=keys, lead=int(lead))
            yield (name, int(size), int(changed)), (facts, reason)
    except (OSError, ValueError) as error:
        logging.warning("%s is damaged, and is made again: %s", path, error)


def _write(path, stamps, known):
    """Keeps what is known of the files that have a stamp."""
    rows = [
        (file, *stamps[file], *dataclasses.astuple(facts), reason)
        for file, (facts, reason) in sorted(known.items())
        if stamps[file]
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_csv(path, FIELDS, [(*row, row_checksum(row)) for row in rows])
    except OSError as error:
        logging.warning("%s cannot be written, so nothing is kept: %s.", path, error.strerror)


def _report(data, unreadable, total):
    """Names the files that cannot be read; raises if that is all."""
    if not unreadable:
        return
    file, reason = min(unreadable.items())
    if len(unreadable) == total:
        raise ValueError(
            f"{data} must hold a video file that can be decoded. Received: {total} that cannot, "
            f"such as {file}: {reason}."
        )
    for file, reason in sorted(unreadable.items())[:MOST_NAMED]:
        logging.warning("%s: %s", data / file, reason)
    logging.warning(
        "%s: %d of %d video files cannot be read and are left out; %s names all.",
        *(data, len(unreadable), total, index_path(data)),
    )
