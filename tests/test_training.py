"""The loop: the same weights however it is distributed or interrupted."""

import csv
import dataclasses
import json
import os
import pathlib
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

from mas import optimizers, records, run_folder, training, visualize
from mas.tasks.task import Task

ROOT = pathlib.Path(__file__).resolve().parents[1]


@dataclasses.dataclass
class Regress(Task):
    """Predicts each number's double; the example is the number."""

    blow_up: bool = False
    name = "regress"

    def model(self, backbone=None):
        inputs = keras.Input((4,))
        x = keras.layers.Dense(8, activation="tanh", name="hidden")(inputs)
        x = keras.layers.Dropout(0.2, seed=5)(x)
        return keras.Model(inputs, {"y": keras.layers.Dense(4, name="out")(x)})

    def losses(self):
        scale = np.inf if self.blow_up else 1.0
        return {"y": (lambda y, p: tf.reduce_mean((y["y"] - p["y"]) ** 2, -1) * scale, 0.5)}

    def metrics(self):
        return {"error": lambda y, outputs: tf.reduce_mean(tf.abs(y["y"] - outputs["y"]), -1)}


class Numbers:
    """A reader of seeded numbers with the pipeline's contract."""

    def __init__(self, examples=12):
        self.values = np.random.default_rng(0).normal(size=(examples, 4)).astype(np.float32)

    def steps(self, batch):
        return len(self.values) // batch

    def batches(self, batch, first_step, last_step, share, parts, threads):
        index, count = share
        own = batch // count
        steps = np.arange(first_step, last_step) % self.steps(batch)
        places = (steps[:, None] * batch + index * own + np.arange(own)).ravel()
        values = tf.data.Dataset.from_tensor_slices(self.values[places])
        return values.map(lambda v: (v, {"y": 2 * v})).batch(own // parts, drop_remainder=True)


def train(folder, strategy=None, epochs=3, task=None, stop=None, dropout=True, **options):
    """Trains from a fixed start; `stop` raises KeyboardInterrupt after that many steps."""
    strategy, task = strategy or training.strategy("none"), task or Regress()
    reader, every = options.get("reader") or Numbers(), options.get("every", 3)
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = task.model()
        if not dropout:
            model.layers[2].rate = 0.0
        schedule = optimizers.staircase(0.05, options.get("decay", 4))
        trainer = training.Trainer(task, model, optimizers.Momentum(schedule), strategy)
    run = run_folder.RunFolder(folder, {"seed": ["1"]}, {"clips": len(reader.values)})
    run.describe(model, strategy)
    plan = training.Plan(epochs, batch=4, log_every=2, checkpoint_every=every)
    if stop:
        step = trainer.step_function()
        calls = []

        def limited(*batch):
            if len(calls) == stop:
                raise KeyboardInterrupt
            calls.append(1)
            return step(*batch)

        trainer.step_function = lambda jit: limited
    try:
        trainer.fit(reader, plan, run)
    except KeyboardInterrupt:
        pass
    return model


def weights(model):
    return np.concatenate([variable.numpy().ravel() for variable in model.trainable_variables])


def metrics(folder):
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: v for name, v in row.items() if name != "seconds"} for row in rows]


def test_training_learns_and_says_so(tmp_path):
    train(tmp_path, epochs=40, decay=1000)
    rows = metrics(tmp_path)
    assert [row["epoch"] for row in rows] == [str(n) for n in range(1, 41)]
    assert float(rows[-1]["loss"]) < 0.5 * float(rows[0]["loss"])
    assert list(rows[0]) == ["epoch", "step", "loss", "error", "learning_rate", "decay"]


