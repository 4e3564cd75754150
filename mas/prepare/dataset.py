"""Prepares a data set: what is done and what is left, the failures.

OUTPUT/.unfinished    there while videos are prepared
OUTPUT/plan.json      settings; the videos in order and how many go to a shard, which decide them
OUTPUT/staging/       what workers write (*.part); videos whose shard is not complete yet
OUTPUT/failures.csv   path, reason, also of earlier calls with other videos; absent without failures
OUTPUT/damaged.csv    path, reason of the videos of which only a part decodes; absent without any
OUTPUT/sources.csv    the file of each video, as it was when it was prepared
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
MOST_NAMED = 10  # of the files that changed


def prepare(
    videos: dict[str, pathlib.Path],
    output: PathLike,
    storage: Storage,
    count: int | None = None,
    progress: bool = True,
    engine: str = "pool",
    address: str | None = None,
) -> records.Data:
    """Prepares videos that were found: `prepare_videos` for a dict from id to path."""
    cluster.check(engine, address)
    if storage.flow != "none":
        if flow.compiles(storage.flow):
            logging.info("Compiling the flow for this machine: some ten seconds, once.")
        flow.estimator(storage.flow)  # compiled before workers need it; says if there is none
    root = checks.path("output", output)
    if root.exists() and not root.is_dir():
        raise ValueError(f"output must be a folder. Received: {root}, which is none.")
    with files.writing(root):
        root.mkdir(parents=True, exist_ok=True)
    with locks.lock(root, "mas.prepare"):
        make = functools.partial(_engine, engine, address, count, root)
        return _Run(root, storage, videos, progress).work(make)


def _engine(engine, address, count, root, jobs):
    """Who carries out the jobs; without any, nobody has to be found."""
    if engine == "pool" or not jobs:
        return workers.Pool(count or workers.cores())
    there = [job["path"] for job in jobs if os.path.exists(job["path"])]
    method = jobs[0]["storage"]["flow"]
    return remote.Ray(address, count, root / locks.NAME, there[:1], method)


class _Run:
    """The state of one call of `prepare`."""

    def __init__(self, root, storage, videos, progress):
        self.root, self.progress = root, progress
        self.staging = root / STAGING
        # Absolute, so that failures.csv means the same files whoever reads it, and from where.
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
        """Runs the jobs that are left on the engine that `make` makes for them; the data set."""
        with files.writing(self.staging):
            self._clean()
        self.held = self._stored()
        there = self.held - self._changed(self.held)
        there -= self._named(self._damaged(there))
        left = [name for name in self.paths if name not in there]
        if not self.storage.allow_damaged:  # which they may be
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
            ended = self._ended(engine, jobs, progress)
            if self.storage.form == "shards":
                self._write_shards(engine, jobs, ended)
            else:
                collections.deque(ended, maxlen=0)
        return self._finish()

    def _clean(self):
        """Removes what a killed run left half-written."""
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
        """Ids of the videos that need no more work."""
        self.opened = stored.opened(self.root, self.storage)
        staged = stored.staged([self._staged(name) for name in self.plan])
        return {*self.opened.videos, *(n for n in self.plan if self._staged(n) in staged)}

    def _damaged(self, there):
        """Those of the stored videos to prepare again, as they are not what was written.

        The same call on a finished data set reads it through; another one, what it writes again.
        """
        finished = (self.root / records.DESCRIPTION).is_file()
        finished &= not (self.root / records.UNFINISHED).exists()
        if finished and {*self.paths} <= self.known:
            logging.info("Reading what is stored, against its checksums.")
            return stored.damaged(self.opened, self.progress)
        left = [name for name in self.paths if name not in there]
        numbers = sorted({self.positions[name] // self.per_shard for name in left})
        shards = numbers if self.storage.form == "shards" else ()
        return stored.damaged_beside(self.root, shards)

    def _named(self, damaged):
        """Those of the damaged videos that this call prepares again; says of how many it does."""
        own = damaged & self.paths.keys()
        if own:
            logging.warning("%s prepared again.", lists.counted(len(own), "damaged video"))
        if damaged - own:
            others = lists.counted(len(damaged - own), "damaged video")
            logging.warning("%s left as they are: this call does not name their files.", others)
        return own

    def _changed(self, stored):
        """Names the stored videos whose file has changed; those of them to prepare again."""
        changed = self.sources.changed(stored)
        for name in changed[:MOST_NAMED]:
            logging.warning("%s has changed since it was prepared.", self.paths[name])
        if changed:
            videos = lists.counted(len(changed), "changed video")
            advice = (
                "are prepared again" if self.storage.update else "stay; update=True prepares them"
            )
            logging.warning("%s: %s %s.", self.root, videos, advice)
        return set(changed) if self.storage.update else set()

    def _staged(self, name):
        return self.staging / f"{self.positions[name]:07d}.npz"

    def _number(self, job):
        return self.positions[job["video"]] // self.per_shard

    def _job(self, name):
        output, storage = str(self._staged(name).absolute()), self.storage.values()
        self.sources.begin(name)
        return {"video": name, "path": self.paths[name], "output": output, "storage": storage}

    def _ended(self, engine, jobs, progress):
        """Yields each job as it ends; the list of failures is kept meanwhile."""
        for job, answer in engine.run([*progress.questions(), *jobs]):
            progress.note(job, answer)
            if "done" in answer or "ask" in job:
                continue
            if "error" in answer:
                self.failures[job["path"]] = answer["error"]
                self._write_failures()
                if job["video"] not in self.held:
                    self._note_damage(job["path"], "")
            else:  # killed after a line, it is written again; killed before, it would be lost
                self._note_damage(job["path"], answer["damage"])
                self._place(job["video"], answer["part"])
                self.sources.end(job["video"])
            yield job

    def _place(self, name, part):
        """Gives what a worker stored its lasting name."""
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
        """Writes each shard when the last of its videos has ended."""
        left = collections.Counter(self._number(job) for job in jobs)
        for number in range(len(self.shards)):
            if not left[number]:
                self._write_shard(number, engine)
        for job in ended:
            number = self._number(job)
            left[number] -= 1
            if not left[number]:
                self._write_shard(number, engine)
            self._place_shards()
        self._place_shards(wait=True)

    def _write_shard(self, number, engine):
        """Lets the engine write a shard of everything that is there, unless nothing new is."""
        paths = {name: os.path.abspath(self._staged(name)) for name in self.shards[number]}
        staged = {name: path for name, path in paths.items() if os.path.isfile(path)}
        if staged:
            parts = (self.shards[number], staged, os.path.abspath(self.staging))
            call = engine.call(stored.build_shard, os.path.abspath(self.root), number, *parts)
            self.written[number] = call, staged

    def _place_shards(self, wait=False):
        """Gives the shards that are written their names."""
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
            logging.warning("%s prepared in part; see %s.", videos, self.root / records.DAMAGED)
        return data
