"""Conversion: every value is in its place, mismatches are reported, and nothing else is written."""

import json
import os
import pathlib
import re
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from mas import backbones, cli, convert, networks


def values(model):
    return {tuple(v.path.split("/")): v.numpy() for v in model.variables}


def check_equal(found, expected):
    assert found.keys() == expected.keys()
    for place, value in expected.items():
        np.testing.assert_array_equal(found[place], value, err_msg=str(place))


# ---- what fits where -----------------------------------------------------------------------------


def small():
    """Variables as `match` takes them: conv1 and its batch norm of an R3D."""
    shapes = {("conv1", "kernel"): (1, 2, 3, 5, 4), ("conv1_bn", "gamma"): (4,)}
    return {place: types.SimpleNamespace(shape=shape) for place, shape in shapes.items()}


KERNEL = np.arange(120, dtype=np.float32).reshape(4, 5, 1, 2, 3)  # out, in, t, h, w
ENTRIES = {"conv1.temporal_spatial_conv.weight": KERNEL, "bn1.weight": np.ones(4, np.float32)}
LINEAR = {"linear.weight": np.zeros((4, 8)), "linear.bias": np.zeros(4)}


def test_match_transposes_and_counts_arrays():
    counter = {"bn1.num_batches_tracked": np.array(3)}
    report, found = convert.match("pace_r3d", ENTRIES | LINEAR | counter, small())
    assert report.complete and report.numbers == 124
    assert report.matched == dict(zip(small(), ENTRIES, strict=True))
    assert report.heads == list(LINEAR) and report.unused == list(counter)
    kernel = found["conv1", "kernel"]
    assert kernel.shape == (1, 2, 3, 5, 4)
    for out, channel, t, y, x in np.ndindex(KERNEL.shape):
        assert kernel[t, y, x, channel, out] == KERNEL[out, channel, t, y, x]
    np.testing.assert_array_equal(found["conv1_bn", "gamma"], 1)


def test_mismatch_report_names_both_sides():
    entries = {"bn1.weight": np.ones(5), "conv2.block2.conv1.weight": KERNEL, **LINEAR}
    report, found = convert.match("pace_r3d", entries, small())
    assert not report.complete and not found and not report.matched
    assert report.misshapen == [("bn1.weight", (5,), ("conv1_bn", "gamma"), (4,))]
    assert report.unexpected == ["conv2.block2.conv1.weight"]
    assert report.missing == [("conv1", "kernel")]
    lines = report.text().splitlines()
    assert lines[0].endswith("matched: 0 variables, 0 numbers") and len(lines) == 6
    names = ["linear.weight, linear.bias", "conv2.block2.conv1.weight", "conv1/kernel"]
    names += ["bn1.weight (5,) for conv1_bn/gamma (4,)"]
    for line, name in zip([lines[1], *lines[3:]], names, strict=True):
        assert line.endswith(f": {name}")


def test_partial_match_is_not_complete():
    kernel, scale = ENTRIES.items()
    for entries in ([kernel], [scale], [kernel, scale, ("conv9.weight", KERNEL)]):
        assert not convert.match("pace_r3d", dict(entries), small())[0].complete
    for value in (KERNEL[..., :2], KERNEL[0], KERNEL.ravel(), np.float32(1)):
        report, _ = convert.match("pace_r3d", dict([(kernel[0], value), scale]), small())
        assert [row[:2] for row in report.misshapen] == [(kernel[0], value.shape)]
        assert len(report.matched) == 1 and not report.missing and not report.complete


def test_query_encoder_is_converted():
    for prefix in ("encoder_q.", "module.encoder_q.", "encoder_q.module."):
        key = prefix.replace("_q", "_k")
        other = {"queue": np.zeros((128, 8)), **{key + n: v + 1 for n, v in ENTRIES.items()}}
        query = {prefix + name: value for name, value in ENTRIES.items()}
        report, found = convert.match("dsm_r21d", other | query, small())
        assert report.complete and sorted(report.unused) == sorted(other)
        check_equal(found, convert.match("dsm_r21d", ENTRIES, small())[1])
        chosen, found = convert.match("dsm_r21d", other | query, small(), prefix=key)
        assert chosen.complete and set(query) < set(chosen.unused)
        assert found["conv1", "kernel"][0, 0, 0, 0, 0] == 1


