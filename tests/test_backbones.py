"""Backbones: published sizes and initial weights, smallest clips, presets, saved files."""

import importlib
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from mas.backbones import _FAMILY_OF, INITIALIZERS, NAMES, PRESETS, backbone, initial, presets
from mas.backbones.initial import scaled

SMALL = (16, 32, 32, 3)

# Parameters at full width, and the last map of 16 x 112 x 112.
PUBLISHED = {
    "c3d": (4_651_008, (2, 7, 7, 256)),
    "c3d_bn": (27_661_440, (2, 7, 7, 512)),
    "r3d_10": (14_361_792, (2, 7, 7, 512)),
    "r2plus1d_10": (14_365_303, (2, 7, 7, 512)),
    "r2plus1d_18": (33_178_423, (2, 7, 7, 512)),
    "r3d_18": (33_203_904, (1, 4, 4, 512)),
    "r3d_34": (63_513_536, (1, 4, 4, 512)),
    "r3d_50": (46_198_976, (1, 4, 4, 2048)),
    "i3d": (12_287_264, (2, 4, 4, 1024)),
    "s3d_g": (9_125_072, (2, 4, 4, 1024)),
    "s3d_g_dsm": (8_675_744, (2, 3, 3, 1024)),
}
# Frames and height behind layers: specs of the methods.
TRACES = {
    "c3d": {"pool1": (16, 56), "pool2": (8, 28), "pool3": (4, 14), "pool4": (2, 7)},
    "r3d_10": {"conv1": (16, 56), "conv3_1_conv1": (8, 28), "conv4_1": (4, 14), "conv5_1": (2, 7)},
    "r3d_18": {"conv1": (16, 56), "pool1": (8, 28), "conv2_2": (8, 28), "conv3_1": (4, 14)},
    "r3d_50": {"conv3_1_conv1": (8, 28), "conv3_1_conv2": (4, 14)},
    "i3d": {"conv1": (8, 56), "pool1": (8, 28), "pool2": (8, 14), "pool3": (4, 7)},
}
TRACES |= {"c3d_bn": TRACES["c3d"], "s3d_g": TRACES["i3d"], "s3d_g_dsm": TRACES["i3d"]}
# A layer, and how its kernel starts; the scale of batch norm; the bias, where there is one.
STARTS = {
    "c3d": ("conv5", "normal"),
    "c3d_bn": ("conv5b", "torch"),
    "r3d_10": ("conv5_1_conv2", "torch"),
    "r2plus1d_10": ("conv4_1_conv1_spatial", "torch"),
    "r2plus1d_18": ("conv5_2_conv2", "xavier"),
    "r3d_18": ("conv5_1_conv1", "xavier"),
    "r3d_34": ("conv5_1_conv1", "xavier"),
    "r3d_50": ("conv5_1_conv2", "xavier"),
    "i3d": ("mixed_5c_1b", "xavier"),
    "s3d_g": ("mixed_5c_1b", "torch"),
    "s3d_g_dsm": ("mixed_5c_1b", "xavier"),
}
KINDS = ("c3d_bn", "r3d_18", "s3d_g_dsm")  # one of each; the others run with --runslow


def slow_but(quick):
    return [pytest.param(n, marks=() if n in quick else pytest.mark.slow) for n in NAMES]


def clips(shape=SMALL, batch=2):
    return np.random.default_rng(0).integers(0, 256, (batch, *shape)).astype(np.uint8)


@pytest.mark.parametrize("name", NAMES)
def test_backbones_have_published_sizes_and_initial_values(name):
    keras.utils.set_random_seed(0)
    model = backbone(name, (16, 112, 112, 3))
    parameters, last = PUBLISHED[name]
    assert (model.name, model.input_shape) == (name, (None, 16, 112, 112, 3))
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == parameters
    assert model.output_shape == (None, *last)
    names = {layer.name for layer in model.layers}
    for layer, expected in TRACES.get(name, {}).items():
        layer = next(n for n in (f"{layer}_relu", layer) if n in names)
        assert model.get_layer(layer).output.shape[1:3] == expected, layer
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    constants = (1e-3, 0.999, True) if name == "s3d_g_dsm" else (1e-5, 0.9, True)
    found = {(norm.epsilon, norm.momentum, norm.synchronized) for norm in norms}
    assert found == (set() if name == "c3d" else {constants})
    check_start(model, *STARTS[name])


def check_start(model, layer, start):
    """Checks the kernel (uniform up to its bound, or N(0, 0.01)), PyTorch's bias and batch norm."""
    kernel, *bias = (weight.numpy() for weight in model.get_layer(layer).weights)
    fan_in, fan_out = kernel[..., 0].size, kernel[..., 0, :].size
    if start == "normal":
        assert kernel.std() == pytest.approx(0.01, rel=0.01) and not bias[0].any()
        assert abs(kernel.mean()) < 5 * 0.01 / kernel.size**0.5
        return
    bound = fan_in**-0.5 if start == "torch" else (12 / (fan_in + fan_out)) ** 0.5
    assert 0.99 * bound < np.abs(kernel).max() <= bound * 1.0001
    assert kernel.std() == pytest.approx(bound / 3**0.5, rel=0.01)
    if bias:
        assert 0.95 * fan_in**-0.5 < np.abs(bias[0]).max() <= fan_in**-0.5
    gamma, beta = (weight.numpy() for weight in model.get_layer(f"{layer}_bn").weights[:2])
    assert not beta.any()
    assert gamma.std() == pytest.approx(0.0 if start == "torch" else 0.02, rel=0.3)
    assert gamma.mean() == pytest.approx(1, abs=0.005)


