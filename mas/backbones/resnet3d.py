"""Residual networks: R3D and R(2+1)D as in VCOP, and the 3D-ResNets of Hara et al."""

import dataclasses

import keras

from mas.backbones.initial import scaled
from mas.backbones.units import Author, Units

_CHANNELS = (64, 128, 256, 512)  # stages conv2 to conv5
_EXPANSION = 4  # output over hidden channels of a bottleneck block


@dataclasses.dataclass(frozen=True)
class Row:
    """One variant.

    Attributes:
        author: properties shared by all layers.
        blocks: number of blocks in each of the four stages.
        stem: temporal size of the first kernel, which is 7 x 7 in space.
        pool: whether a 3x3x3 pool with stride 2 follows the stem.
        factorised: whether convolutions are factorised into space and time, (2+1)D.
        bottleneck: whether a block has 1x1x1, 3x3x3 and 1x1x1 convolutions instead of two 3x3x3.
    """

    author: Author
    blocks: tuple
    stem: int = 3
    pool: bool = False
    factorised: bool = False
    bottleneck: bool = False

    smallest = (1, 1, 1)  # every layer rounds up


_TORCH = Author("torch")
_XAVIER = Author("xavier")

VARIANTS = {
    # STS and pace. Other papers call them "R3D-18" and "R(2+1)D-18", but they have 10 layers.
    "r3d_10": Row(_TORCH, (1, 1, 1, 1)),
    "r2plus1d_10": Row(_TORCH, (1, 1, 1, 1), factorised=True),
    # VTDL fine-tunes this network, although it pre-trains `r2plus1d_10`.
    "r2plus1d_18": Row(_XAVIER, (2, 2, 2, 2), factorised=True),
    # VTDL and DSM: Hara et al., CVPR 2018, with type B shortcuts.
    "r3d_18": Row(_XAVIER, (2, 2, 2, 2), stem=7, pool=True),
    "r3d_34": Row(_XAVIER, (3, 4, 6, 3), stem=7, pool=True),
    "r3d_50": Row(_XAVIER, (3, 4, 6, 3), stem=7, pool=True, bottleneck=True),
}


def features(clips, row, width, initializer):
    """Returns the feature map after the last block's ReLU.

    Layers are named conv1, and conv{stage}_{block}_conv{1, 2, ...} and
    conv{stage}_{block}_shortcut for stages 2 to 5.

    Args:
        clips: float tensor (batch, frames, height, width, channels).
        row: a `Row` of `VARIANTS`.
        width: width multiplier, above 0.
        initializer: one of `INITIALIZERS`.

    Returns:
        Tensor (batch, t, h, w, c).
    """
    units = Units(row.author, initializer)
    x = _convolution(units, row, clips, scaled(64, width), (row.stem, 7, 7), (1, 2, 2), "conv1")
    x = _relu(units.norm(x, "conv1"), "conv1")
    if row.pool:
        x = units.pool(x, (3, 3, 3), (2, 2, 2), "pool1")
    for stage, (channels, blocks) in enumerate(zip(_CHANNELS, row.blocks, strict=True), start=2):
        for block in range(1, blocks + 1):
            stride = 2 if stage > 2 and block == 1 else 1
            outputs = channels * (_EXPANSION if row.bottleneck else 1)
            project = block == 1 and (stage > 2 or row.bottleneck)
            sizes = scaled(channels, width), scaled(outputs, width), stride, project
            x = _block(units, row, x, *sizes, f"conv{stage}_{block}")
    return x


def _block(units, row, x, channels, outputs, stride, project, name):
    """Applies a residual block: two or three convolutions, plus the input or its projection."""
    kernels = (1, 3, 1) if row.bottleneck else (3, 3)
    strided = 1 if row.bottleneck else 0  # index of the convolution with the stride
    y = x
    for index, kernel in enumerate(kernels):
        layer = f"{name}_conv{index + 1}"
        last = index == len(kernels) - 1
        strides = (stride if index == strided else 1,) * 3
        size = outputs if last else channels
        y = units.norm(_convolution(units, row, y, size, (kernel,) * 3, strides, layer), layer)
        if not last:
            y = _relu(y, layer)
    if project:
        layer = f"{name}_shortcut"
        x = units.norm(_convolution(units, row, x, outputs, (1,) * 3, (stride,) * 3, layer), layer)
    return _relu(keras.layers.Add(name=f"{name}_add")([x, y]), name)


def _convolution(units, row, x, channels, kernel, strides, name):
    """Applies a convolution; in (2+1)D, two convolutions with batch norm and ReLU between them.

    The number of hidden channels is chosen so that the two have about as many weights as the full
    3D convolution (Tran et al., CVPR 2018, section 3.5).
    """
    if not row.factorised:
        return units.convolution(x, channels, kernel, strides, name)
    time, height, width = kernel
    inputs, space = x.shape[-1], height * width
    hidden = time * space * inputs * channels // (space * inputs + time * channels)
    spatial = (1, height, width), (1, *strides[1:]), f"{name}_spatial"
    x = units.unit(x, max(1, hidden), *spatial)
    return units.convolution(x, channels, (time, 1, 1), (strides[0], 1, 1), name)


def _relu(x, name):
    return keras.layers.ReLU(name=f"{name}_relu")(x)
