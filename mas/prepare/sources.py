"""OUTPUT/sources.csv: the file that each video was prepared from, to detect later changes.

video     id of the video
file      its file below the folder of videos; keeps the id stable when another file with the
          same stem appears
bytes, changed    size and modification time (ns) when preparation started; empty until then
crc32     checksum of the rest of the line; not written by earlier versions
"""

from __future__ import annotations

import collections
import csv
import os
import pathlib
import posixpath

from absl import logging

from mas import files, lists, records

SOURCES = "sources.csv"
FIELDS = ("video", "file", "bytes", "changed", "crc32")


def stamp(path):
    """(bytes, modification time in ns) of a file, as text; None if the file does not exist."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return str(status.st_size), str(status.st_mtime_ns)


def keep_ids(root, planned, videos):
    """Gives files the ids they already have in a data set.

    Files with the same stem have ids with extensions (`lists.find_videos`); but a file that was
    prepared before the others appeared has an id without one, and keeps it.

    Args:
        root: folder of the data set.
        planned: ids in the data set.
        videos: {id: path}.

    Returns:
        {id: path}, in the same order.
    """
    known = {file: video for video, (file, *_) in read(root).items()}
    taken, planned = set(known.values()), set(planned)
    alike = collections.defaultdict(list)
    for video, path in videos.items():
        stem = lists.video_id(video)
        if video != stem and stem in planned - taken and _file(video, path) not in known:
            alike[stem].append(video)
    # Earlier versions did not record the file: assume the oldest one.
    first = {min(names, key=lambda n: _age(videos[n])): stem for stem, names in alike.items()}
    return {
        known.get(_file(video, path), video if video in planned else first.get(video, video)): path
        for video, path in videos.items()
    }


def _age(path):
    try:
        return os.stat(path).st_ctime_ns
    except OSError:
        return float("inf")


def _file(video, path):
    return posixpath.join(posixpath.dirname(video), os.path.basename(path))


class Sources:
    """Rows of sources.csv, updated while videos are prepared.

    Each finished video appends a row; the last row of a video counts.
    """

    def __init__(self, root, videos):
        """Reads the existing rows and adds the videos of this call.

        Args:
            root: folder of the data set.
            videos: {id: path}.
        """
        self._path, self._videos = root / SOURCES, videos
        self._rows, self._now, self._stored = read(root), {}, set()
        for video, path in videos.items():
            self._rows.setdefault(video, (_file(video, path), "", ""))

    def changed(self, stored):
        """Ids of stored videos whose file has changed; records files seen for the first time."""
        changed, self._stored = [], set(stored)
        for video in self._videos:
            file, *before = self._rows[video]
            now = stamp(self._videos[video])
            if video in stored and now and not all(before):  # of an earlier version
                self._rows[video] = (file, *now)
            elif video in stored and now and tuple(before) != now:
                changed.append(video)
        return changed

    def begin(self, video):
        """Records the state of a video's file before it is read.

        A new video gets its row right away, so that a run killed just after storing the video
        still leaves the row.
        """
        self._now[video] = stamp(self._videos[video]) or ("", "")
        if video not in self._stored:
            self._rows[video] = (_file(video, self._videos[video]), *self._now[video])

    def end(self, video):
        """Appends the row of a video that was prepared."""
        file = _file(video, self._videos[video])
        self._rows[video] = (file, *self._now[video])
        options = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
        with files.writing(self._path), open(self._path, "a", **options) as out:
            csv.writer(out).writerow(_sealed(video, self._rows[video]))

    def write(self, order):
        """Writes all rows, in the order of the ids given."""
        rows = [_sealed(video, self._rows[video]) for video in order if video in self._rows]
        files.write_csv(self._path, FIELDS, rows)


def _sealed(video, row):
    return (video, *row, records.row_checksum((video, *row)))


def read(root):
    """Reads {id: (file, bytes, changed)}; {} for data sets of earlier versions.

    Damaged lines are skipped: changes of their files go unnoticed.
    """
    path = pathlib.Path(root, SOURCES)
    try:
        header, *rows = (records.read_table(path) if path.is_file() else []) or [()]
    except ValueError as error:
        logging.warning("%s", error)
        return {}
    if rows and not path.read_bytes().endswith(b"\n"):  # the last line is cut: the disk was full
        rows.pop()
    wanted = FIELDS if tuple(header) == FIELDS else FIELDS[:-1]
    found = {
        row[0]: tuple(row[1:4])
        for row in rows
        if len(row) == len(wanted) and (wanted != FIELDS or row[4] == records.row_checksum(row[:4]))
    }
    if len(found) < len({tuple(row[:1]) for row in rows}):
        logging.warning("%s has damaged lines, which are skipped.", path)
    return found
