"""The replay of the authors' training steps, and its own arithmetic and checks."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

ROOT = pathlib.Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "benchmarks" / "trajectory.py"

CLIP, WIDTH = (16, 32, 32, 3), 0.125
CHANNELS, UNITS = (8, 16, 32, 32, 32), 256
INPUTS = """
import numpy as np

def small_c3d_variable(seed, index, name, shape):
    fan_in = np.prod(shape[:-1]) if len(shape) > 1 else 20
    return np.random.default_rng([seed, index]).normal(0, (2 / fan_in) ** 0.5, shape)

def training_batches(seed, steps, batch=2):
    rng = np.random.default_rng([seed, 10**6])
    for _ in range(steps):
        clips = rng.uniform(-1, 1, (batch, 16, 32, 32, 3)).astype(np.float32)
        yield clips, rng.integers(1, 9, (batch, 14)).astype(np.float32)
"""


@pytest.fixture(scope="module")
def trajectory():
    spec = importlib.util.spec_from_file_location("trajectory", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small_shapes():
    """Names and shapes of the narrow network's variables, in order."""
    shapes, before = {}, 3
    for number, after in enumerate(CHANNELS, 1):
        shapes |= {f"conv{number}/kernel": (3, 3, 3, before, after), f"conv{number}/bias": (after,)}
        before = after
    for layer, sizes in {"fc6": (32, UNITS), "fc7": (UNITS, UNITS), "fc8": (UNITS, 14)}.items():
        shapes |= {f"{layer}/kernel": sizes, f"{layer}/bias": sizes[1:]}
    return shapes


def forward(variables, x):
    """The network in plain TensorFlow."""
    for number in range(1, 6):
        x = tf.nn.conv3d(x, variables[f"conv{number}/kernel"], [1] * 5, "SAME")
        x = tf.nn.relu(x + variables[f"conv{number}/bias"])
        window = [1, 1 if number == 1 else 2, 2, 2, 1]
        x = tf.nn.max_pool3d(x, window, window, "SAME")
    x = tf.reshape(x, (len(x), -1))
    x = tf.nn.relu(x @ variables["fc6/kernel"] + variables["fc6/bias"])
    x = tf.nn.relu(x @ variables["fc7/kernel"] + variables["fc7/bias"])
    return x @ variables["fc8/kernel"] + variables["fc8/bias"]


def record(inputs, seed, steps, decay_steps, batch):
    """The content of a golden file for the narrow network, computed in plain TensorFlow."""
    shapes = small_shapes()
    variables = {
        name: tf.Variable(inputs.small_c3d_variable(seed, index, name, shape), dtype=tf.float32)
        for index, (name, shape) in enumerate(shapes.items())
    }
    accumulators = dict.fromkeys(shapes, 0.0)
    outputs, curve = [], []
    for step, (clips, targets) in enumerate(inputs.training_batches(seed, steps, batch)):
        with tf.GradientTape() as tape:
            outputs.append(forward(variables, clips))
            mse = tf.reduce_mean((outputs[-1] - targets) ** 2)
            decay = 0.005 * sum(tf.nn.l2_loss(variables[f"fc{n}/kernel"]) for n in (6, 7, 8))
            total = mse + decay
        curve.append([float(mse), float(total)])
        gradients = tape.gradient(total, variables)
        rate = 0.001 if step < decay_steps else 0.0001
        for name, variable in variables.items():
            accumulators[name] = 0.9 * accumulators[name] + gradients[name]
            factor = 2 if name.endswith("bias") else 1
            variable.assign_sub(factor * rate * accumulators[name])
    return {
        "seed": seed,
        "steps": steps,
        "decay_steps": decay_steps,
        "batch": batch,
        "order": list(shapes),
        "first_output": outputs[0].numpy().tolist(),
        "curve_mse_total": curve,
        "final_norms": {n: float(np.linalg.norm(v.numpy())) for n, v in variables.items()},
    }


@pytest.fixture(scope="module")
def recorded(trajectory, tmp_path_factory):
    """A golden file of the narrow network, next to its inputs.py: (path, contents)."""
    path = tmp_path_factory.mktemp("golden") / "small.json"
    path.with_name("inputs.py").write_text(INPUTS)
    golden = record(trajectory.load_inputs(path), seed=3, steps=4, decay_steps=2, batch=3)
    path.write_text(json.dumps(golden))
    return path, golden


def test_replay_equals_reference_across_decay(trajectory, recorded, capsys):
    path, golden = recorded
    curve = np.array(golden["curve_mse_total"])
    assert np.abs(np.diff(curve, axis=0)).min() > 0.01  # it does train
    assert trajectory.compare(path, trajectory.build_model(CLIP, WIDTH)) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert float(last.removeprefix("largest relative difference: ")) < 1e-4


@pytest.mark.parametrize("key", ["decay_steps", "final_norms"])
def test_replay_fails_if_file_differs(trajectory, recorded, tmp_path, key):
    path, golden = tmp_path / "spoiled.json", recorded[1]
    spoiled = {"decay_steps": 3, "final_norms": golden["final_norms"] | {"conv2/bias": 0.0}}
    path.write_text(json.dumps(golden | {key: spoiled[key]}))
    path.with_name("inputs.py").write_text(INPUTS)
    assert trajectory.compare(path, trajectory.build_model(CLIP, WIDTH)) == 1


@pytest.mark.slow
def test_full_replay_of_authors_steps(shared):
    golden = shared / "golden" / "trajectory.json"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), f"--golden={golden}"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert float(last.removeprefix("largest relative difference: ")) < 1e-3
