"""Preparation that is killed and resumed gives the same data as an undisturbed run."""

import collections
import json
import os
import pathlib
import random
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
from mas.prepare import dataset, plan, sources

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
    """Counts changes of the file system and ends the process at one of them."""

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


def killed_at_every_step(monkeypatch, start, resume):
    """Yields (step, what `resume` returns afterwards); `start` makes the state before."""
    for last in range(1, 10_000):
        start()
        with monkeypatch.context() as patch:
            steps = Steps(patch, last)
            try:
                resume()
            except Killed:
                pass
        if steps.count < last:
            assert last > 20
            return
        yield last, resume()


@pytest.mark.parametrize(
    "form, before, good, bad",
    [
        ("shards", "", "abde", "cf"),
        ("folders", "", "ac", "b"),
        ("shards", "ace", "bd", "f"),  # b, d and f come into shards of a, c and e
        pytest.param("folders", "ace", "bd", "f", marks=pytest.mark.slow),
    ],
)
def test_resumes_when_killed_at_any_step(tmp_path, monkeypatch, extracted, form, before, good, bad):
    """Same files; every video is extracted once, except the one that was being extracted.

    What an earlier run finished is neither lost nor done again.
    """
    videos, earlier, output = (tmp_path / name for name in ("videos", "earlier", "data"))
    if before:
        write_videos(videos, before)
        write_text(videos, good[0] + bad)  # one is repaired, the other as bad as before
        run(videos, earlier, form)
    write_videos(videos, good)
    write_text(videos, bad)

    def start(folder):
        shutil.rmtree(folder, ignore_errors=True)
        if before:
            shutil.copytree(earlier, folder)
        extracted.clear()

    def resume():
        whole = (output / "dataset.json").is_file() and not (output / ".unfinished").exists()
        finished.append(whole and bool(extracted))
        return run(videos, output, form)

    start(tmp_path / "undisturbed")
    failed = run(videos, tmp_path / "undisturbed", form)
    assert list(failed) == [str(videos / f"{name}.avi") for name in bad]
    expected = video_files.tree(tmp_path / "undisturbed")
    assert extracted == sorted(good + bad)
    finished = []
    for step, found in killed_at_every_step(monkeypatch, lambda: start(output), resume):
        assert found == failed, step
        assert video_files.tree(output) == expected, step
        again = list((collections.Counter(extracted) - collections.Counter(good + bad)).elements())
        assert set(extracted) == {*good, *bad}
        if finished[-1]:  # killed when all was done: the bad ones get their second chance
            assert again == list(bad), step
        else:
            assert len(again) <= 1, (step, again)
    assert any(finished)


@pytest.mark.parametrize("form", ["shards", pytest.param("folders", marks=pytest.mark.slow)])
def test_resumes_when_killed_at_damaged_video(tmp_path, monkeypatch, extracted, form):
    """A stored video always has its line in damaged.csv."""
    videos, output = tmp_path / "videos", tmp_path / "data"
    write_videos(videos, "a")
    video_files.cut(video_files.write(videos / "b.avi", video_files.noise(6), "mp4v"), 0.7)

    def resume():
        return run(videos, output, form, allow_damaged=True)

    assert run(videos, tmp_path / "undisturbed", form, allow_damaged=True) == {}
    expected = video_files.tree(tmp_path / "undisturbed")
    assert expected["damaged.csv"].count(b"b.avi") == 1
    for step, found in killed_at_every_step(
        monkeypatch, lambda: shutil.rmtree(output, ignore_errors=True), resume
    ):
        assert found == {} and video_files.tree(output) == expected, step


def test_damage_line_is_removed_with_its_video(tmp_path, monkeypatch, extracted):
    """Killed before the video is stored; the next call no longer allows damaged videos."""
    videos, output = tmp_path / "videos", tmp_path / "data"
    write_videos(videos, "a")
    video_files.cut(video_files.write(videos / "b.avi", video_files.noise(30), "mp4v"), 0.5)
    place = dataset._Run._place

    def killed(self, name, part):
        if name == "b":
            raise Killed
        place(self, name, part)

    with monkeypatch.context() as patch:
        patch.setattr(dataset._Run, "_place", killed)
        with pytest.raises(Killed):
            run(videos, output, allow_damaged=True)
    assert "b.avi" in (output / "damaged.csv").read_text()
    assert [*run(videos, output)] == [str(videos / "b.avi")]
    assert not (output / "damaged.csv").exists()


