"""Heads: order of the vector, shapes, names, initial values, sharing of the fifth pool."""

import keras
import numpy as np
import pytest

from mas import backbones, heads
from mas.backbones import backbone

CLIP = (16, 32, 32, 3)


@pytest.fixture
def trunk():
    return backbone("c3d", CLIP, width=0.125)


def test_flatten_is_a_max_pool_read_in_the_order_t_h_w_c():
    features = keras.Input((2, 3, 4, 5))
    maps = np.random.default_rng(0).normal(size=(2, 2, 3, 4, 5)).astype(np.float32)
    expected = [
        [
            clip[2 * t : 2 * t + 2, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2, channel].max()
            for t in range(1)
            for y in range(2)
            for x in range(2)
            for channel in range(5)
        ]
        for clip in maps
    ]
    model = keras.Model(features, heads.flatten(features))
    np.testing.assert_array_equal(model(maps), np.array(expected, np.float32))


def test_full_size_network_has_the_published_sizes():
    network = backbone("c3d", (16, 112, 112, 3))
    vector = heads.flatten(network.output)
    model = keras.Model(network.input, heads.fully_connected(vector, 14))
    assert vector.shape == (None, 4096)
    dense = 4096 * 2048 + 2048 + 2048 * 2048 + 2048 + 2048 * 14 + 14
    convolutions = network.count_params()
    assert model.count_params() == convolutions + dense
    assert [layer.name for layer in model.layers[-5:]] == ["pool5", "flatten", "fc6", "fc7", "fc8"]


def test_branches_share_the_pool_and_nothing_behind_it(trunk):
    vector = heads.flatten(trunk.output)
    outputs = {
        "motion": heads.fully_connected(vector, 14, "motion", width=0.125),
        "appearance": heads.fully_connected(vector, 13, "appearance", width=0.125),
    }
    model = keras.Model(trunk.input, outputs)
    names = {layer.name for layer in model.layers}
    expected = {f"{name}{layer}" for name in outputs for layer in ("_fc6", "_fc7", "")}
    assert names - {layer.name for layer in trunk.layers} == {"pool5", "flatten"} | expected
    assert model(np.zeros((1, *CLIP), np.float32))["motion"].shape == (1, 14)
    assert model(np.zeros((1, *CLIP), np.float32))["appearance"].shape == (1, 13)
    assert model.get_layer("motion_fc6").units == 256
    assert model.get_layer("motion_fc7").kernel is not model.get_layer("appearance_fc7").kernel


def test_initial_values():
    keras.utils.set_random_seed(2)
    vector = keras.Input((500,))
    model = keras.Model(vector, heads.fully_connected(vector, 300, width=0.2))
    for name, deviation, bias in (("fc6", 0.005, 1), ("fc7", 0.005, 1), ("fc8", 0.01, 0)):
        kernel, biases = (variable.numpy() for variable in model.get_layer(name).weights)
        error = 5 * deviation / np.sqrt(2 * kernel.size)
        assert kernel.std() == pytest.approx(deviation, abs=error)
        assert (biases == bias).all()


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