def test_logged_numbers_are_those_of_the_steps(tmp_path):
    model = train(tmp_path / "a", epochs=1, dropout=False)
    del model
    keras.utils.set_random_seed(1)
    model = Regress().model()
    model.layers[2].rate = 0.0
    optimizer = optimizers.Momentum(optimizers.staircase(0.05, 4))
    losses, errors = [], []
    for start in range(0, 12, 4):
        x = Numbers().values[start : start + 4]
        with tf.GradientTape() as tape:
            y = model(x, training=True)["y"]
            loss = 0.5 * tf.reduce_mean((2 * x - y) ** 2)
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        losses.append(float(loss))
        errors.append(float(tf.reduce_mean(tf.abs(2 * x - y))))
    (row,) = metrics(tmp_path / "a")
    assert float(row["loss"]) == pytest.approx(np.mean(losses), rel=1e-5)
    assert float(row["error"]) == pytest.approx(np.mean(errors), rel=1e-5)


def test_two_replicas_equal_one_device(tmp_path, two_replicas):
    assert two_replicas.num_replicas_in_sync == 2
    one = train(tmp_path / "one", dropout=False, epochs=4)
    two = train(tmp_path / "two", two_replicas, dropout=False, epochs=4)
    np.testing.assert_allclose(weights(two), weights(one), atol=1e-5, rtol=0)
    for a, b in zip(metrics(tmp_path / "one"), metrics(tmp_path / "two"), strict=True):
        assert {k: float(v) for k, v in a.items()} == pytest.approx(
            {k: float(v) for k, v in b.items()}, rel=1e-4
        )


def test_the_logged_rate_is_that_of_the_steps(tmp_path):
    """3 steps an epoch, a tenth every 4: steps 0-3, 4-7 and 8 have their own rates."""
    train(tmp_path)
    rates = [float(row["learning_rate"]) for row in metrics(tmp_path)]
    tenth = np.array([0.05, 0.005, 0.0005])
    assert rates == pytest.approx([tenth[0], tenth[[0, 1, 1]].mean(), tenth[[1, 1, 2]].mean()])


def test_the_bar_names_the_worst_label(tmp_path, capsys):
    class Labels(Regress):
        def metrics(self):
            errors = {"y/first": 5.0, "y/second": 6.0, "y/third": 4.0}
            return {n: lambda y, outputs, e=e: tf.fill([4], e) for n, e in errors.items()}

    train(tmp_path, epochs=1, task=Labels())
    assert "worst=y/second 6" in capsys.readouterr().err


@pytest.mark.parametrize("stop", [1, 3, 4, 5, 8])
def test_an_interrupted_run_resumes_bit_for_bit(tmp_path, stop):
    whole = train(tmp_path / "whole")
    train(tmp_path / "parts", stop=stop)
    resumed = train(tmp_path / "parts")
    np.testing.assert_array_equal(weights(resumed), weights(whole))
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")


def test_a_run_may_go_on_for_more_epochs(tmp_path):
    whole = train(tmp_path / "whole", epochs=5)
    train(tmp_path / "parts", epochs=2)
    longer = train(tmp_path / "parts", epochs=5)
    np.testing.assert_array_equal(weights(longer), weights(whole))
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")


@pytest.mark.parametrize("stop", [1, 4])
def test_replicas_resume_bit_for_bit(tmp_path, two_replicas, stop):
    whole = train(tmp_path / "whole", two_replicas)
    train(tmp_path / "parts", two_replicas, stop=stop)
    resumed = train(tmp_path / "parts", two_replicas)
    np.testing.assert_array_equal(weights(resumed), weights(whole))
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")


def test_run_json_keeps_its_start_and_notes_each_resumption(tmp_path):
    train(tmp_path, stop=1)
    before = json.loads((tmp_path / "run.json").read_text())
    train(tmp_path, stop=4)  # from the start: no checkpoint was written
    again = json.loads((tmp_path / "run.json").read_text())
    assert again["resumed"] == [] and again["started"] >= before["started"]
    train(tmp_path)  # from step 3
    after = json.loads((tmp_path / "run.json").read_text())
    (row,) = after.pop("resumed")
    assert row["step"] == 3 and row["versions"] == run_folder.versions()
    assert after == {name: value for name, value in again.items() if name != "resumed"}


