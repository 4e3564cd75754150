"""The layers of the backbones against plain loops: padding, pools, gates."""

import keras
import numpy as np
import pytest

from mas.backbones import padding, pool, units


@pytest.mark.parametrize("rule", padding.RULES)
@pytest.mark.parametrize(
    ("size", "strides"),
    [((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (2, 2, 2)), ((3, 3, 3), (1, 1, 1)), ((2, 2, 2),) * 2],
)
def test_max_pool_is_the_authors(rule, size, strides):
    """Against windows cut by hand: PyTorch's rounding down, and the ports' padding, rounding up."""
    maps = np.random.default_rng(0).random((2, 5, 6, 9, 3)).astype(np.float32)
    inputs = keras.Input(maps.shape[1:])
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


def test_convolutions_are_padded_as_the_authors_do():
    assert padding.pads(112, 7, 2, "symmetric") == (3, 3)
    assert padding.pads(112, 7, 2, "same") == (2, 3)
    assert padding.pads(111, 7, 2, "same") == (2, 3)  # TensorFlow's SAME would have (3, 3)
    assert padding.pads(8, 3, 1, "same") == (1, 1)
    assert padding.pads(8, 1, 2, "same") == padding.pads(8, 2, 2, "symmetric") == (0, 0)


@pytest.mark.parametrize("rule", padding.RULES)
@pytest.mark.parametrize("size", [6, 7])
def test_padding_stands_in_front_of_the_strided_convolution(rule, size):
    """A strided convolution of one axis with a kernel of ones, against sums by hand."""
    line = np.random.default_rng(1).random((1, size, 1, 1, 1)).astype(np.float32)
    inputs = keras.Input(line.shape[1:])
    x, own = padding.applied(inputs, 3, (7, 1, 1), (2, 1, 1), rule, "pad")
    ones = keras.layers.Conv3D(1, (7, 1, 1), (2, 1, 1), padding=own, kernel_initializer="ones")
    zeros = np.pad(line[0, :, 0, 0, 0], {"symmetric": (3, 3), "same": (2, 3)}[rule])
    expected = [zeros[start : start + 7].sum() for start in range(0, len(zeros) - 6, 2)]
    found = keras.Model(inputs, ones(x))(line)
    np.testing.assert_allclose(found[0, :, 0, 0, 0], expected, rtol=1e-5)


def test_kernels_longer_than_the_clip_have_a_padding_of_their_own_in_bfloat16():
    """OneDNN gives a wrong gradient of the kernel otherwise, on some machines."""
    found, policy = {}, keras.config.dtype_policy()
    for kind in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(kind)
        try:
            for frames in (1, 3):
                x = keras.Input((frames, 4, 4, 2))
                found[kind, frames] = padding.applied(x, 3, (3,) * 3, (1,) * 3, "symmetric", "a")[1]
        finally:
            keras.config.set_dtype_policy(policy)
    assert [key for key, own in found.items() if own == "valid"] == [("mixed_bfloat16", 1)]


def test_gates_weigh_each_channel_by_its_mean():
    inputs = keras.Input((2, 3, 4, 5))
    made = units.Units(units.Author("torch"), "published")
    model = keras.Model(inputs, made.gate(inputs, "conv1"))
    x = np.random.default_rng(0).normal(0, 2, (2, 2, 3, 4, 5)).astype(np.float32)
    kernel, bias = (weight.numpy() for weight in model.get_layer("conv1_gate").weights)
    gate = 1 / (1 + np.exp(-(x.mean((1, 2, 3)) @ kernel + bias)))
    np.testing.assert_allclose(model(x), x * gate[:, None, None, None], atol=1e-6)
    assert kernel.any() and bias.any()
