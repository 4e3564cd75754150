"""Max pooling over frames and space.

As two 2D pools over folded axes: a maximum is separable, so the values are those of MaxPooling3D,
whose gradient is slow on CPU (one thread). Among equal values the gradient may go to another one
than MaxPooling3D picks.
"""

import keras

from mas.backbones import padding


def max_pool(x, size, strides, rule, name):
    """Pools a map that holds no negative number: padding with zeros is then padding with -inf.

    Args:
        x: tensor (batch, frames, height, width, channels), values of 0 and more.
        size: window in (frames, height, width).
        strides: in the same.
        rule: of padding, one of `padding.RULES`; with `same` windows may hang over the end.
        name: of the last layer. The pool over space is `{name}_space`, over frames `{name}_time`.

    Returns:
        Tensor (batch, t, h, w, channels).
    """
    frames, height, width, channels = x.shape[1:]
    x = keras.ops.reshape(x, (-1, height, width, channels))
    x = _pool2d(x, size[1:], strides[1:], rule, f"{name}_space")
    height, width = x.shape[1:3]
    x = keras.ops.reshape(x, (-1, frames, height * width, channels))
    if size[0] > 1 or strides[0] > 1:
        x = _pool2d(x, (size[0], 1), (strides[0], 1), rule, f"{name}_time")
    return keras.layers.Reshape((x.shape[1], height, width, channels), name=name)(x)


def _pool2d(x, size, strides, rule, name):
    ceil = rule == "same"
    x, own = padding.applied(x, 2, size, strides, rule, f"{name}_pad", ceil)
    return keras.layers.MaxPooling2D(size, strides, padding=own, name=name)(x)
