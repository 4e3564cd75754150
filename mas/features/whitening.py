"""Whitens features: reduces them to fewer dimensions of equal variance.

Averages of ReLU maps share a large common direction, which makes all cosines large. A PCA removes
it: it subtracts the mean and scales each kept direction to variance 1.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from mas.checks import refuse
from mas.features.storage import Features

LEAST_SHARE = 1e-10  # of the first direction's variance; less than this is rounding error


def whitening(values: Any, count: int) -> Any:
    """Fits a whitening PCA to features.

    >>> whitening([[1, 0], [-1, 0], [0, 3], [0, -3]], 2).transform([[0, 3]]).round(2).tolist()
    [[1.22, 0.0]]

    Args:
        values: features (videos, D).
        count: number of dimensions to keep, those of largest variance.

    Returns:
        A fitted `sklearn.decomposition.PCA`: `transform` maps (videos, D) to (videos, count).

    Raises:
        ValueError: If the features vary in fewer than `count` directions.
    """
    from sklearn.decomposition import PCA

    values = np.asarray(values, np.float64)
    check_whiten(count, len(values), values.shape[1])
    found = PCA(count, whiten=True, svd_solver="full").fit(values)
    # The signs are arbitrary; make the largest weight of each direction positive.
    weights = found.components_
    found.components_ = weights * np.sign(
        np.take_along_axis(weights, np.abs(weights).argmax(1)[:, None], 1)
    )
    variances = found.explained_variance_
    varying = int((variances > LEAST_SHARE * variances[0]).sum())
    if varying < count:
        refuse("whiten", f"at most {varying}, the rank of the features", count)
    return found


def check_whiten(count: int, videos: int, width: int | None = None) -> None:
    """Raises ValueError if a PCA cannot keep so many dimensions.

    Args:
        count: number of dimensions to keep; 0 means no whitening.
        videos: number of videos it is fitted to.
        width: dimensions of a feature, if known.
    """
    if count >= videos:
        refuse("whiten", f"below {videos}, the number of videos it is fitted to", count)
    if width is not None and count > width:
        refuse("whiten", f"at most {width}, the dimensions of the features", count)


def whitened(features: Features, count: int) -> Features:
    """Whitens features by a PCA fitted to themselves.

    The count is recorded in the facts as `whitened`: the result is comparable only within itself.

    Args:
        features: the features.
        count: number of dimensions to keep.

    Raises:
        ValueError: As `whitening`.
    """
    values = whitening(features.values, count).transform(np.asarray(features.values, np.float64))
    facts = features.facts | {"whitened": count}
    return dataclasses.replace(features, values=values.astype(np.float32), facts=facts)
