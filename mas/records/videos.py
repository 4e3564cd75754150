"""Video files without preparation, decoded for every clip.

The files are measured once. The results are kept in the user's cache folder, because the folder of
the videos may be shared or read-only.

    $XDG_CACHE_HOME/mas/videos-DIGEST.csv   (default: ~/.cache)
        file                   path below the folder
        bytes, changed         size and time in ns; if either changes, the file is measured again
        frames, height, width, times, keys, lead    its `video.Facts`; 0 frames if unreadable
        reason                 why it is unreadable
        crc32                  checksum of the line
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
SAVE_EVERY = 30  # seconds; a killed run repeats at most this much
MOST_NAMED = 10  # unreadable files to log; the csv file names all


class Videos:
    """A folder of video files, decoded on access; unreadable files have 0 frames."""

    decoded, has_flow = True, False

    def __init__(self, data: PathLike, files: dict[str, str]):
        """Measures all new and changed files, several in parallel.

        Args:
            data: folder of the videos.
            files: {id: path below the folder}, from `lists.find_videos`.

        Raises:
            ValueError: If no file can be read.
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
        """Decodes some frames of a video.

        Args:
            number: index of the video in `videos`.
            frames: frame indices, from 0, in any order.
            size: (width, height) to resize to, bilinear, without keeping the aspect ratio. The
                pixels equal those of `mas.prepare` at this size, with flow of the same size or
                none, before JPEG compression.

        Returns:
            uint8 (len(frames), height, width, 3), R G B.

        Raises:
            IndexError: If the video does not have such a frame.
            video.VideoError: If a frame cannot be decoded, or the file does not exist any more.
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
        """Returns the declared frames per second of a video, or 0.0 if unknown."""
        return video.frame_rate(self.data / self._files[number])


def index_path(data: PathLike) -> pathlib.Path:
    """Returns the cache file of a folder of videos; it depends on the version of the decoder."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    text = f"{video.decoder()}\n{os.path.realpath(data)}"
    digest = hashlib.sha256(os.fsencode(text)).hexdigest()[:16]
    return pathlib.Path(cache, "mas", f"videos-{digest}.csv")


def _index(data, files):
    """Returns {file: (`video.Facts`, reason or "")}; measures files that are not in the cache."""
    stamps, path = {file: _stamp(data / file) for file in files}, index_path(data)
    known = {
        file: found for (file, *stamp), found in _read(path) if stamps.get(file) == tuple(stamp)
    }
    left = [file for file in files if file not in known]
    if not left:
        return known
    logging.info("%s: measuring %d of %d video files, once.", data, len(left), len(files))
    saved = time.monotonic()
    pool = concurrent.futures.ThreadPoolExecutor()  # the decoder releases the GIL
    try:
        jobs = {pool.submit(_measure, data, file): file for file in left}
        ended = concurrent.futures.as_completed(jobs)
        for job in tqdm.tqdm(ended, total=len(jobs), unit="video", desc="measure"):
            file = jobs[job]
            try:
                known[file] = job.result()
            except OSError as error:  # may be temporary, so it is not cached
                known[file], stamps[file] = (UNREADABLE, error.strerror or str(error)), None
            if time.monotonic() - saved > SAVE_EVERY:
                _write(path, stamps, known)
                saved = time.monotonic()
    finally:
        pool.shutdown(cancel_futures=True)
        _write(path, stamps, known)
    return known


def _stamp(path):
    """Returns (bytes, modification time in ns) of a file, or None if it cannot be read."""
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
    """Yields ((file, bytes, changed), (facts, reason)) from a file written by `_write`."""
    if not path.is_file():
        return
    try:
        header, *rows = read_table(path) or [()]
        if tuple(header) != FIELDS:  # another version's
            return
        for *row, checksum in rows:
            name, size, changed, frames, height, width, times, keys, lead, reason = row
            if checksum != row_checksum(row):
                raise ValueError(f"the checksum of {name} does not match.")
            numbers = map(int, (frames, height, width))
            facts = video.Facts(*numbers, times=times, keys=keys, lead=int(lead))
            yield (name, int(size), int(changed)), (facts, reason)
    except (OSError, ValueError) as error:
        logging.warning("%s is damaged and is rebuilt: %s", path, error)


def _write(path, stamps, known):
    """Writes the results of the files that have a stamp."""
    rows = [
        (file, *stamps[file], *dataclasses.astuple(facts), reason)
        for file, (facts, reason) in sorted(known.items())
        if stamps[file]
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_csv(path, FIELDS, [(*row, row_checksum(row)) for row in rows])
    except OSError as error:
        logging.warning("%s cannot be written, so nothing is cached: %s.", path, error.strerror)


def _report(data, unreadable, total):
    """Logs the files that cannot be read; raises if there are no others."""
    if not unreadable:
        return
    file, reason = min(unreadable.items())
    if len(unreadable) == total:
        raise ValueError(
            f"{data} must contain a video file that can be decoded. Received: {total} undecodable, "
            f"such as {file}: {reason}."
        )
    for file, reason in sorted(unreadable.items())[:MOST_NAMED]:
        logging.warning("%s: %s", data / file, reason)
    logging.warning(
        "%s: %d of %d video files cannot be read and are left out; %s names all.",
        *(data, len(unreadable), total, index_path(data)),
    )
