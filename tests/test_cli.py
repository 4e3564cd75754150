"""`mas train` and `mas finetune` as a user types them: help, exit status, signals, messages."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import mas
from mas import cli, tasks

ROOT = pathlib.Path(__file__).resolve().parents[1]
SMALL = "--resize=44x32 --size=32 --width=0.02 --preset=rgb --initializer=he --batch=4".split()
SHOWN = re.compile(r"\r|epoch \d|\d+ clips; batch|Wrote |Curves: |Next: |Resuming after|$")


def spawned(command, *arguments, **options):
    """Runs `mas COMMAND ...` in a process, with stdout and stderr together."""
    words = [sys.executable, "-m", "mas", command, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # where it is set, TensorFlow's words are shown
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(words, env=environment, **pipes, **options)


def ended(process):
    words, _ = process.communicate(timeout=300)
    return process.returncode, words


@pytest.fixture
def command(caplog):
    """Runs `mas ARGUMENTS` in this process; returns (status, log)."""

    def run(*arguments):
        caplog.clear()
        caplog.set_level("INFO", logger="absl")
        return cli.main(*map(str, arguments)), caplog.text

    return run


@pytest.fixture(scope="module")
def typed(sample_data):
    """The flags of a short training."""
    return [*SMALL, f"--data={sample_data / 'data'}", "--epochs=1", "--tensorboard_clips=0"]


# ---- without TensorFlow --------------------------------------------------------------------------

QUICK = """
import contextlib, io, json, sys
from mas import cli
found = []
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        status = cli.main(*arguments)
    found.append((status, out.getvalue().splitlines()))
heavy = [name for name in ("tensorflow", "keras", "matplotlib", "numba") if name in sys.modules]
print(json.dumps([found, heavy]))
"""


def test_help_and_flag_errors_do_not_import_tensorflow(sample_data, tmp_path):
    """The short help of every task and of finetune fits in two screens of 24 lines."""
    helps = [["train", f"--task={name}", "--help"] for name in tasks.TASKS]
    helps += [["finetune", "--help"], ["train", "--help"]]
    others = [["--help"], ["--version"], ["train", "--helpfull"]]
    wrong = [
        ["train", "--epchs=3"],
        ["train", f"--data={tmp_path / 'gone'}"],
        ["train", f"--data={sample_data / 'data'}", "--epochs=0"],
        ["train", f"--data={sample_data / 'videos'}"],
        ["finetune"],
        ["finetune", f"--init={tmp_path}", "--train_list=a", "--test_list=b"],
        ["fine"],
    ]
    everything = json.dumps([*helps, *others, *wrong])
    done = subprocess.run(
        [sys.executable, "-c", QUICK, everything],
        env={**os.environ, "COLUMNS": "80"}, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found, heavy = json.loads(done.stdout)
    statuses = [status for status, _ in found]
    assert statuses == [0] * len(helps + others) + [2] * len(wrong) and heavy == []
    assert len(done.stderr.splitlines()) == len(wrong), "one line each"
    for (task, *_), (_, lines) in zip(helps, found, strict=False):
        assert 20 < len(lines) <= 48, task
        assert lines[0].startswith(f"mas {task} ") and any("--backbone " in row for row in lines)
    assert len(found[len(helps) + 2][1]) > 80
    assert found[len(helps) + 1][1] == [mas.__version__]


SIGNALLED = """
import sys, time, types
from mas import cli
cli.COMMANDS["wait"] = ""
def run(arguments):
    print("ready", flush=True)
    time.sleep(60)
sys.modules["mas.cli.wait"] = types.SimpleNamespace(run=run)
cli.main("wait")
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_command_with_one_line(number, status):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    process = subprocess.Popen([sys.executable, "-c", SIGNALLED], **pipes)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, words = process.communicate(timeout=30)
    assert (process.returncode, words) == (status, "stopped\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("train --task=jigsaw", r"--task must be one of \['mas', 'pace'.*task='jigsaw'"),
        ("train --task=pace --patterns=1", "--patterns belongs to --task=mas. See mas train --h"),
        ("train --task=pace --paces=1,3/2", "paces.*3 or 1/3.*'3/2'"),
        ("train --option=colour=brightest", "colour.*octants.*'brightest'"),
        ("train --size=28", "size.*8.*size=28"),
        ("train --sample", "--data must not be given with --sample"),
        ("train --precision=mixed_bfloat16", "precision.*float32.*'mixed_bfloat16'"),
        ("train --task=pace --paces=1,9", "clip of 136 frames"),
        ("train more", "mas train takes flags only. Received: more"),
        ("train --recipe=mas", "recipe must be one that mas recipes lists.*'mas'"),
        ("finetune --test_list=b", "needs --train_list"),
        ("finetune --train_list={0}/train.txt --test_list={0}/gone.txt", "gone.txt"),
        ("finetune --train_list=a --test_list=b --init={0}/gone", "init.*finished run.*gone'"),
        ("finetune --data= --train_list=a --test_list=b", "--data must be a folder"),
        ("trian", "COMMAND must be one of train, finetune.*'trian'"),
    ],
)
def test_errors_are_reported_before_work_starts(
    command, typed, sample_data, tmp_path, arguments, words
):
    name, *rest = arguments.format(sample_data).split()
    status, said = command(name, *typed, f"--run={tmp_path / 'run'}", *rest)
    assert status == 2 and re.search(words, said), said
    assert not (tmp_path / "run").exists()


