"""Times a training step: forward, backward and update, without the input pipeline.

python benchmarks/step.py [--backbone=c3d] [--batch=4] [--jit] [--keras_norm] [--replicas=2]

If PyTorch is installed, the same network in PyTorch is timed in both memory layouts: compare with
the faster one. --keras_norm also times the network with Keras's synchronised batch norm. All sides
take turns.
"""

import importlib.util
import os
import pathlib
import statistics
import subprocess
import sys
import time
import unittest.mock

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags, logging

from mas import backbones, networks, tasks, training
from mas.backbones import norm
from mas.settings import Clip, Network
from mas.training import optimizers

TORCH = ("c3d", "r2plus1d_10")  # what step_torch.py has
LAYOUTS = ("contiguous", "channels_last")  # of PyTorch

_BACKBONE = flags.DEFINE_enum("backbone", "c3d", list(backbones.NAMES), "Network.")
_WIDTH = flags.DEFINE_float("width", 1.0, "Factor on the channels.")
_SIZE = flags.DEFINE_integer("size", 112, "Side of the clip in pixels.")
_BATCH = flags.DEFINE_integer("batch", 4, "Clips in a step.")
_STEPS = flags.DEFINE_integer("steps", 5, "Steps to time after two that warm up.")
_JIT = flags.DEFINE_bool("jit", False, "Compile with XLA.")
_NORM = flags.DEFINE_bool("keras_norm", False, "Also time Keras's synchronised batch norm.")
_REPLICAS = flags.DEFINE_integer("replicas", 1, "Logical CPUs that share a step.")


def keras_step():
    """(number of weights, function that takes a step)."""
    network = Network(_BACKBONE.value, width=_WIDTH.value)
    clip = Clip(size=_SIZE.value, resize=networks.resize_for(_SIZE.value))
    task, shape = tasks.Statistics().bound(clip, network), clip.shape()
    strategy = training.strategy("mirrored" if _REPLICAS.value > 1 else "auto")
    with strategy.scope():
        backbone = networks.build(network, shape)
        optimizer = optimizers.Momentum(decay="fc" if _BACKBONE.value == "c3d" else "all")
        trainer = training.Trainer(task, task.model(backbone), optimizer, strategy)
    step = trainer.step_function(_JIT.value)
    rng = np.random.default_rng(0)
    clips = tf.constant(rng.integers(0, 256, (_BATCH.value, *shape), np.uint8))
    targets = {
        name: tf.constant(rng.integers(1, 9, (_BATCH.value, count)).astype(np.float32))
        for name, count in (("motion", 14), ("appearance", 13))
    }
    count = sum(int(np.prod(value.shape)) for value in trainer.model.trainable_variables)
    data = tf.data.Dataset.from_tensors((clips, targets)).unbatch().batch(_BATCH.value)
    (batch,) = strategy.experimental_distribute_dataset(data)
    return count, lambda: step(*batch).numpy()


def keras_norm_step():
    """`keras_step` with Keras's synchronised batch norm, whose variance is E[x^2] - E[x]^2."""
    theirs = keras.layers.BatchNormalization
    with unittest.mock.patch.object(norm, "BatchNormalization", theirs):
        return keras_step()


def torch_step(layout):
    """The same step in PyTorch, in a separate process; None without PyTorch."""
    fits = _BACKBONE.value in TORCH and _WIDTH.value == 1
    if not fits or importlib.util.find_spec("torch") is None:
        return None
    script = pathlib.Path(__file__).with_name("step_torch.py")
    process = subprocess.Popen(
        [sys.executable, script, _BACKBONE.value, str(_BATCH.value), str(_SIZE.value), layout],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},  # else it spins into the other's step
    )

    def step():
        process.stdin.write("\n")
        return process.stdout.readline()

    return int(process.stdout.readline()), step


def main(argv):
    """Times the steps in turn and prints medians."""
    del argv
    logging.set_verbosity(logging.ERROR)  # of TensorFlow: a line for every sum over replicas
    tf.get_logger().setLevel("ERROR")
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * _REPLICAS.value
    tf.config.set_logical_device_configuration(cpu, parts)
    sides = {"keras": keras_step(), **{f"torch {name}": torch_step(name) for name in LAYOUTS}}
    if _NORM.value:
        sides["keras_norm"] = keras_norm_step()
    sides = {name: side for name, side in sides.items() if side}
    times = {name: [] for name in sides}
    for _ in range(2 + _STEPS.value):
        for name, (_, step) in sides.items():
            start = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values[2:]) for name, values in times.items()}
    for name, values in times.items():
        print(
            f"{name}: {sides[name][0]:,} weights, {medians[name]:.3f} s a step of {_BATCH.value} "
            f"({min(values[2:]):.3f} to {max(values[2:]):.3f}), first step {values[0]:.1f} s"
        )
    for other in list(medians)[1:]:
        print(f"keras / {other}: {medians['keras'] / medians[other]:.2f}")


if __name__ == "__main__":
    sys.exit(app.run(main))
