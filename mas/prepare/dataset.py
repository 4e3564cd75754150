"""Prepares a data set: finds what is left to do, runs it, records failures.

OUTPUT/.unfinished    exists while videos are being prepared
OUTPUT/plan.json      settings, the videos in order, and the number of videos per shard
OUTPUT/staging/       workers' files (*.part), and videos whose shard is not complete yet
OUTPUT/failures.csv   path and reason, including earlier calls with other videos; only if any
OUTPUT/damaged.csv    path and reason of videos that decode only in part; only if any
OUTPUT/sources.csv    size and time of each video's file when it was prepared
OUTPUT/dataset.json   written last
"""

from __future__ import annotations

import collections
import functools
import os
import pathlib
import shutil

from absl import logging

from mas import checks, cluster, files, flow, lists, locks, records
from mas.files import PathLike
from mas.prepare import environment, failures, plan, remote, sources, stored, workers
from mas.prepare.plan import Storage
from mas.prepare.progress import Progress

STAGING = "staging"
MOST_NAMED = 10  # changed files to name in warnings


def prepare(
    videos: dict[str, pathlib.Path],
    output: PathLike,
    storage: Storage,
    count: int | None = None,
    progress: bool = True,
    engine: str = "pool",
    address: str | None = None,
) -> records.Data:
    """Does the work of `prepare_videos`, given {id: path}."""
    cluster.check(engine, address)
    if storage.flow != "none":
        if flow.compiles(storage.flow):
            logging.info("Compiling optical flow for this machine: about ten seconds, once.")
        flow.estimator(storage.flow)  # compiles before the workers need it; raises if unavailable
    root = checks.path("output", output)
    if root.exists() and not root.is_dir():
        raise ValueError(f"output must be a folder. Received: {root}, which is a file.")
    with files.writing(root):
        root.mkdir(parents=True, exist_ok=True)
    with locks.lock(root, "mas.prepare"):
        make = functools.partial(_engine, engine, address, count, root)
        return _Run(root, storage, videos, progress).work(make)


def _engine(engine, address, count, root, jobs):
    """The engine that runs the jobs. Without jobs, no cluster is contacted."""
    if engine == "pool" or not jobs:
        return workers.Pool(count or workers.cores())
    there = [job["path"] for job in jobs if os.path.exists(job["path"])]
    method = jobs[0]["storage"]["flow"]
    return remote.Ray(address, count, root / locks.NAME, there[:1], method)


