"""Padding with zeros as the authors' networks have it, which is rarely Keras's own.

Two rules: `symmetric`, PyTorch's usual one: (kernel - 1) // 2 zeros on both sides, windows that do
not fit are dropped. `same`, of the I3D and S3D-G ports: kernel - stride zeros in all, the smaller
half in front, whatever the input's size (TensorFlow's SAME depends on it); windows of a pool may
hang over the end.
"""

import keras

RULES = ("symmetric", "same")


def pads(size, window, stride, rule, ceil=False):
    """Zeros in front of and behind one axis.

    Args:
        size: of the axis.
        window: of the kernel or pool, no less than 1.
        stride: of the same.
        rule: one of `RULES`.
        ceil: whether the last window may hang over the end, and more zeros stand there.

    Returns:
        (front, back).
    """
    if rule == "symmetric":
        front = back = (window - 1) // 2
    else:
        total = max(window - stride, 0)
        front, back = total // 2, total - total // 2
    if ceil:
        back += -(size + front + back - window) % stride
    return front, back


def applied(x, axes, window, strides, rule, name, ceil=False):
    """Pads the axes behind the batch, where the layer that follows cannot do so itself.

    Nor may, in bfloat16, a convolution whose kernel is longer than the clip: on CPU, oneDNN
    (TensorFlow 2.21) then gives a wrong gradient of the kernel.

    Args:
        x: tensor (batch, *axes, channels) of known size.
        axes: how many axes lie between batch and channels, 2 or 3.
        window: sizes of the window, one for each axis.
        strides: its strides.
        rule: one of `RULES`.
        name: of the padding layer, if one is needed.
        ceil: see `pads`.

    Returns:
        (tensor, padding): what the next layer takes, and its `padding` argument.
    """
    sizes = x.shape[1 : 1 + axes]
    pairs = tuple(
        pads(size, extent, stride, rule, ceil)
        for size, extent, stride in zip(sizes, window, strides, strict=True)
    )
    if not any(map(any, pairs)):
        return x, "valid"
    keras_own = tuple(map(_tensorflow_same, sizes, window, strides))
    half = keras.config.dtype_policy().compute_dtype == "bfloat16"
    longer = half and axes == 3 and window[0] > sizes[0]
    if pairs == keras_own and not longer:
        return x, "same"
    layer = {2: keras.layers.ZeroPadding2D, 3: keras.layers.ZeroPadding3D}[axes]
    return layer(pairs, name=name)(x), "valid"


def _tensorflow_same(size, window, stride):
    """The zeros of `padding="same"`."""
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2
