"""C3D: plain stacks of 3x3x3 convolutions."""

import dataclasses
import math

import keras

from mas.backbones import initial
from mas.backbones.width import scaled


@dataclasses.dataclass(frozen=True)
class Row:
    """One variant: channels of its convolutions and the max-pools (frames, height, width) between.

    Pool n follows convolution n; the last convolution has none.
    """

    channels: tuple
    pools: tuple

    @property
    def strides(self):
        """Factors by which frames, height and width shrink on the way to the last convolution."""
        return tuple(math.prod(sizes) for sizes in zip(*self.pools, strict=True))


VARIANTS = {
    # The small C3D of MAS (CVPR 2019); sizes as in the authors' code.
    "c3d": Row((64, 128, 256, 256, 256), ((1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2))),
}

_DEVIATION = 0.01  # of the initial weights, in the authors' code; biases start at 0


def features(clips, row, width, initializer):
    """The map behind the last convolution's ReLU.

    The authors' fifth pool belongs to the head (`heads.flatten`): pictures of attention and clip
    similarity read the map before it.

    Args:
        clips: float tensor (batch, frames, height, width, channels).
        row: a `Row` of `VARIANTS`.
        width: factor on the channels, above 0.
        initializer: one of `initial.NAMES`.

    Returns:
        Tensor (batch, t, h, w, c), of layers conv1, pool1, ..., conv5. All padding is SAME, so
        every pool divides the sizes rounding up.
    """
    x = clips
    for number, channels in enumerate(row.channels, start=1):
        x = keras.layers.Conv3D(
            scaled(channels, width),
            3,
            padding="same",
            activation="relu",
            kernel_initializer=initial.normal(initializer, _DEVIATION),
            name=f"conv{number}",
        )(x)
        if number <= len(row.pools):
            pool = row.pools[number - 1]
            x = keras.layers.MaxPooling3D(pool, padding="same", name=f"pool{number}")(x)
    return x