def test_rejects_duplicate_entries_and_non_numbers():
    twice = ENTRIES | {"module.bn1.weight": np.ones(4)}
    with pytest.raises(ValueError, match="bn1.weight and module.bn1.weight"):
        convert.match("pace_r3d", twice, small())
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match="finite.*bn1.weight"):
            convert.match("pace_r3d", ENTRIES | {"bn1.weight": np.full(4, value)}, small())


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (r"mas|sts|pace_[^s]", ("bgr255", 16, 112, "171x128")),
        (r"pace_s3dg", ("bgr255", 64, 224, "256x256")),  # README of the authors, as all
        (r"vtdl.*_classifier", ("standard", 64, 224, "341x256")),
        (r"vtdl_[^_]*$|dsm", ("standard", 16, 224, "341x256")),
    ],
)
def test_every_network_has_a_known_input(names, expected):
    found = [name for name in convert.NAMES if re.match(names, name)]
    rows = {name: convert.published(name) for name in found}
    for name, row in rows.items():
        assert (row.preset, row.frames, row.size, row.resize) == expected, name
        assert row.backbone in backbones.NAMES
    assert rows


# ---- TensorFlow 1 --------------------------------------------------------------------------------

CHANNELS = (3, 64, 128, 256, 256, 256)


@pytest.fixture(scope="module")
def tensorflow(tmp_path_factory):
    """Writes a checkpoint like the CVPR code; returns it and the values of its convolutions."""
    rng = np.random.default_rng(3)
    variables, expected = {}, {}
    for number in range(1, 6):
        shape = (3, 3, 3, *CHANNELS[number - 1 : number + 1])
        for kind, name, size in (("kernel", "weights", shape), ("bias", "biases", shape[-1:])):
            value = rng.normal(0, 0.01, size).astype(np.float32)
            variables[f"C3D/conv_{number}/{name}"] = expected[f"conv{number}", kind] = value
    for layer in ("fc6", "fc7", "fc8"):  # narrow: their sizes do not matter
        variables |= {f"C3D/{layer}/weight": np.ones((4, 4)), f"C3D/{layer}/bias": np.ones(4)}
    slots = {f"{name}/Momentum": np.ones(2, np.float32) for name in variables}
    path = tmp_path_factory.mktemp("mas") / "model.ckpt"
    return save(path, variables | slots | {"global_step": np.array(80000)}), expected


def save(path, variables):
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        for name, value in variables.items():
            v1.get_variable(name, initializer=value)
        session.run(v1.global_variables_initializer())
        return v1.train.Saver().save(session, str(path), global_step=80000)


@pytest.fixture(scope="module")
def converted(tensorflow, tmp_path_factory):
    output = tmp_path_factory.mktemp("converted") / "folder" / "mas.keras"
    return output, convert.convert("mas_c3d", tensorflow[0], output)


def test_tensorflow_checkpoint_becomes_backbone(converted, tensorflow):
    output, report = converted
    assert os.listdir(output.parent) == ["mas.keras"]
    model = keras.models.load_model(output, compile=False)
    check_equal(values(model), tensorflow[1])
    assert report.complete and len(report.heads) == 6
    assert len(report.unused) == 17 and "global_step" in report.unused
    assert model.name == "c3d" and model.input.shape == (None, 16, 112, 112, 3)
    assert model.input.dtype == "uint8"


def test_converted_backbone_fits_other_clip_size(converted, tensorflow):
    model = backbones.backbone("c3d", (8, 32, 40, 3), preset="bgr255")
    networks.copy_weights(converted[0], model)
    check_equal(values(model), tensorflow[1])


