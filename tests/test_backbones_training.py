"""Backbones in training: the loss, mixed precision, two replicas; other backends of Keras."""

import contextlib
import importlib.util
import itertools
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from mas import tasks, training, video
from mas.backbones import NAMES, backbone

SMALL = (16, 32, 32, 3)
ROOT = pathlib.Path(__file__).resolve().parents[1]
# One of each kind of layer; the others run with --runslow.
QUICK = ("c3d_bn", "r3d_18", "s3d_g_dsm")


def names_but_slow(quick):
    marks = {name: () if name in quick else pytest.mark.slow for name in NAMES}
    return [pytest.param(name, marks=mark) for name, mark in marks.items()]


def clips(seed=0, shape=SMALL, batch=2):
    return np.random.default_rng(seed).integers(0, 256, (batch, *shape)).astype(np.uint8)


def variables_of(model):
    return {variable.path: variable.numpy() for variable in model.variables}


@contextlib.contextmanager
def precision(policy):
    """Layers made inside compute like that."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def regression(name, policy="float32"):
    """A small network with a head, a batch, and its targets."""
    with precision(policy):
        trunk = backbone(name, SMALL, width=0.125, initializer="he")
        mean = keras.layers.GlobalAveragePooling3D()(trunk.output)
        kind = policy if policy == "float64" else "float32"
        outputs = keras.layers.Dense(3, dtype=kind, name="head")(mean)
    x = clips(batch=4).astype(np.float32) / 127.5 - 1
    return keras.Model(trunk.input, {"head": outputs}), x, np.eye(4, 3, dtype=np.float32)


class Squares(tasks.Task):
    """Regression, with the least that a trainer asks of a task."""

    def losses(self):
        def loss(y, outputs):
            return keras.losses.mean_squared_error(y["head"], outputs["head"])

        return {"head": (loss, 1.0)}


def trainer(name, strategy, optimizer, policy="float32"):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model, x, y = regression(name, policy)
        return training.Trainer(Squares(), model, optimizer(1e-3), strategy), x, {"head": y}


@pytest.mark.parametrize("name", names_but_slow(QUICK[:2]))
def test_training_reduces_the_loss_and_moves_everything(name):
    run, x, y = trainer(name, tf.distribute.get_strategy(), keras.optimizers.Adam)
    before = variables_of(run.model)
    step = run.step_function()
    losses = [float(step(x, y)[0]) for _ in range(8)]
    assert losses[-1] < 0.8 * losses[0]
    for path, value in variables_of(run.model).items():
        lost = path.replace("/bias", "_bn/beta") in before  # batch norm takes the mean off again
        assert np.isfinite(value).all() and (lost or (value != before[path]).any()), path


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_step_on_real_clips_reduces_the_loss(name, shared):
    """At full width and size, from the published start, the clips as R G B in [-1, 1].

    A step that should take 2 % off the loss: batch norm over three clips makes the first gradients
    of the deep networks so large that those of a fixed learning rate overshoot.
    """
    paths = sorted((shared / "videos" / "weizmann").glob("*/daria_*"))[:3]
    read = [itertools.islice(video.frames(path, (112, 112)), 16) for path in paths]
    x = tf.constant(np.stack([np.stack(list(frames)) for frames in read]))
    keras.utils.set_random_seed(0)
    model = tasks.Classify(3, dropout=0.0, head="pooled").model(
        backbone(name, x.shape[1:], preset="rgb")
    )

    @tf.function
    def loss_and_gradients():
        with tf.GradientTape() as tape:
            logits = model(x, training=True)["logits"]
            loss = keras.losses.sparse_categorical_crossentropy(tf.range(3), logits, True)
            loss = tf.reduce_mean(loss)
        return loss, tape.gradient(loss, model.trainable_variables)

    before, gradients = loss_and_gradients()
    rate = min(0.01, 0.02 * float(before) / float(tf.linalg.global_norm(gradients)) ** 2)
    keras.optimizers.SGD(rate).apply(gradients, model.trainable_variables)
    assert float(loss_and_gradients()[0]) < float(before)


@pytest.mark.parametrize("name", names_but_slow(QUICK))
def test_mixed_precision_trains(name):
    model, x, y = regression(name, "mixed_bfloat16")
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(x, training=True)["head"] - y) ** 2)
    gradients = tape.gradient(loss, model.trainable_variables)
    assert np.isfinite(float(loss))
    assert max(np.abs(gradient).max() for gradient in gradients) < 1e6  # oneDNN's garbage is 1e30
    keras.optimizers.SGD(1e-3).apply(gradients, model.trainable_variables)
    assert np.isfinite(model(x)["head"].numpy()).all()


@pytest.mark.parametrize("name", names_but_slow(QUICK[:1]))
def test_two_replicas_equal_one(name, two_replicas):
    """One step on halves of a batch, batch norm and its moving statistics included.

    In float64: batch norm over maps of 2 x 1 x 1 makes 1e-2 of the rounding of float32.
    """
    one, x, y = trainer(name, tf.distribute.get_strategy(), keras.optimizers.SGD, "float64")
    two, _, _ = trainer(name, two_replicas, keras.optimizers.SGD, "float64")
    two.model.set_weights(one.model.get_weights())
    before = variables_of(one.model)

    def half(values):
        return two_replicas.experimental_distribute_values_from_function(
            lambda context: tf.constant(values[context.replica_id_in_sync_group :: 2])
        )

    whole = one.step_function()(x, y)
    halves = two.step_function()(half(x), {"head": half(y["head"])})
    np.testing.assert_allclose(halves, whole, rtol=1e-9)
    found = two.model.variables  # paths differ between two models of the same layers: by order
    for expected, variable in zip(one.model.variables, found, strict=True):
        change = np.abs(expected.numpy() - before[expected.path]).max()
        error = np.abs(variable.numpy() - expected.numpy()).max()
        assert error <= 1e-9 + 1e-6 * change, (expected.path, error, change)


OTHER = """
import json, sys
import numpy as np
from mas.backbones import backbone
folder = sys.argv[1]
for name in json.loads(sys.argv[2]):
    model = backbone(name, (16, 32, 32, 3), 0.125, "rgb")
    model.load_weights(f"{folder}/{name}.keras")
    clips = np.load(f"{folder}/clips.npy")
    np.save(f"{folder}/{name}.npy", np.asarray(model.predict_on_batch(clips)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("other", ["torch", "jax"])
def test_another_keras_backend_gives_equal_maps(other, tmp_path):
    if importlib.util.find_spec(other) is None:
        pytest.skip(f"needs {other}")
    np.save(tmp_path / "clips.npy", clips())
    expected = {}
    for name in NAMES:
        model = backbone(name, SMALL, 0.125, "rgb", "he")
        expected[name] = model(clips()).numpy()
        model.save(tmp_path / f"{name}.keras")
    environment = {**os.environ, "KERAS_BACKEND": other}
    command = [sys.executable, "-c", OTHER, str(tmp_path), json.dumps(NAMES)]
    subprocess.run(command, check=True, cwd=ROOT, env=environment)
    for name, values in expected.items():
        found = np.load(tmp_path / f"{name}.npy")
        np.testing.assert_allclose(found, values, atol=1e-4 * np.abs(values).max(), err_msg=name)
