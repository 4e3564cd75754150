"""Prepares a data set: what is done and what is left, the failures.

OUTPUT/plan.json      settings; the videos in order and how many go to a shard, which decide them
OUTPUT/staging/       videos whose shard is not complete yet
OUTPUT/failures.csv   path, reason, also of earlier calls with other videos; absent without failures
OUTPUT/dataset.json   written last
"""

from __future__ import annotations

import collections
import fcntl
import os
import pathlib
import shutil
from collections.abc import Sequence

from absl import logging

from mas import flow as optical_flow
from mas import lists, records
from mas.checks import check_range
from mas.files import PathLike
from mas.prepare import failures, plan, workers
from mas.prepare.plan import Storage
from mas.prepare.progress import Progress

STAGING = "staging"


def prepare_videos(
    videos: PathLike,
    output: PathLike,
    *,
    flow: str = Storage.flow,
    size: tuple[int, int] | None = Storage.size,
    form: str = Storage.form,
    quality: int = Storage.quality,
    min_frames: int = Storage.min_frames,
    list: PathLike | Sequence[lists.Entry] | None = None,
    columns: str | Sequence[str] = "video,label",
    workers: int | None = None,
    progress: bool = True,
) -> records.Data:
    """Prepares a folder of videos: decoded, resized, with optical flow.

    May be stopped at any moment: the same call resumes.

    Args:
        videos: folder of video files, at any depth.
        output: folder of the data set; new, empty, or one that an earlier call began.
        flow: "tvl1", as in the papers, "dis", some 150 times as fast and smoother, or "none".
        size: stored (width, height) in pixels; None keeps the file's own.
        form: "shards" or "folders"; see `mas.records`.
        quality: JPEG quality of frames and flow, 1..100.
        min_frames: videos with fewer frames are refused.
        list: prepare only these videos: path of a list, or a sequence of `lists.Entry`.
        columns: of the list.
        workers: worker processes; None takes one a core.
        progress: whether to show a bar.

    Returns:
        The data set, as `records.open_data` opens it; `failures` is {absolute path: reason} of
        these videos alone. OUTPUT/failures.csv names those of earlier calls with other videos,
        too: such a line goes when a call prepares its video, or its file changes or is gone.

    Raises:
        ValueError: a setting is not allowed, `videos` or `list` name no videos, or the folder
            holds something else, was begun with other settings, or cannot take the videos in
            folders because one's id is a folder of others.
        RuntimeError: another process is at work in the folder, a result cannot be stored, or this
            OpenCV has no TV-L1.

    >>> import tempfile
    >>> from mas import sample
    >>> folder = tempfile.mkdtemp()
    >>> _ = sample.write(folder, videos=2, test=1, frames=16, size=(44, 32))
    >>> data = prepare_videos(
    ...     f"{folder}/videos", f"{folder}/data", flow="dis", size=(44, 32), progress=False
    ... )
    >>> len(data.videos), data.failures
    (12, {})
    """
    storage = Storage(flow=flow, size=size, form=form, quality=quality, min_frames=min_frames)
    if workers is not None:
        check_range("workers", workers, least=1)
    found = find_videos(videos)
    entries = lists.entries_of(list, columns, found)
    if entries is not None:
        found = {entry.video: found[entry.video] for entry in entries}
    return prepare(found, output, storage, workers, progress)


def find_videos(folder: PathLike) -> dict[str, pathlib.Path]:
    """Finds the video files below a folder: `lists.find_videos`, and says what it ignores.

    Returns:
        dict from id to path, sorted by id.
    """
    videos, ignored = lists.find_videos(folder)
    if ignored:
        files = lists.counted(len(ignored), "file")
        logging.info("Ignored %s without a video extension, such as %s.", files, ignored[0])
    return {name: pathlib.Path(folder, file) for name, file in videos.items()}


def prepare(
    videos: dict[str, pathlib.Path],
    output: PathLike,
    storage: Storage,
    count: int | None = None,
    progress: bool = True,
) -> records.Data:
    """Prepares videos that were found: `prepare_videos` for a dict from id to path."""
    if storage.flow != "none":
        optical_flow.estimator(storage.flow)  # says at once if there is none
    root = pathlib.Path(output)
    root.mkdir(parents=True, exist_ok=True)
    with open(root / plan.LOCK, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f"Another mas.prepare is at work in {root}.") from None
        return _Run(root, storage, videos, progress).work(count or workers.cores())


