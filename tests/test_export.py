"""The SavedModel gives what the Keras model gives, where there is no Keras."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from mas import backbones, export, tasks

SHAPE = (16, 32, 32, 3)
# What a user of the SavedModel writes, where neither Keras nor this package can be imported.
READER = """
import sys
sys.modules["keras"] = sys.modules["mas"] = None
import numpy as np
import tensorflow as tf
folder, clips, answers = sys.argv[1:]
network = tf.saved_model.load(folder).signatures["serving_default"]
(spec,) = network.structured_input_signature[1].values()
found = {"shape": [size or -1 for size in spec.shape], "dtype": spec.dtype.name}
for name, batch in np.load(clips).items():
    found |= {f"{name}/{key}": value.numpy() for key, value in network(clips=batch).items()}
np.savez(answers, **found)
"""


def build(task, preset="bgr255"):
    keras.utils.set_random_seed(3)
    backbone = backbones.backbone("c3d", SHAPE, 0.125, preset, "he")
    return backbone, task.model(backbone)


def read_elsewhere(folder, batches):
    """{batch/output: values}, and the input's shape and dtype, from a process without Keras."""
    np.savez(folder / "clips.npz", **batches)
    paths = [folder / "export", folder / "clips.npz", folder / "answers.npz"]
    environment = {name: v for name, v in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", READER, *map(str, paths)]
    subprocess.run(command, check=True, cwd=folder, env=environment)
    return dict(np.load(folder / "answers.npz"))


def test_saved_model_needs_tensorflow_alone(tmp_path):
    backbone, model = build(tasks.Statistics(width=0.125))
    export.saved_model(backbone, model, tmp_path / "export")
    rng = np.random.default_rng(0)
    batches = {f"of{n}": rng.integers(0, 256, (n, *SHAPE)).astype(np.uint8) for n in (1, 3)}
    found = read_elsewhere(tmp_path, batches)
    assert found.pop("shape").tolist() == [-1, *SHAPE] and found.pop("dtype") == "uint8"
    for name, clips in batches.items():
        expected = {key: value.numpy() for key, value in model(clips).items()}
        expected["features"] = backbone(clips).numpy().mean((1, 2, 3))
        assert expected["features"].shape == (len(clips), 32) and expected["features"].std() > 0
        for key, values in expected.items():
            answer = found.pop(f"{name}/{key}")
            np.testing.assert_allclose(answer, values, rtol=1e-4, atol=1e-3, err_msg=key)
    assert not found, "no other outputs"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """(Keras model, its signature as TensorFlow reads it)."""
    backbone, model = build(tasks.Classify(3, dropout=0.9, width=0.125), "rgb")
    folder = tmp_path_factory.mktemp("classifier") / "export"
    export.saved_model(backbone, model, folder)
    loaded = tf.saved_model.load(folder)
    yield model, lambda clips: loaded.signatures["serving_default"](clips=tf.constant(clips))


def test_dropout_is_off_in_what_is_exported(classifier):
    model, signature = classifier
    clips = np.random.default_rng(1).integers(0, 256, (2, *SHAPE)).astype(np.uint8)
    outputs = signature(clips)
    assert set(outputs) == {"features", "logits"}
    np.testing.assert_allclose(outputs["logits"], model(clips)["logits"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 16, 40, 40, 3), (1, 16, 24, 24, 3), (16, 32, 32, 3)])
def test_clips_of_another_shape_are_refused(classifier, shape):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"shape \[\?,16,32,32,3\]"):
        classifier[1](np.zeros(shape, np.uint8))