@pytest.mark.parametrize("form", ["shards", "folders"])
def test_file_changed_between_runs_is_detected(tmp_path, monkeypatch, extracted, caplog, form):
    """Killed before it recorded that the video is stored, with other videos to do."""
    videos, output = tmp_path / "videos", tmp_path / "data"
    write_videos(videos, "abc")

    def killed(self, video):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(sources.Sources, "end", killed)
        with pytest.raises(Killed):
            run(videos, output, form)
    video_files.write(videos / "a.avi", video_files.noise(4, seed=9))
    video_files.write(videos / "b.avi", video_files.noise(4, seed=8))  # not begun: not named
    extracted.clear()
    run(videos, output, form)
    named = [text for text in caplog.messages if "has changed since" in text]
    assert named == [f"{videos / 'a.avi'} has changed since it was prepared."]
    assert extracted == ["b", "c"] and records.open_data(output).lengths.tolist() == [2, 4, 2]
    run(videos, output, form, update=True)
    assert records.open_data(output).lengths.tolist() == [4, 4, 2]


# Ended for good: a signal to the real command, whose workers must end with it.

COMMAND = f"""
import sys
from mas import cli
from mas.prepare import plan
plan.VIDEOS_PER_SHARD = {PER_SHARD}
sys.exit(cli.main("prepare", *sys.argv[1:]))
"""
WORKERS = 2
needs_proc = pytest.mark.skipif(not pathlib.Path("/proc/self/stat").is_file(), reason="no /proc")


def start_command(videos, output, *flags):
    words = [f"--videos={videos}", f"--output={output}", f"--workers={WORKERS}", *flags]
    log = open(output.with_name("log"), "w+")
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words],
        env=ENVIRONMENT,
        stderr=log,
        start_new_session=True,
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
    """Number of stored videos, staged or in a finished shard."""
    staged = [int(path.stem) for path in output.glob("staging/*.npz")]
    names = json.loads((output / "plan.json").read_text())["videos"] if staged else []
    rows = [row[0] for path in output.glob("videos-*.csv") for row in records.read_index(path)]
    return len({*rows, *(names[position] for position in staged)})


def end_when(videos, output, condition, number, *flags):
    """Sends the command a signal when a condition holds; returns (status, output)."""
    process, log = start_command(videos, output, *flags)
    wait_for(lambda: " ready, " in pathlib.Path(log.name).read_text() or process.poll() is not None)
    wait_for(lambda: condition() or process.poll() is not None)
    helpers = children(process.pid)
    os.killpg(process.pid, number)  # as a terminal does
    status = process.wait(20)
    wait_for(lambda: not any(map(alive, helpers)), 10)
    log.seek(0)
    with log:
        return status, log.read()


@needs_proc
def test_resumes_after_sigkill(tmp_path):
    """Kills it during extraction, and while it writes shards."""
    videos, output = tmp_path / "videos", tmp_path / "data"
    write_videos(videos, "abcdefgh", frames=40)
    video_files.cut(videos / "d.avi", 0.5)
    before = 0
    for moment in (lambda: done(output) >= 2, lambda: any(output.glob("*.tfrecord*"))):
        status, words = end_when(videos, output, moment, signal.SIGKILL, "--flow=dis")
        assert status == -signal.SIGKILL, "it ended by itself before it could be killed"
        assert f"8 videos: {before} ready" in words, "a stored video was not taken for stored"
        before = done(output)
        assert before >= 2
    options = {"flow": "dis", "progress": False}
    for folder in (output, tmp_path / "undisturbed"):
        failed = prepare.prepare_videos(videos, folder, **options).failures
        assert list(failed) == [str(videos / "d.avi")]
    assert video_files.tree(output) == video_files.tree(tmp_path / "undisturbed")


@needs_proc
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
def test_signal_ends_command_and_workers_during_flow(tmp_path, number):
    """It prints one line; TV-L1 takes a second per frame here."""
    videos, output = tmp_path / "videos", tmp_path / "data"
    video_files.write(videos / "x.avi", video_files.moving(40, (1, 0), (480, 320)))

    def at_work():
        return "0 of 1 video" in output.with_name("log").read_text()

    status, words = end_when(videos, output, at_work, number, "--size=keep", "--form=folders")
    if number == signal.SIGKILL:
        assert status == -number
    else:
        assert status == 128 + number
        assert words.endswith("stopped; the same command resumes\n") and "Traceback" not in words
    assert not list(output.rglob("*.jpg")) and (output / "plan.json").is_file()


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_resumes_after_repeated_sigkill(tmp_path, seed):
    """Kills it repeatedly, at random times, until it finishes."""
    rng = random.Random(seed)
    videos, output = tmp_path / "videos", tmp_path / "data"
    write_videos(videos, "abcdefghijkl", frames=40)
    write_text(videos, "m")
    kills, status = 0, None
    while status is None:
        process, log = start_command(videos, output, "--flow=dis")
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
    prepare.prepare_videos(videos, tmp_path / "undisturbed", flow="dis", progress=False)
    assert video_files.tree(output) == video_files.tree(tmp_path / "undisturbed")
