"""Run folders that are damaged, in use or on a full disk: correct results, or one line."""

import errno
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from test_training import held, opened, same_runs, train

from mas import files, training
from mas.settings import Plan
from mas.training import checkpoints

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of three epochs, stopped after eight steps, and the result of a complete one."""
    folder = tmp_path_factory.mktemp("runs")
    whole = train(folder / "whole")
    train(folder / "stopped", stop=8, every=1)
    return folder, whole


@pytest.fixture
def stopped(trained, tmp_path):
    """A copy of the stopped run."""
    return pathlib.Path(shutil.copytree(trained[0] / "stopped", tmp_path / "run"))


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


# ---- the lock ------------------------------------------------------------------------------------

HOLDS = "import sys, time; from mas import locks; f = locks.lock(sys.argv[1], 'training')\n"
HOLDS += "print('held', flush=True); time.sleep(60)"


def test_rejects_second_training_in_folder_also_with_restart(tmp_path):
    """The lock of a killed process does not block."""
    run = held(tmp_path / "run", "--seed=1\n")
    pipes = {"stdout": subprocess.PIPE, "text": True, "env": {"PYTHONPATH": str(ROOT)}}
    process = subprocess.Popen([sys.executable, "-c", HOLDS, run], **pipes)
    assert process.stdout.readline() == "held\n"
    words = f"Another training is running in {run}: process {process.pid} on "
    before = sorted(path.name for path in run.iterdir())
    for restart in (False, True):
        with pytest.raises(RuntimeError, match=re.escape(words)):
            opened(run, restart=restart)
    assert sorted(path.name for path in run.iterdir()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    opened(run)


def test_folder_stays_locked_during_restart_until_closed(tmp_path):
    run = held(tmp_path / "run", "--seed=1\n")
    with opened(run, restart=True):
        assert (tmp_path / "run.earlier").is_dir()
        with pytest.raises(RuntimeError, match=f"running in {run}: process {os.getpid()}"):
            opened(run)
    opened(run)


def test_failed_training_leaves_no_lock(tmp_path):
    run = held(tmp_path / "run", "--seed=1\n")
    with pytest.raises(ValueError, match="seed=2") as kept:
        opened(run, seed="2")
    opened(run)
    assert kept.tb, "whose frames hold the folder that was refused"


# ---- damaged checkpoints -------------------------------------------------------------------------


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 16
    path.write_bytes(content)


DAMAGE = {
    "cut": cut,
    "flipped": flip,
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


def of_value(folder, value=0.0):
    """Checkpoints of one variable, and the variable."""
    variable = tf.Variable(tf.fill((4, 8), value))
    return checkpoints.Checkpoints(folder, {"value0": variable}), variable


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_checkpoint_falls_back_to_previous_one(tmp_path, caplog, damage, part):
    """A warning names both; the damaged one is deleted after the next save."""
    caplog.set_level("WARNING", logger="absl")
    saved, variable = of_value(tmp_path)
    for step in (6, 7, 8):
        variable.assign(tf.fill((4, 8), float(step)))
        saved.save(step)
    assert checkpoints.steps(tmp_path) == [8, 7]
    DAMAGE[damage](tmp_path / f"ckpt-8.{part}")
    found, variable = of_value(tmp_path)
    assert found.restore() and np.all(variable.numpy() == 7)
    named = re.search(
        f"{tmp_path}/ckpt-8 is damaged .+ the previous one, {tmp_path}/ckpt-7", caplog.text
    )
    assert named or (damage, part) == ("gone", "index"), "which was never there"
    found.save(9)
    assert checkpoints.steps(tmp_path) == [9, 7] and not [*tmp_path.glob("ckpt-8*")]
    assert tf.train.latest_checkpoint(tmp_path) == str(tmp_path / "ckpt-9")


def test_run_with_damaged_checkpoint_ends_identically(trained, stopped):
    flip(stopped / "resume" / "ckpt-8.data-00000-of-00001")
    same_runs(stopped, trained[0] / "whole", (train(stopped, every=1), trained[1]))
    assert json.loads((stopped / "run.json").read_text())["resumed"][0]["step"] == 7


def test_without_intact_checkpoint_error_names_solution(stopped):
    for path in (stopped / "resume").glob("*.index"):
        flip(path)
    with pytest.raises(
        ValueError, match="ckpt-8 must be a whole checkpoint.*all 2 are damaged.*restart"
    ):
        train(stopped)
    with pytest.raises(ValueError) as error:
        train(stopped)
    one_line(error)


@pytest.mark.parametrize("text", [None, "", "junk {", 'model_checkpoint_path: "/etc/passwd"\n'])
def test_checkpoint_list_file_is_not_needed(trained, stopped, text):
    (stopped / "resume" / "checkpoint").unlink()
    if text is not None:
        (stopped / "resume" / "checkpoint").write_text(text)
    same_runs(stopped, trained[0] / "whole", (train(stopped), trained[1]))


def test_rejects_checkpoints_of_other_network_by_index(tmp_path, stopped):
    other, _ = of_value(tmp_path / "other")
    other.save(9)
    shutil.rmtree(stopped / "resume")
    shutil.copytree(tmp_path / "other", stopped / "resume")
    with pytest.raises(ValueError, match=r"ckpt-9 must be.*value1 of shape none, not"):
        train(stopped)


# ---- damaged files of a run ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("run.json", None, "run.json must exist to resume. Received: none"),
        ("run.json", b"", "run.json must be JSON"),
        ("run.json", b"[]", "run.json must contain a JSON object"),
        ("run.json", b"\xff\xfe{}", "run.json must be text in UTF-8"),
        ("run.json", b'{"resumed": 5}', "run.json must be that of a run. Received: resumed=5"),
        ("run.json", b'{"identity": []}', r"run.json must be .*identity=\[\]"),
        ("run.json", b'{"finished_epochs": "x"}', "run.json must be .*finished_epochs=x"),
        ("run.json", b"[" * 10**5, "run.json must be JSON"),
        ("flags.txt", b"\x00\x01\x02", "flags.txt:1 must be a flag"),
        ("flags.txt", b"--seed=1\njunk\n", "flags.txt:2 must be a flag. Received: 'junk'"),
        ("flags.txt", b"--seed=1\n--x=\x00\n", "flags.txt:2 must be a flag"),
        ("metrics.csv", b"\x00\xff\n", "metrics.csv must .*Move it away to resume"),
        ("metrics.csv", b"epoch,loss\n1\n", "metrics.csv must contain a number for each name"),
        ("metrics.csv", b"epoch,loss\none,2\n", "metrics.csv must contain .*'one'"),
        ("metrics.csv", b'epoch,"loss\n' + b"9" * 200_000, "metrics.csv.*must .*field larger"),
    ],
)
def test_damaged_file_is_reported_with_solution(stopped, name, content, words):
    (stopped / name).unlink()
    if content is not None:
        (stopped / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"^{stopped}/{words}.*restart") as error:
        train(stopped)
    one_line(error)


def test_metrics_lines_without_numbers_are_ignored(trained, stopped):
    with open(stopped / "metrics.csv", "a") as file:
        file.write("\n\n")
    same_runs(stopped, trained[0] / "whole", (train(stopped), trained[1]))


# ---- a disk that is full, a folder that is read-only ---------------------------------------------

SENTENCE = {
    errno.ENOSPC: "No space left on device.*It needs about .* are available: free some space",
    errno.EROFS: "Read-only file system",
    errno.EACCES: "Permission denied",
}


@pytest.mark.parametrize(
    ("number", "calls"), [(errno.ENOSPC, 0), (errno.EROFS, 3), (errno.EACCES, 9)]
)
def test_unwritable_file_is_reported_and_run_resumes(trained, tmp_path, monkeypatch, number, calls):
    """The error occurs when a file is renamed: flags.txt first, then the others."""
    left, real = [calls], os.fsync

    def full(opened):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(number, os.strerror(number))
        real(opened)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="cannot be written: " + SENTENCE[number]) as error:
        train(tmp_path / "run", every=1)
    assert str(tmp_path / "run") in one_line(error)
    monkeypatch.setattr(os, "fsync", real)
    assert not [path for path in (tmp_path / "run").rglob("*.tmp")]
    same_runs(
        tmp_path / "run", trained[0] / "whole", (train(tmp_path / "run", every=1), trained[1])
    )


@pytest.mark.parametrize("size", [0, 12])
def test_full_disk_is_reported_and_run_resumes_bit_for_bit(trained, tmp_path, size):
    """Uses a file system of a few pages, which only root can mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={64 + 4 * size}k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted")
    try:
        with open(disk / "filler", "wb", buffering=0) as filler:
            try:
                for _ in range(16):
                    filler.write(b"x" * 4096)
            except OSError:
                pass
        with pytest.raises(
            OSError, match=f"{disk}.*cannot be written: No space left.*are available"
        ):
            train(disk / "run", every=1)
        (disk / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        resumed = train(disk / "run", every=1)
        same_runs(disk / "run", trained[0] / "whole", (resumed, trained[1]))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_file_in_place_of_folder_is_reported(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="file/run cannot be written: Not a directory"):
        opened(tmp_path / "file" / "run")
    with pytest.raises(ValueError, match="run must be a folder"):
        opened(tmp_path / "file")


def test_checkpoint_is_synced_before_older_one_is_deleted(stopped, monkeypatch):
    events, real_sync, real_unlink = [], os.fsync, pathlib.Path.unlink

    def sync(opened):
        events.append(("sync", os.path.basename(os.readlink(f"/proc/self/fd/{opened}"))))
        real_sync(opened)

    def unlink(path, **options):
        events.append(("gone", path.name))
        real_unlink(path, **options)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(pathlib.Path, "unlink", unlink)
    train(stopped)
    before = events[: events.index(("gone", "ckpt-7.index"))]
    for name in ("ckpt-9.index", "ckpt-9.data-00000-of-00001", "resume"):
        assert ("sync", name) in before
    gone = [
        name for what, name in before if what == "gone" and "ckpt-" in name and "-9" not in name
    ]
    assert gone == ["ckpt-7.data-00000-of-00001"]


@pytest.mark.parametrize("name", ["a.txt", "a"])
def test_replace_moves_file_or_folder_into_place(tmp_path, name):
    new = tmp_path / f"new.{name}"
    if name == "a":
        (new / "b").mkdir(parents=True)
        (new / "b" / "c").write_text("x")
    else:
        new.write_text("x")
    files.replace(new, tmp_path / name)
    assert (tmp_path / name).exists() and not new.exists()


def test_networks_are_written_atomically(tmp_path, monkeypatch):
    """A run that fails at its last step has no network; the next call writes it."""
    run = opened(tmp_path / "run", Plan())

    def save(path):
        pathlib.Path(path).write_text("half")
        raise OSError("Can't write data (errno = 28, error message = 'No space left on device')")

    with pytest.raises(
        OSError, match="run/backbone.keras cannot be written: No space.*about 2.0 MB"
    ):
        run.put("backbone.keras", save, 10**6)
    assert {path.name for path in run.path.iterdir()} == {"flags.txt", ".lock"}
    run.put("backbone.keras", lambda path: pathlib.Path(path).write_text("whole"), 10**6)
    assert (run.path / "backbone.keras").read_text() == "whole"


def test_damaged_metrics_are_reported(stopped):
    (stopped / "run.json").write_text(json.dumps({"task": "pace"}))
    (stopped / "metrics.csv").write_bytes(b"epoch\n\xff\n")
    with pytest.raises(ValueError, match="metrics.csv must "):
        _ = training.open_run(stopped).metrics
    (stopped / "run.json").write_text(json.dumps({"task": 7}))
    with pytest.raises(ValueError, match="run.json must be that of a run. Received: task=7"):
        training.open_run(stopped)


def test_deleted_folder_ends_training(tmp_path):
    run = opened(tmp_path / "run")
    run.add_metrics({"epoch": 1, "loss": 0.5})
    (tmp_path / "run" / "flags.txt").unlink()
    with pytest.raises(RuntimeError, match="run must not be moved .*no flags.txt"):
        run.add_metrics({"epoch": 2, "loss": 0.5})
