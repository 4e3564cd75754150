"""OUTPUT/sources.csv: the file that each video of a data set is prepared from.

    video     its id
    file      that file below the folder of videos, by which it keeps its id when another of the
              same stem comes
    bytes, changed    of the file when its preparation began (time in ns); empty until then
    crc32     of the line before it; earlier versions wrote none

So a file that is another since then is noticed.
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
    """(bytes, time of the last change in ns) of a file as text; None if it is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return str(status.st_size), str(status.st_mtime_ns)


def keep_ids(root, planned, videos):
    """Renames videos to the ids by which a data set knows their files.

    Files of one stem keep their extension in their ids (`lists.find_videos`), but one of them may
    have come before the others, when it had none.

    Args:
        root: folder of the data set.
        planned: its ids.
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
    # An earlier version did not write which file it was: the one that has been there for longest.
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
    """The rows of the file, kept while videos are prepared.

    Each video that ends adds its row; the last of a video counts.
    """

    def __init__(self, root, videos):
        """Reads what is known, and adds the videos of this call.

        Args:
            root: folder of the data set.
            videos: {id: path}.
        """
        self._path, self._videos = root / SOURCES, videos
        self._rows, self._now, self._stored = read(root), {}, set()
        for video, path in videos.items():
            self._rows.setdefault(video, (_file(video, path), "", ""))

    def changed(self, stored):
        """Those of the stored videos whose file is another than it was; notes the unknown."""
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
        """Notes what the file of a video is, before it is read.

        It is written before the work where nothing of the video is stored, so that a run that is
        killed between storing a video and saying so leaves its row.
        """
        self._now[video] = stamp(self._videos[video]) or ("", "")
        if video not in self._stored:
            self._rows[video] = (_file(video, self._videos[video]), *self._now[video])

    def end(self, video):
        """Writes that a video was prepared from its file as it was."""
        file = _file(video, self._videos[video])
        self._rows[video] = (file, *self._now[video])
        options = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
        with files.writing(self._path), open(self._path, "a", **options) as out:
            csv.writer(out).writerow(_sealed(video, self._rows[video]))

    def write(self, order):
        """Writes all rows, in the order of a list of ids."""
        rows = [_sealed(video, self._rows[video]) for video in order if video in self._rows]
        files.write_csv(self._path, FIELDS, rows)


def _sealed(video, row):
    return (video, *row, records.row_checksum((video, *row)))


def read(root):
    """{id: (file, bytes, changed)}; {} where an earlier version prepared.

    Of a file whose line is damaged, no change is noticed.
    """
    path = pathlib.Path(root, SOURCES)
    try:
        header, *rows = (records.read_table(path) if path.is_file() else []) or [()]
    except ValueError as error:
        logging.warning("%s", error)
        return {}
    if rows and not path.read_bytes().endswith(b"\n"):  # a full disk took a part of the last line
        rows.pop()
    wanted = FIELDS if tuple(header) == FIELDS else FIELDS[:-1]
    found = {
        row[0]: tuple(row[1:4])
        for row in rows
        if len(row) == len(wanted) and (wanted != FIELDS or row[4] == records.row_checksum(row[:4]))
    }
    if len(found) < len({tuple(row[:1]) for row in rows}):
        logging.warning("%s has lines that are not as they were written.", path)
    return found
