"""C3D: plain stacks of 3x3x3 convolutions."""

import dataclasses
import math

from mas.backbones.initial import scaled
from mas.backbones.units import Author, Units


@dataclasses.dataclass(frozen=True)
class Row:
    """One variant: channels by stage, and the max pools (frames, height, width) between stages.

    Stage n has one convolution, conv{n}, or two, conv{n}a and conv{n}b. pool{n} follows every
    stage except the last.
    """

    author: Author
    channels: tuple
    norm: bool
    pools: tuple = ((1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2))

    @property
    def smallest(self):
        """The smallest clip in (frames, height, width): the total stride of the pools."""
        return tuple(math.prod(sizes) for sizes in zip(*self.pools, strict=True))


VARIANTS = {
    # The small C3D of MAS (CVPR 2019), with the authors' sizes. In TensorFlow, pools round up.
    "c3d": Row(Author("normal", pools="same"), ((64,), (128,), (256,), (256,), (256,)), False),
    # STS, pace, VTDL, DSM: batch norm after convolutions with bias. In PyTorch, pools round down.
    "c3d_bn": Row(Author("torch"), ((64,), (128,), (256, 256), (512, 512), (512, 512)), True),
}


def features(clips, row, width, initializer):
    """Returns the feature map after the last convolution's ReLU.

    The fifth pool of MAS belongs to the head (`heads.flatten`): attention maps and clip similarity
    use the feature map before it.

    Args:
        clips: float tensor (batch, frames, height, width, channels).
        row: a `Row` of `VARIANTS`.
        width: width multiplier, above 0.
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
