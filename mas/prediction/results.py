"""The folder of predictions. Files are written whole, so a stopped call can resume.

    predict.json        the network and the settings, which all calls must share
    videos.csv          a row per video: its most likely classes, averaged over its windows
    segments.csv        a row per segment of one class
    failures.csv        videos that could not be read in full, and why; only if there are any
    index.html          overview of the videos and their classes over time
    windows/VIDEO.csv, windows/VIDEO.json   a row per window: start, end, most likely classes
    videos/VIDEO.json   classes and segments of a video; written last, it marks the video as done
    pages/VIDEO.html    thumbnails over time with the classes below
    unfinished/         files being written

The tables and the overview are written at the end of a call.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator
from typing import Any

from mas import files, locks, pages
from mas.checks import refuse
from mas.prediction import page
from mas.prediction.classifier import Classifier
from mas.prediction.footage import Ended
from mas.prediction.settings import Report, Windows
from mas.prediction.writer import Writer, columns, stamp

FORMAT, COMMAND = 1, "mas predict"
DESCRIPTION, UNFINISHED, FAILURES = "predict.json", "unfinished", "failures.csv"
VIDEOS, SEGMENTS, INDEX = "videos.csv", "segments.csv", "index.html"
SUMMARIES = (VIDEOS, SEGMENTS, INDEX)
FOLDERS = ("windows", "videos", "pages")
# Files of a video: unfinished file, final folder, extension. The last one marks the video as done.
PARTS = (
    ("windows.csv", "windows", "csv"),
    ("windows.json", "windows", "json"),
    ("page.html", "pages", "html"),
    ("video.json", "videos", "json"),
)
NEEDED = {"video", "file", "stamp", "windows", "seconds", "classes", "segments", "remark"}


def read(folder: pathlib.Path, name: str) -> dict[str, Any] | None:
    """Reads the json file of a video; None if the video is not done."""
    try:
        known = files.read_json(_mark(folder, name))
    except (OSError, ValueError):
        return None
    return known if NEEDED <= known.keys() else None


def taken(folder: pathlib.Path, name: str, path: pathlib.Path) -> bool:
    """Whether a name belongs to the video of another file."""
    known = read(folder, name)
    return known is not None and known["file"] != os.path.abspath(path)


def _mark(folder, name):
    """The file that marks a video as done."""
    return folder / "videos" / f"{name}.json"


class Results:
    """A folder of predictions, open for writing by one process at a time.

    Args:
        folder: the folder; made if it does not exist.
        classifier: the network.
        windows: settings of the windows.
        report: settings of the results.
        restart: whether to delete earlier predictions in the folder.

    Raises:
        ValueError: If the folder contains predictions with another network or other settings, or
            other files.
        RuntimeError: If another process is writing to the folder.
        files.WriteError: If the folder cannot be written.
    """

    def __init__(
        self,
        folder: files.PathLike,
        classifier: Classifier,
        windows: Windows,
        report: Report,
        restart: bool = False,
    ):
        """See the class."""
        self.folder, self._report = pathlib.Path(folder), report
        self._names = classifier.names
        if self.folder.exists() and not self.folder.is_dir():
            refuse("output", "a folder", os.fspath(folder))
        with files.writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = locks.lock(self.folder, COMMAND)
        self._described = _description(classifier, windows, report)
        try:
            self._begin(restart)
        except BaseException:
            self.close()
            raise
        self.failures = self._failed()

    def _begin(self, restart):
        described = self.folder / DESCRIPTION
        if not described.is_file():
            self._check_empty()
        elif restart:
            self._clear()
        else:
            self._compare()
        shutil.rmtree(self.folder / UNFINISHED, ignore_errors=True)
        if not described.is_file():
            files.write_json(described, self._described)

    def _failed(self):
        """{path: reason} from earlier calls."""
        try:
            rows = files.read_csv(self.folder / FAILURES, errors="surrogateescape")[1:]
        except (OSError, ValueError):
            return {}
        return {row[0]: row[1] for row in rows if len(row) == 2}

    def retry(self, paths: Iterable[pathlib.Path]) -> None:
        """Forgets earlier failures of these files."""
        for path in paths:
            self.failures.pop(os.path.abspath(path), None)

    def close(self) -> None:
        """Releases the lock on the folder."""
        self._lock.close()

    def _check_empty(self):
        """Refuses a folder with other files, which a restart could delete."""
        names = [path.name for path in self.folder.iterdir()]
        others = [name for name in names if name[0] != "." and not name.endswith(".tmp")]
        if others:
            raise ValueError(
                "output must be a new or empty folder, or one with earlier predictions. "
                f"Received: output={str(self.folder)!r}, which contains {min(others)}."
            )

    def _clear(self):
        for name in FOLDERS:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in (FAILURES, *SUMMARIES, DESCRIPTION):
            (self.folder / name).unlink(missing_ok=True)

    def _compare(self):
        earlier = files.read_json(self.folder / DESCRIPTION)
        for name, value in self._described.items():
            if name not in ("model", "shown") and earlier.get(name) != value:
                shown = [json.dumps(part)[:200] for part in (earlier.get(name), value)]
                raise ValueError(
                    "output must be a folder without predictions of another network or other "
                    f"settings, or restart must be true. Received: {str(self.folder)!r}, made "
                    f"with {name}={shown[0]}, where this call has {shown[1]}."
                )

    def done(self, name: str, path: pathlib.Path) -> bool:
        """Whether a video is done and its file unchanged."""
        known = read(self.folder, name) or {}
        file, when = known.get("file"), known.get("stamp")
        whole = all(path.is_file() for path in self._parts(name))
        return whole and file == os.path.abspath(path) and when == stamp(path)

    def _parts(self, name):
        """The files that a video leaves."""
        kinds = [part[1:] for part in PARTS if self._report.pages or part[1] != "pages"]
        return [self.folder / kind / f"{name}.{ending}" for kind, ending in kinds]

    def begin(self, name: str, path: pathlib.Path) -> Writer:
        """Returns a writer for a video, and deletes results that are no longer valid."""
        self._forget(name)
        return Writer(self.folder / UNFINISHED, name, path, self._names, self._report)

    def keep(self, writer: Writer, ended: Ended) -> None:
        """Finishes a video: moves its files to their final names, the marker last."""
        found = writer.finish(ended)
        if self._report.pages:
            above = "../" * len(pathlib.PurePosixPath(found["video"]).parts) + INDEX
            known = (self._names, self._described["shown"], above)
            content = page.of_video(found, ended.pictures, *known)
            files.write(writer.path("page.html"), content)
        for part, kind, ending in PARTS:
            new, old = writer.path(part), self.folder / kind / f"{found['video']}.{ending}"
            if new.exists():
                with files.writing(old):
                    old.parent.mkdir(parents=True, exist_ok=True)
                    files.replace(new, old)

    def _forget(self, name):
        """Deletes the marker of a video, and the tables of all videos."""
        for earlier in (_mark(self.folder, name), *(self.folder / part for part in SUMMARIES)):
            earlier.unlink(missing_ok=True)

    def fail(self, name: str, path: pathlib.Path, reason: str) -> None:
        """Records a video that cannot be read in full."""
        self._forget(name)
        for part in self._parts(name):  # of an earlier file of this name
            part.unlink(missing_ok=True)
        self.failures[os.path.abspath(path)] = reason
        self._write_failures()

    def _write_failures(self):
        path = self.folder / FAILURES
        if self.failures:
            files.write_csv(path, ("path", "reason"), sorted(self.failures.items()))
        else:
            path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Writes the tables and the overview of all videos in the folder."""
        self._write_failures()
        header = ("video", "file", "seconds", "windows", *columns(self._top), "remark")
        files.write_csv(self.folder / VIDEOS, header, map(self._video_row, self._found()))
        header = ("video", "start", "end", "seconds", "class", "probability", "windows")
        rows = (row for found in self._found() for row in _segment_rows(found))
        files.write_csv(self.folder / SEGMENTS, header, rows)
        if self._report.pages:
            content = page.of_all(self._found(), self._names, self._described, self.failures)
            files.write(self.folder / INDEX, content)
        shutil.rmtree(self.folder / UNFINISHED, ignore_errors=True)

    @property
    def _top(self):
        return min(self._report.top, len(self._names))

    def _found(self) -> Iterator[dict[str, Any]]:
        """Yields the content of each video's json file, sorted by name."""
        root = self.folder / "videos"
        paths = (path.relative_to(root).as_posix() for path in root.rglob("*.json"))
        found = (read(self.folder, path.removesuffix(".json")) for path in sorted(paths))
        return (known for known in found if known is not None)

    def _video_row(self, found):
        classes = [part for pair in found["classes"] for part in (pages.cell(pair[0]), pair[1])]
        facts = (found["seconds"], found["windows"], *classes, found["remark"])
        return pages.cell(found["video"]), pages.cell(found["file"]), *facts


def _segment_rows(found):
    for part in found["segments"]:
        seconds = round(part["end"] - part["start"], 3)
        values = (part["start"], part["end"], seconds, pages.cell(part["class"]))
        yield pages.cell(found["video"]), *values, part["probability"], part["windows"]


def _description(classifier, windows, report):
    decisive = {**windows.options(), **report.options()}
    values = {**windows.values(), **report.values()}
    return {
        "format": FORMAT,
        "model": str(classifier.path),
        "digest": files.digest(classifier.path),
        "classes": classifier.names,
        "frames": classifier.task.frames,
        **{name: value for name, value in values.items() if not decisive[name].free},
        "stride": classifier.task.stride,
        "fps": classifier.fps,
        "shown": f"{classifier.path}: {classifier.text()}",
    }
