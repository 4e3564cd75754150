"""The training loop: the same weights for any distribution and after any interruption."""

import contextlib
import csv
import dataclasses
import json
import re
import shutil
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from mas import training
from mas.settings import Plan
from mas.tasks.task import Task
from mas.training import optimizers, run_folder
from mas.training.recorded import Recorded


@dataclasses.dataclass(frozen=True)
class Regress(Task):
    """A task that predicts twice the number of an example."""

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
    """A reader of seeded numbers with the interface of the pipeline."""

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


def model_of(task, dropout=True):
    keras.utils.set_random_seed(1)
    model = task.model()
    model.layers[2].rate = 0.2 if dropout else 0.0
    return model


def train(folder, strategy=None, epochs=3, task=None, stop=None, dropout=True, **options):
    """Trains from fixed weights, as if killed after `stop` steps; returns the weights."""
    strategy, task = strategy or training.strategy("none"), task or Regress()
    reader, every = options.get("reader") or Numbers(), options.get("every", 3)
    with strategy.scope():
        model = model_of(task, dropout)
        schedule = optimizers.staircase(0.05, options.get("decay", 4))
        trainer = training.Trainer(task, model, optimizers.Momentum(schedule), strategy)
    step, calls = trainer.step_function(), []

    def limited(*batch):
        if len(calls) == stop:
            raise KeyboardInterrupt
        calls.append(1)
        return step(*batch)

    trainer.step_function = lambda jit: limited
    plan = Plan(epochs, batch=4, log_every=2, checkpoint_every=every)
    identity = {"clips": len(reader.values)}
    with run_folder.RunFolder(folder, Recorded(seed="1"), identity) as run:
        run.describe(model, strategy)
        made = options.get("before_saving", lambda *_: [])(model, strategy, run)
        with contextlib.suppress(KeyboardInterrupt):
            trainer.fit(reader, plan, run, before_saving=made)
    return np.concatenate([v.numpy().ravel() for v in model.trainable_variables])


def metrics(folder, *without):
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{n: float(v) for n, v in row.items() if n not in without} for row in rows]


def same_runs(one, two, weights):
    np.testing.assert_array_equal(*weights)
    assert metrics(one, "seconds") == metrics(two, "seconds")


# ---- the loop ------------------------------------------------------------------------------------


def test_training_learns_and_logs(tmp_path):
    train(tmp_path, epochs=40, decay=1000)
    rows = metrics(tmp_path)
    assert [row["epoch"] for row in rows] == [*range(1, 41)]
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]
    assert list(rows[0]) == ["epoch", "step", "seconds", "loss", "error", "learning_rate", "decay"]


def test_logged_numbers_are_means_over_steps(tmp_path):
    train(tmp_path, epochs=1, dropout=False)
    model, optimizer = model_of(Regress(), False), optimizers.Momentum(0.05)
    losses, errors = [], []
    for x in np.split(Numbers().values, 3):
        with tf.GradientTape() as tape:
            y = model(x, training=True)["y"]
            loss = 0.5 * tf.reduce_mean((2 * x - y) ** 2)
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        losses.append(float(loss))
        errors.append(float(tf.reduce_mean(tf.abs(2 * x - y))))
    (row,) = metrics(tmp_path)
    expected = pytest.approx((np.mean(losses), np.mean(errors)), rel=1e-5)
    assert (row["loss"], row["error"]) == expected


def test_logged_learning_rate_is_that_of_steps(tmp_path):
    """3 steps an epoch, a tenth every 4: steps 0-3, 4-7 and 8 have their own rates."""
    train(tmp_path)
    rates = [row["learning_rate"] for row in metrics(tmp_path)]
    tenth = np.array([0.05, 0.005, 0.0005])
    assert rates == pytest.approx([tenth[0], tenth[[0, 1, 1]].mean(), tenth[[1, 1, 2]].mean()])


def test_progress_bar_shows_compiling_then_worst_label(tmp_path, capsys):
    class Labels(Regress):
        def metrics(self):
            errors = {"y/first": 5.0, "y/second": 6.0, "y/third": 4.0}
            return {n: lambda y, outputs, e=e: tf.fill([4], e) for n, e in errors.items()}

    train(tmp_path, epochs=1, task=Labels())
    words = capsys.readouterr().err
    assert "0/3" in words.split("compiling")[0] and "1/3" in words.split("compiling")[1]
    assert "worst=y/second 6" in words


