"""The files of one video, written as its windows come: memory does not grow with its length."""

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
    """Header of the likeliest classes: class, probability, class_2, probability_2, ..."""
    ends = ["", *(f"_{number}" for number in range(2, count + 1))]
    return [f"{name}{end}" for end in ends for name in ("class", "probability")]


def stamp(path: files.PathLike) -> list[int] | None:
    """What tells whether a file has changed; None where the system does not tell."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


class Writer:
    """Takes the windows of one video as they come, and writes them at once.

    Args:
        folder: for files that are unfinished.
        name: of the video.
        path: its file.
        names: of the classes.
        report: settings.
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
            options: Any = {"encoding": "utf-8", "errors": "surrogateescape"}
            self._csv = open(self.path("windows.csv"), "w", newline="", **options)
            self._json = open(self.path("video.json"), "w", **options)
            header = columns(min(report.top, len(names)))
            self._table = csv.writer(self._csv)
            self._table.writerow(("start", "end", *header))
            self._json.write(json.dumps(self._facts, indent=1)[:-2] + ',\n "windows": [')

    def path(self, part: str) -> pathlib.Path:
        """An unfinished file."""
        return self._folder / part

    def add(self, window: Window) -> None:
        """Writes a window."""
        classes = [(name, round(share, 4)) for name, share in window.top(self._report.top)]
        times = (round(window.start, 3), round(window.end, 3))
        flat = [part for name, share in classes for part in (pages.cell(name), share)]
        between = "\n  " if not len(self._track) else ",\n  "
        part = {"start": times[0], "end": times[1], "classes": classes}
        with files.writing(self._folder):
            self._table.writerow((*times, *flat))
            self._json.write(between + json.dumps(part))
        self._sum += window.scores
        self._again = self._again or window.again
        self._track.add(window.start, window.end, window.label, window.probability)

    def finish(self, ended: Ended) -> dict[str, Any]:
        """Writes what is known at the end; returns what the page shows."""
        count = max(1, len(self._track))
        remarks = ["shorter than a window: begins again"] if self._again else []
        remarks += [ended.damage] if ended.damage else []
        found = self._track.segments(
            ended.seconds, self._report.threshold, self._report.min_seconds
        )
        facts = {
            "frames": ended.frames,
            "rate": round(ended.rate, 4),
            "seconds": round(ended.seconds, 3),
            "remark": "; ".join(remarks),
            "classes": [
                (name, round(share, 4))
                for name, share in likeliest(self._sum / count, self._names, self._report.top)
            ],
            "segments": [self._segment(part) for part in found if part.label != NONE],
        }
        with files.writing(self._folder), self._csv, self._json:
            self._json.write("\n ],\n" + json.dumps(facts, indent=1)[2:] + "\n")
        return {**self._facts, **facts, "track": self._track}

    def _segment(self, part: Segment):
        times = {"start": round(part.start, 3), "end": round(part.end, 3)}
        probability = {"probability": round(part.probability, 4), "windows": part.windows}
        return {"class": self._names[part.label], **times, **probability}

    def close(self) -> None:
        """Closes the files; what is unfinished of a video that fails is written over."""
        self._csv.close()
        self._json.close()
