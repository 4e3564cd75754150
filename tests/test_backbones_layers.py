"""Layers of the backbones against plain loops: padding, pools, gates."""

import json
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from mas.backbones import norm, padding, pool, units


@pytest.mark.parametrize("rule", padding.RULES)
@pytest.mark.parametrize(
    ("size", "strides"),
    [((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (2, 2, 2)), ((3, 3, 3), (1, 1, 1)), ((2, 2, 2),) * 2],
)
def test_max_pool_equals_authors(rule, size, strides):
    """Compares with explicit windows: PyTorch rounds down; the ports pad and round up."""
    maps = np.random.default_rng(0).random((2, 5, 6, 9, 3)).astype(np.float32)
    inputs = keras.Input(maps.shape[1:])
    model = keras.Model(inputs, pool.max_pool(inputs, size, strides, rule, "pool"))
    np.testing.assert_array_equal(model(maps), pooled(maps, size, strides, rule))


def pooled(maps, size, strides, rule):
    """Pools window by window; pixels beyond the border are ignored."""
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


def test_convolution_padding_equals_authors():
    assert padding.pads(112, 7, 2, "symmetric") == (3, 3)
    assert padding.pads(112, 7, 2, "same") == (2, 3)
    assert padding.pads(111, 7, 2, "same") == (2, 3)  # TensorFlow's SAME would have (3, 3)
    assert padding.pads(8, 3, 1, "same") == (1, 1)
    assert padding.pads(8, 1, 2, "same") == padding.pads(8, 2, 2, "symmetric") == (0, 0)


@pytest.mark.parametrize("rule", padding.RULES)
@pytest.mark.parametrize("size", [6, 7])
def test_padding_precedes_strided_convolution(rule, size):
    """A strided convolution of one axis with a kernel of ones, against sums by hand."""
    line = np.random.default_rng(1).random((1, size, 1, 1, 1)).astype(np.float32)
    inputs = keras.Input(line.shape[1:])
    x, own = padding.applied(inputs, 3, (7, 1, 1), (2, 1, 1), rule, "pad")
    ones = keras.layers.Conv3D(1, (7, 1, 1), (2, 1, 1), padding=own, kernel_initializer="ones")
    zeros = np.pad(line[0, :, 0, 0, 0], {"symmetric": (3, 3), "same": (2, 3)}[rule])
    expected = [zeros[start : start + 7].sum() for start in range(0, len(zeros) - 6, 2)]
    found = keras.Model(inputs, ones(x))(line)
    np.testing.assert_allclose(found[0, :, 0, 0, 0], expected, rtol=1e-5)


def test_long_kernels_pad_separately_in_bfloat16():
    """Otherwise, oneDNN gives a wrong kernel gradient on some machines."""
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


def test_gates_scale_channels_by_their_mean():
    inputs = keras.Input((2, 3, 4, 5))
    made = units.Units(units.Author("torch"), "published")
    model = keras.Model(inputs, made.gate(inputs, "conv1"))
    x = np.random.default_rng(0).normal(0, 2, (2, 2, 3, 4, 5)).astype(np.float32)
    kernel, bias = (weight.numpy() for weight in model.get_layer("conv1_gate").weights)
    gate = 1 / (1 + np.exp(-(x.mean((1, 2, 3)) @ kernel + bias)))
    np.testing.assert_allclose(model(x), x * gate[:, None, None, None], atol=1e-6)
    assert kernel.any() and bias.any()


# ---- batch norm ----------------------------------------------------------------------------------

PARTS = {"equal": (2, 2), "unequal": (3, 1)}


def batch_of(shift, dtype=np.float32):
    """Inputs of deviation 1 and mean `shift` per channel, and weights of the outputs in a loss."""
    rng = np.random.default_rng(int(shift))
    return [
        rng.normal(mean, 1, (4, 3, 5, 6, 7)).astype(np.float32).astype(dtype) for mean in (shift, 0)
    ]


def normed(layer, x, weights):
    """Outputs of a layer in training, and gradients of a loss for inputs, gamma and beta."""
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, training=True)
        loss = tf.reduce_sum(outputs * weights)
    own = [variable.value for variable in (layer.gamma, layer.beta)]
    return (outputs, *tape.gradient(loss, [x, *own]))