@pytest.mark.parametrize("start", initial.STARTS)
def test_he_initializer_overrides_published_one(start):
    assert isinstance(initial.kernel("he", start), keras.initializers.HeNormal)
    assert isinstance(initial.bias("he", start, 3), keras.initializers.Zeros)
    assert isinstance(initial.scale("he", start), keras.initializers.Ones)


def test_width_and_odd_sizes():
    """Every pool of MAS's C3D rounds up."""
    model = backbone("c3d", (9, 17, 33, 2), width=0.125)
    assert model.output_shape == (None, 2, 2, 3, 32)
    channels = (2, 8, 16, 32, 32, 32)
    pairs = zip(channels, channels[1:], strict=False)
    assert model.count_params() == sum(27 * before * after + after for before, after in pairs)
    assert [scaled(64, width) for width in (1.0, 0.5, 0.3, 1e-6, 2)] == [64, 32, 19, 1, 128]


@pytest.mark.parametrize("name", slow_but(KINDS))
def test_smallest_clip(name):
    smallest = importlib.import_module(f"mas.backbones.{_FAMILY_OF[name]}").VARIANTS[name].smallest
    assert backbone(name, (*smallest, 3), width=0.02).output_shape[1:-1] == (1, 1, 1)
    for axis, size in enumerate(smallest):
        shape = [*smallest, 3]
        shape[axis] = size - 1
        with pytest.raises(ValueError, match="input_shape=.*"):
            backbone(name, shape, width=0.02)


@pytest.mark.parametrize("name", slow_but(("c3d", "r3d_10")))
def test_saved_files_load_with_keras_alone(name, tmp_path):
    model = backbone(name, SMALL, width=0.05)
    batch = clips().astype(np.float32)
    model.save(tmp_path / "a.keras")
    loaded = keras.saving.load_model(tmp_path / "a.keras")
    assert model(batch).numpy().any()
    np.testing.assert_array_equal(loaded(batch), model(batch))
    found = {variable.path: variable.numpy() for variable in loaded.variables}
    for variable in model.variables:
        np.testing.assert_array_equal(found[variable.path], variable.numpy())


@pytest.mark.slow
def test_saved_file_loads_where_the_package_is_not_imported(tmp_path):
    backbone("c3d", SMALL, width=0.125, preset="bgr255").save(tmp_path / "a.keras")
    code = (
        "import sys, keras; model = keras.saving.load_model(sys.argv[1]); "
        "assert not [name for name in sys.modules if name.split('.')[0] == 'mas']; "
        "assert model.output_shape == (None, 2, 2, 2, 32)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-c", code, str(tmp_path / "a.keras")]
    subprocess.run(command, check=True, cwd=tmp_path, env=environment)


def test_presets_equal_numpy_also_after_loading(tmp_path):
    """Presets return float32, also under mixed precision."""
    batch = clips((8, 16, 16, 3))
    flow = np.random.default_rng(0).uniform(-20, 20, (2, 8, 16, 16, 2)).astype(np.float32)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = {
        "bgr255": (batch, batch[..., ::-1]),
        "rgb": (batch, batch / 127.5 - 1),
        "standard": (batch, (batch / 255 - mean) / deviation),
        "flow": (flow, flow / 20),
    }
    assert {*PRESETS} == {"identity", *expected}
    for preset, (given, values) in expected.items():
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            inputs, outputs = presets.clips(given.shape[1:], preset)
        finally:
            keras.config.set_dtype_policy(policy)
        assert (inputs.dtype, outputs.dtype) == (given.dtype.name, "float32")
        keras.Model(inputs, outputs).save(tmp_path / "a.keras")
        found = keras.saving.load_model(tmp_path / "a.keras")(given)
        np.testing.assert_allclose(found, values, atol=2e-6)
    inputs, outputs = presets.clips((8, 16, 16, 2), "identity")
    assert inputs is outputs and inputs.dtype == "float32"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("c4d", SMALL), "name.*name='c4d'"),
        (("c3d", (16, 32, 32)), r"input_shape=\(16, 32, 32\)"),
        (("c3d", (None, 32, 32, 3)), r"input_shape=\(None, 32, 32, 3\)"),
        (("c3d", (16, 32.0, 32, 3)), r"input_shape=\(16, 32.0"),
        (("c3d", (16, 32, 32, 0)), r"input_shape=\(16, 32, 32, 0\)"),
        (("c3d", 16), "input_shape=16"),
        (("c3d", SMALL, 0), "width=0"),
        (("c3d", SMALL, float("nan")), "width=nan"),
        (("c3d", SMALL, 1.0, "bgr"), "preset='bgr'"),
        (("c3d", (16, 32, 32, 2), 1.0, "rgb"), r"input_shape=\(16, 32, 32, 2\)"),
        (("c3d", SMALL, 1.0, "flow"), r"input_shape=\(16, 32, 32, 3\)"),
        (("r3d_18", SMALL, 1.0, "rgb", "best"), f"{INITIALIZERS[1]}.*initializer='best'"),
    ],
)
def test_errors_name_argument_and_received_value(arguments, message):
    with pytest.raises(ValueError, match=message):
        backbone(*arguments)