def test_seconds_go_on_after_an_interruption(tmp_path, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(training.loop.time, "monotonic", lambda: next(clock) * 10.0)
    train(tmp_path, epochs=2)
    train(tmp_path, epochs=4)
    with open(tmp_path / "metrics.csv", newline="") as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    assert seconds == sorted(seconds) and seconds[2] > seconds[1] > 0


def test_fewer_epochs_than_were_trained_are_refused(tmp_path):
    train(tmp_path, epochs=3)
    with pytest.raises(ValueError, match=r"epochs must be at least 3, as far as .* Received: 2\."):
        train(tmp_path, epochs=2)
    assert len(metrics(tmp_path)) == 3


def test_a_finished_run_without_checkpoints_does_not_begin_again(tmp_path):
    train(tmp_path, epochs=1)
    file = tmp_path / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"finished_epochs": 1}))
    shutil.rmtree(tmp_path / "resume")
    with pytest.raises(ValueError, match="resume must hold the checkpoints of the finished run"):
        train(tmp_path, epochs=2)


def test_an_empty_metrics_file_gets_its_header(tmp_path):
    train(tmp_path, epochs=1)
    (tmp_path / "metrics.csv").write_text("")  # a kill between opening and writing
    train(tmp_path, epochs=2)
    assert [row["epoch"] for row in metrics(tmp_path)] == ["2"]


def test_a_loss_that_is_not_finite_names_its_step(tmp_path):
    with pytest.raises(FloatingPointError, match=r"loss=inf at step 1 \(epoch 1\)"):
        train(tmp_path, task=Regress(blow_up=True))
    assert not (tmp_path / "resume" / "checkpoint").exists()


def test_a_nan_later_on_names_its_own_step(tmp_path):
    reader = Numbers()
    reader.values[9] = np.nan  # the third batch of each epoch
    with pytest.raises(FloatingPointError, match=r"loss=nan at step 3 \(epoch 1\)"):
        train(tmp_path, reader=reader, every=100)


def test_unknown_strategy():
    with pytest.raises(ValueError, match="strategy must be one of .* Received: 'tpu'"):
        training.strategy("tpu")


@pytest.mark.parametrize(
    ("name", "task", "words"),
    [
        ("none", {"type": "worker", "index": 0}, "strategy must be auto where TF_CONFIG is set"),
        ("auto", {"type": "ps", "index": 0}, r"\['chief', 'worker'\]. Received: 'ps'"),
        ("auto", {}, "Received: None"),
    ],
)
def test_a_tf_config_with_two_writers_is_refused(monkeypatch, name, task, words):
    config = {"cluster": {"worker": ["localhost:1"]}, "task": task}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(ValueError, match=words):
        training.strategy(name)


@pytest.mark.parametrize(
    ("jobs", "kind", "index", "expected"),
    [
        (["worker"], "worker", 0, True),
        (["worker"], "worker", 1, False),
        (["chief", "worker"], "chief", 0, True),
        (["chief", "worker"], "worker", 0, False),
    ],
)
def test_one_process_writes(jobs, kind, index, expected):
    cluster = tf.train.ClusterSpec({job: ["localhost:1", "localhost:2"] for job in jobs})
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(cluster, "", kind, index)
    assert training.is_chief(types.SimpleNamespace(cluster_resolver=resolver)) == expected
    assert training.is_chief(training.strategy("none"))


def test_plan_refuses_nonsense():
    with pytest.raises(ValueError, match="epochs must be at least 1. Received: 0"):
        training.Plan(0, 4)


# ---- the scripts ---------------------------------------------------------------------------------


def command(sample_data, run, *more):
    flags = "--resize=44x32 --size=32 --width=0.125 --preset=rgb --batch=4 --epochs=6 --threads=1"
    data = [f"--data={sample_data / 'data'}", f"--run={run}", "--learning_rate=0.01"]
    data.append("--pictures=0")
    return [sys.executable, str(ROOT / "train.py"), *flags.split(), *data, *more]


