"""Whitening: features in fewer numbers, none of which outweighs the others.

The mean of maps of ReLU shares a large common direction, which makes every cosine large. A PCA
takes it away: the mean goes, and each kept direction gets the variance 1.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from mas.checks import refuse
from mas.features.storage import Features

LEAST_SHARE = 1e-10  # of the first direction's variance; a smaller one is rounding


def whitening(values: Any, count: int) -> Any:
    """A PCA that is fitted on features.

    >>> whitening([[1, 0], [-1, 0], [0, 3], [0, -3]], 2).transform([[0, 3]]).round(2).tolist()
    [[1.22, 0.0]]

    Args:
        values: (videos, D).
        count: numbers to keep, the directions of largest variance first.

    Returns:
        A fitted `sklearn.decomposition.PCA`: `transform` takes (videos, D) to (videos, count).

    Raises:
        ValueError: the features vary in fewer directions.
    """
    from sklearn.decomposition import PCA

    values = np.asarray(values, np.float64)
    check_whiten(count, len(values), values.shape[1])
    found = PCA(count, whiten=True, svd_solver="full").fit(values)
    # The signs are arbitrary; the largest weight of each direction is positive.
    weights = found.components_
    found.components_ = weights * np.sign(
        np.take_along_axis(weights, np.abs(weights).argmax(1)[:, None], 1)
    )
    variances = found.explained_variance_
    varying = int((variances > LEAST_SHARE * variances[0]).sum())
    if varying < count:
        refuse("whiten", f"at most {varying}, the directions in which the features vary", count)
    return found


def check_whiten(count: int, videos: int, width: int | None = None) -> None:
    """Refuses more numbers than a PCA of so many videos can keep.

    Args:
        count: numbers to keep; 0 is no whitening.
        videos: that it is fitted on.
        width: numbers of a feature, where known.
    """
    if count >= videos:
        refuse("whiten", f"below {videos}, the videos that it is fitted on", count)
    if width is not None and count > width:
        refuse("whiten", f"at most {width}, the numbers of a feature", count)


def whitened(features: Features, count: int) -> Features:
    """Features that are whitened by a PCA fitted on themselves.

    The facts get `whitened`, the count: they can be compared among themselves alone.

    Args:
        features: some.
        count: numbers to keep.

    Raises:
        ValueError: as for `whitening`.
    """
    values = whitening(features.values, count).transform(np.asarray(features.values, np.float64))
    facts = features.facts | {"whitened": count}
    return dataclasses.replace(features, values=values.astype(np.float32), facts=facts)
