"""C3D: plain stacks of 3x3x3 convolutions."""

import dataclasses
import math

from mas.backbones.initial import scaled
from mas.backbones.units import Author, Units


@dataclasses.dataclass(frozen=True)
class Row:
    """One variant: channels by stage, and the max-pools (frames, height, width) between stages.

    Stage n of one convolution is called conv{n}, of two conv{n}a and conv{n}b; pool{n} follows
    every stage n except the last.
    """

    author: Author
    channels: tuple
    norm: bool
    pools: tuple = ((1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2))

    @property
    def smallest(self):
        """The smallest clip in (frames, height, width): what the pools shrink it by."""
        return tuple(math.prod(sizes) for sizes in zip(*self.pools, strict=True))


VARIANTS = {
    # The small C3D of MAS (CVPR 2019); sizes as in the authors' code. TensorFlow: every pool
    # rounds up.
    "c3d": Row(Author("normal", pools="same"), ((64,), (128,), (256,), (256,), (256,)), False),
    # STS, pace, VTDL, DSM: batch norm behind biased convolutions. PyTorch: every pool rounds down.
    "c3d_bn": Row(Author("torch"), ((64,), (128,), (256, 256), (512, 512), (512, 512)), True),
}


def features(clips, row, width, initializer):
    """The map behind the last convolution's ReLU.

    The fifth pool of the authors of MAS belongs to the head (`heads.flatten`): pictures of
    attention and clip similarity read the map before it.

    Args:
        clips: float tensor (batch, frames, height, width, channels).
        row: a `Row` of `VARIANTS`.
        width: factor on the channels, above 0.
        initializer: one of `INITIALIZERS`.

    Returns:
        Tensor (batch, t, h, w, c).
    """
    units = Units(row.author, initializer)
    x, kernel, strides = clips, (3, 3, 3), (1, 1, 1)
    for stage, stack in enumerate(row.channels, start=1):
        for letter, channels in zip("ab" if len(stack) > 1 else [""], stack, strict=True):
            layer = scaled(channels, width), kernel, strides, f"conv{stage}{letter}"
            if row.norm:
                x = units.unit(x, *layer, bias=True)
            else:
                x = units.convolution(x, *layer, bias=True, activation="relu")
        if stage <= len(row.pools):
            size = row.pools[stage - 1]
            x = units.pool(x, size, size, f"pool{stage}")
    return x