def final(run):
    """The weights of the saved model, and all that the last checkpoint holds."""
    path = tf.train.latest_checkpoint(run / "resume")
    state = tf.train.load_checkpoint(path)
    names = [n for n in sorted(state.get_variable_to_shape_map()) if n.startswith("value")]
    weights = keras.models.load_model(run / "model.keras", compile=False).get_weights()
    return [*weights, *(state.get_tensor(name) for name in names)]


@pytest.mark.parametrize(
    "task", [["--task=mas"], ["--task=vtdl", "--queue=5", "--stride=1", "--clips=anywhere"]]
)
def test_sigkill_and_resume_give_the_same_weights(sample_data, tmp_path, task):
    run_to_end = command(sample_data, tmp_path / "whole", "--checkpoint_every=2", *task)
    subprocess.run(run_to_end, check=True, capture_output=True)
    killed = command(sample_data, tmp_path / "killed", "--checkpoint_every=2", *task)
    process = subprocess.Popen(killed, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    state = tmp_path / "killed" / "resume" / "checkpoint"
    while not state.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "model.keras").exists()
    subprocess.run(killed, check=True, capture_output=True)
    for a, b in zip(final(tmp_path / "whole"), final(tmp_path / "killed"), strict=True):
        np.testing.assert_array_equal(a, b)
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "killed")


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def start_hosts(arguments):
    """Both processes of a cluster of two workers on loopback."""
    hosts = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    processes = []
    for index in range(2):
        config = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(config)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        processes.append(subprocess.Popen(arguments, env=environment, **pipes))
    return processes


def wait_for(processes):
    words = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], words
    return words