def test_pooled_against_numpy(trunk):
    features = keras.Input((2, 3, 4, 5))
    model = keras.Model(features, heads.pooled(features, 7, "pace"))
    kernel, bias = model.get_layer("pace").get_weights()
    maps = np.random.default_rng(0).normal(size=(2, 2, 3, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(model(maps), maps.mean((1, 2, 3)) @ kernel + bias, atol=1e-5)
    wide = keras.Input((1, 1, 1, 256))
    kernel, bias = keras.Model(wide, heads.pooled(wide, 400, "order")).get_weights()
    for values in (kernel, bias):
        assert np.abs(values).max() <= 1 / 16
        assert values.std() == pytest.approx(1 / 16 / np.sqrt(3), rel=0.1)


@pytest.mark.parametrize(
    ("name", "head", "last"),
    [("c3d", "auto", "fc"), ("c3d", "pooled", "pooled"), ("r3d_10", "auto", "pooled")]
    + [("r3d_10", "fc", "fc")],
)
def test_attached_heads(name, head, last):
    network = backbones.backbone(name, (16, 32, 32, 3), 0.125)
    outputs = heads.attach(network, {"motion": 14, "colour": 3}, head, 0.125, dropout=0.3)
    assert {key: value.shape for key, value in outputs.items()} == {
        "motion": (None, 14),
        "colour": (None, 3),
    }
    layers = {layer.name for layer in keras.Model(network.input, outputs).layers}
    assert ("motion_fc7" in layers) == (last == "fc") and ("colour_mean" in layers) != (
        last == "fc"
    )
    dropped = "motion_fc7_dropout" if last == "fc" else "motion_dropout"
    assert dropped in layers


@pytest.mark.parametrize(
    ("name", "frames", "pool", "kernel", "left"),
    [
        ("i3d", 64, 2, 7, 7),  # the authors': a map of 8 frames
        ("i3d", 16, 2, 1, 1),
        ("i3d", 8, 1, 1, 1),
        ("i3d", 40, 2, 4, 4),
        ("i3d", 128, 2, 7, 15),
        ("r3d_18", 64, 1, 1, 4),
        ("r3d_34", 16, 1, 1, 1),
        ("r2plus1d_10", 16, 2, 1, 1),
    ],
)
def test_the_convolved_head_takes_the_frames_that_there_are(name, frames, pool, kernel, left):
    network = backbones.backbone(name, (frames, 64, 32, 3), 0.05)
    outputs = heads.attach(network, {"logits": 5}, "convolved", dropout=0.5)
    model = keras.Model(network.input, outputs)
    pooling, drop, convolution, mean = model.layers[-4:]
    _, t, h, w, c = network.output.shape
    assert (pooling.pool_size, pooling.strides) == ((pool, h, w), (1, 1, 1))
    assert drop.rate == 0.5 and not convolution.use_bias
    assert convolution.kernel.shape == (kernel, 1, 1, c, 5)
    assert convolution.output.shape == (None, left, 1, 1, 5) and t == left + pool - 1
    assert outputs["logits"].shape == (None, 5) and mean.name == "logits_mean"


def test_convolved_against_a_plain_loop():
    """Windows of two frames and all of space, a kernel of three with zeros around, the mean."""
    features = keras.Input((5, 2, 3, 4))
    model = keras.Model(features, heads.convolved(features, 6, frames=(2, 3)))
    maps = np.random.default_rng(0).normal(size=(2, 5, 2, 3, 4)).astype(np.float32)
    (kernel,) = model.get_weights()
    windows = [maps[:, t : t + 2].mean((1, 2, 3)) for t in range(4)]
    padded = [np.zeros((2, 4)), *windows, np.zeros((2, 4))]
    logits = [sum(padded[t + k] @ kernel[k, 0, 0] for k in range(3)) for t in range(4)]
    np.testing.assert_allclose(model(maps), np.mean(logits, 0), atol=1e-5)


def test_an_unknown_head_is_refused():
    network = backbones.backbone("c3d", (16, 32, 32, 3), 0.125)
    with pytest.raises(ValueError, match=r"head must be one of \['auto', 'fc', .*'mlp'"):
        heads.attach(network, {"a": 1}, "mlp")


def test_dropout_acts_in_training_alone():
    vector = keras.Input((8,))
    with_dropout = heads.fully_connected(vector, 2, "label", width=0.05, dropout=0.5)
    model = keras.Model(vector, with_dropout)
    inputs = np.ones((1, 8), np.float32)
    np.testing.assert_array_equal(model(inputs), model(inputs))
    assert (model(inputs, training=True) != model(inputs)).numpy().any()
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.5, 0.5]


def test_outputs_are_float32_under_mixed_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        features = keras.Input((2, 2, 2, 8))
        outputs = [
            heads.fully_connected(heads.flatten(features), 3, "a", width=0.01),
            heads.pooled(features, 3, "b"),
            heads.convolved(features, 3, "c"),
        ]
    finally:
        keras.config.set_dtype_policy(policy)
    assert [output.dtype for output in outputs] == ["float32"] * 3
    assert keras.Model(features, outputs).get_layer("a_fc6").compute_dtype == "bfloat16"


def test_errors_say_what_is_allowed_and_what_came():
    vector, features = keras.Input((8,)), keras.Input((2, 2, 2, 8))
    with pytest.raises(ValueError, match=r"vector must be \(batch, n\). Received: shape=\(None, 2"):
        heads.fully_connected(features, 3)
    with pytest.raises(ValueError, match=r"features must be \(batch, t, h, w, c\). Received"):
        heads.pooled(vector, 3, "a")
    with pytest.raises(ValueError, match=r"features must be"):
        heads.flatten(vector)
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\). Received: dropout=1"):
        heads.fully_connected(vector, 3, dropout=1)
    with pytest.raises(ValueError, match="outputs must be 1 or more. Received: outputs=0"):
        heads.fully_connected(vector, 0)
    with pytest.raises(ValueError, match=r"features must have at least 3 frames. Received: .*2, 2"):
        heads.convolved(features, 3, frames=(3, 1))
    with pytest.raises(ValueError, match="width must be a number above 0"):
        heads.fully_connected(vector, 3, width=0)
