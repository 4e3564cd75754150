"""Replays training steps recorded from the authors' MAS code (CVPR 2019), and compares all numbers.

    python benchmarks/trajectory.py --golden=FILE

FILE (JSON) contains `seed`, `steps`, `decay_steps`, `batch`, `order` (names of the variables) and
the recorded numbers: `first_output` (batch, outputs) before the first step, `curve_mse_total`
([MSE, MSE + weight decay] at each step, before its update) and `final_norms` (by variable) after
the last. The `inputs.py` next to it makes variables (`small_c3d_variable`) and batches
(`training_batches`).

The difference between our number a and the recorded b is

* for each loss: |a - b| / |b|;
* for the first outputs, which may be near 0: |a - b| / max|b|;
* for each norm: |a - b| / max(|b|, 0.01). Only conv biases have norms below 0.01 (5e-5 to 7e-4 in
  the recorded file). They start at 0, and their gradients are sums over up to 400,000 positions
  whose terms cancel. In float32 these norms are accurate to about 1e-2 (the recorded conv2/bias
  differs by 9e-3 from a float64 replay), and they change by up to 4e-3 with the number of threads.
  With this measure, an error of 1e-5 in any of them fails; the plain |a - b| / |b| is also printed.

The last line is the largest difference. Exit status: 0 if it is below 1e-3, else 1.

Kernels are those of the recorded run: float32 without TensorFloat-32, XLA or oneDNN. One difference
remains: TensorFlow's plain CPU kernel for 3D max pooling passes the gradient to every value within
1e-5 of the maximum; the 2D pooling of the backbones, oneDNN and GPUs pass it only to the maximum.
"""

# ruff: noqa: E402
import importlib.util
import json
import os
import pathlib

if __name__ == "__main__":
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # read when TensorFlow is imported

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from mas import heads
from mas.backbones import backbone
from mas.training.optimizers import Momentum, staircase

TOLERANCE = 1e-3
SMALLEST_NORM = 0.01  # smaller ones are counted against this
LEARNING_RATE = 0.001
CLIP = (16, 112, 112, 3)
OUTPUTS = 14
KEYS = ("seed", "steps", "decay_steps", "batch", "order")
RECORDED = ("first_output", "curve_mse_total", "final_norms")


def read_golden(path):
    """The recorded trajectory in the JSON file `path`; ValueError names what it lacks."""
    golden = json.loads(pathlib.Path(path).read_text())
    missing = [key for key in KEYS + RECORDED if key not in golden]
    if missing:
        raise ValueError(f"{path}: must have {list(KEYS + RECORDED)}. Missing: {missing}.")
    return golden


def load_inputs(golden_path):
    """The module inputs.py next to the golden file."""
    path = pathlib.Path(golden_path).resolve().with_name("inputs.py")
    spec = importlib.util.spec_from_file_location("golden_inputs", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_model(clip=CLIP, width=1.0):
    """Builds the released network: small C3D and one branch with 14 outputs."""
    trunk = backbone("c3d", clip, width=width)
    vector = heads.flatten(trunk.output)
    return keras.Model(trunk.input, heads.fully_connected(vector, OUTPUTS, width=width))


def fill(model, golden, inputs):
    """Sets the model's variables to the seeded values; returns them by name, in `order`."""
    variables = {variable.path: variable for variable in model.trainable_variables}
    if sorted(variables) != sorted(golden["order"]):
        raise ValueError(f"order must name {sorted(variables)}. Received: {golden['order']}.")
    for index, name in enumerate(golden["order"]):
        shape = tuple(variables[name].shape)
        variables[name].assign(inputs.small_c3d_variable(golden["seed"], index, name, shape))
    return {name: variables[name] for name in golden["order"]}


def replay(golden, inputs, model):
    """Runs the steps; returns the numbers to compare, under the keys of the golden file."""
    variables = fill(model, golden, inputs)
    optimizer = Momentum(staircase(LEARNING_RATE, golden["decay_steps"]))
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=False)
    def step(clips, targets):
        with tf.GradientTape() as tape:
            mse = tf.reduce_mean(tf.square(model(clips, training=True) - targets))
        total = mse + optimizer.decay_loss(model.trainable_variables)
        optimizer.apply(tape.gradient(mse, model.trainable_variables))
        return mse, total

    first_output, curve = None, []
    for clips, targets in inputs.training_batches(golden["seed"], golden["steps"], golden["batch"]):
        if first_output is None:
            first_output = model(clips, training=False).numpy()
        curve.append([float(loss) for loss in step(tf.constant(clips), tf.constant(targets))])
        print(f"step {len(curve)} of {golden['steps']}: MSE {curve[-1][0]:.6f}", flush=True)
    norms = {name: np.linalg.norm(variable.numpy()) for name, variable in variables.items()}
    return {"first_output": first_output, "curve_mse_total": curve, "final_norms": norms}


def differences(measured, golden):
    """Differences between measured and recorded numbers, as defined at the top of this file.

    Returns:
        {item: (counted, plain)}: the largest of each item; infinite where a value is not finite.

    Raises:
        ValueError: If the shapes of an item differ.
    """
    ours, theirs = _items(measured, golden["order"]), _items(golden, golden["order"])
    scales = {item: np.abs(values) for item, values in theirs.items()}
    scales["first output"] = scales["first output"].max()
    found = {}
    for item, recorded in theirs.items():
        if ours[item].shape != recorded.shape:
            raise ValueError(f"{item} must be {recorded.shape}. Received: {ours[item].shape}.")
        error = np.abs(ours[item] - recorded)
        floor = SMALLEST_NORM if item.startswith("norm") else 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            counts = error / np.maximum(scales[item], floor), error / np.abs(recorded)
        found[item] = tuple(float(np.where(np.isnan(c), np.inf, c).max()) for c in counts)
    return found


def _items(run, order):
    """The compared items of a run as float64 arrays: {item: array}."""
    items = {"first output": run["first_output"], "curve": run["curve_mse_total"]}
    items |= {f"norm of {name}": run["final_norms"][name] for name in order}
    return {item: np.asarray(values, np.float64) for item, values in items.items()}


def compare(path, model):
    """Replays a file, prints all differences and the largest one; returns the exit status."""
    golden = read_golden(path)
    found = differences(replay(golden, load_inputs(path), model), golden)
    print(f"{'':24} counted   plain")
    for item, (counted, plain) in found.items():
        print(f"{item:24} {counted:.1e}   {plain:.1e}")
    largest = max(counted for counted, _ in found.values())
    print(f"largest relative difference: {largest:.1e}")
    return 0 if largest < TOLERANCE else 1


def main(_):
    """Compares at full size; the exit status."""
    tf.config.experimental.enable_tensor_float_32_execution(False)
    return compare(flags.FLAGS.golden, build_model())


if __name__ == "__main__":
    flags.DEFINE_string("golden", None, "Recorded run; inputs.py is next to it.", required=True)
    app.run(main)