class _Run:
    """The state of one call of `prepare`."""

    def __init__(self, root, storage, videos, progress):
        self.root, self.storage, self.progress = root, storage, progress
        self.staging = root / STAGING
        # Absolute, so that failures.csv means the same files whoever reads it, and from where.
        self.paths = {name: os.path.abspath(path) for name, path in videos.items()}
        self.plan, self.per_shard = plan.keep(root, storage, [*videos])
        self.shards = [
            self.plan[first : first + self.per_shard]
            for first in range(0, len(self.plan), self.per_shard)
        ]
        self.positions = {name: position for position, name in enumerate(self.plan)}
        self.failures, self.earlier = {}, failures.others(root, set(self.paths.values()))

    def work(self, count):
        """Runs the jobs that are left; returns the data set."""
        self._clean()
        stored = self._stored()
        left = [name for name in self.paths if name not in stored]
        self.failures = failures.interrupted(self.root, {self.paths[name] for name in left})
        jobs = [self._job(name) for name in left if self.paths[name] not in self.failures]
        videos = lists.counted(len(self.plan), "video")
        logging.info("%s: %d ready, %d to do.", videos, len(stored), len(jobs))
        if self.earlier:
            kept = lists.counted(len(self.earlier), "failure")
            logging.info("%s keeps %s of earlier calls.", records.FAILURES, kept)
        if jobs:
            self._write_failures()
            (self.root / records.DESCRIPTION).unlink(missing_ok=True)
        with workers.Pool(count) as pool, Progress(jobs, count, self.progress) as progress:
            ended = self._ended(pool, jobs, progress)
            if self.storage.form == "shards":
                self._write_shards(jobs, ended)
            else:
                collections.deque(ended, maxlen=0)
        return self._finish()

    def _clean(self):
        """Removes what a killed run left half-written."""
        if self.storage.form == "shards":
            self.staging.mkdir(exist_ok=True)
            records.restore_indices(self.root)
        else:
            (self.root / records.RGB_FOLDER).mkdir(exist_ok=True)
            records.remove_unfinished(self.root, self.plan)
        for path in [*self.staging.glob("*.tmp"), *self.root.glob("*.tmp")]:
            path.unlink(missing_ok=True)

    def _stored(self):
        """Ids of the videos that need no more work."""
        if self.storage.form == "folders":
            return {n for n in self.plan if (self.root / records.RGB_FOLDER / n).is_dir()}
        indices = [
            row for path in self.root.glob("videos-*.csv") for row in records.read_index(path)
        ]
        return {row[0] for row in indices} | {n for n in self.plan if self._staged(n).is_file()}

    def _staged(self, name):
        return self.staging / f"{self.positions[name]:07d}.npz"

    def _number(self, job):
        return self.positions[job["video"]] // self.per_shard

    def _job(self, name):
        output = self._staged(name) if self.storage.form == "shards" else self.root
        storage = self.storage.values()
        return {"video": name, "path": self.paths[name], "output": str(output), "storage": storage}

    def _ended(self, pool, jobs, progress):
        """Yields each job as it ends; the list of failures is kept meanwhile."""
        for job, answer in pool.run([*progress.questions(), *jobs]):
            progress.note(job, answer)
            if "done" in answer or "ask" in job:
                continue
            if "error" in answer:
                self.failures[job["path"]] = answer["error"]
                self._write_failures()
            yield job

    def _write_failures(self):
        failures.write(self.root, {**self.earlier, **self.failures})

    def _write_shards(self, jobs, ended):
        """Writes each shard when the last of its videos has ended."""
        left = collections.Counter(self._number(job) for job in jobs)
        for number in range(len(self.shards)):
            if not left[number]:
                self._write_shard(number)
        for job in ended:
            number = self._number(job)
            left[number] -= 1
            if not left[number]:
                self._write_shard(number)

    def _write_shard(self, number):
        """Writes a shard of everything that is there, unless nothing new is."""
        staged = {n: self._staged(n) for n in self.shards[number] if self._staged(n).is_file()}
        if not staged:
            return
        kept = records.read_shard(self.root, number)
        names = [n for n in self.shards[number] if n in staged or n in kept]
        records.write_shard(
            self.root, number, [staged.get(n) for n in names], [kept.get(n) for n in names]
        )
        for path in staged.values():
            path.unlink()

    def _finish(self):
        self._write_failures()
        shutil.rmtree(self.staging, ignore_errors=True)
        data = records.READERS[self.storage.form](self.root)
        description = {
            **self.storage.recorded(),
            "videos": len(data.videos),
            "frames": int(data.lengths.sum()),
            "failures": len(self.earlier) + len(self.failures),
        }
        records.write_description(self.root, description)
        data.failures = self.failures
        return data
