"""Classifiers of features, and their folds."""

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
    """One training and its test.

    Attributes:
        name: of the group that is tested; "test" where there is one split alone.
        tested: int array, rows that were tested.
        predicted: int array, the labels that they got.
    """

    name: str
    tested: np.ndarray
    predicted: np.ndarray


def classifier(name: str, k: int = 1, C: float = 1.0, seed: int = 0) -> Any:
    """An untrained classifier of scikit-learn.

    >>> classifier("knn", k=3).n_neighbors
    3

    Args:
        name: "linear", logistic regression; "svm", a linear SVM; both on features that are
            standardised with the training's means and deviations. "knn": the vote of the nearest
            by cosine; of equally frequent classes the lower.
        k: neighbours of "knn".
        C: inverse strength of the others' regularisation.
        seed: of the SVM's solver.

    Raises:
        ValueError: another name.
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
    """Refuses a training that cannot be tested.

    Args:
        labels: int (videos,) of the training.
        tested: ids of the test videos.
        wanted: int (test videos,).
        k: neighbours.
        whiten: numbers that the features are whitened to; 0 leaves them.

    Raises:
        ValueError: a test label that no training video has, one class alone, or fewer training
            videos than neighbours or whitening need.
    """
    unknown = np.flatnonzero(~np.isin(wanted, labels))
    if len(unknown):
        raise ValueError(
            "every test label must be that of a training video. "
            f"Received: {tested[unknown[0]]} with label {wanted[unknown[0]]}."
        )
    if len(np.unique(labels)) < 2:
        raise ValueError(f"training must have two classes or more. Received: label {labels[0]}.")
    if k > len(labels):
        refuse("k", f"at most {len(labels)}, the training videos", k)
    check_whiten(whiten, len(labels))


def fit_predict(
    make: Callable[[], Any], values: Any, labels: np.ndarray, tested: Features, whiten: int = 0
) -> np.ndarray:
    """Labels that a new classifier gives to some features.

    Args:
        make: function that makes the classifier.
        values: (videos, D) to train on.
        labels: int (videos,).
        tested: with labels, so that a label without training videos is refused.
        whiten: numbers to which a PCA, fitted on `values`, whitens both; 0 leaves them.

    Returns:
        int (videos,).

    Raises:
        ValueError: as `check`.
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
        logging.warning("The classifier has not converged; a smaller C may help.")
    return model.predict(wanted)


def groups(videos: Sequence[str], pattern: str) -> list[str]:
    r"""The group of each video: what the first group of an expression matches in its id.

    >>> groups(["run/ann_1", "walk/bob_2"], r"/(\w+?)_")
    ['ann', 'bob']

    Raises:
        ValueError: the expression is none, has no group, or an id does not match; or there is one
            group alone.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"groups must be a regular expression. Received: groups={pattern!r}: {error}."
        ) from None
    if not expression.groups:
        raise ValueError(f"groups must have a group in brackets. Received: groups={pattern!r}.")
    names = []
    for video in videos:
        match = expression.search(video)
        if match is None or match.group(1) is None:
            raise ValueError(f"groups={pattern!r} must match every id. Received: {video!r}.")
        names.append(match.group(1))
    if len(set(names)) < 2:
        raise ValueError(f"groups must be two or more. Received: {names[0]!r} for all videos.")
    return names


def leave_one_out(
    found: Features, names: Sequence[str], make: Callable[[], Any], whiten: int = 0
) -> list[Fold]:
    """Tests each group with a classifier trained on all others.

    Args:
        found: with labels.
        names: the group of each video.
        make: function that makes the classifier.
        whiten: as for `fit_predict`: fitted for each fold, without the group that is tested.

    Returns:
        A `Fold` for each group, in the order of their names.

    Raises:
        ValueError: as `check`.
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
