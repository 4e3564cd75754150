"""Heads: order of the vector, shapes, names, initial values, shared fifth pool."""

import keras
import numpy as np
import pytest

from mas import heads

MAPS = np.random.default_rng(0).normal(size=(2, 2, 3, 4, 5)).astype(np.float32)


def network(*shape, name="c3d"):
    """A network from a clip to a feature map of a given shape."""
    inputs = keras.Input(shape)
    return keras.Model(inputs, keras.layers.Activation("relu", name="last")(inputs), name=name)


def test_flatten_is_a_max_pool_read_in_the_order_t_h_w_c():
    features = keras.Input((2, 3, 4, 5))
    expected = [
        [
            clip[2 * t : 2 * t + 2, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2, channel].max()
            for t in range(1)
            for y in range(2)
            for x in range(2)
            for channel in range(5)
        ]
        for clip in MAPS
    ]
    model = keras.Model(features, heads.flatten(features))
    np.testing.assert_array_equal(model(MAPS), np.array(expected, np.float32))


def test_one_branch_has_the_published_names_and_sizes():
    trunk = network(2, 7, 7, 256)  # of 16 x 112 x 112
    vector = heads.flatten(trunk.output)
    model = keras.Model(trunk.input, heads.fully_connected(vector, 14))
    assert vector.shape == (None, 4096)
    assert [layer.name for layer in model.layers[-5:]] == ["pool5", "flatten", "fc6", "fc7", "fc8"]
    assert [model.get_layer(f"fc{n}").units for n in (6, 7, 8)] == [2048, 2048, 14]


def test_initial_values():
    keras.utils.set_random_seed(2)
    vector = keras.Input((500,))
    model = keras.Model(vector, heads.fully_connected(vector, 300, width=0.2))
    for name, deviation, bias in (("fc6", 0.005, 1), ("fc7", 0.005, 1), ("fc8", 0.01, 0)):
        kernel, biases = (variable.numpy() for variable in model.get_layer(name).weights)
        error = 5 * deviation / np.sqrt(2 * kernel.size)
        assert kernel.std() == pytest.approx(deviation, abs=error)
        assert (biases == bias).all()
    wide = keras.Input((1, 1, 1, 256))
    for values in keras.Model(wide, heads.pooled(wide, 400, "order")).get_weights():
        assert np.abs(values).max() <= 1 / 16
        assert values.std() == pytest.approx(1 / 16 / np.sqrt(3), rel=0.1)


def test_fully_connected_against_numpy():
    vector = keras.Input((6,))
    model = keras.Model(vector, heads.fully_connected(vector, 3, "speed", width=0.002))
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=weight.shape) for weight in model.get_weights()]
    model.set_weights(weights)
    inputs = rng.normal(size=(4, 6))
    x = np.maximum(inputs @ weights[0] + weights[1], 0)
    x = np.maximum(x @ weights[2] + weights[3], 0)
    expected = x @ weights[4] + weights[5]
    assert (expected < 0).any()  # the output is linear
    np.testing.assert_allclose(model(inputs.astype(np.float32)), expected, atol=1e-4)


