"""Backbones: shapes, parameter counts, presets, saved files."""

import importlib
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from mas.backbones import _FAMILY_OF, NAMES, PRESETS, backbone, presets
from mas.backbones.width import scaled

SMALL = (16, 32, 32, 3)

# name: (parameters, last map of 16 x 112 x 112, (frames, size) as the authors use, its last map).
PUBLISHED = {
    "c3d": (4_651_008, (2, 7, 7), (16, 112), (2, 7, 7, 256)),
    "c3d_bn": (27_661_440, (2, 7, 7), (16, 224), (2, 14, 14, 512)),
    "r3d_10": (14_361_792, (2, 7, 7), (16, 112), (2, 7, 7, 512)),
    "r2plus1d_10": (14_365_303, (2, 7, 7), (16, 224), (2, 14, 14, 512)),
    "r2plus1d_18": (33_178_423, (2, 7, 7), (16, 224), (2, 14, 14, 512)),
    "r3d_18": (33_203_904, (1, 4, 4), (16, 224), (1, 7, 7, 512)),
    "r3d_34": (63_513_536, (1, 4, 4), (16, 224), (1, 7, 7, 512)),
    "r3d_50": (46_198_976, (1, 4, 4), (16, 224), (1, 7, 7, 2048)),
    "i3d": (12_287_264, (2, 4, 4), (16, 224), (2, 7, 7, 1024)),
    "s3d_g": (9_125_072, (2, 4, 4), (64, 224), (8, 7, 7, 1024)),
    "s3d_g_dsm": (8_675_744, (2, 3, 3), (64, 224), (8, 7, 7, 1024)),
}
# Frames and height behind layers, of a clip of the authors' size: specs of the methods.
TRACES = {
    "c3d_bn": {"pool1": (16, 112), "pool2": (8, 56), "pool3": (4, 28), "pool4": (2, 14)},
    "r3d_10": {"conv1": (16, 56), "conv3_1_conv1": (8, 28), "conv4_1": (4, 14), "conv5_1": (2, 7)},
    "r3d_18": {
        **{"conv1": (16, 112), "pool1": (8, 56), "conv2_2": (8, 56), "conv3_1": (4, 28)},
        **{"conv4_1": (2, 14), "conv5_1": (1, 7)},
    },
    "i3d": {
        **{"conv1": (8, 112), "pool1": (8, 56), "pool2": (8, 28), "pool3": (4, 14)},
        **{"pool4": (2, 7)},
    },
    "s3d_g": {
        **{"conv1": (32, 112), "pool1": (32, 56), "pool2": (32, 28), "pool3": (16, 14)},
        **{"pool4": (8, 7)},
    },
}
TRACES["s3d_g_dsm"] = TRACES["s3d_g"]
# The others take long to save and run with --runslow.
QUICK_TO_SAVE = ("c3d", "c3d_bn", "r3d_10", "r2plus1d_10", "r3d_18", "i3d", "s3d_g_dsm")


def clips(seed=0, shape=SMALL, batch=2):
    return np.random.default_rng(seed).integers(0, 256, (batch, *shape)).astype(np.uint8)


def variables_of(model):
    return {variable.path: variable.numpy() for variable in model.variables}


@pytest.mark.parametrize(
    ("input_shape", "output_shape"),
    [
        ((16, 112, 112, 3), (2, 7, 7, 256)),
        ((16, 32, 48, 3), (2, 2, 3, 256)),
        ((8, 16, 16, 2), (1, 1, 1, 256)),
        ((9, 17, 33, 3), (2, 2, 3, 256)),
    ],
)
def test_c3d_shapes(input_shape, output_shape):
    model = backbone("c3d", input_shape)
    assert model.input_shape == (None, *input_shape)
    assert model.output_shape == (None, *output_shape)
    assert model.name == "c3d"


def test_c3d_layers_are_the_released_ones():
    model = backbone("c3d", (16, 112, 112, 3))
    expected = ["conv1", "pool1", "conv2", "pool2", "conv3", "pool3", "conv4", "pool4", "conv5"]
    named = [layer.name for layer in model.layers[1:] if "_" not in layer.name]
    assert named == expected
    assert model.get_layer("pool1_space").pool_size == (2, 2)
    assert model.get_layer("pool1").output.shape[1:] == (16, 56, 56, 64)
    assert model.get_layer("pool4").output.shape[1:] == (2, 7, 7, 256)
    kernels = [model.get_layer(f"conv{n}").kernel.shape for n in range(1, 6)]
    channels = [3, 64, 128, 256, 256, 256]
    assert kernels == [(3, 3, 3, *channels[n : n + 2]) for n in range(5)]


