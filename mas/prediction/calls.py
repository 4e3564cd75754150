"""The functions `predict`, which yields windows, and `write`, which writes a folder."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import tqdm
from absl import logging

from mas import checks, files, lists, networks
from mas.checks import check_range, refuse
from mas.prediction import page, results, sources, stream
from mas.prediction.classifier import Classifier, open_classifier
from mas.prediction.footage import Ended, Footage, Opened
from mas.prediction.settings import Report, Windows
from mas.prediction.stream import Failed, Window

Paths: TypeAlias = str | os.PathLike | Sequence[str | os.PathLike]
MOST_NAMED = 10  # short videos to name in the log


def predict(
    model: networks.Source | Classifier,
    videos: Paths | Iterable[np.ndarray],
    *,
    fps: float | None = None,
    every: float | None = None,
    stride: int | None = None,
    batch: int = 16,
    classes: Any = None,
    allow_damaged: bool = False,
    failed: Callable[[str, str], None] | None = None,
) -> Generator[Window, None, None]:
    """Yields the predictions of a fine-tuned network, window by window.

        for window in mas.predict("runs/actions", "match.mp4"):
            print(window.start, window.end, window.top(3))

    Frames may come from an iterable, such as a camera; then windows do not wait for a full batch:

        for window in mas.predict("runs/actions", camera_frames(), fps=25):
            print(window.name)

    Args:
        model: `mas.Run` or run folder of `mas.finetune`; or its model.keras, or another .keras file
            with the output "logits"; or what `mas.prediction.open_classifier` returned.
        videos: a video file, a folder, or several of either; or an iterable of frames, uint8
            (height, width, 3), R G B, which a separate thread reads.
        fps: for an iterable, its frames per second. For files, the rate to resample them to; 0
            keeps each video's own rate; by default as in training, if the run knows the rate.
        every: seconds between the starts of windows; by default half a clip.
        stride: frame step within a window; by default as in training.
        batch: most windows per batch.
        classes: class names in the order of the labels, or a file of them; by default the run's,
            or numbers if it has none.
        allow_damaged: whether to use the frames that decode from a truncated or damaged file.
        failed: function called with the path and the reason for each file that cannot be read in
            full, after the windows before the error. Without it, such a file raises an error.

    Returns:
        A generator of `mas.prediction.Window`, in the order of the videos.

    Raises:
        FileNotFoundError: If there is no such network or video.
        ValueError: If the network is not a classifier, a setting is not allowed, a folder has no
            video, or a file cannot be read in full.
    """
    elsewhere = not _is_paths(videos)
    if elsewhere:
        if not isinstance(videos, Iterable):
            refuse("videos", "paths, or frames", videos)
        if fps is None:
            refuse("fps", "the rate of the frames; or videos a list, where they are paths", fps)
        check_range("fps", fps, above=0)
        footage = [Footage("frames", videos, float(fps or 0))]
    else:
        named = sources.find(videos)  # type: ignore[arg-type]
        footage = [Footage(name, path) for name, path in named.items()]
    windows = Windows(every, stride, None if elsewhere else fps, allow_damaged, batch)
    return _yielded(_opened(model, windows, classes), footage, windows, failed)


def _opened(model, windows, classes):
    """Opens the classifier; one that is already open keeps its settings."""
    if not isinstance(model, Classifier):
        return open_classifier(model, windows, classes)
    for name, value in (("stride", windows.stride), ("fps", windows.fps), ("classes", classes)):
        if value is not None:
            refuse(name, "left out with a mas.prediction.Classifier, which has its own", value)
    return model


def _is_paths(videos):
    several = isinstance(videos, Sequence) and not isinstance(videos, str)
    first = next(iter(videos), None) if several else videos
    return isinstance(first, str | os.PathLike)


def _yielded(classifier, footage, windows, failed):
    for video, event in stream.events(classifier, footage, windows):
        if isinstance(event, Window):
            yield event
        elif isinstance(event, Failed):
            if failed is None:
                raise ValueError(f"{video.source} must be a whole video. Received: {event.reason}.")
            failed(os.fspath(video.source), event.reason)
        elif isinstance(event, Ended) and video.live and not event.frames:
            refuse("videos", "an iterable of one frame or more", "none")


@dataclasses.dataclass(frozen=True)
class Written:
    """The result of `write`.

    Attributes:
        videos: names of the videos that are done.
        failures: {path: reason} of the videos that failed.
    """

    videos: list[str]
    failures: dict[str, str]


def write(
    model: networks.Source | Classifier,
    videos: Paths,
    output: files.PathLike,
    *,
    windows: Windows | None = None,
    report: Report | None = None,
    classes: Any = None,
    restart: bool = False,
    progress: bool = False,
) -> Written:
    """Predicts videos and writes tables and pages; `mas.prediction.results` lists the files.

    A stopped call resumes at the video where it stopped. Later calls can add videos.

    Args:
        model: as for `predict`.
        videos: a video file, a folder, or several of either.
        output: folder to write.
        windows: settings of the windows.
        report: settings of the results.
        classes: as for `predict`.
        restart: whether to delete earlier predictions in the folder.
        progress: whether to show a progress bar.

    Returns:
        Names of the predicted videos, and the files that cannot be read.

    Raises:
        FileNotFoundError: As in `predict`.
        ValueError: As in `predict`, except for unreadable files; or if the folder contains
            predictions of another network or other settings.
        RuntimeError: If another process is writing to the folder.
        files.WriteError: If the folder cannot be written.
    """
    windows = checks.instance("windows", windows, Windows)
    report = checks.instance("report", report, Report)
    folder = checks.path("output", output, "a folder")
    taken = None if restart else functools.partial(results.taken, folder)
    named = sources.find(videos, taken)
    classifier = _opened(model, windows, classes)
    kept = results.Results(folder, classifier, windows, report, restart)
    try:
        left = {name: path for name, path in named.items() if not kept.done(name, path)}
        kept.retry(named.values())
        _log_input(classifier, named, left)
        _run(kept, classifier, left, windows, report, progress)
        kept.finish()
    finally:
        kept.close()
    paths = {name: os.path.abspath(path) for name, path in named.items()}
    done = [name for name, path in paths.items() if path not in kept.failures]
    failed = sorted(path for path in paths.values() if path in kept.failures)
    return Written(done, {path: kept.failures[path] for path in failed})


def _log_input(classifier, named, left):
    logging.info("%s: %s", classifier.path, classifier.text())
    if len(left) < len(named):
        count = lists.counted(len(named), "video")
        logging.info("%d of %s are already done.", len(named) - len(left), count)


def _run(kept, classifier, left, windows, report, progress):
    """Predicts the remaining videos and writes each when it ends."""
    footage = [Footage(name, path) for name, path in left.items()]
    pictures = page.PICTURES if report.pages else 0
    again: list[str] = []
    bar = _Bar(len(left), progress)
    writer = None
    try:
        for video, event in stream.events(classifier, footage, windows, pictures):
            if isinstance(event, Opened):
                writer = kept.begin(video.name, pathlib.Path(video.source))
            elif isinstance(event, Window):
                writer.add(event)
                again += [video.name] if event.again else []
            elif isinstance(event, Ended):
                kept.keep(writer, event)
            else:
                kept.fail(video.name, pathlib.Path(video.source), event.reason)
            bar.follow(event)
            if writer and isinstance(event, Ended | Failed):
                writer.close()
                writer = None
    finally:
        bar.close()
        if writer:
            writer.close()
    for name in again[:MOST_NAMED]:
        logging.info("%s is shorter than a window and was repeated.", name)
    if len(again) > MOST_NAMED:
        logging.info("%d more videos were repeated; videos.csv lists all.", len(again) - MOST_NAMED)


class _Bar:
    """A progress bar that counts videos, including fractions of the current one."""

    def __init__(self, total, shown):
        form = "{desc}: {percentage:3.0f}%|{bar}| {n:.2f}/{total} videos [{elapsed}<{remaining}]"
        options = {"desc": "predict", "bar_format": form, "disable": not shown}
        self._bar = tqdm.tqdm(total=total, **options)
        self._seconds, self._done = 0.0, 0

    def follow(self, event):
        """Updates the bar after an event."""
        part = self._bar.n - self._done
        if isinstance(event, Opened):
            self._seconds = event.seconds
        elif isinstance(event, Window) and self._seconds:
            part = min(0.99, max(part, event.end / self._seconds))
        elif isinstance(event, Ended | Failed):
            self._done, part = self._done + 1, 0.0
        self._bar.n = self._done + part
        self._bar.update(0)

    def close(self):
        """Ends the line."""
        self._bar.close()