def test_progress_bar_opens_before_the_first_step_of_each_epoch(tmp_path, capsys):
    """A bar that opens after a step of ten seconds says 13 steps/s."""
    train(tmp_path, stop=3)
    assert "epoch 2/3:   0%" in capsys.readouterr().err
    train(tmp_path)
    bars = re.findall(r"epoch (\d)/3: +(\d+)%[^\r]*(?=\r|\Z)", capsys.readouterr().err)
    assert bars[0] == ("2", "0") and bars[-1] == ("3", "100")


@pytest.mark.parametrize("where", ["first", "later"])
def test_non_finite_loss_names_its_step(tmp_path, where):
    if where == "first":
        with pytest.raises(FloatingPointError, match=r"loss=inf at step 1 \(epoch 1\)"):
            train(tmp_path, task=Regress(blow_up=True))
    else:
        reader = Numbers()
        reader.values[9] = np.nan  # the third batch of each epoch
        with pytest.raises(FloatingPointError, match=r"loss=nan at step 3 \(epoch 1\)"):
            train(tmp_path, reader=reader, every=100)
    assert not (tmp_path / "resume" / "checkpoint").exists()


# ---- distributed and interrupted -----------------------------------------------------------------


def test_two_replicas_equal_one_device(tmp_path, two_replicas):
    assert two_replicas.num_replicas_in_sync == 2
    one = train(tmp_path / "one", dropout=False, epochs=4)
    two = train(tmp_path / "two", two_replicas, dropout=False, epochs=4)
    np.testing.assert_allclose(two, one, atol=1e-5, rtol=0)
    rows = (metrics(tmp_path / name, "seconds") for name in ("one", "two"))
    for a, b in zip(*rows, strict=True):
        assert a == pytest.approx(b, rel=1e-4)


@pytest.mark.parametrize(("stop", "replicas"), [(1, 1), (3, 1), (4, 1), (8, 1), (4, 2)])
def test_interrupted_run_resumes_bit_for_bit(tmp_path, two_replicas, stop, replicas):
    strategy = two_replicas if replicas == 2 else None
    whole = train(tmp_path / "whole", strategy)
    train(tmp_path / "parts", strategy, stop=stop)
    resumed = train(tmp_path / "parts", strategy)
    same_runs(tmp_path / "parts", tmp_path / "whole", (resumed, whole))


def test_run_resumes_for_more_epochs_but_not_fewer(tmp_path):
    whole = train(tmp_path / "whole", epochs=5)
    train(tmp_path / "parts", epochs=2)
    longer = train(tmp_path / "parts", epochs=5)
    same_runs(tmp_path / "parts", tmp_path / "whole", (longer, whole))
    with pytest.raises(ValueError, match=r"epochs.*at least 5.*Received: 2"):
        train(tmp_path / "parts", epochs=2)


def test_run_json_keeps_start_and_records_resumptions(tmp_path):
    def described():
        return json.loads((tmp_path / "run.json").read_text())

    train(tmp_path, stop=1)
    before = described()
    train(tmp_path, stop=4)  # from the start: no checkpoint was written
    again = described()
    assert again["resumed"] == [] and again["started"] >= before["started"]
    train(tmp_path)  # from step 3
    after = described()
    (row,) = after.pop("resumed")
    assert row["step"] == 3 and row["versions"] == run_folder.versions()
    assert after == {name: value for name, value in again.items() if name != "resumed"}


def test_seconds_continue_after_interruption(tmp_path, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(training.loop.time, "monotonic", lambda: next(clock) * 10.0)
    train(tmp_path, epochs=2)
    train(tmp_path, epochs=4)
    seconds = [row["seconds"] for row in metrics(tmp_path)]
    assert seconds == sorted(seconds) and seconds[2] > seconds[1] > 0


def test_finished_run_without_checkpoints_does_not_restart(tmp_path):
    train(tmp_path, epochs=1)
    file = tmp_path / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"finished_epochs": 1}))
    shutil.rmtree(tmp_path / "resume")
    with pytest.raises(ValueError, match="resume must contain the checkpoints of the finished run"):
        train(tmp_path, epochs=2)


def test_empty_metrics_file_gets_header(tmp_path):
    train(tmp_path, epochs=1)
    (tmp_path / "metrics.csv").write_text("")  # a kill between opening and writing
    train(tmp_path, epochs=2)
    assert [row["epoch"] for row in metrics(tmp_path)] == [2]


