"""The loop: the same weights however it is distributed or interrupted."""

import csv
import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from mas import optimizers, run_folder, training
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
        return {"y": (lambda t, p: tf.reduce_mean((t - p) ** 2, -1) * scale, 0.5)}

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
    run = run_folder.RunFolder(folder, {"seed": ["1"]})
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
    assert list(rows[0]) == ["epoch", "step", "learning_rate", "loss", "error", "decay"]


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


def test_plan_refuses_nonsense():
    with pytest.raises(ValueError, match="epochs must be at least 1. Received: 0"):
        training.Plan(0, 4)


# ---- the scripts ---------------------------------------------------------------------------------


def command(sample_data, run, *more):
    flags = "--resize=44x32 --size=32 --width=0.125 --preset=rgb --batch=4 --epochs=6 --threads=1"
    data = [f"--data={sample_data / 'data'}", f"--run={run}", "--learning_rate=0.01"]
    return [sys.executable, str(ROOT / "train.py"), *flags.split(), *data, *more]


def final(run):
    return keras.models.load_model(run / "model.keras").get_weights()


def test_sigkill_and_resume_give_the_same_weights(sample_data, tmp_path):
    run_to_end = command(sample_data, tmp_path / "whole", "--checkpoint_every=2")
    subprocess.run(run_to_end, check=True, capture_output=True)
    killed = command(sample_data, tmp_path / "killed", "--checkpoint_every=2")
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


def test_two_hosts_equal_one(sample_data, tmp_path):
    alone = command(sample_data, tmp_path / "alone", "--epochs=2")
    subprocess.run(alone, check=True, capture_output=True)
    hosts = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    together = command(sample_data, tmp_path / "together", "--epochs=2")
    processes = []
    for index in range(2):
        config = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
        processes.append(
            subprocess.Popen(
                together,
                env={**os.environ, "TF_CONFIG": json.dumps(config)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    words = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], words
    for a, b in zip(final(tmp_path / "alone"), final(tmp_path / "together"), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=0)
    assert json.loads((tmp_path / "together" / "run.json").read_text())["replicas"] == 2


def test_other_flags_are_refused(tmp_path):
    train(tmp_path, epochs=1)
    with pytest.raises(ValueError, match=r"Received: --seed=2 \(was 1\)"):
        run_folder.RunFolder(tmp_path, {"seed": ["2"]})
    run_folder.RunFolder(tmp_path, {"seed": ["1"], "log_every": ["7"]})  # changes no number
    fresh = run_folder.RunFolder(tmp_path, {"seed": ["2"]}, restart=True)
    assert not (tmp_path / "metrics.csv").exists() and fresh.path == tmp_path


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="which holds other files"):
        run_folder.RunFolder(tmp_path, {}, restart=True)
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--batch=13", "batch must be in 1..12, the number of examples. Received: batch=13"),
        ("--size=64", "size must be in 1..32"),
        ("--task=jigsaw", "task must be one of ['mas']. Received: task='jigsaw'"),
        ("--option=colour=brightest", "colour must be one of"),
        ("--option=pace=3", "option must be one of"),
        ("--data=/nowhere", "data must be a folder that mas.prepare wrote"),
    ],
)
def test_wrong_flags_are_named_before_work_starts(
    script, sample_data, tmp_path, caplog, flag, words
):
    arguments = command(sample_data, tmp_path / "run", flag)[2:]
    with script("train.py", *arguments) as module:
        assert module.main(["train.py"]) == 2
    assert words in caplog.text
    assert not (tmp_path / "run").exists()