@pytest.mark.parametrize(
    ("width", "channels"),
    [(1.0, (64, 128, 256, 256, 256)), (0.125, (8, 16, 32, 32, 32)), (0.001, (1, 1, 1, 1, 1))],
)
def test_width_and_parameter_count(width, channels):
    model = backbone("c3d", SMALL, width=width)
    inputs = (3, *channels[:-1])
    assert model.output_shape[-1] == channels[-1]
    assert model.count_params() == sum(
        27 * before * after + after for before, after in zip(inputs, channels, strict=True)
    )


def test_initial_values_of_mas():
    keras.utils.set_random_seed(1)
    model = backbone("c3d", SMALL)
    for number in range(1, 6):
        kernel, bias = (array.numpy() for array in model.get_layer(f"conv{number}").weights)
        assert not bias.any()
        error = 5 * 0.01 / np.sqrt(2 * kernel.size)  # five deviations of the estimate
        assert kernel.std() == pytest.approx(0.01, abs=error)
        assert abs(kernel.mean()) < 5 * 0.01 / np.sqrt(kernel.size)


def test_output_is_a_rectified_convolution():
    """The first map, of a one-channel network, against a plain loop; SAME pads with zeros."""
    rng = np.random.default_rng(0)
    model = backbone("c3d", (8, 16, 16, 1), width=0.001)
    conv1 = model.get_layer("conv1")
    kernel = rng.normal(size=(3, 3, 3)).astype(np.float32)
    conv1.set_weights([kernel[..., None, None], np.array([-0.5], np.float32)])
    clip = rng.normal(size=(8, 16, 16)).astype(np.float32)
    padded = np.pad(clip, 1)
    expected = np.empty_like(clip)
    for t, y, x in np.ndindex(clip.shape):
        expected[t, y, x] = max((padded[t : t + 3, y : y + 3, x : x + 3] * kernel).sum() - 0.5, 0)
    first = keras.Model(model.input, conv1.output)
    np.testing.assert_allclose(first(clip[None, ..., None])[0, ..., 0], expected, atol=1e-4)
    assert model(clip[None, ..., None]).numpy().min() >= 0


@pytest.mark.parametrize("name", NAMES)
def test_published_sizes(name):
    parameters, last, (frames, size), published = PUBLISHED[name]
    assert backbone(name, (16, 112, 112, 3), 0.02).output_shape[1:-1] == last
    model = backbone(name, (frames, size, size, 3))
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == parameters
    assert model.output_shape == (None, *published)
    for layer, expected in TRACES.get(name, {}).items():
        names = {found.name for found in model.layers}
        layer = next(n for n in (f"{layer}_relu", layer) if n in names)
        assert model.get_layer(layer).output.shape[1:3] == expected, layer


@pytest.mark.parametrize("name", NAMES)
def test_smallest_clip(name):
    smallest = importlib.import_module(f"mas.backbones.{_FAMILY_OF[name]}").VARIANTS[name].smallest
    model = backbone(name, (*smallest, 3), width=0.02)
    assert model.output_shape[1:-1] == (1, 1, 1)
    for axis, size in enumerate(smallest):
        shape = [*smallest, 3]
        shape[axis] = size - 1
        with pytest.raises(ValueError, match="at least|above 0"):
            backbone(name, shape, width=0.02)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK_TO_SAVE else pytest.mark.slow) for name in NAMES],
)
def test_saved_files_load_with_keras_alone(name, tmp_path):
    check_saved_file(backbone(name, SMALL, width=0.125), clips().astype(np.float32), tmp_path)


@pytest.mark.parametrize("preset", PRESETS)
def test_saved_files_hold_the_preset(preset, tmp_path):
    channels = 2 if preset == "flow" else 3
    model = backbone("c3d", (*SMALL[:3], channels), width=0.125, preset=preset)
    batch = clips(shape=model.input_shape[1:])
    floats = preset in ("identity", "flow")
    check_saved_file(model, batch.astype(np.float32) if floats else batch, tmp_path)


def check_saved_file(model, batch, folder):
    """What is loaded has the same variables and gives the same map, all of it not 0."""
    expected = model(batch).numpy()
    assert expected.any()
    loaded = keras.saving.load_model(save(model, folder / "backbone.keras"))
    np.testing.assert_array_equal(loaded(batch), expected)
    found = variables_of(loaded)
    for path, value in variables_of(model).items():
        np.testing.assert_array_equal(found[path], value)


def save(model, path):
    model.save(path)
    return path


@pytest.mark.slow
def test_saved_file_loads_where_the_package_is_not_imported(tmp_path):
    path = save(backbone("c3d", SMALL, width=0.125, preset="bgr255"), tmp_path / "backbone.keras")
    code = (
        "import sys, keras; model = keras.saving.load_model(sys.argv[1]); "
        "assert not [name for name in sys.modules if name.split('.')[0] == 'mas']; "
        "assert model.output_shape == (None, 2, 2, 2, 32)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-c", code, str(path)]
    subprocess.run(command, check=True, cwd=tmp_path, env=environment)


