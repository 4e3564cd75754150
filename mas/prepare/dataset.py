"""Prepares a data set: the plan, what is done and what is left, the failures.

OUTPUT/plan.json      settings; the videos in order and how many go to a shard, which decide them
OUTPUT/staging/       videos whose shard is not complete yet
OUTPUT/failures.csv   path, reason, also of earlier calls with other videos; absent without failures
OUTPUT/dataset.json   written last
"""

import collections
import dataclasses
import fcntl
import json
import os
import pathlib
import shutil
import time

import tqdm
from absl import logging

from mas import flow, lists, records
from mas.prepare import failures, workers
from mas.prepare.failures import FAILURES

LOCK = ".lock"
PLAN = "plan.json"
STAGING = "staging"
VIDEOS_PER_SHARD = 64  # about 150 MB of 171 x 128 video; a data set keeps what it was begun with


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the videos of a data set are prepared; recorded with it and the same on every resume.

    Raises:
        ValueError: for an unknown form or method, or a quality outside 1..100.
    """

    form: str = "shards"
    size: tuple | None = (171, 128)  # width, height: the paper's, section 3.4
    method: str = "tvl1"
    quality: int = 95
    min_frames: int = 16

    def __post_init__(self):
        """Refuses what no worker could carry out."""
        allowed = {"form": list(records.READERS), "method": [*flow.METHODS, "none"]}
        for name, values in allowed.items():
            value = getattr(self, name)
            if value not in values:
                raise ValueError(f"{name} must be one of {values}. Received: {name}={value!r}.")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality must be in 1..100. Received: quality={self.quality}.")


def find_videos(folder):
    """Finds the video files below a folder: `lists.find_videos`, and says what it ignores.

    Returns:
        dict from id to path, sorted by id.
    """
    videos, ignored = lists.find_videos(folder)
    if ignored:
        logging.info("Ignored %d files that are no videos, such as %s.", len(ignored), ignored[0])
    return {name: pathlib.Path(folder, file) for name, file in videos.items()}


def prepare(videos, output, settings, count=None):
    """Prepares every video, going on where an earlier run ended.

    Args:
        videos: dict from id to path.
        output: folder of the data set; new, empty, or one that an earlier run began.
        settings: a `Settings`; an earlier run's must have been the same.
        count: worker processes; None takes one for each core.

    Returns:
        dict from the absolute path of each of these videos that failed to the reason.
        OUTPUT/failures.csv names them too, and those of earlier calls with other videos: such a
        line goes when a call prepares its video, or when its file changes or is gone.

    Raises:
        ValueError: the folder holds something else, was made with other settings, or cannot take
            the videos in folders because one's id is a folder of others.
        RuntimeError: another process is at work in the folder, a result cannot be stored, or this
            OpenCV has no TV-L1.
    """
    if settings.method != "none":
        flow.estimator(settings.method)  # says at once if there is none
    root = pathlib.Path(output)
    root.mkdir(parents=True, exist_ok=True)
    with open(root / LOCK, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f"Another mas.prepare is at work in {root}.") from None
        return _Run(root, settings, videos).work(count or workers.cores())


class _Run:
    """The state of one call of `prepare`."""

    def __init__(self, root, settings, videos):
        self.root, self.settings = root, settings
        self.staging = root / STAGING
        # Absolute, so that failures.csv means the same files whoever reads it, and from where.
        self.paths = {name: os.path.abspath(path) for name, path in videos.items()}
        self.plan, self.per_shard = self._plan()
        self.shards = [
            self.plan[first : first + self.per_shard]
            for first in range(0, len(self.plan), self.per_shard)
        ]
        self.positions = {name: position for position, name in enumerate(self.plan)}
        self.failures, self.earlier = {}, failures.others(root, set(self.paths.values()))

    def _plan(self):
        """The order of the videos, later additions last, and how many go to a shard.

        Both must stay as they are: a shard is written anew from the videos that belong into it,
        and would lose those that a changed number put elsewhere.
        """
        path = self.root / PLAN
        settings = json.loads(json.dumps(dataclasses.asdict(self.settings)))
        known = {"settings": settings, "videos_per_shard": VIDEOS_PER_SHARD, "videos": []}
        if path.is_file():
            known = json.loads(path.read_text(encoding="utf-8"))
        elif {entry.name for entry in self.root.iterdir()} - {LOCK, PLAN + ".tmp"}:
            raise ValueError(
                "output must be a new or empty folder, or one that mas.prepare began. "
                f"Received: {self.root}, which holds other files."
            )
        if known["settings"] != settings:
            raise ValueError(
                f"{self.root} was begun with {known['settings']} and must go on with the same. "
                f"Received: {settings}."
            )
        there = set(known["videos"])
        plan = known["videos"] + [name for name in self.paths if name not in there]
        if self.settings.form == "folders":
            _refuse_nested(plan)
        per_shard = known.get("videos_per_shard", 64)  # what it was before it was recorded
        text = json.dumps({**known, "videos_per_shard": per_shard, "videos": plan}, indent=1)
        temporary = self.root / (PLAN + ".tmp")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
        return plan, per_shard

    def work(self, count):
        """Runs the jobs that are left; returns the failures."""
        self._clean()
        stored = self._stored()
        left = [name for name in self.paths if name not in stored]
        self.failures = failures.interrupted(self.root, {self.paths[name] for name in left})
        jobs = [self._job(name) for name in left if self.paths[name] not in self.failures]
        logging.info("%d videos: %d ready, %d to do.", len(self.plan), len(stored), len(jobs))
        if self.earlier:
            logging.info("%s keeps %d failures of earlier calls.", FAILURES, len(self.earlier))
        if jobs:
            self._write_failures()
            (self.root / records.DESCRIPTION).unlink(missing_ok=True)
        if self.settings.form == "shards":
            self._work_shards(jobs, count)
        else:
            collections.deque(self._answers(jobs, count), maxlen=0)
        self._finish()
        return self.failures

    def _clean(self):
        """Removes what a killed run left half-written."""
        if self.settings.form == "shards":
            self.staging.mkdir(exist_ok=True)
            records.restore_indices(self.root)
        else:
            (self.root / records.RGB_FOLDER).mkdir(exist_ok=True)
            records.remove_unfinished(self.root, self.plan)
        for path in [*self.staging.glob("*.tmp"), *self.root.glob("*.tmp")]:
            path.unlink(missing_ok=True)

    def _stored(self):
        """Ids of the videos that need no more work."""
        if self.settings.form == "folders":
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
        options = dataclasses.asdict(self.settings)
        shards = self.settings.form == "shards"
        output = self._staged(name) if shards else self.root
        return {"video": name, "path": self.paths[name], "output": str(output), **options}

    def _answers(self, jobs, count):
        """Yields each job as it ends, with the progress bar and the list of failures kept."""
        frames, start = 0, time.monotonic()
        total = len(self.plan)
        with tqdm.tqdm(total=total, initial=total - len(jobs), unit="video", desc="prepare") as bar:
            for job, answer in workers.Pool(count).run(jobs):
                if "error" in answer:
                    self.failures[job["path"]] = answer["error"]
                    self._write_failures()
                frames += answer.get("frames", 0)
                bar.set_postfix_str(f"{frames / (time.monotonic() - start):.1f} frames/s")
                bar.update()
                yield job

    def _write_failures(self):
        failures.write(self.root, {**self.earlier, **self.failures})

    def _work_shards(self, jobs, count):
        left = collections.Counter(self._number(job) for job in jobs)
        for number in range(len(self.shards)):
            if not left[number]:
                self._write_shard(number)
        for job in self._answers(jobs, count):
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
        data = records.READERS[self.settings.form](self.root)
        description = {
            **dataclasses.asdict(self.settings),
            "videos": len(data.videos),
            "frames": int(data.lengths.sum()),
            "failures": len(self.earlier) + len(self.failures),
        }
        records.write_description(self.root, description)


def _refuse_nested(names):
    known = set(names)
    for name in names:
        for parent in map(str, pathlib.PurePosixPath(name).parents):
            if parent in known:
                raise ValueError(
                    "form=folders must have videos of which none is named as the folder of "
                    f"another; form=shards may. Received: {parent!r} and {name!r}."
                )


def parse_size(text):
    """`WIDTHxHEIGHT` -> (width, height); `keep` -> None.

    Raises:
        ValueError: for anything else.
    """
    if text == "keep":
        return None
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise ValueError(f"size must be WIDTHxHEIGHT in pixels, or keep. Received: size={text!r}.")
    return int(width), int(height)
