"""Seconds of a training step: forward, backward and update, without the input pipeline.

python benchmarks/step.py [--backbone=c3d] [--width=1] [--size=112] [--batch=2] [--jit]
"""

import statistics
import sys
import time

import numpy as np
import tensorflow as tf
from absl import app, flags

from mas import backbones, optimizers, tasks, training

_BACKBONE = flags.DEFINE_enum("backbone", "c3d", list(backbones.NAMES), "Network.")
_WIDTH = flags.DEFINE_float("width", 1.0, "Factor on the channels.")
_SIZE = flags.DEFINE_integer("size", 112, "Side of the clip in pixels.")
_BATCH = flags.DEFINE_integer("batch", 2, "Clips in a step.")
_STEPS = flags.DEFINE_integer("steps", 5, "Steps to time after two that warm up.")
_JIT = flags.DEFINE_bool("jit", False, "Compile with XLA.")


def main(argv):
    """Times the steps and prints the median."""
    del argv
    task = tasks.task("mas", width=_WIDTH.value)
    strategy = training.strategy()
    with strategy.scope():
        shape = (task.frames, _SIZE.value, _SIZE.value, 3)
        backbone = backbones.backbone(_BACKBONE.value, shape, _WIDTH.value, "bgr255")
        trainer = training.Trainer(task, task.model(backbone), optimizers.Momentum(), strategy)
    step = trainer.step_function(_JIT.value)
    rng = np.random.default_rng(0)
    clips = tf.constant(rng.integers(0, 256, (_BATCH.value, *shape), np.uint8))
    targets = {
        name: tf.constant(rng.integers(1, 9, (_BATCH.value, count)).astype(np.float32))
        for name, count in (("motion", 14), ("appearance", 13))
    }
    times = []
    for _ in range(2 + _STEPS.value):
        start = time.perf_counter()
        step(clips, targets).numpy()
        times.append(time.perf_counter() - start)
    median = statistics.median(times[2:])
    print(f"{median:.3f} s a step (median of {_STEPS.value}, {min(times[2:]):.3f} to")
    print(
        f"{max(times[2:]):.3f}), {_BATCH.value / median:.2f} clips/s, first step {times[0]:.1f} s"
    )


if __name__ == "__main__":
    sys.exit(app.run(main))