class _Run:
    """State of one call of `prepare`."""

    def __init__(self, root, storage, videos, progress):
        self.root, self.progress = root, progress
        self.staging = root / STAGING
        # Absolute, so that failures.csv does not depend on the working directory.
        self.paths = {name: os.path.abspath(path) for name, path in videos.items()}
        self.known = set(plan.videos(root))
        self.plan, self.per_shard, self.storage = plan.keep(root, storage, [*videos])
        self.shards = [
            self.plan[first : first + self.per_shard]
            for first in range(0, len(self.plan), self.per_shard)
        ]
        self.positions = {name: position for position, name in enumerate(self.plan)}
        self.written = {}  # {number of a shard: (call that writes it, what is staged for it)}
        self.failures, self.earlier = {}, failures.others(root, set(self.paths.values()))
        self.damaged = records.read_failures(root, records.DAMAGED)
        self.sources = sources.Sources(root, self.paths)

    def work(self, make):
        """Runs the remaining jobs on the engine from `make(jobs)`; returns the data set."""
        with files.writing(self.staging):
            self._clean()
        self.held = self._stored()
        there = self.held - self._changed(self.held)
        there -= self._own_damaged(self._damaged(there))
        left = [name for name in self.paths if name not in there]
        if not self.storage.allow_damaged:  # which may accept files that failed before
            self.failures = failures.interrupted(self.root, {self.paths[name] for name in left})
        jobs = [self._job(name) for name in left if self.paths[name] not in self.failures]
        videos = lists.counted(len(self.plan), "video")
        logging.info("%s: %d ready, %d to do.", videos, len(there), len(jobs))
        if self.earlier:
            kept = lists.counted(len(self.earlier), "failure")
            logging.info("%s keeps %s of earlier calls.", records.FAILURES, kept)
        if jobs:
            self._write_failures()
            self.sources.write(self.plan)
            with files.writing(self.root / records.UNFINISHED):
                (self.root / records.UNFINISHED).touch()
            environment.note(self.root, environment.current(self.storage.flow))
        with make(jobs) as engine, Progress(jobs, engine.count, self.progress) as progress:
            ended = self._finished_jobs(engine, jobs, progress)
            if self.storage.form == "shards":
                self._write_shards(engine, jobs, ended)
            else:
                collections.deque(ended, maxlen=0)
        return self._finish()

    def _clean(self):
        """Removes the half-written files of a killed run."""
        self.staging.mkdir(exist_ok=True)
        if self.storage.form == "shards":
            records.restore_indices(self.root)
        else:
            (self.root / records.RGB_FOLDER).mkdir(exist_ok=True)
            records.remove_unfinished(self.root, self.plan)
        for pattern in ("*.tmp", "*.part"):
            for path in [*self.staging.glob(pattern), *self.root.glob(pattern)]:
                records.remove(path)

    def _stored(self):
        """Ids of the videos that are already stored or staged."""
        self.opened = stored.opened(self.root, self.storage)
        staged = stored.staged([self._staged(name) for name in self.plan])
        return {*self.opened.videos, *(n for n in self.plan if self._staged(n) in staged)}

    def _damaged(self, there):
        """Ids of stored videos that are damaged.

        Repeating a call on a finished data set checks all of it; otherwise only the shards that
        are about to be rewritten are checked.
        """
        finished = (self.root / records.DESCRIPTION).is_file()
        finished &= not (self.root / records.UNFINISHED).exists()
        if finished and {*self.paths} <= self.known:
            logging.info("Checking the stored videos against their checksums.")
            return stored.damaged(self.opened, self.progress)
        left = [name for name in self.paths if name not in there]
        numbers = sorted({self.positions[name] // self.per_shard for name in left})
        shards = numbers if self.storage.form == "shards" else ()
        return stored.damaged_beside(self.root, shards)

    def _own_damaged(self, damaged):
        """The damaged videos that belong to this call and are prepared again; logs both counts."""
        own = damaged & self.paths.keys()
        if own:
            videos = lists.counted(len(own), "damaged video")
            logging.warning("Preparing %s again.", videos)
        if damaged - own:
            others = lists.counted(len(damaged - own), "damaged video")
            logging.warning("Skipping %s: not among the videos of this call.", others)
        return own

    def _changed(self, stored):
        """Warns of stored videos whose file has changed; returns the ids to prepare again."""
        changed = self.sources.changed(stored)
        for name in changed[:MOST_NAMED]:
            logging.warning("%s has changed since it was prepared.", self.paths[name])
        if changed:
            videos = lists.counted(len(changed), "changed video")
            if self.storage.update:
                logging.warning("%s: preparing %s again.", self.root, videos)
            else:
                logging.warning("%s: keeping %s; update=True prepares again.", self.root, videos)
        return set(changed) if self.storage.update else set()

    def _staged(self, name):
        return self.staging / f"{self.positions[name]:07d}.npz"

    def _shard_number(self, job):
        return self.positions[job["video"]] // self.per_shard

    def _job(self, name):
        output, storage = str(self._staged(name).absolute()), self.storage.values()
        self.sources.begin(name)
        return {"video": name, "path": self.paths[name], "output": output, "storage": storage}

    def _finished_jobs(self, engine, jobs, progress):
        """Yields each job when it ends, and keeps the list of failures up to date."""
        for job, answer in engine.run([*progress.questions(), *jobs]):
            progress.note(job, answer)
            if "done" in answer or "ask" in job:
                continue
            if "error" in answer:
                self.failures[job["path"]] = answer["error"]
                self._write_failures()
                if job["video"] not in self.held:
                    self._note_damage(job["path"], "")
            else:  # in this order, a kill between two lines loses nothing
                self._note_damage(job["path"], answer["damage"])
                self._place(job["video"], answer["part"])
                self.sources.end(job["video"])
            yield job

    def _place(self, name, part):
        """Moves a worker's result to its final name."""
        shards = self.storage.form == "shards"
        place = self._staged(name) if shards else self.root / records.RGB_FOLDER / name
        try:
            with files.writing(place):
                if shards:
                    os.replace(part, place)
                else:
                    records.place_folders(self.root, name, part)
        except OSError as error:
            raise RuntimeError(f"{self.paths[name]} cannot be stored: {error}") from None

    def _write_failures(self):
        failures.write(self.root, {**self.earlier, **self.failures})

    def _note_damage(self, path, damage):
        before = self.damaged.pop(path, "")
        if damage:
            self.damaged[path] = damage
        if damage != before:
            failures.write(self.root, self.damaged, records.DAMAGED)

    def _write_shards(self, engine, jobs, ended):
        """Writes each shard when its last video is done."""
        left = collections.Counter(self._shard_number(job) for job in jobs)
        for number in range(len(self.shards)):
            if not left[number]:
                self._write_shard(number, engine)
        for job in ended:
            number = self._shard_number(job)
            left[number] -= 1
            if not left[number]:
                self._write_shard(number, engine)
            self._place_shards()
        self._place_shards(wait=True)

    def _write_shard(self, number, engine):
        """Lets the engine write a shard if it has newly staged videos."""
        paths = {name: os.path.abspath(self._staged(name)) for name in self.shards[number]}
        staged = {name: path for name, path in paths.items() if os.path.isfile(path)}
        if staged:
            parts = (self.shards[number], staged, os.path.abspath(self.staging))
            call = engine.call(stored.build_shard, os.path.abspath(self.root), number, *parts)
            self.written[number] = call, staged

    def _place_shards(self, wait=False):
        """Moves finished shards to their final names."""
        for number, (call, staged) in [*self.written.items()]:
            if wait or call.done():
                records.place_shard(self.root, number, *call.result())
                for path in staged.values():
                    os.unlink(path)
                del self.written[number]

    def _finish(self):
        self._write_failures()
        self.sources.write(self.plan)
        shutil.rmtree(self.staging, ignore_errors=True)
        data = stored.opened(self.root, self.storage)
        description = {
            **self.storage.described(),
            **stored.table(data),
            "videos": len(data.videos),
            "frames": int(data.lengths.sum()),
            "failures": len(self.earlier) + len(self.failures),
        }
        if made_with := plan.made_with(self.root):
            description["made_with"] = made_with
        records.write_description(self.root, description)
        data.failures = self.failures
        own = set(self.paths.values())
        data.damaged = {path: reason for path, reason in self.damaged.items() if path in own}
        if data.damaged:
            videos = lists.counted(len(data.damaged), "video")
            logging.warning("Prepared %s in part; see %s.", videos, self.root / records.DAMAGED)
        return data
