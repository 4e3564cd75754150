"""Probes: a simple classifier on features that stay as they are."""

import dataclasses
import re
import warnings

import numpy as np
from absl import logging
from sklearn import (
    exceptions,
    linear_model,
    neighbors,
    pipeline,
    preprocessing,
    svm,
)

from mas import files
from mas.evaluate import action, features, protocol

NEEDED = ("classifier",)
OPTIONAL = ("train_list", "test_list", "list", "groups", "classes", "k", "C", "output")
OPTIONAL += features.FLAGS

CLASSIFIERS = ("linear", "svm", "knn")
_WORDS = {
    "linear": "logistic regression (C = {C:g}) on standardised features",
    "svm": "a linear SVM (C = {C:g}, seed {seed}) on standardised features",
    "knn": "the vote of the {k} nearest by cosine distance",
}


@dataclasses.dataclass(frozen=True)
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


def run(flags):
    """Trains and tests; writes probe.json and .txt, predictions.csv, per_class.csv, confusion.*."""
    _check_flags(flags)
    folder = protocol.folder(flags, "probe")
    if flags.groups:
        found = _labelled(flags, flags.list)
        folds = leave_one_out(found, groups(found.videos, flags.groups), _maker(flags))
        train = tested = found
        text = f"{len(found.videos)} videos ({flags.list})"
        split = f"leave one group out, {len(folds)} groups by {flags.groups}"
    else:
        train, tested = (_labelled(flags, path) for path in (flags.train_list, flags.test_list))
        features.check_alike(train, tested, (flags.train_list, flags.test_list))
        _warn_of_both(train, tested)
        predicted = fit_predict(_maker(flags), train.values, train.labels, tested)
        folds = [Fold("test", np.arange(len(tested.videos)), predicted)]
        text = f"{len(tested.videos)} videos ({flags.test_list})"
        split = f"trained on {len(train.videos)} ({flags.train_list})"
    _write(flags, folder, (train, tested), folds, f"{text}, {split}")


def _check_flags(flags):
    """Refuses flags that do not belong together."""
    given = [name for name in ("train_list", "test_list", "list", "groups") if flags[name].value]
    if given not in (["train_list", "test_list"], ["list", "groups"]):
        raise ValueError(
            "probe must have --train_list and --test_list, or --list and --groups. "
            f"Received: {', '.join(f'--{name}' for name in given) or 'none of them'}."
        )
    wrong = "C" if flags.classifier == "knn" else "k"
    if flags[wrong].present:
        raise ValueError(f"{wrong} must not be given. Received: --classifier={flags.classifier}.")
    paths = (flags[name].value for name in given if name != "groups")
    features.check_source(flags, *paths, but=("seed",) if flags.classifier == "svm" else ())


def _labelled(flags, path):
    least = 1 if path == flags.test_list else 2
    return features.labelled(features.of_flags(flags, path), path, least)


def _maker(flags):
    return lambda: classifier(flags.classifier, flags.k, flags.C, flags.seed)


def _warn_of_both(train, tested):
    both = set(train.videos) & set(tested.videos)
    if both:
        logging.warning("%d test videos are trained on as well, such as %s.", len(both), min(both))