def test_presets_against_numpy():
    batch = clips(3, (8, 16, 16, 3))
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = {
        "bgr255": batch[..., ::-1].astype(np.float64),
        "rgb": batch / 127.5 - 1,
        "standard": (batch / 255 - mean) / deviation,
    }
    assert set(PRESETS) == {"identity", "flow", *expected}
    for preset, values in expected.items():
        inputs, outputs = presets.clips((8, 16, 16, 3), preset)
        assert inputs.dtype == "uint8" and outputs.dtype == "float32"
        prepared = keras.Model(inputs, outputs)(batch).numpy()
        np.testing.assert_allclose(prepared, values, atol=2e-6)
    assert expected["rgb"].min() == -1 and expected["rgb"].max() == 1


def test_flow_preset_is_in_units_of_its_bound():
    inputs, outputs = presets.clips((1, 2, 2, 2), "flow")
    assert inputs.dtype == outputs.dtype == "float32"
    flow = np.array([-20, 20, 0, 5, -1, 10, 0.5, -0.25], np.float32).reshape(1, 1, 2, 2, 2)
    prepared = keras.Model(inputs, outputs)(flow).numpy().ravel()
    np.testing.assert_allclose(prepared, [-1, 1, 0, 0.25, -0.05, 0.5, 0.025, -0.0125], atol=1e-7)


def test_identity_changes_nothing():
    inputs, outputs = presets.clips((8, 16, 16, 2), "identity")
    assert inputs is outputs and inputs.dtype == "float32"


def test_bgr255_equals_the_authors_input():
    """Weights trained on B G R floats see the same with an R G B uint8 clip."""
    ours = backbone("c3d", SMALL, width=0.125, preset="bgr255")
    theirs = backbone("c3d", SMALL, width=0.125)
    theirs.set_weights(ours.get_weights())
    batch = clips()
    np.testing.assert_array_equal(ours(batch), theirs(batch[..., ::-1].astype(np.float32)))


@pytest.mark.parametrize("preset", ["bgr255", "rgb", "standard"])
def test_presets_stay_float32_under_mixed_precision(preset):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        inputs, outputs = presets.clips((8, 16, 16, 3), preset)
        model = backbone("c3d", SMALL, width=0.125, preset=preset)
    finally:
        keras.config.set_dtype_policy(policy)
    assert outputs.dtype == "float32"
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    assert model.get_layer("conv1").kernel.dtype == "float32"
    assert np.isfinite(keras.ops.cast(model(clips()), "float32").numpy()).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("c4d", SMALL), r"name must be one of \['c3d'.*Received: name='c4d'"),
        (("c3d", (16, 32, 32)), r"must be \(frames, height, width, channels\).*Received"),
        (("c3d", (None, 32, 32, 3)), r"Received: input_shape=\(None, 32, 32, 3\)"),
        (("c3d", (16, 32.0, 32, 3)), "whole numbers"),
        (("c3d", (16, 32, 32, 0)), "above 0"),
        (("c3d", 16), "Received: input_shape=16"),
        (("c3d", (7, 32, 32, 3)), r"at least \(8, 16, 16\).*Received: input_shape=\(7, 32, 32"),
        (("c3d", (16, 32, 15, 3)), r"at least \(8, 16, 16\)"),
        (("c3d", SMALL, 0), "width must be a number above 0. Received: width=0"),
        (("c3d", SMALL, -1.0), "width=-1.0"),
        (("c3d", SMALL, float("nan")), "width=nan"),
        (("c3d", SMALL, 1.0, "bgr"), r"preset must be one of \['identity', 'bgr255'"),
        (("c3d", (16, 32, 32, 2), 1.0, "rgb"), "must have 3 channels with preset='rgb'"),
        (("c3d", SMALL, 1.0, "flow"), "must have 2 channels with preset='flow'"),
        (("c3d_bn", (7, 32, 32, 3)), r"c3d_bn must be at least \(8, 16, 16\)"),
        (("s3d_g_dsm", (4, 32, 32, 3)), r"s3d_g_dsm must be at least \(5, 17, 17\)"),
        (("r3d_18", SMALL, 1.0, "rgb", "best"), r"initializer must be one of \['published', 'he'"),
    ],
)
def test_errors_say_what_is_allowed_and_what_came(arguments, message):
    with pytest.raises(ValueError, match=message):
        backbone(*arguments)


def test_scaled():
    assert [scaled(64, width) for width in (1.0, 0.5, 0.3, 1e-6, 2)] == [64, 32, 19, 1, 128]
