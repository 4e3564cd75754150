"""Classifiers of features, and cross-validation."""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from absl import logging

from mas.checks import check_choice, refuse
from mas.features import Features, check_whiten, whitening

CLASSIFIERS = ("linear", "svm", "knn")


@dataclasses.dataclass(frozen=True, eq=False)
class Fold:
    """Result of one split into training and test.

    Attributes:
        name: name of the tested group; "test" for a single split.
        tested: int array, rows of the test videos.
        predicted: int array, their predicted labels.
    """

    name: str
    tested: np.ndarray
    predicted: np.ndarray


def classifier(name: str, k: int = 1, C: float = 1.0, seed: int = 0) -> Any:
    """Makes an untrained scikit-learn classifier.

    >>> classifier("knn", k=3).n_neighbors
    3

    Args:
        name: "linear", logistic regression, or "svm", a linear SVM, both on features standardised
            by the training mean and deviation; or "knn", the vote of the nearest neighbours by
            cosine, with ties going to the lower class.
        k: number of neighbours for "knn".
        C: inverse strength of the regularisation, for "linear" and "svm".
        seed: seed of the SVM's solver.

    Raises:
        ValueError: If the name is unknown.
    """
    from sklearn import linear_model, neighbors, pipeline, preprocessing, svm

    check_choice("classifier", name, CLASSIFIERS)
    if name == "knn":
        return neighbors.KNeighborsClassifier(k, metric="cosine", algorithm="brute")
    if name == "linear":
        last = linear_model.LogisticRegression(C=C, max_iter=1000)
    else:
        last = svm.LinearSVC(C=C, dual="auto", max_iter=10000, random_state=seed)
    return pipeline.make_pipeline(preprocessing.StandardScaler(), last)


def check(
    labels: np.ndarray, tested: Sequence[str], wanted: np.ndarray, k: int = 1, whiten: int = 0
) -> None:
    """Checks that a split can be trained and tested.

    Args:
        labels: labels of the training videos, int (videos,).
        tested: ids of the test videos.
        wanted: labels of the test videos, int (test videos,).
        k: number of neighbours.
        whiten: dimensions of the whitened features; 0 means no whitening.

    Raises:
        ValueError: If no training video has one of the test labels, there is only one class, or
            there are too few training videos for the neighbours or the whitening.
    """
    unknown = np.flatnonzero(~np.isin(wanted, labels))
    if len(unknown):
        raise ValueError(
            "every test label must be that of a training video. "
            f"Received: {tested[unknown[0]]} with label {wanted[unknown[0]]}."
        )
    if len(np.unique(labels)) < 2:
        raise ValueError(
            f"training must have two classes or more. Received: only label {labels[0]}."
        )
    if k > len(labels):
        refuse("k", f"at most {len(labels)}, the number of training videos", k)
    check_whiten(whiten, len(labels))


def fit_predict(
    make: Callable[[], Any], values: Any, labels: np.ndarray, tested: Features, whiten: int = 0
) -> np.ndarray:
    """Trains a classifier and predicts the labels of the test features.

    Args:
        make: function that makes the classifier.
        values: training features (videos, D).
        labels: training labels, int (videos,).
        tested: test features, with labels to check against those of the training.
        whiten: dimensions to whiten both to, by a PCA fitted to `values`; 0 means no whitening.

    Returns:
        Predicted labels, int (test videos,).

    Raises:
        ValueError: As `check`.
    """
    from sklearn import exceptions

    model, labels = make(), np.asarray(labels)
    check(labels, tested.videos, tested.labels, getattr(model, "n_neighbors", 1), whiten)
    values, wanted = np.asarray(values, np.float64), np.asarray(tested.values, np.float64)
    if whiten:
        fitted = whitening(values, whiten)
        values, wanted = fitted.transform(values), fitted.transform(wanted)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", exceptions.ConvergenceWarning)
        model.fit(values, labels)
    if any(issubclass(warning.category, exceptions.ConvergenceWarning) for warning in caught):
        logging.warning("The classifier did not converge; a smaller C may help.")
    return model.predict(wanted)


def groups(videos: Sequence[str], pattern: str) -> list[str]:
    r"""Group of each video: what the first capture group of an expression matches in its id.

    >>> groups(["run/ann_1", "walk/bob_2"], r"/(\w+?)_")
    ['ann', 'bob']

    Raises:
        ValueError: If the expression is invalid or has no capture group, an id does not match, or
            there is only one group.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"groups must be a regular expression. Received: groups={pattern!r}: {error}."
        ) from None
    if not expression.groups:
        raise ValueError(f"groups must have a group in parentheses. Received: groups={pattern!r}.")
    names = []
    for video in videos:
        match = expression.search(video)
        if match is None or match.group(1) is None:
            raise ValueError(f"groups={pattern!r} must match every id. Received: {video!r}.")
        names.append(match.group(1))
    if len(set(names)) < 2:
        raise ValueError(f"groups must give two or more. Received: {names[0]!r} for all videos.")
    return names


def leave_one_out(
    found: Features, names: Sequence[str], make: Callable[[], Any], whiten: int = 0
) -> list[Fold]:
    """Tests each group with a classifier trained on all others.

    Args:
        found: features with labels.
        names: group of each video.
        make: function that makes the classifier.
        whiten: as in `fit_predict`; the PCA of each fold is fitted without the tested group.

    Returns:
        A `Fold` for each group, sorted by name.

    Raises:
        ValueError: As `check`.
    """
    of, folds = np.array(names), []
    for name in np.unique(of):
        inside = of == name
        rows = np.flatnonzero(inside)
        videos = [found.videos[row] for row in rows]
        tested = Features(found.values[rows], videos, found.labels[rows], found.facts)
        train = found.values[~inside], found.labels[~inside]
        predicted = fit_predict(make, *train, tested, whiten)
        folds.append(Fold(str(name), rows, predicted))
    return folds