def classifier(name, k=1, C=1.0, seed=0):  # noqa: N803, the name that all use
    """An untrained classifier of scikit-learn.

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
    if name not in CLASSIFIERS:
        raise ValueError(
            f"classifier must be one of {list(CLASSIFIERS)}. Received: classifier={name!r}."
        )
    if name == "knn":
        return neighbors.KNeighborsClassifier(k, metric="cosine", algorithm="brute")
    if name == "linear":
        last = linear_model.LogisticRegression(C=C, max_iter=1000)
    else:
        last = svm.LinearSVC(C=C, dual="auto", max_iter=10000, random_state=seed)
    return pipeline.make_pipeline(preprocessing.StandardScaler(), last)


def fit_predict(make, values, labels, tested):
    """Labels that a new classifier gives to some features.

    Args:
        make: function that makes the classifier.
        values: (videos, D) to train on.
        labels: int (videos,).
        tested: a `Features`, with labels, so that those that cannot be right are refused.

    Returns:
        int (videos,).

    Raises:
        ValueError: a test label that no training video has, one class alone, or fewer training
            videos than neighbours are wanted.
    """
    labels = np.asarray(labels)
    unknown = np.flatnonzero(~np.isin(tested.labels, labels))
    if len(unknown):
        raise ValueError(
            "every test label must be that of a training video. "
            f"Received: {tested.videos[unknown[0]]} with label {tested.labels[unknown[0]]}."
        )
    if len(np.unique(labels)) < 2:
        raise ValueError(f"training must have two classes or more. Received: label {labels[0]}.")
    model = make()
    k = getattr(model, "n_neighbors", 1)
    if k > len(labels):
        raise ValueError(f"k must be at most {len(labels)}, the training videos. Received: k={k}.")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", exceptions.ConvergenceWarning)
        model.fit(np.asarray(values, np.float64), labels)
    if any(issubclass(warning.category, exceptions.ConvergenceWarning) for warning in caught):
        logging.warning("The classifier has not converged; a smaller --C may help.")
    return model.predict(np.asarray(tested.values, np.float64))


def groups(videos, pattern):
    """The group of each video: what the first group of an expression matches in its id.

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
    matches = [expression.search(video) for video in videos]
    for video, match in zip(videos, matches, strict=True):
        if match is None or match.group(1) is None:
            raise ValueError(f"groups={pattern!r} must match every id. Received: {video!r}.")
    names = [match.group(1) for match in matches]
    if len(set(names)) < 2:
        raise ValueError(f"groups must be two or more. Received: {names[0]!r} for all videos.")
    return names


def leave_one_out(found, names, make):
    """Tests each group with a classifier trained on all others.

    Args:
        found: a `Features`.
        names: the group of each video.
        make: function that makes the classifier.

    Returns:
        A `Fold` for each group, in the order of their names.

    Raises:
        ValueError: as `fit_predict`.
    """
    names, labels = np.array(names), np.asarray(found.labels)
    folds = []
    for name in np.unique(names):
        inside = names == name
        rows = np.flatnonzero(inside)
        videos = [found.videos[row] for row in rows]
        tested = features.Features(found.values[rows], videos, labels[rows], found.facts)
        predicted = fit_predict(make, found.values[~inside], labels[~inside], tested)
        folds.append(Fold(str(name), rows, predicted))
    return folds


def _write(flags, folder, sides, folds, split):
    train, tested = sides
    ours, theirs = (protocol.describe(part.facts) for part in (tested, train))
    labels = np.asarray(tested.labels)
    rows = np.concatenate([fold.tested for fold in folds])
    predicted = np.concatenate([fold.predicted for fold in folds])
    highest = max(labels.max(), predicted.max())
    names = action.class_names(flags.classes, highest)
    result = action.tally(labels[rows], predicted, len(names))
    shares = {fold.name: float(np.mean(fold.predicted == labels[fold.tested])) for fold in folds}
    spread = float(np.std(list(shares.values())))
    how = _WORDS[flags.classifier].format(k=flags.k, C=flags.C, seed=flags.seed)
    paragraph = (
        f"Probe: {how}. Test on {split}. {ours} "
        + (f"The training videos: {theirs} " if theirs != ours else "")
        + f"Accuracy: {result.top1:.1%}, mean over classes {result.mean_class:.1%}"
    )
    if len(folds) > 1:
        mean = np.mean(list(shares.values()))
        paragraph += f"; mean over groups {mean:.1%}, standard deviation {spread:.1%}"
    numbers = {"accuracy": result.top1, "mean_class": result.mean_class, "folds": shares}
    numbers |= {"standard_deviation": spread, "classes": names, "per_class": result.per_class}
    numbers |= {"confusion": result.confusion, "classifier": flags.classifier, "k": flags.k}
    numbers |= {"C": flags.C, "seed": flags.seed, "split": split, "facts": tested.facts}
    numbers["train_facts"] = train.facts
    folder.mkdir(parents=True, exist_ok=True)
    action.write(result, names, folder)
    groups = [fold.name for fold in folds for _ in fold.tested]
    table = [
        (tested.videos[row], labels[row], label, group)
        for row, label, group in zip(rows, predicted, groups, strict=True)
    ]
    files.write_csv(folder / "predictions.csv", ("video", "label", "predicted", "group"), table)
    logging.info("%s", "\n".join(action.rows(result, names)))
    logging.info("Wrote %s: predictions.csv, per_class.csv, confusion.csv, confusion.png.", folder)
    protocol.write(folder, "probe", f"{paragraph}.", numbers)
