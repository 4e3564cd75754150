"""Preparation that is killed ends as one undisturbed run does."""

import collections
import functools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import preparing
import pytest
import video_files
from preparing import ENVIRONMENT, write_text, write_videos
from preparing import run_noise as run

from mas import prepare, records
from mas.prepare import plan

PER_SHARD = 2


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(plan, "VIDEOS_PER_SHARD", PER_SHARD)


@pytest.fixture
def extracted(monkeypatch):
    return preparing.watch(monkeypatch)


# Killed between any two steps. The kill is an exception that nothing in the code catches, raised
# after every change to the file system, and halfway where bytes are written.


class Killed(BaseException):
    pass


class Steps:
    """Counts the changes that go on in the file system and ends the process at one of them."""

    def __init__(self, patch, last):
        self.count, self.last = 0, last
        for owner, name in (
            (os, "replace"),
            (shutil, "rmtree"),
            (pathlib.Path, "mkdir"),
            (pathlib.Path, "unlink"),
            (pathlib.Path, "write_bytes"),
            (pathlib.Path, "write_text"),
        ):
            patch.setattr(owner, name, self.wrapped(getattr(owner, name), name))

    def wrapped(self, function, name):
        def step(*args, **options):
            if name.startswith("write"):
                function(args[0], args[1][: len(args[1]) // 2], **options)
                self.step()
            result = function(*args, **options)
            self.step()
            return result

        return step

    def step(self):
        self.count += 1
        if self.count == self.last:
            raise Killed


def killed_at_every_step(monkeypatch, start, go_on):
    """Yields (step, what `go_on` returns afterwards); `start` makes the state before."""
    for last in range(1, 10_000):
        start()
        with monkeypatch.context() as patch:
            steps = Steps(patch, last)
            try:
                go_on()
            except Killed:
                pass
        if steps.count < last:
            assert last > 20
            return
        yield last, go_on()


@pytest.mark.parametrize("form, good, bad", [("shards", "abde", "cf"), ("folders", "ac", "b")])
def test_killed_at_any_step(tmp_path, monkeypatch, extracted, form, good, bad):
    """Same files; every video is extracted once, but for the one that was being extracted."""
    videos, output = tmp_path / "videos", tmp_path / "data"
    write_videos(videos, good)
    write_text(videos, bad)
    failed = run(videos, tmp_path / "undisturbed", form)
    assert len(failed) == len(bad)
    expected = video_files.tree(tmp_path / "undisturbed")
    assert extracted == sorted(good + bad)

    def start():
        shutil.rmtree(output, ignore_errors=True)
        extracted.clear()

    def go_on():
        finished.append((output / "dataset.json").is_file())
        return run(videos, output, form)

    finished = []
    for step, found in killed_at_every_step(monkeypatch, start, go_on):
        assert found == failed, step
        assert video_files.tree(output) == expected, step
        again = list((collections.Counter(extracted) - collections.Counter(good + bad)).elements())
        if finished[-1]:  # killed when all was done: the bad ones get their second chance
            assert again == list(bad), step
        else:
            assert len(again) <= 1, (step, again)
    assert any(finished)


@pytest.mark.parametrize("form", ["shards", "folders"])
def test_killed_at_any_step_while_videos_are_added(tmp_path, monkeypatch, extracted, form):
    """What an earlier run finished is neither lost nor done again, in shared shards either."""
    videos, before, output = tmp_path / "videos", tmp_path / "before", tmp_path / "data"
    write_videos(videos, "ace")
    write_text(videos, "bf")
    run(videos, before, form)
    write_videos(videos, "bd")  # b is repaired, d is new, f stays what it is
    shutil.copytree(before, tmp_path / "undisturbed")
    extracted.clear()
    failed = run(videos, tmp_path / "undisturbed", form)
    assert extracted == ["b", "d", "f"] and list(failed) == [str(videos / "f.avi")]
    expected = video_files.tree(tmp_path / "undisturbed")

    def start():
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(before, output)
        extracted.clear()

    for step, found in killed_at_every_step(monkeypatch, start, lambda: run(videos, output, form)):
        assert found == failed, step
        assert video_files.tree(output) == expected, step
        again = [name for name, count in collections.Counter(extracted).items() if count > 1]
        assert set(extracted) == {"b", "d", "f"} and len(again) <= 1, (step, extracted)


# Killed for good: SIGKILL to the real command and its worker processes.

COMMAND = f"""
import runpy, sys
from mas.prepare import plan
plan.VIDEOS_PER_SHARD = {PER_SHARD}
runpy.run_module("mas.prepare", run_name="__main__", alter_sys=True)
"""
WORKERS = 2
needs_proc = pytest.mark.skipif(not pathlib.Path("/proc/self/stat").is_file(), reason="no /proc")


def start_command(videos, output):
    words = [f"--videos={videos}", f"--output={output}", f"--workers={WORKERS}", "--flow=dis"]
    log = open(output.with_name("log"), "w+")
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words], env=ENVIRONMENT, stderr=log
    ), log


