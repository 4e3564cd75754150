"""Training of backbones: loss, mixed precision, other Keras backends."""

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

from mas import heads, video
from mas.backbones import NAMES, backbone

SMALL = (16, 32, 32, 3)
ROOT = pathlib.Path(__file__).resolve().parents[1]
CLIPS = np.random.default_rng(0).integers(0, 256, (4, *SMALL)).astype(np.uint8)
X, Y = CLIPS.astype(np.float32) / 127.5 - 1, np.eye(4, 3, dtype=np.float32)


def names_but_slow(*quick):
    marks = {name: () if name in quick else pytest.mark.slow for name in NAMES}
    return [pytest.param(name, marks=mark) for name, mark in marks.items()]


def regression(name, policy="float32"):
    """A small network with a head."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        trunk = backbone(name, SMALL, width=0.125, initializer="he")
        mean = keras.layers.GlobalAveragePooling3D()(trunk.output)
        return keras.Model(trunk.input, keras.layers.Dense(3, dtype="float32")(mean))
    finally:
        keras.config.set_dtype_policy(before)


def loss_and_gradients(model, x, y):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
    return loss, tape.gradient(loss, model.trainable_variables)


def values_of(model):
    return {variable.path: variable.numpy() for variable in model.variables}


@pytest.mark.parametrize("name", names_but_slow("c3d_bn"))
def test_training_reduces_loss_and_changes_all_weights(name):
    keras.utils.set_random_seed(0)
    model, optimizer, losses = regression(name), keras.optimizers.Adam(1e-3), []
    before = values_of(model)
    for _ in range(6):
        loss, gradients = loss_and_gradients(model, X, Y)
        optimizer.apply(gradients, model.trainable_variables)
        losses.append(float(loss))
    assert losses[-1] < 0.8 * losses[0]
    for path, value in values_of(model).items():
        lost = path.replace("/bias", "_bn/beta") in before  # batch norm takes the mean off again
        assert np.isfinite(value).all() and (lost or (value != before[path]).any()), path


@pytest.mark.parametrize("name", names_but_slow("r3d_18"))
def test_mixed_precision_trains(name):
    """R3D's kernels are longer than its last maps; there oneDNN's gradient is 1e30."""
    model = regression(name, "mixed_bfloat16")
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    loss, gradients = loss_and_gradients(model, X, Y)
    assert np.isfinite(float(loss))
    assert max(np.abs(gradient).max() for gradient in gradients) < 1e6
    keras.optimizers.SGD(1e-3).apply(gradients, model.trainable_variables)
    assert np.isfinite(model(X).numpy()).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_one_step_on_real_clips_reduces_loss(name, shared):
    """At full width and size, from the published start, the clips as R G B in [-1, 1].

    A step that should take 2 % off the loss: batch norm over three clips makes the first gradients
    of the deep networks so large that those of a fixed learning rate overshoot.
    """
    paths = sorted((shared / "videos" / "weizmann").glob("*/daria_*"))[:3]
    read = [itertools.islice(video.frames(path, (112, 112)), 16) for path in paths]
    x = tf.constant(np.stack([np.stack(list(frames)) for frames in read]))
    keras.utils.set_random_seed(0)
    trunk = backbone(name, x.shape[1:], preset="rgb")
    model = keras.Model(trunk.input, heads.pooled(trunk.output, 3, "logits"))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            logits = model(x, training=True)
            loss = keras.losses.sparse_categorical_crossentropy(tf.range(3), logits, True)
            loss = tf.reduce_mean(loss)
        return loss, tape.gradient(loss, model.trainable_variables)

    before, gradients = step()
    rate = min(0.01, 0.02 * float(before) / float(tf.linalg.global_norm(gradients)) ** 2)
    keras.optimizers.SGD(rate).apply(gradients, model.trainable_variables)
    assert float(step()[0]) < float(before)


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
def test_other_keras_backend_gives_equal_maps(other, tmp_path):
    if importlib.util.find_spec(other) is None:
        pytest.skip(f"needs {other}")
    np.save(tmp_path / "clips.npy", CLIPS)
    expected = {}
    for name in NAMES:
        model = backbone(name, SMALL, 0.125, "rgb", "he")
        expected[name] = model(CLIPS).numpy()
        model.save(tmp_path / f"{name}.keras")
    environment = {**os.environ, "KERAS_BACKEND": other}
    command = [sys.executable, "-c", OTHER, str(tmp_path), json.dumps(NAMES)]
    subprocess.run(command, check=True, cwd=ROOT, env=environment)
    for name, values in expected.items():
        found = np.load(tmp_path / f"{name}.npy")
        np.testing.assert_allclose(found, values, atol=1e-4 * np.abs(values).max(), err_msg=name)
