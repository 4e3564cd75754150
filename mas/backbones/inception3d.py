"""Inception networks: I3D and two published versions of S3D-G."""

import dataclasses

import keras

from mas.backbones.initial import scaled
from mas.backbones.units import Author, Units

# Channels of each block by branch (Inception-v1, Szegedy et al., CVPR 2015, table 1):
# 1x1x1 | 1x1x1 - 3x3x3 | 1x1x1 - 3x3x3 | pool - 1x1x1.
_BLOCKS = {
    "mixed_3b": (64, 96, 128, 16, 32, 32),
    "mixed_3c": (128, 128, 192, 32, 96, 64),
    "mixed_4b": (192, 96, 208, 16, 48, 64),
    "mixed_4c": (160, 112, 224, 24, 64, 64),
    "mixed_4d": (128, 128, 256, 24, 64, 64),
    "mixed_4e": (112, 144, 288, 32, 64, 64),
    "mixed_4f": (256, 160, 320, 32, 128, 128),
    "mixed_5b": (256, 160, 320, 32, 128, 128),
    "mixed_5c": (384, 192, 384, 48, 128, 128),
}
# Pools after layers: (name, size, strides).
_POOLS = {
    "conv1": ("pool1", (1, 3, 3), (1, 2, 2)),
    "conv2c": ("pool2", (1, 3, 3), (1, 2, 2)),
    "mixed_3c": ("pool3", (3, 3, 3), (2, 2, 2)),
    "mixed_4f": ("pool4", (2, 2, 2), (2, 2, 2)),
}
_POINT, _ONE = (1, 1, 1), (1, 1, 1)


@dataclasses.dataclass(frozen=True)
class Row:
    """One variant.

    Attributes:
        author: properties shared by all layers.
        stem: kernel size of the first convolution.
        separable: convolutions factorised into space and time: `conv1`, `conv2c`, and the 3x3x3
            convolutions of the blocks as `1b` and `2b`.
        gated: convolutions followed by a gate: the same names, and the 1x1x1 branches of the
            blocks as `0` and `3`.
        smallest: smallest clip in (frames, height, width).
    """

    author: Author
    stem: tuple
    separable: tuple = ()
    gated: tuple = ()
    smallest: tuple = (1, 1, 1)


VARIANTS = {
    # VTDL and DSM, based on Carreira and Zisserman, CVPR 2017.
    "i3d": Row(Author("xavier", "same", "same"), (7, 7, 7), smallest=(2, 2, 2)),
    # pace, based on S3D_HowTo100M: the stem is a full 3D convolution; every branch has a gate.
    "s3d_g": Row(
        Author("torch", pools="same"),
        (3, 7, 7),
        separable=("conv2c", "1b", "2b"),
        gated=("conv2c", "0", "1b", "2b", "3"),
    ),
    # DSM: gates only after separable convolutions. The last pool rounds down; by then the clip has
    # been reduced by 4 x 16 x 16.
    "s3d_g_dsm": Row(
        Author("xavier", epsilon=1e-3, momentum=0.999),
        (7, 7, 7),
        separable=("conv1", "conv2c", "1b", "2b"),
        gated=("conv1", "conv2c", "1b", "2b"),
        smallest=(5, 17, 17),
    ),
}


def features(clips, row, width, initializer):
    """Returns the output of the last block.

    Layers are named conv1, conv2b, conv2c and mixed_3b to mixed_5c. The units of a block are named
    0 | 1a 1b | 2a 2b | 3 by branch, for example mixed_3b_1a.

    Args:
        clips: float tensor (batch, frames, height, width, channels).
        row: a `Row` of `VARIANTS`.
        width: width multiplier, above 0.
        initializer: one of `INITIALIZERS`.

    Returns:
        Tensor (batch, t, h, w, c).
    """
    network = _Network(row, width, initializer)
    x = network.unit(clips, 64, row.stem, "conv1", "conv1", (2, 2, 2))
    x = network.unit(network.pooled(x, "conv1"), 64, _POINT, "conv2b", "conv2b")
    x = network.unit(x, 192, (3, 3, 3), "conv2c", "conv2c")
    x = network.pooled(x, "conv2c")
    for name, channels in _BLOCKS.items():
        x = network.pooled(network.block(x, channels, name), name)
    return x


class _Network:
    """Builds the parts of one network."""

    def __init__(self, row, width, initializer):
        self.row, self.width = row, width
        self.units = Units(row.author, initializer)

    def pooled(self, x, name):
        """Applies the pool that follows the layer or block `name`, if there is one."""
        if name not in _POOLS:
            return x
        pool, size, strides = _POOLS[name]
        return self.units.pool(x, size, strides, pool)

    def unit(self, x, channels, kernel, role, name, strides=_ONE):
        """Applies a convolution, factorised and gated as the row says.

        `role` is the name of the convolution in `Row.separable` and `Row.gated`. In DSM, the
        temporal stride belongs to the spatial part, whose kernel spans one frame, so every second
        frame is dropped.
        """
        channels = scaled(channels, self.width)
        if role in self.row.separable:
            spatial, temporal = (1, *kernel[1:]), (kernel[0], 1, 1)
            x = self.units.unit(x, channels, spatial, strides, f"{name}_spatial")
            x = self.units.unit(x, channels, temporal, _ONE, name)
        else:
            x = self.units.unit(x, channels, kernel, strides, name)
        return self.units.gate(x, name) if role in self.row.gated else x

    def block(self, x, channels, name):
        """Applies an Inception block: four parallel branches, concatenated."""

        def unit(x, channels, size, role):
            return self.unit(x, channels, (size,) * 3, role, f"{name}_{role}")

        c0, c1a, c1b, c2a, c2b, c3 = channels
        pooled = self.units.pool(x, (3, 3, 3), _ONE, f"{name}_pool")
        branches = [
            unit(x, c0, 1, "0"),
            unit(unit(x, c1a, 1, "1a"), c1b, 3, "1b"),
            unit(unit(x, c2a, 1, "2a"), c2b, 3, "2b"),
            unit(pooled, c3, 1, "3"),
        ]
        return keras.layers.Concatenate(name=name)(branches)