@pytest.mark.parametrize(
    ("name", "task", "words"),
    [
        ("tpu", None, "strategy.*auto.*'tpu'"),
        ("none", {"type": "worker", "index": 0}, "strategy.*auto.*TF_CONFIG.*'none'"),
        ("auto", {"type": "ps", "index": 0}, r"\['chief', 'worker'\]. Received: 'ps'"),
        ("auto", {}, "Received: None"),
    ],
)
def test_rejects_strategy_with_two_writers(monkeypatch, name, task, words):
    if task is not None:
        config = {"cluster": {"worker": ["localhost:1"]}, "task": task}
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(ValueError, match=words):
        training.strategy.__wrapped__(name)  # the one of this process is made already


@pytest.mark.parametrize(
    ("jobs", "kind", "index", "expected"),
    [
        (["worker"], "worker", 0, True),
        (["worker"], "worker", 1, False),
        (["chief", "worker"], "chief", 0, True),
        (["chief", "worker"], "worker", 0, False),
    ],
)
def test_only_one_process_writes(jobs, kind, index, expected):
    cluster = tf.train.ClusterSpec({job: ["localhost:1", "localhost:2"] for job in jobs})
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(cluster, "", kind, index)
    assert training.is_chief(types.SimpleNamespace(cluster_resolver=resolver)) == expected
    assert training.is_chief(training.strategy("none"))


# ---- the folder ----------------------------------------------------------------------------------


def opened(folder, plan=None, clips=12, restart=False, **others):
    """A run folder that belongs to these settings, or ValueError."""
    recorded = Recorded(plan or Plan(), task="regress", **{"seed": "1"} | others)
    return run_folder.RunFolder(folder, recorded, {"clips": clips}, restart)


def held(folder, flags, **described):
    """A run folder of an earlier run."""
    folder.mkdir(exist_ok=True)
    (folder / "flags.txt").write_text(flags)
    (folder / "run.json").write_text(json.dumps({"identity": {"clips": 12}} | described))
    (folder / "metrics.csv").write_text("epoch\n")
    return folder


def test_rejects_changed_settings_that_affect_results(tmp_path):
    run = held(tmp_path / "run", "--seed=1\n--batch=8\n--clips=auto\n--option=flip=True\n")
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    for other, words in (
        ({"seed": "2", "plan": Plan(batch=8)}, r"seed=2 \(was 1\)"),
        ({}, r"batch=30 \(was 8\)"),
        ({"plan": Plan(batch=8, sampling="anywhere")}, r"sampling=anywhere \(was auto\)"),
        ({"plan": Plan(batch=8, flip=False)}, r"flip=false \(was true\)"),
        ({"plan": Plan(batch=8, jit=True)}, r"jit=true \(was false\)"),  # unsaid: the default
        ({"plan": Plan(batch=8), "clips": 11}, r"clips=11 \(was 12\)"),
    ):
        with pytest.raises(ValueError, match=f"{words}. Use another run folder, or restart"):
            opened(run, **other)
    after = {path.name: path.read_bytes() for path in run.iterdir() if path.name != ".lock"}
    assert after == before
    opened(run, Plan(batch=8, epochs=40, log_every=7, threads=2))  # they change no number
    opened(run, Plan(batch=8), data="elsewhere")


def test_rejects_fewer_epochs_than_finished(tmp_path):
    run = held(tmp_path / "run", "--seed=1\n", finished_epochs=5)
    with pytest.raises(ValueError, match="epochs.*at least 5.*epochs=4"):
        opened(run, Plan(epochs=4))


def test_restart_keeps_earlier_run_until_new_one_trains(tmp_path):
    run, earlier = held(tmp_path / "run", "--seed=1\n"), tmp_path / "run.earlier"
    opened(run, restart=True, seed="2")
    assert (earlier / "metrics.csv").exists() and not (run / "metrics.csv").exists()
    fresh = opened(run, restart=True, seed="3")
    assert (earlier / "metrics.csv").exists(), "the one that was refused is not the earlier run"
    fresh.drop_earlier()
    assert not earlier.exists() and "--seed=3\n" in (run / "flags.txt").read_text()


def test_rejects_two_settings_of_one_name():
    with pytest.raises(ValueError, match="names of their own. Received: 'epochs'"):
        Recorded(Plan(), Plan(), seed="1")


def test_run_folder_may_contain_only_temporary_leftovers(tmp_path):
    """A folder left by a kill during the first write can be used; other files are left alone."""
    (tmp_path / "flags.txt.7.tmp").write_text("--se")
    opened(tmp_path)
    assert "--seed=1\n" in (tmp_path / "flags.txt").read_text()
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="run must be.*which contains other files"):
        opened(other, restart=True)
    assert (other / "thesis.tex").exists()
