"""Ray on this machine: tasks survive dying workers, and prepared bytes equal the pool's."""

import functools
import os
import pathlib
import signal
import subprocess
import sys

import evaluating
import numpy as np
import preparing
import pytest
import video_files
from test_prepare_resume import alive, needs_proc, wait_for

from mas import cluster, features
from mas.features import remote
from mas.prepare import environment, plan, progress
from mas.prepare import remote as engine

pytest.importorskip("ray", reason="needs Ray: pip install 'mas-video[cluster]'")


@pytest.fixture(scope="module")
def ray():
    """A Ray of two workers on this machine."""
    with cluster.connected("local", 2) as found:
        yield found


def test_unusable_node_stops_run_before_start(ray):
    cluster.check_nodes(ray, cluster.needs({"mas": "mas"}))
    with pytest.raises(RuntimeError, match=r"1 of 1 Ray nodes.*: \S+ does not see /no/video"):
        cluster.check_nodes(ray, cluster.needs({}, ["/no/video"]))


def test_ray_keeps_signal_handlers(ray):
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


# Tasks.


def run(ray, function, items, **options):
    tasks = cluster.Tasks(ray, function, **options)
    for item in items:
        tasks.submit(item)
    return list(tasks.finished())


def test_each_item_is_answered_once_with_progress(ray):
    def count(item):
        for n in range(item):
            yield {"done": n}
        yield {"end": item}

    found = run(ray, count, [2, 0, 1], most=2)
    assert sorted((i, a["end"]) for i, a in found if "end" in a) == [(0, 0), (1, 1), (2, 2)]
    assert [a for i, a in found if i == 2] == [{"done": 0}, {"done": 1}, {"end": 2}]


def test_dead_worker_is_replaced_three_times(ray, tmp_path):
    """The worker kills itself, with or without progress, or reports that its subprocess died."""

    def die(item):
        import os
        import pathlib

        name, lives = item
        path = pathlib.Path(tmp_path, name)
        tries = len(path.read_text()) if path.exists() else 0
        path.write_text("x" * (tries + 1))
        if tries < lives and name == "child":
            yield {"died": "signal 11"}
            return
        yield {"done": 1}
        if tries < lives:
            os.kill(os.getpid(), 9)
        yield {"end": tries}

    items = [("lives", 3), ("never", 9), ("child", 9), ("well", 0)]
    found = {item[0]: answer for item, answer in run(ray, die, items) if "done" not in answer}
    assert found == {
        "lives": {"end": 3},
        "never": {"died": "it was killed"},
        "child": {"died": "signal 11"},
        "well": {"end": 0},
    }
    assert {p.name: len(p.read_text()) for p in tmp_path.iterdir()} == {
        "lives": 4,
        "never": 4,
        "child": 4,
        "well": 1,
    }


def test_errors_unrelated_to_items_end_run(ray):
    def fail(item):
        if item == 1:
            raise OSError(28, "No space left on device")
        yield {"failed": "Nothing can be written."}

    with pytest.raises(RuntimeError, match="A worker failed: OSError: .*No space left"):
        run(ray, fail, [1])
    with pytest.raises(RuntimeError, match="Nothing can be written."):
        run(ray, fail, [2])


# Preparation.

SIZE = (48, 32)
OPTIONS = {"flow": "dis", "size": SIZE, "min_frames": 2}


def films(folder, count=5, frames=12):
    for n in range(count):
        video_files.write(folder / f"{n}.avi", video_files.moving(frames, (1, 0), seed=n))
    preparing.write_text(folder, ["bad"])
    return folder


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A long video, short ones, and a file that is not a video."""
    folder = films(tmp_path_factory.mktemp("films"))
    images = video_files.moving(40, (1, 0), (64, 48))
    video_files.write(folder / "long.avi", np.tile(images, (50, 1, 1, 1)))
    return folder


@pytest.fixture(scope="module")
def expected(videos, tmp_path_factory):
    """The pool's result in a given form."""

    @functools.cache
    def of(form):
        output = tmp_path_factory.mktemp("pool") / form
        preparing.run(videos, output, form=form, **OPTIONS)
        return video_files.tree(output)

    return of


def processes(words, below=None):
    """Ids of running processes whose command line contains some words; optionally below one."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        process = int(path.parent.name)
        try:
            line = path.read_bytes().decode(errors="replace")
            if words in line and alive(process) and (below is None or below in above(process)):
                found.append(process)
        except OSError:  # it has ended
            continue
    return found


def above(process):
    """Ids of all ancestors of a process."""
    while process > 1:
        stat = pathlib.Path(f"/proc/{process}/stat").read_text()
        process = int(stat.rpartition(")")[2].split()[1])
        yield process


@needs_proc
@pytest.mark.parametrize(
    "victim", ["ray::carry_out", pytest.param("extract.main()", marks=pytest.mark.slow)]
)
def test_killed_worker_does_not_change_result(
    ray, videos, expected, tmp_path, monkeypatch, capfd, victim
):
    """The Ray worker or its decoding process is killed; the bytes still equal the pool's."""
    killed, note = [], progress.Progress.note

    def watch(self, job, answer):
        note(self, job, answer)
        if "done" in answer and not killed:
            killed.extend(processes(victim, below=os.getpid()))
            for process in killed:
                os.kill(process, signal.SIGKILL)

    monkeypatch.setattr(progress.Progress, "note", watch)
    options = {"form": "folders", "engine": "ray", **OPTIONS}
    failed = preparing.run(videos, tmp_path / "data", **options)
    assert killed and list(failed) == [str(videos / "bad.avi")]
    assert "ray" not in "".join(capfd.readouterr())  # it says nothing of the worker
    assert video_files.tree(tmp_path / "data") == expected("folders")


