"""Preparation: the worker processes, and the command."""

import json
import os
import subprocess
import sys
import time

import preparing
import pytest
import video_files
from preparing import ENVIRONMENT, ROOT, failures, run

from mas import records
from mas.prepare import workers


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return preparing.film(tmp_path_factory.mktemp("videos"))


@pytest.fixture
def inline(monkeypatch):
    monkeypatch.setattr(workers, "Pool", video_files.Inline)


# The workers.


def test_as_many_workers_as_cores_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert workers.cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")  # as outside Linux
    assert workers.cores() == 8
    monkeypatch.setattr(os, "cpu_count", lambda: None)  # as where nobody knows
    assert workers.cores() == 1


def test_preparation_does_not_need_linux(videos, tmp_path, inline, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert run(videos, tmp_path / "data", workers=None) == {}


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
    time.sleep(job.get("seconds", 0))
    print(json.dumps({"frames": 1, "pid": os.getpid()}), flush=True)
"""


def fake_jobs(tmp_path, *names, **options):
    log = str(tmp_path / "log")
    return [{"video": name, "path": f"{name}.avi", "log": log, **options} for name in names]


def test_a_worker_that_crashes_is_replaced_and_its_video_named(tmp_path):
    answers = {}
    with workers.Pool(1, [sys.executable, "-c", FAKE]) as pool:
        for job, answer in pool.run(fake_jobs(tmp_path, "a", "b", "crash", "c", "d")):
            answers[job["video"]] = answer
    assert answers.pop("crash") == {"error": "the decoder crashed (signal 11)"}
    pids = [answers[name].pop("pid") for name in "abcd"]
    assert answers == {name: {"frames": 1} for name in "abcd"}
    assert pids[0] == pids[1] != pids[2] == pids[3]
    assert (tmp_path / "log").read_text().split() == ["a", "b", "crash", "c", "d"]


def test_a_worker_that_fails_ends_the_run_with_its_last_words(tmp_path):
    jobs = fake_jobs(tmp_path, "fail", *"abcdefghijklmnopqrst", seconds=0.05)
    with pytest.raises(RuntimeError, match=r"failed on fail.avi: OSError: \[Errno 28\] No space"):
        with workers.Pool(2, [sys.executable, "-c", FAKE]) as pool:
            list(pool.run(jobs))
    taken = (tmp_path / "log").read_text().split()
    time.sleep(0.2)
    assert (tmp_path / "log").read_text().split() == taken and len(taken) < 10


CRASHING = """
import ctypes
from mas.prepare import extract
run = extract.run
extract.run = lambda job, tell: ctypes.string_at(0) if job["video"] == "b" else run(job)
extract.main()
"""


def test_a_crash_costs_its_video_alone_and_is_tried_again(tmp_path, monkeypatch):
    for name in ("a.avi", "b.avi", "c.avi"):
        video_files.write(tmp_path / "videos" / name, video_files.noise(5))
    command = [sys.executable, "-c", CRASHING]
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        pool = workers.Pool
        patch.setattr(workers, "Pool", lambda count: pool(count, command))
        found = run(tmp_path / "videos", tmp_path / "data")
    crashed = str(tmp_path / "videos" / "b.avi")
    assert found == {crashed: "the decoder crashed (signal 11)"}
    assert records.open_data(tmp_path / "data").videos == ["a", "c"]
    monkeypatch.setattr(workers, "Pool", video_files.Inline)
    assert run(tmp_path / "videos", tmp_path / "data") == {}
    run(tmp_path / "videos", tmp_path / "undisturbed")
    assert video_files.tree(tmp_path / "data") == video_files.tree(tmp_path / "undisturbed")


NOISY = """
import os
from mas.prepare import extract
def run(job, tell):
    os.write(1, b"noise")
    print("noise", flush=True)
    return {"frames": job["n"]}
extract.run = run
extract.main()
"""


def test_a_worker_answers_lines_and_nothing_else_and_ends_with_its_input():
    pipe = subprocess.PIPE
    worker = subprocess.Popen(
        [sys.executable, "-c", NOISY], stdin=pipe, stdout=pipe, stderr=pipe, env=ENVIRONMENT
    )
    for n in (1, 2):
        worker.stdin.write(b'{"n": %d}\n' % n)
        worker.stdin.flush()
        assert json.loads(worker.stdout.readline()) == {"frames": n}
    rest, words = worker.communicate(timeout=20)
    assert (rest, worker.returncode) == (b"", 0)
    assert words.count(b"noise") == 4


def test_a_result_that_cannot_be_stored_ends_the_run(videos, tmp_path):
    """Nothing is wrong with the videos then, and none is called bad."""
    run(videos, tmp_path / "data", form="folders", flow="none")
    (tmp_path / "data" / "dataset.json").unlink()
    (tmp_path / "data" / "jpegs_256" / "right" / "a").rename(tmp_path / "away")
    (tmp_path / "data" / "jpegs_256" / "right" / "a").write_text("in the way")
    with pytest.raises(RuntimeError, match="A worker failed on .*a.avi: NotADirectoryError"):
        run(videos, tmp_path / "data", form="folders", flow="none")
    assert not (tmp_path / "data" / "failures.csv").exists()


# The command.


def command(*flags):
    """Runs mas.prepare; (exit status, what it said)."""
    words = [sys.executable, "-m", "mas.prepare", "--flow=dis", "--size=64x48", "--workers=1"]
    done = subprocess.run([*words, *flags], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_the_command_and_its_exit_status(videos, tmp_path):
    base = (f"--videos={videos}", f"--output={tmp_path / 'data'}", "--form=folders")
    status, text = command(*base)  # FRAMES is less than the default of 16
    assert status == 1
    for name in ("right/a.avi", "right/b.mkv", "down/c.avi"):
        assert f"{videos / name}: shorter than one clip: 6 frames, at least 16 needed" in text
    assert f"3 videos failed; see {tmp_path / 'data' / 'failures.csv'}." in text
    assert "holds 0 videos, 0 frames." in text and "Next:" not in text
    assert len(failures(tmp_path / "data")) == 4
    assert command(*base, "--allow_failures")[0] == 0
    status, text = command(*base, "--min_frames=6")
    assert status == 2
    assert "was begun with min_frames=16" in text


def test_the_command_prepares_a_list(videos, tmp_path):
    (tmp_path / "list.txt").write_text("right/b 0\nright/a 0\n")
    base = (f"--videos={videos}", f"--output={tmp_path / 'data'}", "--min_frames=6")
    options = ("--flow=none", "--form=folders", f"--list={tmp_path / 'list.txt'}")
    status, text = command(*base, *options)
    assert status == 0
    assert f"{tmp_path / 'data'} holds 2 videos, 12 frames." in text
    assert f"Next: python train.py --data={tmp_path / 'data'}" in text
    assert records.open_data(tmp_path / "data").videos == ["right/a", "right/b"]
    (tmp_path / "list.txt").write_text("right/absent 0\n")
    status, text = command(*base, *options)
    assert status == 2
    assert "line 1: 'right/absent' matches none" in text


@pytest.mark.parametrize(
    "flags, status, message",
    [
        (["--size=171"], 2, "size must be WIDTHxHEIGHT in pixels, or keep. Received: size='171'."),
        (["--videos=absent"], 2, "videos must be an existing folder. Received: 'absent'."),
        (["more"], 1, "mas.prepare takes flags only. Received: ['more']."),
        (["--flow=farneback"], 1, "value should be one of <tvl1|dis|none>"),
    ],
)
def test_the_command_refuses(videos, tmp_path, flags, status, message):
    found, text = command(f"--videos={videos}", f"--output={tmp_path / 'data'}", *flags)
    assert (found, message in text) == (status, True), text
    assert not (tmp_path / "data").exists()
