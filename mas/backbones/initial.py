"""How weights start."""

import keras

NAMES = ("published", "he")


def normal(initializer, deviation):
    """The initializer of one kernel that a ReLU follows.

    Args:
        initializer: "published": N(0, deviation), which the authors tuned to B G R 0..255 at full
            width. "he": N(0, 2 / inputs), which keeps the size of the activations at any width and
            input preset (He et al., ICCV 2015): a narrow network, or one on [-1, 1], learns
            little from the published start.
        deviation: the published one.

    Raises:
        ValueError: another name.
    """
    if initializer not in NAMES:
        raise ValueError(
            f"initializer must be one of {list(NAMES)}. Received: initializer={initializer!r}."
        )
    if initializer == "he":
        return keras.initializers.HeNormal()
    return keras.initializers.RandomNormal(stddev=deviation)
