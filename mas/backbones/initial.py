"""Weight initialisation, and channel counts under a width multiplier."""

import keras

from mas.backbones import INITIALIZERS

# The authors' initialisations. `normal`: N(0, 0.01), biases 0 (MAS). `torch`: PyTorch's default,
# uniform in +-1/sqrt(fan_in), also for biases (STS, pace). `xavier`: Xavier uniform with gain
# sqrt(2), batch norm scales N(1, 0.02), biases as in PyTorch (VTDL, DSM: `weights_init`).
STARTS = ("normal", "torch", "xavier")

_DEVIATION = 0.01  # MAS, authors' code


def normal(initializer, deviation):
    """Returns the initializer of a kernel that is followed by a ReLU.

    Args:
        initializer: "published" is N(0, deviation^2), which the authors tuned for B G R in 0..255
            at full width. "he" has variance 2 / fan_in, which preserves the scale of activations at
            any width and input preset (He et al., ICCV 2015); narrow networks, and networks on
            [-1, 1], learn little from the published initialisation. "xavier" applies only to
            convolutions with batch norm; here it is the same as "published".
        deviation: published standard deviation.

    Raises:
        ValueError: If the initializer is unknown.
    """
    _check(initializer)
    if initializer == "he":
        return keras.initializers.HeNormal()
    return keras.initializers.RandomNormal(stddev=deviation)


def kernel(initializer, start):
    """Returns the initializer of a convolution kernel.

    Args:
        initializer: one of `INITIALIZERS`. "xavier" is for VTDL and DSM on networks that they share
            with STS and pace (C3D with batch norm, R(2+1)D).
        start: the author's initialisation, one of `STARTS`.

    Raises:
        ValueError: If the initializer is unknown.
    """
    _check(initializer)
    start = "xavier" if initializer == "xavier" else start
    if start == "normal" or initializer == "he":
        return normal(initializer, _DEVIATION)
    if start == "torch":
        return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    return keras.initializers.VarianceScaling(2.0, "fan_avg", "uniform")


def bias(initializer, start, inputs):
    """Returns the initializer of the bias of a convolution with fan-in `inputs`."""
    if start == "normal" or initializer == "he":
        return keras.initializers.Zeros()
    return keras.initializers.RandomUniform(-(inputs**-0.5), inputs**-0.5)


def scale(initializer, start):
    """Returns the initializer of a batch norm's scale (gamma)."""
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
    """Returns `channels * width`, rounded, and at least 1.

    Raises:
        ValueError: If `width` is not a finite number above 0.
    """
    if not 0 < width < float("inf"):
        raise ValueError(f"width must be a number above 0. Received: width={width}.")
    return max(1, round(channels * width))