def children(parent):
    """Ids of the living processes that a process started."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, father = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(father) == parent and state != "Z":
            found.append(int(path.parent.name))
    return found


def alive(process):
    try:
        stat = pathlib.Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def done(output):
    """How many videos are stored: staged or in a finished shard, or both."""
    staged = [int(path.stem) for path in output.glob("staging/*.npz")]
    names = json.loads((output / "plan.json").read_text())["videos"] if staged else []
    rows = [row[0] for path in output.glob("videos-*.csv") for row in records.read_index(path)]
    return len({*rows, *(names[position] for position in staged)})


def kill_when(videos, output, condition, delay):
    """Kills the command `delay` seconds after `condition`: its workers, and as `ready`."""
    process, log = start_command(videos, output)
    wait_for(lambda: condition() or process.poll() is not None)
    time.sleep(delay)
    helpers = children(process.pid)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "it ended by itself before it could be killed"
    wait_for(lambda: not any(map(alive, helpers)), 10)
    return helpers, ready(log)


def ready(log):
    """How many videos the command found stored when it began; None if it did not get that far."""
    log.seek(0)
    found = re.search(r"videos: (\d+) ready", log.read())
    log.close()
    return found and int(found[1])


def reference(videos, output):
    """What an undisturbed run leaves, made in this process."""
    return prepare.prepare_videos(videos, output, flow="dis", workers=WORKERS).failures


@needs_proc
def test_sigkill(tmp_path):
    """At seeded moments: while it starts, plans, extracts and writes shards."""
    rng = random.Random(0)
    videos, output = tmp_path / "videos", tmp_path / "data"
    write_videos(videos, "abcdefghijkl", frames=40)
    video_files.cut(videos / "d.avi", 0.5)
    moments = [
        (lambda before: True, rng.uniform(0.05, 0.3)),
        (lambda before: (output / "plan.json").is_file(), rng.uniform(0, 0.3)),
        (lambda before: done(output) >= before + 2, rng.uniform(0, 0.1)),
        (lambda before: any(output.glob("*.tfrecord*")), rng.uniform(0, 0.01)),
    ]
    helped, before = [], 0
    for condition, delay in moments:
        helpers, began = kill_when(videos, output, functools.partial(condition, before), delay)
        helped += helpers
        assert began in (None, before), "a stored video was not taken for stored"
        before = done(output)
    assert len(helped) >= WORKERS and before >= 2 and any(output.glob("*.tfrecord*"))
    process, log = start_command(videos, output)
    assert process.wait() == 1
    assert ready(log) == before
    failed = reference(videos, tmp_path / "undisturbed")
    assert list(failed) == [str(videos / "d.avi")]
    assert video_files.tree(output) == video_files.tree(tmp_path / "undisturbed")


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_sigkill_at_any_time(tmp_path, seed):
    """Again and again, a random time after each start, until it comes to its end."""
    rng = random.Random(seed)
    videos, output = tmp_path / "videos", tmp_path / "data"
    write_videos(videos, "abcdefghijkl", frames=40)
    write_text(videos, "m")
    kills, status = 0, None
    while status is None:
        process, log = start_command(videos, output)
        try:
            status = process.wait(rng.uniform(0, 3 + kills))
        except subprocess.TimeoutExpired:
            helpers = children(process.pid)
            process.kill()
            process.wait()
            wait_for(lambda helpers=helpers: not any(map(alive, helpers)), 10)
            kills += 1
        log.close()
    assert (status, kills > 0) == (1, True)
    reference(videos, tmp_path / "undisturbed")
    assert video_files.tree(output) == video_files.tree(tmp_path / "undisturbed")


@needs_proc
def test_a_worker_ends_although_its_flow_takes_long(tmp_path):
    """The worker computes; its input ends because the parent is gone: it does not wait."""
    video_files.write(tmp_path / "videos" / "x.avi", video_files.moving(40, (1, 0), (320, 240)))
    words = [f"--videos={tmp_path / 'videos'}", f"--output={tmp_path / 'data'}", "--size=keep"]
    command = [sys.executable, "-m", "mas.prepare", *words, "--form=folders", "--workers=1"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    wait_for(lambda: children(process.pid))
    time.sleep(1)
    helpers = children(process.pid)
    process.kill()
    process.wait()
    start = time.monotonic()
    wait_for(lambda: not any(map(alive, helpers)), 10)
    assert helpers and time.monotonic() - start < 3
    assert not list((tmp_path / "data").rglob("*.jpg"))
