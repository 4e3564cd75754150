"""Writes the files of one video window by window: memory does not grow with its length."""

from __future__ import annotations

import csv
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from mas import files, pages
from mas.prediction.footage import Ended
from mas.prediction.segments import NONE, Segment, Track
from mas.prediction.settings import Report
from mas.prediction.stream import Window, likeliest


def columns(count: int) -> list[str]:
    """Header of the most likely classes: class, probability, class_2, probability_2, ..."""
    ends = ["", *(f"_{number}" for number in range(2, count + 1))]
    return [f"{name}{end}" for end in ends for name in ("class", "probability")]


def stamp(path: files.PathLike) -> list[int] | None:
    """Size and modification time of a file, to detect changes; None if they are unavailable."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


class Writer:
    """Writes the windows of one video as they come.

    Args:
        folder: folder of unfinished files.
        name: name of the video.
        path: file of the video.
        names: class names.
        report: settings of the results.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        name: str,
        path: pathlib.Path,
        names: Sequence[str],
        report: Report,
    ):
        """See the class."""
        self._folder, self._names, self._report = folder, names, report
        self._facts = {"video": name, "file": os.path.abspath(path), "stamp": stamp(path)}
        self._sum, self._again, self._track = np.zeros(len(names)), False, Track()
        with files.writing(folder):
            folder.mkdir(exist_ok=True)
            self._csv = open(self.path("windows.csv"), "w", newline="", encoding="utf-8")
            self._json = open(self.path("windows.json"), "w", encoding="utf-8")
            self._table = csv.writer(self._csv)
            self._table.writerow(("start", "end", *columns(min(report.top, len(names)))))

    def path(self, part: str) -> pathlib.Path:
        """Path of an unfinished file."""
        return self._folder / part

    def add(self, window: Window) -> None:
        """Writes a window."""
        classes = [(name, round(share, 4)) for name, share in window.top(self._report.top)]
        times = (round(window.start, 3), round(window.end, 3))
        flat = [part for name, share in classes for part in (pages.cell(name), share)]
        part = json.dumps({"start": times[0], "end": times[1], "classes": classes})
        with files.writing(self._folder):
            self._table.writerow((*times, *flat))
            self._json.write(f"{',' if len(self._track) else '['}\n{part}")
        self._sum += window.scores
        self._again = self._again or window.again
        self._track.add(window.start, window.end, window.label, window.probability)

    def finish(self, ended: Ended) -> dict[str, Any]:
        """Writes the summary of the video; returns it with "track", the windows' `Track`."""
        remarks = ["shorter than a window: repeated"] if self._again else []
        remarks += [ended.damage] if ended.damage else []
        limits = (self._report.threshold, self._report.min_seconds)
        means = self._sum / max(1, len(self._track))
        facts = {
            **self._facts,
            "frames": ended.frames,
            "rate": round(ended.rate, 4),
            "seconds": round(ended.seconds, 3),
            "windows": len(self._track),
            "remark": "; ".join(remarks),
            "classes": [
                (name, round(share, 4))
                for name, share in likeliest(means, self._names, self._report.top)
            ],
            "segments": [
                self._segment(part)
                for part in self._track.segments(ended.seconds, *limits)
                if part.label != NONE
            ],
        }
        with files.writing(self._folder), self._csv, self._json:
            self._json.write("\n]\n" if len(self._track) else "[]\n")
            files.write_json(self.path("video.json"), facts)
        return {**facts, "track": self._track}

    def _segment(self, part: Segment):
        times = {"start": round(part.start, 3), "end": round(part.end, 3)}
        probability = {"probability": round(part.probability, 4), "windows": part.windows}
        return {"class": self._names[part.label], **times, **probability}

    def close(self) -> None:
        """Closes the files; unfinished files of a failed video are overwritten later."""
        self._csv.close()
        self._json.close()
