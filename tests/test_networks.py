"""Untrusted networks: run.json sets only network and clip; .keras files run no code."""

import io
import json
import os
import pickle
import re
import resource
import zipfile

import h5py
import keras
import numpy as np
import pytest

from mas import backbones, cli, networks
from mas.networks import archive
from mas.settings import Clip, Network

SHAPE = (16, 32, 32, 3)
NETWORK = {"backbone": "c3d", "width": 0.02, "preset": "rgb", "initializer": "he"}
CLIP = {"frames": 16, "size": 32, "resize": [44, 32]}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """An intact .keras file."""
    path = tmp_path_factory.mktemp("networks") / "whole.keras"
    backbones.backbone("c3d", SHAPE, 0.02, "rgb", "he").save(path)
    return path


def members(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def written(path, contents, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in contents.items():
            file.writestr(name, content)
    return path


def weights(**arrays):
    """The bytes of an h5 file with these arrays, or as a function fills it."""
    held = io.BytesIO()
    with h5py.File(held, "w") as file:
        for name, value in arrays.items():
            value(file) if callable(value) else file.create_dataset(name, data=value)
    return held.getvalue()


# ---- run.json ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "changes", "words"),
    [
        ("clip", {"run": "runs/mine", "restart": True}, "setting of clip must be .*'run'"),
        ("clip", {"restart": True}, "setting of clip must be .*'restart'"),
        ("network", {"classes": "/etc/passwd"}, "setting of network must be .*'classes'"),
        ("network", {"option": ["restart=true"]}, "setting of network .*'option'"),
        ("clip", {"frames": "8"}, "frames must be a whole number.*'8'"),
        ("clip", {"frames": True}, "frames must be a whole number.*True"),
        ("clip", {"frames": 10**9}, "frames must be .*at most 10000.*frames=1000000000"),
        ("clip", {"frames": -3}, "frames must be at least 2.*frames=-3"),
        ("clip", {"size": 10**9}, "size must be at most 32.*size=1000000000"),
        ("clip", {"size": [32]}, "size must be a whole number.*\\[32\\]"),
        ("clip", {"resize": 5}, "resize must be .*resize=5"),
        ("clip", {"resize": "10000000000x32"}, "resize must be at most 16384"),
        ("clip", {"resize": [32, 32, 32]}, "resize must be .*32, 32, 32"),
        ("network", {"width": 1e9}, "width must be above 0 and at most 16.*width=1000000000.0"),
        ("network", {"width": float("nan")}, "width must be .*nan"),
        ("network", {"width": "1"}, "width must be a number.*'1'"),
        ("network", {"backbone": ["c3d"]}, "backbone must be one of"),
        ("network", {"modality": "sound"}, "modality must be one of.*'sound'"),
        ("network", [1], "network must be a dict of settings.*\\[1\\]"),
        ("clip", "x" * 10**6, "clip must be a dict of settings.*x\\.\\.\\."),
        ("clip", None, "clip must be a dict of settings.*None"),
    ],
)
def test_run_json_sets_only_network_and_clip(tmp_path, saved, part, changes, words):
    (tmp_path / "backbone.keras").write_bytes(saved.read_bytes())
    known = {"network": NETWORK, "clip": CLIP}
    known[part] = known[part] | changes if isinstance(changes, dict) else changes
    (tmp_path / "run.json").write_text(json.dumps(known))
    with pytest.raises(ValueError, match=f"run\\.json must be that of a run: .*{words}") as found:
        networks.described(tmp_path)
    assert "\n" not in str(found.value) and len(str(found.value)) < 1000


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", "null", "{", "[" * 100_000, '{"clip": 1e999}', "{}", "<html>", "\x00", None],
)
def test_foreign_run_json_is_reported_in_one_line(tmp_path, saved, text):
    text = "[" * 17 * 2**20 if text is None else text
    (tmp_path / "backbone.keras").write_bytes(saved.read_bytes())
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match="run.json must .*Received: ") as found:
        networks.described(tmp_path)
    assert "\n" not in str(found.value)


def test_other_fields_of_run_json_are_ignored(tmp_path, saved):
    (tmp_path / "backbone.keras").write_bytes(saved.read_bytes())
    known = {"network": NETWORK, "clip": CLIP, "run": "runs/mine", "plan": {"restart": True}}
    (tmp_path / "run.json").write_text(json.dumps(known))
    assert networks.described(tmp_path) == (Network(**NETWORK), Clip(16, 32, (44, 32)), "rgb")


# ---- .keras --------------------------------------------------------------------------------------


class Bomb:
    """An object that acts when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, (os.environ["MAS_TEST_RAN"],)


def with_config(change):
    """An intact file except for its config.json, which a function changes."""

    def make(path, whole):
        config = json.loads(whole["config.json"])
        config = change(config) or config
        written(path, whole | {"config.json": json.dumps(config)})

    return make


def with_layer(**layer):
    def change(config):
        layers = config["config"]["layers"]
        layers[1] = layers[1] | layer

    return with_config(change)


def with_weights(content, compression=zipfile.ZIP_STORED):
    def make(path, whole):
        written(path, whole | {"model.weights.h5": content}, compression)

    return make


def huge(file):
    file.create_dataset("layers/conv3d/vars/0", (10**6, 10**6), "f4", chunks=(100, 100))


def linked(file):
    file["layers"] = h5py.ExternalLink("/etc/passwd", "/")


def wider(config):
    for layer in config["config"]["layers"]:
        if "filters" in layer["config"]:
            layer["config"]["filters"] = 10**5


FOREIGN = {
    "empty": lambda path, whole: path.write_bytes(b""),
    "page": lambda path, whole: path.write_text("<!DOCTYPE html><title>404</title>"),
    "folder": lambda path, whole: path.mkdir(),
    "pipe": lambda path, whole: os.mkfifo(path),
    "pickle": lambda path, whole: path.write_bytes(pickle.dumps(Bomb())),
    "pickle in a zip": lambda path, whole: written(path, {"x/data.pkl": pickle.dumps(Bomb())}),
    "no config": lambda path, whole: written(path, {"model.weights.h5": b""}),
    "no weights": lambda path, whole: written(path, {"config.json": whole["config.json"]}),
    "more": lambda path, whole: written(path, whole | {"assets/x": b"x"}),
    "no json": lambda path, whole: written(path, whole | {"config.json": "{"}),
    "a list": with_config(lambda config: [config]),
    "deep": lambda path, whole: written(path, whole | {"config.json": "[" * 10**5}),
    "no layers": with_config(lambda config: {"class_name": "Functional"}),
    "lambda": with_layer(class_name="Lambda", config={"function": "print"}),
    "a saved model": with_layer(class_name="TFSMLayer"),
    "torch": with_layer(class_name="TorchModuleWrapper"),
    "os": with_layer(module="os", class_name="mkdir", registered_name="mkdir"),
    "get_file": with_layer(module="keras.utils", class_name="get_file"),
    "of nobody": with_layer(module="mine", class_name="Mine", registered_name="mine>Mine"),
    "wider": with_config(wider),
    "no h5": with_weights(b"x" * 40_000),
    "no values": with_weights(weights(x=np.zeros(10_000, "f4"))),
    "zeros": with_weights(bytes(200 * 10**6), zipfile.ZIP_DEFLATED),
    "longer": with_weights(weights(x=np.random.default_rng(0).random(10**6))),
    "huge": with_weights(weights(x=huge, y=np.zeros(9_000, "f4"))),
    "linked": with_weights(weights(x=linked, y=np.zeros(9_000, "f4"))),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_non_network_is_reported_and_runs_no_code(tmp_path, saved, kind, monkeypatch):
    monkeypatch.setenv("MAS_TEST_RAN", str(tmp_path / "ran"))
    path = tmp_path / "theirs.keras"
    FOREIGN[kind](path, members(saved))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="theirs.keras must be a") as found:
        networks.load(path)
    assert "\n" not in str(found.value) and len(str(found.value)) < 600
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 150_000, "kB: nothing was unpacked or built"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("part", ["layer", "initializer"])
def test_network_of_a_newer_keras_opens(tmp_path, saved, part):
    """Keras 3.15 writes input_axes=None for initializers: 3.12, Python 3.10's last, refuses it."""

    def add(value):
        def change(config):
            (layer, *_) = (v for v in config["config"]["layers"] if v["class_name"] == "Conv3D")
            held = layer["config"]
            held = held["kernel_initializer"]["config"] if part == "initializer" else held
            held["a_newer_setting"] = value

        return with_config(change)

    path = tmp_path / "theirs.keras"
    add(None)(path, members(saved))
    found, expected = networks.load(path), networks.load(saved)
    for value, same in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(value, same)
    add(3)(path, members(saved))
    words = rf"theirs.keras .*the setting a_newer_setting, which Keras {keras.__version__} does not"
    with pytest.raises(ValueError, match=words):
        networks.load(path)


def test_registered_custom_layer_is_accepted(tmp_path):
    @keras.saving.register_keras_serializable("test_networks")
    class Twice(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    clips = keras.Input((4, 8, 8, 3))
    model = keras.Model(clips, Twice()(keras.layers.Conv3D(2, 1)(clips)))
    model.compile(keras.optimizers.Adam())  # whose state lies in the file as well
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "own.keras")
    found = networks.load(tmp_path / "own.keras")
    for value, expected in zip(found.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)
    assert networks.described(tmp_path / "own.keras").network is None


def test_inspecting_file_uses_no_random_numbers(saved):
    """So that layers made afterwards equal those of earlier versions."""
    keras.utils.set_random_seed(3)
    expected = keras.layers.Dense(4)
    expected.build((None, 4))
    keras.utils.set_random_seed(3)
    archive._sizes(archive.config(saved))
    found = keras.layers.Dense(4)
    found.build((None, 4))
    np.testing.assert_array_equal(found.kernel, expected.kernel)


def test_incomplete_file_is_reported(tmp_path, saved):
    def change(config):
        config["config"]["layers"][0]["config"].pop("batch_shape")

    with_config(change)(tmp_path / "theirs.keras", members(saved))
    with pytest.raises(
        ValueError, match="theirs.keras must contain a network of clips.*batch_shape"
    ):
        networks.described(tmp_path / "theirs.keras")


# ---- in every command ----------------------------------------------------------------------------

COMMANDS = {
    "finetune": "finetune --init={0} --data={1}/data --train_list={1}/train.txt "
    "--test_list={1}/test.txt --epochs=1 --batch=4 --tensorboard_clips=0 --run={2}/run",
    "features": "evaluate features --model={0} --data={1}/data --output={2}/f.npz",
    "probe": "evaluate probe --model={0} --data={1}/data --train_list={1}/train.txt "
    "--test_list={1}/test.txt --output={2}/o",
    "action": "evaluate action --model={0} --data={1}/data --list={1}/test.txt --output={2}/o",
    "attention": "visualize attention --model={0} --data={1}/data --output={2}/a.png",
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ["page", "no json", "wider", "run"])
def test_every_command_reports_bad_network_in_one_line(
    tmp_path, saved, sample_data, caplog, command, kind
):
    path = tmp_path / "theirs.keras"
    if kind == "run":
        path = tmp_path / "theirs"
        path.mkdir()
        (path / "backbone.keras").write_bytes(saved.read_bytes())
        clip = CLIP | {"run": str(tmp_path / "mine"), "restart": True}
        (path / "run.json").write_text(json.dumps({"network": NETWORK, "clip": clip}))
    else:
        FOREIGN[kind](path, members(saved))
    words = COMMANDS[command].format(path, sample_data, tmp_path).split()
    caplog.clear()
    assert cli.main(*words) == 2
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1 and re.search("theirs.*must ", errors[0]), caplog.text
    assert "\n" not in errors[0]
    assert {file.name for file in tmp_path.iterdir()} <= {path.name, "run"}
