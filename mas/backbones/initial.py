"""How weights start, and how many there are."""

import keras

from mas.backbones import INITIALIZERS

# The authors' starts. `normal`: N(0, 0.01), biases 0 (MAS). `torch`: PyTorch's default, uniform in
# +-1/sqrt(inputs), biases too (STS, pace). `xavier`: Xavier uniform with gain sqrt(2), scales of
# batch norm N(1, 0.02), biases as PyTorch (VTDL, DSM: `weights_init`).
STARTS = ("normal", "torch", "xavier")

_DEVIATION = 0.01  # MAS, authors' code


def normal(initializer, deviation):
    """The initializer of one kernel that a ReLU follows.

    Args:
        initializer: "published": N(0, deviation), which the authors tuned to B G R 0..255 at full
            width. "he": N(0, 2 / inputs), which keeps the size of the activations at any width and
            input preset (He et al., ICCV 2015): a narrow network, or one on [-1, 1], learns
            little from the published start. "xavier", which is of convolutions behind batch norms:
            the published one.
        deviation: the published one.

    Raises:
        ValueError: another name.
    """
    _check(initializer)
    if initializer == "he":
        return keras.initializers.HeNormal()
    return keras.initializers.RandomNormal(stddev=deviation)


def kernel(initializer, start):
    """The initializer of a convolution's kernel: He normal, Xavier uniform, or the author's.

    Args:
        initializer: one of `INITIALIZERS`. "xavier" is the start of VTDL and DSM on a network that
            they share with STS and pace (C3D with batch norm, R(2+1)D).
        start: one of `STARTS`.

    Raises:
        ValueError: another name.
    """
    _check(initializer)
    start = "xavier" if initializer == "xavier" else start
    if start == "normal" or initializer == "he":
        return normal(initializer, _DEVIATION)
    if start == "torch":
        return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    return keras.initializers.VarianceScaling(2.0, "fan_avg", "uniform")


def bias(initializer, start, inputs):
    """The initializer of the bias of a convolution that sums `inputs` numbers."""
    if start == "normal" or initializer == "he":
        return keras.initializers.Zeros()
    return keras.initializers.RandomUniform(-(inputs**-0.5), inputs**-0.5)


def scale(initializer, start):
    """The initializer of a batch norm's scale (gamma)."""
    if initializer == "xavier" or (start == "xavier" and initializer != "he"):
        return keras.initializers.RandomNormal(1.0, 0.02)
    return keras.initializers.Ones()


def _check(initializer):
    if initializer not in INITIALIZERS:
        raise ValueError(
            f"initializer must be one of {list(INITIALIZERS)}. "
            f"Received: initializer={initializer!r}."
        )


def scaled(channels, width):
    """`channels` times `width`, rounded, at least 1.

    Raises:
        ValueError: `width` is not a finite number above 0.
    """
    if not 0 < width < float("inf"):
        raise ValueError(f"width must be a number above 0. Received: width={width}.")
    return max(1, round(channels * width))