def test_input_and_clip_can_be_set(tensorflow, tmp_path):
    output = tmp_path / "mas.keras"
    convert.convert("mas_c3d", tensorflow[0], output, preset="rgb", frames=8, size=32)
    model = keras.models.load_model(output, compile=False)
    assert model.input_shape == (None, 8, 32, 32, 3)
    assert model.layers[1].name == "rgb"
    check_equal(values(model), tensorflow[1])


def fails(message, *arguments, **options):
    with pytest.raises(ValueError, match=message):
        convert.convert(*arguments, **options)


@pytest.fixture(scope="module")
def partial(tensorflow, tmp_path_factory):
    """The same checkpoint without conv5's biases, and with other biases of conv1."""
    reader = tf.train.load_checkpoint(tensorflow[0])
    kept = {f"C3D/conv_{n}/weights" for n in range(1, 6)} | {f"C3D/conv_{n}/biases" for n in (2, 3)}
    variables = {name: reader.get_tensor(name) for name in sorted(kept)}
    variables["C3D/conv_1/biases"] = np.ones(48, np.float32)
    return save(tmp_path_factory.mktemp("partial") / "model.ckpt", variables)


def test_partial_match_needs_partial_flag(partial, tensorflow, tmp_path, caplog):
    caplog.set_level("INFO", logger="absl")
    received = (
        "7 variables fit.* 1 entries .*C3D/conv_1/biases; "
        "3 variables .*conv4/bias, conv5/bias, conv1/bias"
    )
    fails(received, "mas_c3d", partial, tmp_path / "new" / "a.keras")
    assert "C3D/conv_1/biases (48,) for conv1/bias (64,)" in caplog.text
    assert "missing: 2: conv4/bias, conv5/bias" in caplog.text
    assert not list(tmp_path.iterdir())
    convert.convert("mas_c3d", partial, tmp_path / "a.keras", partial=True)
    found = values(keras.models.load_model(tmp_path / "a.keras", compile=False))
    fresh = {(f"conv{number}", "bias"): np.zeros(CHANNELS[number]) for number in (1, 4, 5)}
    check_equal(found, tensorflow[1] | fresh)


def test_rejects_other_network_and_names_both_sides(tensorflow, tmp_path):
    """A network without any match is not a partial match."""
    message = "pace_r3d.* 0 variables fit.*C3D/conv_1/biases.* 60 variables .*conv1/kernel, "
    for told in (False, True):
        fails(message, "pace_r3d", tensorflow[0], tmp_path / "a.keras", partial=told)
    assert not list(tmp_path.iterdir())


def test_output_is_checked_before_work_starts(tmp_path):
    (tmp_path / "old.keras").write_text("old")
    fails(r"output.*old\.keras", "mas_c3d", "x", tmp_path / "old.keras")
    fails(r"output.*a\.h5", "mas_c3d", "x", tmp_path / "a.h5")
    fails("network='c3d'", "c3d", "x", tmp_path / "a.keras")
    fails("preset='bgr'", "mas_c3d", "x", tmp_path / "a.keras", preset="bgr")
    (tmp_path / "run.json").write_text("{}")
    fails("output.*run.json", "mas_c3d", "x", tmp_path / "a.keras")
    assert (tmp_path / "old.keras").read_text() == "old"