def plain(shift, dtype="float32"):
    """Keras's own layer on the whole batch: the result of `normed`, and the running statistics."""
    layer = keras.layers.BatchNormalization(epsilon=1e-5, dtype=dtype)
    layer.build((None, 3, 5, 6, 7))
    found = normed(layer, *batch_of(shift, dtype))
    return [value.numpy() for value in (*found, layer.moving_mean, layer.moving_variance)]


def errors(found, exact):
    """Largest difference from the exact values, relative to the largest of them."""
    pairs = zip(found, exact, strict=True)
    return np.array([np.abs(value - true).max() / np.abs(true).max() for value, true in pairs])


@pytest.mark.parametrize("shift", [0, 100, 700])
def test_batch_norm_on_one_device_equals_plain_layer_bit_for_bit(shift):
    layer = norm.BatchNormalization(epsilon=1e-5, synchronized=True)
    layer.build((None, 3, 5, 6, 7))
    found = [*normed(layer, *batch_of(shift)), layer.moving_mean, layer.moving_variance]
    for value, expected in zip(found, plain(shift), strict=True):
        np.testing.assert_array_equal(value, expected)


def on_replicas(strategy, parts, shift, kind=norm.BatchNormalization):
    """Like `plain`, with the batch split into parts, and gradients of gamma and beta summed."""
    with strategy.scope():
        layer = kind(epsilon=1e-5, synchronized=True)
        layer.build((None, 3, 5, 6, 7))
    ends = np.cumsum((0, *parts))

    def dealt(values):
        def own(context):
            replica = context.replica_id_in_sync_group
            return tf.constant(values[ends[replica] : ends[replica + 1]])

        return strategy.experimental_distribute_values_from_function(own)

    @tf.function
    def run(x, weights):
        return strategy.run(lambda *both: normed(layer, *both), (x, weights))

    found = run(*map(dealt, batch_of(shift)))
    outputs, x, gamma, beta = map(strategy.experimental_local_results, found)
    rows, sums = (outputs, x), (gamma, beta)
    found = [np.concatenate(values) for values in rows] + [np.sum(values, 0) for values in sums]
    return [*found, layer.moving_mean.numpy(), layer.moving_variance.numpy()]


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("shift", [0, 100, 700])
def test_batch_norm_on_replicas_is_as_exact_as_on_one_device(two_replicas, shift, parts):
    """Outputs, every gradient and the running statistics, against the whole batch in float64."""
    exact = plain(shift, "float64")
    own = errors(plain(shift), exact)
    found = errors(on_replicas(two_replicas, parts, shift), exact)
    assert (found <= 3 * own + 1e-6).all(), (found, own)


def test_keras_synchronised_layer_is_less_exact(two_replicas):
    """So that the test above can fail."""
    exact, kind = plain(100, "float64"), keras.layers.BatchNormalization
    found = errors(on_replicas(two_replicas, (2, 2), 100, kind), exact)
    assert found[0] > 30 * errors(plain(100), exact)[0]


def test_batch_norm_is_saved_as_plain_keras_layer(tmp_path):
    """A file loads with Keras alone; in a network to train, its layers are exact again."""
    inputs = keras.Input((2, 3, 4, 5))
    made = units.Units(units.Author("xavier"), "published")
    model = keras.Model(inputs, made.norm(inputs, "conv1"))
    model.get_layer("conv1_bn").moving_mean.assign(np.arange(5))
    model.save(tmp_path / "norm.keras")
    with zipfile.ZipFile(tmp_path / "norm.keras") as archive:
        saved = json.loads(archive.read("config.json"))["config"]["layers"][1]
    assert (saved["module"], saved["class_name"]) == ("keras.layers", "BatchNormalization")
    loaded = keras.models.load_model(tmp_path / "norm.keras")
    x, layer = np.ones((2, 2, 3, 4, 5), np.float32), loaded.get_layer("conv1_bn")
    assert type(layer) is keras.layers.BatchNormalization and layer.synchronized
    np.testing.assert_array_equal(loaded(x), model(x))
    nested = keras.Model(inputs, loaded(inputs))
    clone = keras.models.clone_model(nested, clone_function=norm.copied, recursive=True)
    again = clone.layers[-1].get_layer("conv1_bn")
    assert type(again) is norm.BatchNormalization
    assert again.get_config() == layer.get_config()