def test_quick_start_stops_if_preparation_fails(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mas.sample.write", lambda folder: "0")
    nothing = types.SimpleNamespace(failures={"up_00.avi": "no such codec"})
    monkeypatch.setattr("mas.prepare.prepare_videos", lambda *_, **__: nothing)
    status, said = command("train")
    assert status == 2 and "up_00.avi, a generated video, cannot be prepared: no such codec" in said


# ---- whole commands ------------------------------------------------------------------------------


def test_custom_task_adds_its_flags(command, typed, tmp_path):
    """Typed flags override a flag file before or after them."""
    file = tmp_path / "my.flags"
    file.write_text(
        "--task=test_api:Brightness\n--scale=3\n--epochs=7\n--frames=8\n--clips=anywhere"
    )
    run = tmp_path / "run"
    status, said = command(
        "train", "--scale=2", *typed, f"--run={run}", "--pictures=1", f"--flagfile={file}"
    )
    assert status == 0 and f"Wrote {run}: backbone.keras" in said
    found = mas.open_run(run)
    assert found.task == "test_api:Brightness" and found.description["options"]["scale"] == 2
    assert len(found.metrics["loss"]) == 1 and found.description["plan"]["sampling"] == "anywhere"
    assert f"Next:    mas finetune --init={run} --data=" in said
    before = (run / "flags.txt").read_bytes()
    assert {b"--scale=2", b"--sampling=anywhere"} <= set(before.split())
    assert command("train", f"--flagfile={run / 'flags.txt'}")[0] == 0, "its flags repeat it"
    assert (run / "flags.txt").read_bytes() == before
    assert command("train", f"--flagfile={run / 'flags.txt'}", "--scale=5")[0] == 2


def test_flag_files_of_version_0_1_work(command, tmp_path, monkeypatch):
    archive = pathlib.Path(__file__).parent / "data" / "version_0_1.tar.xz"
    shutil.unpack_archive(archive, tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    status, said = command("train", "--flagfile=runs/vtdl/flags.txt", "--epochs=2")
    assert status == 0 and "Resuming after step 3, epoch 1." in said
    loss = mas.open_run("runs/vtdl").metrics["loss"]
    assert loss == pytest.approx([1.6097071, 2.358271], rel=1e-5)
    status, said = command("finetune", "--flagfile=runs/tuned/flags.txt")
    assert status == 0 and "runs/tuned is finished." in said and "top-1 0.1667" in said


def test_finetune_takes_network_and_clip_from_init(command, typed, sample_data, tmp_path):
    """A flag overrides them; class names are found next to the list."""
    first = tmp_path / "first"
    assert command("train", *typed, f"--run={first}", "--frames=8")[0] == 0
    lists = [f"--{side}_list={sample_data / side}.txt" for side in ("train", "test")]
    short = [*lists, f"--init={first}", *typed[-3:], "--batch=4", f"--run={tmp_path / 'second'}"]
    status, said = command("finetune", *short, "--width=0.1")
    assert status == 2 and re.search(r"conv1/bias: \(1,\) saved, \(6,\) here", said)
    status, said = command("finetune", *short, "--size=24", "--head=pooled")
    assert status == 0 and "top-1 " in said and "  grow " in said
    found = mas.open_run(tmp_path / "second")
    assert found.clip == mas.Clip(8, 24, (44, 32))
    assert found.network == mas.Network("c3d", "rgb", 0.02, "rgb", "he", "pooled")
    status, said = command("finetune", f"--flagfile={found.path / 'flags.txt'}")
    assert status == 0 and f"{found.path} is finished." in said, "its flags repeat it"


# ---- interrupted ---------------------------------------------------------------------------------


def interrupt(number, arguments, steps):
    """Ends a training with a signal after the checkpoint of a step; returns its output."""
    process = spawned("train", *arguments)
    run = next(a for a in arguments if a.startswith("--run=")).partition("=")[2]
    while process.poll() is None:
        latest = tf.train.latest_checkpoint(os.path.join(run, "resume"))
        if latest and int(latest.rpartition("-")[2]) >= steps:
            break
        time.sleep(0.01)
    process.send_signal(number)
    status, words = ended(process)
    assert not pathlib.Path(run, "model.keras").exists()
    return status, words


def final(run):
    """The weights of the saved model, the content of the last checkpoint, and the metrics."""
    state = tf.train.load_checkpoint(tf.train.latest_checkpoint(run / "resume"))
    names = [n for n in sorted(state.get_variable_to_shape_map()) if n.startswith("value")]
    weights = keras.models.load_model(run / "model.keras", compile=False).get_weights()
    metrics = {n: v for n, v in mas.open_run(run).metrics.items() if n != "seconds"}
    return [*weights, *(state.get_tensor(name) for name in names), *metrics.values()]


@pytest.mark.parametrize(
    ("task", "number", "status"),
    [
        (["--task=mas", "--l2=0"], signal.SIGINT, 130),
        pytest.param(
            ["--task=vtdl", "--queue=5", "--stride=1"], signal.SIGTERM, 143, marks=pytest.mark.slow
        ),
    ],
)
def test_killed_or_interrupted_run_resumes_bit_for_bit(typed, tmp_path, task, number, status):
    """The terminal shows only its own lines, also if a signal ends it."""
    more = [*typed, *task, "--epochs=12", "--checkpoint_every=1", "--threads=1"]
    arguments = [*more, f"--run={tmp_path / 'parts'}"]
    whole = spawned("train", *more, f"--run={tmp_path / 'whole'}")
    assert interrupt(signal.SIGKILL, arguments, 2)[0] == -signal.SIGKILL
    found, words = interrupt(number, arguments, 4)
    assert found == status and words.splitlines()[-1] == "stopped; the same command resumes"
    assert "Traceback" not in words and "Resuming after step" in words
    found, words = ended(spawned("train", *arguments))
    assert found == 0 and f"Wrote {tmp_path / 'parts'}" in words
    assert all(SHOWN.match(line) for line in words.splitlines()), words
    assert ended(whole)[0] == 0
    for a, b in zip(final(tmp_path / "whole"), final(tmp_path / "parts"), strict=True):
        np.testing.assert_array_equal(a, b)


def hosts(*arguments):
    """Starts both processes of a cluster of two workers on localhost."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    workers = [f"127.0.0.1:{server.getsockname()[1]}" for server in sockets]
    for server in sockets:
        server.close()
    cluster = {"cluster": {"worker": workers}}
    configs = [json.dumps({**cluster, "task": {"type": "worker", "index": n}}) for n in range(2)]
    return [spawned("train", *arguments, env={"TF_CONFIG": config}) for config in configs]


@pytest.mark.slow
def test_two_hosts_equal_one_host_and_resume_bit_for_bit(typed, tmp_path):
    more = [*typed, "--epochs=2", "--checkpoint_every=1", "--threads=1"]
    alone, together, killed = (tmp_path / name for name in ("alone", "together", "killed"))
    assert ended(spawned("train", *more, f"--run={alone}"))[0] == 0
    (first, said), (second, other) = map(ended, hosts(*more, f"--run={together}"))
    assert (first, second) == (0, 0) and "Wrote" in said and "Wrote" not in other
    for a, b in zip(final(alone), final(together), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-4)
    assert mas.open_run(together).description["replicas"] == 2
    processes = hosts(*more, f"--run={killed}")
    while not (killed / "resume" / "checkpoint").exists() and processes[0].poll() is None:
        time.sleep(0.01)
    for process in processes:
        process.kill()
        ended(process)
    assert not (killed / "model.keras").exists()
    assert [status for status, _ in map(ended, hosts(*more, f"--run={killed}"))] == [0, 0]
    for a, b in zip(final(together), final(killed), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_dead_or_missing_host_is_reported_in_one_line(typed, tmp_path):
    """The error names the host, with status 3 and no traceback; both hosts resume together."""
    more = [*typed, "--epochs=300", "--checkpoint_every=1", "--threads=1", "--peer_timeout=60"]
    more.append(f"--run={tmp_path / 'run'}")
    first, second = hosts(*more)
    checkpoint = tmp_path / "run" / "resume" / "checkpoint"
    while not checkpoint.exists() and first.poll() is None:
        time.sleep(0.05)
    second.kill()
    ended(second)
    status, words = ended(first)
    assert status == 3 and "Traceback" not in words, words
    assert re.search("Received: no more from worker 1 at 127.0.0.1:.*the run resumes", words)
    alone, absent = hosts(*more[:-2], "--peer_timeout=12", f"--run={tmp_path / 'alone'}")
    absent.kill()
    ended(absent)
    status, words = ended(alone)
    assert status == 3 and "Traceback" not in words, words
    assert "Waiting for worker 1 at" in words
    assert "within peer_timeout=12 s. Received: no answer from worker 1 at 127.0.0.1:" in words