def test_failed_write_leaves_no_file(tensorflow, tmp_path, monkeypatch):
    def full_disk(self, path):
        pathlib.Path(path).write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(keras.Model, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        convert.convert("mas_c3d", tensorflow[0], tmp_path / "a.keras")
    assert not list(tmp_path.iterdir())


# ---- PyTorch -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pace(shared, golden_inputs):
    """The golden state_dict of pace's R3D: {name: array}."""
    golden = json.loads((shared / "golden" / "networks" / "pace_r3d.json").read_text())
    return {
        name: np.asarray(golden_inputs.fill(golden["seed"], index, name, shape))
        for index, (name, shape) in enumerate(golden["state_dict"])
    }


@pytest.fixture(scope="module")
def pace_output(pace, tmp_path_factory):
    torch = pytest.importorskip("torch", reason="needs the extra `convert`")
    path = tmp_path_factory.mktemp("pace") / "epoch-18.pth.tar"
    named = {f"module.{name}": torch.from_numpy(value) for name, value in pace.items()}
    torch.save({"epoch": 18, "state_dict": named, "opt_dict": {"state": {}}}, path)
    output = path.with_name("pace.keras")
    return output, convert.convert("pace_r3d", path, output)


def test_authors_checkpoint_becomes_backbone(pace_output, pace):
    """Counts as in the authors' code: 14,361,792 parameters; two statistics to a channel."""
    output, report = pace_output
    model = keras.models.load_model(output, compile=False)
    found = values(model)
    assert report.complete and len(report.matched) == len(found) == 60
    assert sorted(report.heads) == ["linear.bias", "linear.weight"] and len(report.unused) == 12
    assert sum(value.size for value in found.values()) == report.numbers
    trained = sum(value.size for place, value in found.items() if "moving" not in place[1])
    assert trained == 14_361_792
    for place, name in report.matched.items():
        value = pace[name]
        expected = value.transpose(2, 3, 4, 1, 0) if value.ndim == 5 else value
        np.testing.assert_array_equal(found[place], expected, err_msg=name)
    assert len(set(report.matched.values())) == 60


def test_rejects_network_of_other_depth(pace, tmp_path):
    """Three of four stages would fit; the rest would be missing silently."""
    numpy = pytest.importorskip("safetensors.numpy", reason="needs the extra `convert`")
    numpy.save_file(pace, tmp_path / "a.pth")
    fails("vtdl_r3d18", "vtdl_r3d18", tmp_path / "a.pth", tmp_path / "a.keras")
    assert not (tmp_path / "a.keras").exists()


# ---- the command ---------------------------------------------------------------------------------


def test_command_suggests_next_command(tensorflow, tmp_path, caplog):
    output = tmp_path / "mas.keras"
    assert cli.main("convert", "--network=mas_c3d", tensorflow[0], str(output), "--size=32") == 0
    numbers = 27 * (3 * 64 + 64 * 128 + 128 * 256 + 2 * 256 * 256) + sum(CHANNELS[1:])
    assert f"  matched: 10 variables, {numbers:,} numbers\n" in caplog.text
    assert f"Next:    mas finetune --init={output} --data=DATA --train_list" in caplog.text
    known = networks.described(output)
    assert (known.network.backbone, known.network.preset) == ("c3d", "bgr255")
    assert (known.clip.frames, known.clip.size, known.clip.resize) == (16, 32, (48, 36))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--network=mas_c3d", "gone", "a.keras"), "gone: no such file"),
        (("--network=mas_c3d", "gone", "a.h5"), "output=a.h5"),
        (("--network=mas_c3d", "a"), "CHECKPOINT OUTPUT.keras. Received: a."),
        (("a", "b.keras"), "mas convert needs --network"),
    ],
)
def test_command_reports_errors(arguments, words, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    assert cli.main("convert", *arguments) == 2 and words in caplog.text
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_suggested_command_runs(converted, sample_data, tensorflow, tmp_path):
    """From a checkpoint to a tested classifier; the learning rate is too small to matter."""
    given = {"data": "data", "train_list": "train.txt", "test_list": "test.txt"}
    typed = [f"--{name}={sample_data / path}" for name, path in given.items()]
    typed += [f"--init={converted[0]}", "--size=32", "--resize=44x32", f"--run={tmp_path / 'run'}"]
    assert cli.main("finetune", *typed, "--epochs=1", "--learning_rate=1e-30", "--batch=4") == 0
    trained = keras.models.load_model(tmp_path / "run" / "backbone.keras", compile=False)
    check_equal(values(trained), tensorflow[1])
