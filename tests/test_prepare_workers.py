"""Preparation: worker processes and their progress."""

import json
import logging
import os
import subprocess
import sys
import threading
import time

import preparing
import pytest
import video_files
from preparing import ENVIRONMENT, run

from mas import video
from mas.prepare import extract, progress, workers


def test_default_workers_equal_available_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert workers.cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")  # as outside Linux
    assert workers.cores() == 8
    monkeypatch.setattr(os, "cpu_count", lambda: None)  # as where nobody knows
    assert workers.cores() == 1


FAKE = """
import json, os, signal, sys, time
for line in sys.stdin:
    job = json.loads(line)
    with open(job["log"], "a") as log:
        log.write(job["video"] + chr(10))
    if job["video"] == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if job["video"] == "fail":
        sys.exit("OSError: [Errno 28] No space left on device")
    print(json.dumps({"done": 7}), flush=True)
    time.sleep(job.get("seconds", 0))
    print(json.dumps({"frames": 9, "pid": os.getpid()}), flush=True)
"""
COMMAND = [sys.executable, "-c", FAKE]


def fake_jobs(tmp_path, *names, **options):
    log = str(tmp_path / "log")
    return [{"video": name, "path": f"{name}.avi", "log": log, **options} for name in names]


def test_crashed_worker_is_replaced_and_its_video_reported(tmp_path):
    answers, news = {}, []
    with workers.Pool(1, COMMAND) as pool:
        for job, answer in pool.run(fake_jobs(tmp_path, "a", "b", "crash", "c", "d")):
            if "done" in answer:
                news.append((job["video"], answer["done"]))
            else:
                answers[job["video"]] = answer
    assert answers.pop("crash") == {"error": "the decoder crashed (signal 11)"}
    pids = [answers[name].pop("pid") for name in "abcd"]
    assert answers == {name: {"frames": 9} for name in "abcd"}
    assert pids[0] == pids[1] != pids[2] == pids[3]
    assert news == [(name, 7) for name in "abcd"]
    assert (tmp_path / "log").read_text().split() == ["a", "b", "crash", "c", "d"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_workers_end_with_the_run(tmp_path, error):
    """A failing worker, with its last output, or an interruption ends all workers at once."""
    first, seconds = ("fail", 0.05) if error is RuntimeError else ("a", 60)
    jobs = fake_jobs(tmp_path, first, *"bcdefghijklmnopqrst", seconds=seconds)
    start = time.monotonic()
    with pytest.raises(error, match="fail.avi: OSError.*No space|^$"):
        with workers.Pool(2, COMMAND) as pool:
            for _ in pool.run(jobs):
                if error is KeyboardInterrupt:
                    raise error
    assert time.monotonic() - start < 10 and not pool._workers
    assert not any(thread.name.endswith("(_serve)") for thread in threading.enumerate())
    taken = (tmp_path / "log").read_text().split()
    time.sleep(0.2)
    assert (tmp_path / "log").read_text().split() == taken and len(taken) < 10


NOISY = """
import os
from mas.prepare import extract
extract.NEWS_EVERY = 0
def run(job, tell):
    os.write(1, b"noise")
    print("noise", flush=True)
    tell(1)
    return {"frames": job["n"]}
extract.run = run
extract.main()
"""


def test_worker_answers_lines_and_ends_with_input():
    pipe = subprocess.PIPE
    worker = subprocess.Popen(
        [sys.executable, "-c", NOISY], stdin=pipe, stdout=pipe, stderr=pipe, env=ENVIRONMENT
    )
    for n in (1, 2):
        worker.stdin.write(b'{"n": %d}\n' % n)
        worker.stdin.flush()
        assert json.loads(worker.stdout.readline()) == {"done": 1}
        assert json.loads(worker.stdout.readline()) == {"frames": n}
    rest, words = worker.communicate(timeout=20)
    assert (rest, worker.returncode) == (b"", 0)
    assert words.count(b"noise") == 4


def test_unstorable_result_ends_run(tmp_path):
    """No video counts as failed."""
    videos = preparing.film(tmp_path / "videos")
    (tmp_path / "data").mkdir()
    settings = {"form": "folders", "size": [64, 48], "method": "none"}
    known = {"settings": {**settings, "quality": 95, "min_frames": 5}, "videos": []}
    (tmp_path / "data" / "plan.json").write_text(json.dumps(known))
    (tmp_path / "data" / "jpegs_256" / "right").mkdir(parents=True)
    (tmp_path / "data" / "jpegs_256" / "right" / "a").write_text("in the way")
    with pytest.raises(RuntimeError, match="a.avi cannot be stored: .*Not a directory"):
        run(videos, tmp_path / "data", form="folders", flow="none")
    assert not (tmp_path / "data" / "failures.csv").exists()


# How far.


def jobs(count, method="dis"):
    return [{"video": n, "path": f"{n}.avi", "storage": {"flow": method}} for n in range(count)]


def test_progress_total_adds_done_and_declared_frames():
    bar = progress.Progress(jobs(4), 2, show=False)
    assert bar.frames() == (0, None)
    for video_id, declared in ((0, 10), (1, 30), (2, 0)):
        bar.note({"video": video_id, "ask": "count"}, {"declared": declared})
    assert bar.frames() == (0, 80)  # an unknown length counts as the mean, 20
    bar.note({"video": 0}, {"done": 4})
    assert bar.frames() == (4, 80)
    bar.note({"video": 0}, {"frames": 12})
    assert bar.frames() == (12, 82)
    bar.note({"video": 2}, {"done": 99})
    bar.note({"video": 2}, {"error": "truncated"})
    assert bar.frames() == (111, 161)
    bar.note({"video": 3}, {"frames": 20})
    bar.note({"video": 1}, {"frames": 31})
    assert bar.frames() == (162, 162)


def test_time_estimate_after_first_seconds(monkeypatch, caplog):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    caplog.set_level(logging.INFO, "absl")
    with progress.Progress(jobs(10, "tvl1"), 2) as bar:
        asked = bar.questions()
        assert [question["ask"] for question in asked] == ["count"] * 10 + ["dis"]
        for question in asked[:-1]:
            bar.note(question, {"declared": 742})
        bar.note(asked[-1], {"dis": 0.01})
        for seconds, frames in ((20, 3), (22, 9), (24.9, 18)):
            now[0] = seconds
            bar.note({"video": 0}, {"done": frames})
        assert "About" not in caplog.text
        now[0] = 26
        bar.note({"video": 1}, {"done": 5})
        bar.note({"video": 1}, {"done": 50})
    (line,) = (record.message for record in caplog.records if "About" in record.message)
    # 20 frames in 6 s from the first news on; dis: 7420 * 0.01 s on two workers.
    assert line.startswith("About 37 minutes: 7420 frames, 3.3 frames/s on 2 workers; ")
    assert "flow=dis" in line and line.endswith("about 37 seconds.")


def test_large_sets_are_sampled_for_progress_total(monkeypatch):
    monkeypatch.setattr(progress, "COUNTED", 3)
    asked = progress.Progress(jobs(7), 2).questions()
    assert [question["video"] for question in asked] == [0, 3, 6]
    assert progress.Progress(jobs(7), 2, show=False).questions() == []
    assert progress.Progress([], 2).questions() == []


def test_workers_estimate_remaining_time(tmp_path):
    path = video_files.write(tmp_path / "x.avi", video_files.moving(20, (1, 0)))
    storage = {"form": "shards", "size": [48, 32], "flow": "tvl1", "quality": 95, "min_frames": 2}
    job = {"path": str(path), "video": "x", "storage": storage}
    assert extract.foresee({**job, "ask": "count"}) == {"declared": 20}
    assert 0 < extract.foresee({**job, "ask": "dis"})["dis"] < 0.1
    assert extract.foresee({**job, "ask": "count", "path": "gone.avi"}) == {}
    video_files.write(path, video_files.noise(1))
    assert extract.foresee({**job, "ask": "dis"}) == {}
    told = []
    extract.extract(path, "x", extract.Storage(**{**storage, "min_frames": 1}), tell=told.append)
    assert told == [1] and video.declared_frames(path) == 1
