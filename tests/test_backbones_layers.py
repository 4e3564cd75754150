"""The layers of the backbones against plain loops and the authors' settings: padding to start."""

import keras
import numpy as np
import pytest

from mas.backbones import backbone, initial, padding, pool

SMALL = (16, 32, 32, 3)


@pytest.mark.parametrize("rule", padding.RULES)
@pytest.mark.parametrize(
    ("size", "strides"),
    [((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (2, 2, 2)), ((3, 3, 3), (1, 1, 1)), ((2, 2, 2),) * 2],
)
@pytest.mark.parametrize("shape", [(5, 7, 8), (4, 6, 9)])
def test_max_pool_is_the_authors(rule, size, strides, shape):
    """Against windows cut by hand: PyTorch's rounding down, and the ports' padding, rounding up."""
    maps = np.random.default_rng(0).random((2, *shape, 3)).astype(np.float32)
    inputs = keras.Input((*shape, 3))
    model = keras.Model(inputs, pool.max_pool(inputs, size, strides, rule, "pool"))
    np.testing.assert_array_equal(model(maps), pooled(maps, size, strides, rule))


def pooled(maps, size, strides, rule):
    """Max pool of windows one by one; what hangs over the border is left out."""
    ranges = []
    for axis, window, stride in zip(maps.shape[1:4], size, strides, strict=True):
        if rule == "symmetric":
            front, steps = (window - 1) // 2, (axis + 2 * ((window - 1) // 2) - window) // stride
        else:
            total = max(window - stride, 0)
            front, steps = total // 2, -((window - axis - total) // stride)
        starts = [stride * step - front for step in range(steps + 1)]
        ranges.append([slice(max(start, 0), start + window) for start in starts])
    rows = [
        [[maps[:, t, y, x].max((1, 2, 3)) for x in ranges[2]] for y in ranges[1]] for t in ranges[0]
    ]
    return np.moveaxis(np.array(rows), 3, 0)


@pytest.mark.parametrize(
    ("size", "window", "stride", "rule", "expected"),
    [
        (112, 7, 2, "symmetric", (3, 3)),
        (112, 7, 2, "same", (2, 3)),
        (111, 7, 2, "same", (2, 3)),  # TensorFlow's SAME would have (3, 3)
        (8, 3, 1, "same", (1, 1)),
        (8, 1, 2, "same", (0, 0)),
        (8, 2, 2, "symmetric", (0, 0)),
    ],
)
def test_convolutions_are_padded_as_the_authors_do(size, window, stride, rule, expected):
    assert padding.pads(size, window, stride, rule) == expected


@pytest.mark.parametrize("rule", padding.RULES)
@pytest.mark.parametrize("size", [6, 7])
def test_padding_stands_in_front_of_the_strided_convolution(rule, size):
    """A strided convolution of one axis with a kernel of ones, against sums by hand."""
    line = np.random.default_rng(1).random((1, size, 1, 1, 1)).astype(np.float32)
    inputs = keras.Input(line.shape[1:])
    x, own = padding.applied(inputs, 3, (7, 1, 1), (2, 1, 1), rule, "pad")
    ones = keras.layers.Conv3D(1, (7, 1, 1), (2, 1, 1), padding=own, kernel_initializer="ones")
    front, back = {"symmetric": (3, 3), "same": (2, 3)}[rule]
    zeros = np.pad(line[0, :, 0, 0, 0], (front, back))
    expected = [zeros[start : start + 7].sum() for start in range(0, len(zeros) - 6, 2)]
    found = keras.Model(inputs, ones(x))(line)
    np.testing.assert_allclose(found[0, :, 0, 0, 0], expected, rtol=1e-5)


def test_gates_weigh_each_channel_by_its_mean():
    model = backbone("s3d_g", SMALL, width=0.125)
    clips = np.random.default_rng(0).uniform(-1, 1, (2, *SMALL)).astype(np.float32)
    inputs = model.get_layer("mixed_5c_1b_relu").output
    before, after = keras.Model(model.input, [inputs, model.get_layer("mixed_5c_1b_gated").output])(
        clips
    )
    kernel, bias = (w.numpy() for w in model.get_layer("mixed_5c_1b_gate").weights)
    gate = 1 / (1 + np.exp(-(before.numpy().mean((1, 2, 3)) @ kernel + bias)))
    np.testing.assert_allclose(after, before * gate[:, None, None, None], atol=1e-6)
    assert before.numpy().any()


def test_gates_stand_where_the_authors_have_them():
    def gated(name):
        layers = backbone(name, SMALL, width=0.02).layers
        return {layer.name.removesuffix("_gate") for layer in layers if layer.name[-4:] == "gate"}

    blocks = [f"mixed_{block}" for block in "3b 3c 4b 4c 4d 4e 4f 5b 5c".split()]
    dsm = {f"{block}_{unit}" for block in blocks for unit in ("1b", "2b")} | {"conv2c"}
    assert gated("s3d_g_dsm") == dsm | {"conv1"}
    assert gated("s3d_g") == dsm | {f"{block}_{unit}" for block in blocks for unit in "03"}
    assert gated("i3d") == set()


@pytest.mark.parametrize(
    ("name", "epsilon", "momentum"),
    [
        ("c3d_bn", 1e-5, 0.9),
        ("r3d_18", 1e-5, 0.9),
        ("s3d_g", 1e-5, 0.9),
        ("s3d_g_dsm", 1e-3, 0.999),
    ],
)
def test_batch_norm_is_the_authors(name, epsilon, momentum):
    layers = backbone(name, SMALL, width=0.02).layers
    norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {(norm.epsilon, norm.momentum, norm.synchronized) for norm in norms} == {
        (epsilon, momentum, True)
    }


@pytest.mark.parametrize(
    ("name", "layer", "start"),
    [
        ("c3d_bn", "conv5b", "torch"),
        ("r3d_10", "conv5_1_conv2", "torch"),
        ("r2plus1d_10", "conv4_1_conv1_spatial", "torch"),
        ("s3d_g", "mixed_5c_1b", "torch"),
        ("r2plus1d_18", "conv5_2_conv2", "xavier"),
        ("r3d_18", "conv5_1_conv1", "xavier"),
        ("i3d", "mixed_5c_1b", "xavier"),
        ("s3d_g_dsm", "mixed_5c_1b", "xavier"),
    ],
)
def test_published_start(name, layer, start):
    """Uniform within the bound, and reaching it; batch norm's scale."""
    keras.utils.set_random_seed(0)
    model = backbone(name, SMALL, width=0.25)
    kernel = model.get_layer(layer).kernel.numpy()
    fan_in, fan_out = kernel[..., 0].size, kernel[..., 0, :].size
    bound = fan_in**-0.5 if start == "torch" else 2**0.5 * (6 / (fan_in + fan_out)) ** 0.5
    assert 0.99 * bound < np.abs(kernel).max() <= bound * 1.0001
    assert kernel.std() == pytest.approx(bound / 3**0.5, rel=0.01)
    gamma, beta = (weight.numpy() for weight in model.get_layer(f"{layer}_bn").weights[:2])
    assert not beta.any()
    if start == "torch":
        assert (gamma == 1).all()
    else:
        assert gamma.std() == pytest.approx(0.02, rel=0.3)
        assert gamma.mean() == pytest.approx(1, abs=0.01)


def test_published_biases_are_those_of_torch():
    keras.utils.set_random_seed(0)
    bias = backbone("c3d_bn", SMALL, width=0.25).get_layer("conv5b").bias.numpy()
    bound = (27 * 128) ** -0.5
    assert 0.95 * bound < np.abs(bias).max() <= bound


@pytest.mark.parametrize("start", initial.STARTS)
def test_he_is_he_whatever_the_authors_start(start):
    assert isinstance(initial.kernel("he", start), keras.initializers.HeNormal)
    assert isinstance(initial.bias("he", start, 3), keras.initializers.Zeros)
    assert isinstance(initial.scale("he", start), keras.initializers.Ones)
