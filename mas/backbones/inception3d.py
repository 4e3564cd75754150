"""Inception networks: I3D, and S3D-G as its two authors wrote it."""

import dataclasses

import keras

from mas.backbones.initial import scaled
from mas.backbones.units import Author, Units

# Channels of the blocks (Inception-v1, Szegedy et al., CVPR 2015, table 1), by branch:
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
# Pools behind layers: (name, size, strides).
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
        author: what its layers have in common.
        stem: kernel of the first convolution.
        separable: which convolutions are one in space and one in time: `conv1`, `conv2c`, and the
            3x3x3 of the blocks as `1b` and `2b`.
        gated: which units a gate follows: the same, and the 1x1x1 branches of the blocks as `0`
            and `3`.
        smallest: clip in (frames, height, width).
    """

    author: Author
    stem: tuple
    separable: tuple = ()
    gated: tuple = ()
    smallest: tuple = (1, 1, 1)


VARIANTS = {
    # VTDL and DSM, after Carreira and Zisserman, CVPR 2017.
    "i3d": Row(Author("xavier", "same", "same"), (7, 7, 7), smallest=(2, 2, 2)),
    # pace, after S3D_HowTo100M: the stem is a full convolution; every branch has its gate.
    "s3d_g": Row(
        Author("torch", pools="same"),
        (3, 7, 7),
        separable=("conv2c", "1b", "2b"),
        gated=("conv2c", "0", "1b", "2b", "3"),
    ),
    # DSM: gates behind the separable convolutions alone. The last pool rounds down, 4 x 16 x 16
    # below the clip.
    "s3d_g_dsm": Row(
        Author("xavier", epsilon=1e-3, momentum=0.999),
        (7, 7, 7),
        separable=("conv1", "conv2c", "1b", "2b"),
        gated=("conv1", "conv2c", "1b", "2b"),
        smallest=(5, 17, 17),
    ),
}


def features(clips, row, width, initializer):
    """The map behind the last block.

    Args:
        clips: float tensor (batch, frames, height, width, channels).
        row: a `Row` of `VARIANTS`.
        width: factor on the channels, above 0.
        initializer: one of `INITIALIZERS`.

    Returns:
        Tensor (batch, t, h, w, c). Layers: conv1, conv2b, conv2c; mixed_{3b to 5c}, whose units
        are 0 | 1a 1b | 2a 2b | 3 by branch: mixed_3b_1a.
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
    """The parts of one network."""

    def __init__(self, row, width, initializer):
        self.row, self.width = row, width
        self.units = Units(row.author, initializer)

    def pooled(self, x, name):
        """The pool behind the layer or block `name`, where one stands."""
        if name not in _POOLS:
            return x
        pool, size, strides = _POOLS[name]
        return self.units.pool(x, size, strides, pool)

    def unit(self, x, channels, kernel, role, name, strides=_ONE):
        """One convolution, or its two, and its gate; `role` is its name in the row's fields.

        DSM strides the time axis of a separable convolution by its part in space, of one frame:
        it drops every second frame.
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
        """Four branches side by side."""

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
