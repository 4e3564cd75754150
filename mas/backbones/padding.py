"""Zero padding as in the authors' networks, which usually differs from Keras's.

`symmetric`, the usual rule of PyTorch, adds (kernel - 1) // 2 zeros on both sides; windows that do
not fit are dropped. `same`, the rule of the I3D and S3D-G ports, adds kernel - stride zeros in
total, the smaller half in front, regardless of the input size (unlike TensorFlow's SAME); the last
window of a pool may extend past the end.
"""

import keras

RULES = ("symmetric", "same")


def pads(size, window, stride, rule, ceil=False):
    """Returns the number of zeros before and after one axis.

    Args:
        size: length of the axis.
        window: size of the kernel or pool, at least 1.
        stride: its stride.
        rule: one of `RULES`.
        ceil: whether to add zeros at the end for an incomplete last window.

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
    """Pads the axes after the batch, unless the next layer can pad them itself.

    Always pads bfloat16 clips that are shorter than the kernel of a convolution: on CPU, oneDNN
    (TensorFlow 2.21) computes a wrong kernel gradient if the convolution pads.

    Args:
        x: tensor (batch, *axes, channels) of known size.
        axes: number of axes between batch and channels, 2 or 3.
        window: window size for each axis.
        strides: stride for each axis.
        rule: one of `RULES`.
        name: name of the padding layer, if one is needed.
        ceil: see `pads`.

    Returns:
        (tensor, padding): input of the next layer, and its `padding` argument.
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
    """Returns the number of zeros that TensorFlow's `padding="same"` adds before and after."""
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2