def test_pooled_and_convolved_against_numpy():
    """Convolved: windows of two frames and all of space, a kernel of three with zeros around."""
    features = keras.Input((2, 3, 4, 5))
    model = keras.Model(features, heads.pooled(features, 7, "pace"))
    kernel, bias = model.get_layer("pace").get_weights()
    np.testing.assert_allclose(model(MAPS), MAPS.mean((1, 2, 3)) @ kernel + bias, atol=1e-5)
    features = keras.Input((5, 2, 3, 4))
    model = keras.Model(features, heads.convolved(features, 6, frames=(2, 3)))
    maps = np.random.default_rng(0).normal(size=(2, 5, 2, 3, 4)).astype(np.float32)
    (kernel,) = model.get_weights()
    windows = [maps[:, t : t + 2].mean((1, 2, 3)) for t in range(4)]
    padded = [np.zeros((2, 4)), *windows, np.zeros((2, 4))]
    logits = [sum(padded[t + k] @ kernel[k, 0, 0] for k in range(3)) for t in range(4)]
    np.testing.assert_allclose(model(maps), np.mean(logits, 0), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "head", "fc"),
    [("c3d", "auto", True), ("c3d", "pooled", False), ("r3d_10", "auto", False)]
    + [("r3d_10", "fc", True)],
)
def test_attached_heads_share_only_the_pool(name, head, fc):
    trunk = network(2, 2, 2, 8, name=name)
    outputs = heads.attach(trunk, {"motion": 14, "colour": 3}, head, 0.125, dropout=0.3)
    assert outputs["motion"].shape == (None, 14) and outputs["colour"].shape == (None, 3)
    model = keras.Model(trunk.input, outputs)
    own = ["_fc6", "_fc6_dropout", "_fc7", "_fc7_dropout", ""] if fc else ["_mean", "_dropout", ""]
    expected = {f"{output}{layer}" for output in outputs for layer in own}
    common = {"pool5", "flatten"} if fc else set()
    found = {layer.name for layer in model.layers if layer not in trunk.layers}
    assert found == expected | common
    rates = {layer.rate for layer in model.layers if "dropout" in layer.name}
    assert rates == {0.3} and (not fc or model.get_layer("motion_fc6").units == 256)


@pytest.mark.parametrize(
    ("name", "frames", "pool", "kernel"),
    [
        ("i3d", 8, 2, 7),  # the authors': of a clip of 64
        ("i3d", 5, 2, 4),
        ("i3d", 1, 1, 1),
        ("i3d", 16, 2, 7),
        ("r3d_18", 4, 1, 1),
        ("r2plus1d_10", 2, 2, 1),
    ],
)
def test_convolved_head_fits_clip_length(name, frames, pool, kernel):
    trunk = network(frames, 2, 1, 3, name=name)
    outputs = heads.attach(trunk, {"logits": 5}, "convolved", dropout=0.5)
    model = keras.Model(trunk.input, outputs)
    pooling, drop, convolution, mean = model.layers[-4:]
    assert (pooling.pool_size, pooling.strides) == ((pool, 2, 1), (1, 1, 1))
    assert drop.rate == 0.5 and not convolution.use_bias
    assert convolution.kernel.shape == (kernel, 1, 1, 3, 5)
    assert outputs["logits"].shape == (None, 5) and mean.name == "logits_mean"


def test_outputs_are_float32_under_mixed_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        features = keras.Input((2, 2, 2, 8))
        vector = heads.flatten(features)
        outputs = [
            heads.fully_connected(vector, 3, "a", width=0.01),
            heads.pooled(features, 3, "b"),
            heads.convolved(features, 3, "c"),
        ]
    finally:
        keras.config.set_dtype_policy(policy)
    assert vector.dtype == "bfloat16"
    assert [output.dtype for output in outputs] == ["float32"] * 3


VECTOR, FEATURES = keras.Input((8,)), keras.Input((2, 2, 2, 8))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: heads.fully_connected(FEATURES, 3), r"vector.*\(None, 2"),
        (lambda: heads.pooled(VECTOR, 3, "a"), r"features.*\(None, 8\)"),
        (lambda: heads.flatten(VECTOR), r"features.*\(None, 8\)"),
        (lambda: heads.convolved(VECTOR, 3), r"features.*\(None, 8\)"),
        (lambda: heads.convolved(FEATURES, 3, frames=(3, 1)), r"features.*3.*\(None, 2, 2"),
        (lambda: heads.fully_connected(VECTOR, 3, dropout=1), "dropout=1"),
        (lambda: heads.fully_connected(VECTOR, 3, width=0), "width=0"),
        (lambda: heads.fully_connected(VECTOR, 0), "outputs=0"),
        (lambda: heads.attach(network(2, 2, 2, 8), {"a": 1}, "mlp"), "head='mlp'"),
    ],
)
def test_errors_name_argument_and_received_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()