def test_node_environments_are_recorded(tmp_path, monkeypatch, caplog):
    known = {"opencv": "5.0", "instructions": "x86_64 AVX2"}
    answers = [("a", known), ("b", {**known, "instructions": "x86_64"}), ("c", TimeoutError())]
    monkeypatch.setattr(environment, "current", lambda method: known)
    monkeypatch.setattr(cluster, "on_each", lambda *arguments: answers)
    plan.keep(tmp_path, plan.Storage(), [])
    plan.keep_made_with(tmp_path, [known])
    (tmp_path / "mark").write_text("")
    engine.Ray(None, None, tmp_path / "mark", [], "dis")._note(None)
    assert plan.made_with(tmp_path) == [known, answers[1][1]]
    assert (
        "started with instructions=x86_64 AVX2. This call has instructions=x86_64:" in caplog.text
    )


COMMAND = """
import sys
from mas import cli
from mas.prepare import progress
progress.MEASURED = 1e9
sys.exit(cli.main("prepare", *sys.argv[1:]))
"""


def start(videos, output, address):
    """Starts the command in its own process group, as in a terminal; returns its output file."""
    size = "x".join(map(str, SIZE))
    words = [f"--videos={videos}", f"--output={output}", "--flow=dis", f"--size={size}"]
    words += ["--min_frames=2", "--engine=ray", f"--address={address}"]
    log = output.with_name("log")
    with open(log, "w") as file:
        command = [sys.executable, "-c", COMMAND, *words]
        options = {"stderr": file, "stdout": file, "start_new_session": True}
        options["env"] = {**os.environ, "PYTHONPATH": str(preparing.ROOT)}  # with Ray's token
        return subprocess.Popen(command, **options), log


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_driver_killed_mid_work_resumes(ray, videos, expected, tmp_path, number):
    """On a persistent cluster: its workers end, and the same command gives the same bytes."""
    address, output = ray.get_runtime_context().gcs_address, tmp_path / "data"
    process, log = start(videos, output, address)
    wait_for(lambda: any(output.glob("staging/*.npz")) or process.poll() is not None)
    os.killpg(process.pid, number)
    status = process.wait(30)
    wait_for(lambda: not processes("ray::carry_out", below=os.getpid()), 20)
    words = log.read_text()
    assert "6 to do" not in words and "7 videos: 0 ready, 7 to do.\nRay " in words
    if number == signal.SIGINT:
        assert status == 130
        last = words.replace("\r", "\n").splitlines()[-1]
        assert last == "stopped; the same command resumes" and "Traceback" not in words
    process, log = start(videos, output, address)
    assert process.wait(120) == 1
    left = [line for line in log.read_text().replace("\r", "\n").splitlines() if line]
    shown = [line for line in left if not line.startswith("prepare:")]
    assert len(shown) == 6 and "(raylet)" not in log.read_text(), shown
    assert video_files.tree(output) == expected("shards")


@needs_proc
@pytest.mark.slow
def test_interrupt_stops_ray_started_by_command(videos, tmp_path):
    output, before = tmp_path / "data", processes("raylet")
    process, log = start(videos, output, "local")
    wait_for(lambda: any(output.glob("staging/*.npz")) or process.poll() is not None)
    assert set(processes("raylet")) - set(before)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) == 130
    assert log.read_text().endswith("stopped; the same command resumes\n")
    wait_for(lambda: not set(processes("raylet")) - set(before), 20)
    assert not [line for line in os.listdir(output / "staging") if line.endswith(".tmp")]


# Features.


@pytest.mark.slow
def test_features_equal_single_process(ray, tmp_path, monkeypatch):
    """Parts of one batch; a failing video ends a part, and its rest is repeated."""
    monkeypatch.setattr(remote, "MOST", 1)
    run, data = evaluating.write_run(tmp_path / "run"), evaluating.store(tmp_path / "data")
    (tmp_path / "data" / "jpegs_256" / "a" / "y" / "frame000003.jpg").write_bytes(b"no picture")
    chosen = features.Sampling(clips=5, batch=3, allow_failures=True)
    options = {"sampling": chosen, "cache": False}
    here = features.extract(run, data, evaluating.entries(), **options)
    there = features.extract(run, data, evaluating.entries(), **options, engine="ray")
    assert there.facts == here.facts and "a/y" in here.facts["failures"]
    assert there.videos == here.videos == ["a/x", "b/z"]
    assert there.values.tobytes() == here.values.tobytes()
    with pytest.raises(ValueError, match="allow_failures is true. Received: a/y"):
        chosen = features.Sampling(clips=5, batch=3)
        features.extract(run, data, sampling=chosen, cache=False, engine="ray")


def test_rejects_in_memory_network_on_cluster(ray):
    with pytest.raises(ValueError, match="source must be a run or a .keras file with engine='ray'"):
        features.extract(evaluating.mirror(), "data", engine="ray")
