"""The SavedModel gives the outputs of the Keras model, without Keras."""

import os
import subprocess
import sys

import keras
import numpy as np

from mas import backbones, heads
from mas.training import export

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
found = {"shape": [size or -1 for size in spec.shape], "dtype": spec.dtype.name, "refused": []}
for name, batch in np.load(clips).items():
    try:
        outputs = network(clips=tf.constant(batch))
        found |= {f"{name}/{key}": value.numpy() for key, value in outputs.items()}
    except tf.errors.InvalidArgumentError as error:
        assert "[?,16,32,32,3]" in str(error), error
        found["refused"].append(name)
np.savez(answers, **found)
"""


def read_elsewhere(folder, batches):
    """{batch/output: values}, and the input's shape and dtype, from a process without Keras."""
    np.savez(folder / "clips.npz", **batches)
    paths = [folder / "export", folder / "clips.npz", folder / "answers.npz"]
    environment = {name: v for name, v in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", READER, *map(str, paths)]
    subprocess.run(command, check=True, cwd=folder, env=environment)
    return dict(np.load(folder / "answers.npz"))


def test_saved_model_needs_only_tensorflow(tmp_path):
    """Accepts any batch size, turns dropout off, rejects clips of another size."""
    keras.utils.set_random_seed(3)
    backbone = backbones.backbone("c3d", SHAPE, 0.125, "bgr255", "he")
    outputs = heads.attach(backbone, {"motion": 14, "colour": 3}, width=0.125, dropout=0.9)
    model = keras.Model(backbone.input, outputs)
    export.saved_model(backbone, model, tmp_path / "export")
    rng = np.random.default_rng(0)
    batches = {f"of{n}": rng.integers(0, 256, (n, *SHAPE)).astype(np.uint8) for n in (1, 3)}
    others = {f"{size}": np.zeros((1, 16, size, size, 3), np.uint8) for size in (40, 24)}
    others["one clip"] = np.zeros(SHAPE, np.uint8)
    found = read_elsewhere(tmp_path, batches | others)
    assert found.pop("shape").tolist() == [-1, *SHAPE] and found.pop("dtype") == "uint8"
    assert found.pop("refused").tolist() == [*others]
    for name, clips in batches.items():
        expected = {key: value.numpy() for key, value in model(clips).items()}
        expected["features"] = backbone(clips).numpy().mean((1, 2, 3))
        assert expected["features"].shape == (len(clips), 32) and expected["features"].std() > 0
        for key, values in expected.items():
            answer = found.pop(f"{name}/{key}")
            np.testing.assert_allclose(answer, values, rtol=1e-4, atol=1e-3, err_msg=key)
    assert not found, "no other outputs"
