"""Max pooling over time and space.

Implemented as two 2D pools over folded axes. The values equal those of MaxPooling3D, whose gradient
is slow on CPU (single-threaded). On ties, the gradient may go to a different element than in
MaxPooling3D.
"""

import keras

from mas.backbones import padding


def max_pool(x, size, strides, rule, name):
    """Max-pools a non-negative feature map, for which zero padding is equivalent to -inf padding.

    Args:
        x: non-negative tensor (batch, frames, height, width, channels).
        size: window in (frames, height, width).
        strides: strides in (frames, height, width).
        rule: padding rule, one of `padding.RULES`; with `same`, the last window may extend past
            the end.
        name: name of the last layer. The spatial pool is called `{name}_space`, the temporal pool
            `{name}_time`.

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
