"""The twelve similarities and distances of ASLAN.

x and y are float (pairs, D), 0 or more; the result is (pairs,).
"""

import numpy as np


def _share(numerator, denominator):
    """A quotient in which 0 / 0 counts as 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)


def product(x, y):
    """Sum of x y."""
    return (x * y).sum(1)


def root_product(x, y):
    """Square root of the sum of x y."""
    return np.sqrt(product(x, y))


def bhattacharyya(x, y):
    """Square root of the sum of sqrt(x) sqrt(y)."""
    return np.sqrt(np.sqrt(x * y).sum(1))


def harmonic(x, y):
    """Square root of the sum of x y / (x + y)."""
    return np.sqrt(_share(x * y, x + y).sum(1))


def cosine(x, y):
    """Cosine of the angle between x and y."""
    return _share(product(x, y), np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1))


def city_block(x, y):
    """Sum of |x - y|."""
    return np.abs(x - y).sum(1)


def root_city_block(x, y):
    """Square root of the sum of |x - y|."""
    return np.sqrt(city_block(x, y))


def squared_euclidean(x, y):
    """Sum of (x - y)^2."""
    return np.square(x - y).sum(1)


def euclidean(x, y):
    """Square root of the sum of (x - y)^2."""
    return np.sqrt(squared_euclidean(x, y))


def hellinger(x, y):
    """Square root of the sum of (sqrt(x) - sqrt(y))^2."""
    return euclidean(np.sqrt(x), np.sqrt(y))


def chi_square(x, y):
    """Sum of (x - y)^2 / (x + y)."""
    return _share(np.square(x - y), x + y).sum(1)


def intersection(x, y):
    """Sum of min(x, y) over the sum of max(x, y)."""
    return _share(np.minimum(x, y).sum(1), np.maximum(x, y).sum(1))


# As the ASLAN paper has them (T-PAMI 2012, Table 3), by recollection.
SIMILARITIES = (
    *(product, root_product, bhattacharyya, harmonic, cosine, city_block, root_city_block),
    *(squared_euclidean, euclidean, hellinger, chi_square, intersection),
)


def describe(x, y):
    """The twelve similarities and distances of pairs.

    Args:
        x: float (pairs, D), 0 or more.
        y: the same.

    Returns:
        float64 (pairs, 12), in the order of `SIMILARITIES`.

    Raises:
        ValueError: a value below 0, for which roots are not defined.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    least = min(x.min(), y.min())
    if least < 0:
        raise ValueError(
            "features must be 0 or more, as a network has them that ends with a ReLU. "
            f"Received: {least:.4g}."
        )
    return np.stack([function(x, y) for function in SIMILARITIES], axis=1)