def test_two_hosts_equal_one_and_resume_bit_for_bit(sample_data, tmp_path):
    more = ("--epochs=2", "--checkpoint_every=1")
    alone, together, killed = (tmp_path / name for name in ("alone", "together", "killed"))
    subprocess.run(command(sample_data, alone, *more), check=True, capture_output=True)
    first, second = wait_for(start_hosts(command(sample_data, together, *more)))
    for a, b in zip(final(alone), final(together), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=0)
    assert json.loads((together / "run.json").read_text())["replicas"] == 2
    assert "Wrote" in first and "Wrote" not in second

    processes = start_hosts(command(sample_data, killed, *more))
    while not (killed / "resume" / "checkpoint").exists() and processes[0].poll() is None:
        time.sleep(0.01)
    for process in processes:
        process.kill()
        process.communicate()
    assert not (killed / "model.keras").exists()
    wait_for(start_hosts(command(sample_data, killed, *more)))
    for a, b in zip(final(together), final(killed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_other_flags_are_refused(tmp_path):
    train(tmp_path, epochs=1)
    same = {"clips": 12}
    with pytest.raises(ValueError, match=r"Received: --seed=2 \(was 1\)"):
        run_folder.RunFolder(tmp_path, {"seed": ["2"]}, same)
    run_folder.RunFolder(tmp_path, {"seed": ["1"], "log_every": ["7"]}, same)  # changes no number
    run_folder.RunFolder(tmp_path, {"seed": ["1"], "data": ["elsewhere"]}, same)
    fresh = run_folder.RunFolder(tmp_path, {"seed": ["2"]}, restart=True)
    assert not (tmp_path / "metrics.csv").exists() and fresh.path == tmp_path


def test_other_data_is_refused(tmp_path):
    train(tmp_path, epochs=1)
    flags, before = {"seed": ["1"]}, (tmp_path / "run.json").read_text()
    with pytest.raises(ValueError, match=r"its own data. Received: clips=11 \(was 12\). Take"):
        run_folder.RunFolder(tmp_path, flags, {"clips": 11})
    with pytest.raises(ValueError, match=r"Received: list=5 \(was None\). Take"):
        run_folder.RunFolder(tmp_path, flags, {"clips": 12, "list": 5})
    assert (tmp_path / "run.json").read_text() == before
    run_folder.RunFolder(tmp_path, flags, {"clips": 11}, restart=True)


def test_a_kill_in_the_first_write_leaves_a_folder_to_begin_in(tmp_path):
    (tmp_path / "flags.txt.tmp").write_text("--se")
    run_folder.RunFolder(tmp_path, {"seed": ["2"]})
    assert (tmp_path / "flags.txt").read_text() == "--seed=2\n"


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="which holds other files"):
        run_folder.RunFolder(tmp_path, {}, restart=True)
    assert (tmp_path / "thesis.tex").exists()


def script_run(script, arguments, name="train.py"):
    with script(name, *arguments, "--threads=0") as module:  # TensorFlow runs already
        return module.main([name])


def pictures_of(run):
    """{name: [(step, pictures)]} of TensorBoard's files."""
    found = {}
    for path in sorted(run.glob("events*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                if value.tag.startswith("clips/"):
                    count = len(tf.make_ndarray(value.tensor)) - 2  # width and height come first
                    found.setdefault(value.tag, []).append((event.step, count))
    return found


def test_tensorboard_shows_where_the_network_looks(script, sample_data, tmp_path):
    """After every epoch of a short run; labels never change, so they are drawn once."""
    flags = command(sample_data, tmp_path, "--epochs=2", "--pictures=3")[2:]
    assert script_run(script, flags) == 0
    assert pictures_of(tmp_path) == {
        "clips/statistics": [(3, 3)],
        "clips/attention": [(3, 3), (6, 3)],
    }


def test_long_runs_draw_some_twenty_times(script, monkeypatch, sample_data):
    steps = []

    class Run:
        def images(self, found, step):
            steps.append(step)

    with script("train.py", "--frames=8", "--size=32", "--resize=44x32") as module:
        monkeypatch.setattr(visualize, "clip_pictures", lambda *_, **__: {})
        reader = types.SimpleNamespace(data=records.open_data(sample_data / "data"))
        draw = module.cli.pictures.painter(reader, None, Run(), epochs=430)
        for epoch in range(1, 431):
            draw(epoch, 3 * epoch)
    assert steps == [*(3 * epoch for epoch in range(21, 430, 21)), 1290]


def state_of(run):
    return {p.name: p.stat().st_mtime_ns for p in run.iterdir() if "events" not in p.name}


def test_a_finished_run_stays_as_it_is(script, sample_data, tmp_path, caplog):
    (tmp_path / "list.txt").write_text((sample_data / "train.txt").read_text())
    run = tmp_path / "run"
    flags = command(sample_data, run, f"--list={tmp_path / 'list.txt'}", "--epochs=2")[2:]
    assert script_run(script, flags) == 0
    before = state_of(run)

    assert script_run(script, [*flags, "--epochs=1"]) == 2
    assert f"epochs must be at least 2, which the run in {run} has finished" in caplog.text
    rows = (tmp_path / "list.txt").read_text().splitlines()
    (tmp_path / "list.txt").write_text("\n".join(rows[:-1]) + "\n")
    assert script_run(script, flags) == 2
    assert "must go on with its own data. Received: clips=5 (was 6), clips_sha256=" in caplog.text
    assert "list_sha256" in caplog.text
    (tmp_path / "list.txt").write_text("\n".join(rows) + "\n")
    assert script_run(script, flags) == 0
    assert state_of(run) == before

    assert script_run(script, [*flags, "--epochs=3"]) == 0
    description = json.loads((run / "run.json").read_text())
    assert description["finished_epochs"] == 3 and description["resumed"][0]["step"] == 2
    assert "--epochs=3\n" in (run / "flags.txt").read_text()


def test_a_refused_restart_keeps_the_earlier_run(script, sample_data, tmp_path, caplog):
    run, earlier = tmp_path / "run", tmp_path / "run.earlier"
    flags = [*command(sample_data, run)[2:], "--epochs=1"]
    assert script_run(script, flags) == 0
    before = state_of(run)
    assert script_run(script, [*flags, "--restart", "--learning_rate=0"]) == 2
    assert "learning_rate must be above 0" in caplog.text
    assert state_of(earlier) == before
    assert script_run(script, [*flags, "--restart", "--momentum=1"]) == 2
    assert state_of(earlier) == before
    assert script_run(script, [*flags, "--restart", "--seed=2"]) == 0
    assert not earlier.exists() and "--seed=2\n" in (run / "flags.txt").read_text()


def test_the_same_videos_prepared_otherwise_are_other_data(script, sample_data, tmp_path, caplog):
    other = tmp_path / "data"
    shutil.copytree(sample_data / "data", other)
    described = json.loads((other / "dataset.json").read_text())
    flags = [*command(sample_data, tmp_path / "run")[2:], "--epochs=1"]
    assert script_run(script, flags) == 0
    assert script_run(script, [*flags, f"--data={other}"]) == 0  # the same ones elsewhere
    (other / "dataset.json").write_text(json.dumps(described | {"method": "tvl1"}))
    assert script_run(script, [*flags, f"--data={other}", "--epochs=2"]) == 2
    assert "its own data. Received: data={" in caplog.text and "'method': 'dis'" in caplog.text


def test_a_new_test_of_a_finished_run_is_in_its_flags(script, sample_data, tmp_path):
    run = tmp_path / "run"
    flags = [*command(sample_data, run)[2:], "--epochs=1"]
    assert script_run(script, flags) == 0
    held_out = f"--held_out={sample_data / 'test.txt'}"
    assert script_run(script, [*flags, held_out]) == 0
    assert f"{held_out}\n" in (run / "flags.txt").read_text()
    assert (run / "test.csv").exists()


def test_a_damaged_image_is_named_in_one_line(script, sample_data, tmp_path, caplog):
    data = tmp_path / "data"
    shutil.copytree(sample_data / "data", data)
    for shard in data.glob("*.tfrecord"):
        content = shard.read_bytes()
        shard.write_bytes(content.replace(b"\xff\xd8\xff", b"\x00\x00\x00"))
    arguments = command(sample_data, tmp_path / "run")[2:]
    changed = [f"--data={data}" if a.startswith("--data=") else a for a in arguments]
    assert script_run(script, changed) == 2
    last = caplog.records[-1].getMessage()
    assert last.startswith(f"{data}: frame ") and "must be a whole JPEG file. Received:" in last
    assert "\n" not in last and "node" not in last


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--batch=13", "batch must be in 1..12, the number of examples. Received: batch=13"),
        ("--size=64", "size must be in 1..32"),
        (
            "--task=jigsaw",
            "task must be one of ['dsm', 'dsm_triplet', 'mas', 'moco', 'pace', ",
        ),
        ("--option=colour=brightest", "colour must be one of"),
        ("--option=pace=3", "option must be one of"),
        ("--size=28", "size must be a positive multiple of 8. Received: size=28"),
        ("--motion_weight=-1", "motion_weight must be a number of 0 or more. Received: -1"),
        ("--appearance_weight=nan", "appearance_weight must be a number of 0 or more"),
        ("--sample", "data must not be given with --sample. Received: --data="),
        ("--precision=mixed_bfloat16", "precision must be float32 without a GPU, or mixed_bf"),
        ("--data=/nowhere", "data must be a folder that mas.prepare wrote"),
    ],
)
def test_wrong_flags_are_named_before_work_starts(
    script, sample_data, tmp_path, caplog, flag, words
):
    arguments = command(sample_data, tmp_path / "run", flag)[2:]
    assert script_run(script, arguments) == 2
    assert words in caplog.text
    assert not (tmp_path / "run").exists()
