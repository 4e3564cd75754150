"""Do two videos show the same action? ASLAN, View 2 (CVPR 2019, section 4.4).

A video's features are the mean of its overlapping clips, of length 1. A pair is described by twelve
similarities and distances of the two, each standardised over the training pairs; a linear SVM says
whether they show the same action. Ten folds, whose actions differ: each is tested once, by an SVM
that was trained on the nine others.
"""

import collections
import dataclasses
import io
import pathlib
import zlib

import numpy as np
import scipy.io
from absl import logging
from sklearn import metrics

from mas import files, lists, records
from mas.evaluate import features, pairwise, probe, protocol, retrieval

NEEDED = ("aslan",)
OPTIONAL = ("list", "C", "output")
OPTIONAL += tuple(name for name in features.FLAGS if name not in ("clips", "columns"))

FILE, VARIABLE = "View2.mat", "action_splits_pairs"
SHAPE = (600, 5, 10)  # pairs, columns, folds: the README of the data set
SAMPLES = 3697  # the same
# What SciPy raises for bytes that it cannot read; NotImplementedError for version 7.3.
_UNREADABLE = (scipy.io.matlab.MatReadError, NotImplementedError, OSError, TypeError, ValueError)
_UNREADABLE += (zlib.error, IndexError)


def run(flags):
    """Tests every fold; writes similarity.json, similarity.txt and pairs.csv."""
    path, folder = pathlib.Path(flags.aslan, FILE), protocol.folder(flags, "similarity")
    pairs = read_pairs(path)
    found = _features(flags, pairs, path)
    kept, missing = present(pairs, found.videos)
    _check_missing(missing, path, flags.allow_failures)
    if missing:
        logging.warning("Left out %s.", _count(missing))
    result = evaluate(found, kept, flags.C, flags.seed)
    numbers = dataclasses.asdict(result) | {"missing": missing, "C": flags.C, "seed": flags.seed}
    numbers["facts"] = found.facts
    rows = zip(kept, result.decisions, strict=True)
    table = [
        (fold, *pair, f"{decision:.6f}")
        for fold, (these, decisions) in enumerate(rows, 1)
        for pair, decision in zip(these, decisions, strict=True)
    ]
    columns = ("fold", "first", "second", "same", "decision")
    folder.mkdir(parents=True, exist_ok=True)
    files.write_csv(folder / "pairs.csv", columns, table)
    protocol.write(folder, "similarity", _paragraph(result, missing, found, flags), numbers)


def _features(flags, pairs, path):
    """Of the videos that a pair names: of --list's .npz file, or through the network."""
    if flags.list:
        if not features.is_file(flags.list):
            raise ValueError(f"list must be an .npz file. Received: list={flags.list}.")
        features.check_source(flags, flags.list, but=("allow_failures", "seed"))
        return features.load(flags.list)
    features.check_source(flags, path)
    data = records.open_data(flags.data)
    kept, missing = present(pairs, data.videos)
    _check_missing(missing, path, flags.allow_failures)  # before the network has worked for hours
    names = sorted({video for fold in kept for *videos, _ in fold for video in videos})
    if not names:
        raise ValueError(f"{flags.data} must hold a pair of {path}. Received: none of them.")
    settings = dataclasses.replace(features.settings(flags), how="overlapping")
    return features.of_flags(flags, str(path), settings, [lists.Entry(name) for name in names])


def _check_missing(missing, path, allowed):
    if missing and not allowed:
        raise ValueError(
            f"every pair of {path} must have both videos (or --allow_failures). "
            f"Received: {_count(missing)}."
        )


def _count(missing):
    """How many pairs lack a video, and which videos."""
    videos = collections.Counter(video for _, _, absent in missing for video in absent)
    named = ", ".join(sorted(videos)[:5]) + (" and others" if len(videos) > 5 else "")
    return f"{len(missing)} pairs without a video: {len(videos)} videos are missing: {named}"


def read_pairs(path):
    """Reads the pairs of View 2.

    Args:
        path: View2.mat, with the variable `action_splits_pairs`, 600 x 5 x 10: of each pair and
            fold the two samples, whether they are the same, and their actions (not used).

    Returns:
        A list of 10 lists of 600 tuples (first, second, same): ids such as "0001", and 0 or 1.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not that file; names it and what came.
    """
    content = pathlib.Path(path).read_bytes()
    try:
        held = scipy.io.loadmat(io.BytesIO(content), variable_names=[VARIABLE])
    except _UNREADABLE as error:
        raise ValueError(
            f"{path} must be a MATLAB file below version 7.3. Received: {error}."
        ) from None
    table = held.get(VARIABLE)
    if table is None or table.shape != SHAPE or table.dtype.kind not in "iuf":
        received = "none" if table is None else f"{table.dtype} {table.shape}"
        raise ValueError(f"{path} must hold {VARIABLE}, numbers {SHAPE}. Received: {received}.")
    for column, least, most in ((0, 1, SAMPLES), (1, 1, SAMPLES), (2, 0, 1)):
        values = table[:, column]
        wrong = ~((values >= least) & (values <= most) & (values == np.floor(values)))
        if wrong.any():
            pair, fold = np.argwhere(wrong)[0]
            raise ValueError(
                f"{path}: column {column + 1} must hold whole numbers in {least}..{most}. "
                f"Received: {values[pair, fold]} in pair {pair + 1} of fold {fold + 1}."
            )
    rows = table[:, :3].transpose(2, 0, 1).astype(int).tolist()
    return [[(f"{one:04d}", f"{other:04d}", same) for one, other, same in fold] for fold in rows]


def present(pairs, videos):
    """Tells the pairs whose videos are there from the others.

    Args:
        pairs: of `read_pairs`.
        videos: ids; a video is known by the last part of its id, as in "avi/0001".

    Returns:
        (kept, missing): the pairs of each fold with the ids as in `videos`; and
        (fold, pair, names of the videos that are not there) of each other pair, counted from 1.

    Raises:
        ValueError: two videos have the name of one sample.
    """
    known = {}
    for video in videos:
        name = video.rsplit("/", 1)[-1]
        if known.setdefault(name, video) != video and name.isdecimal():
            raise ValueError(f"a sample must be there once. Received: {known[name]} and {video}.")
    kept, missing = [], []
    for fold, these in enumerate(pairs, 1):
        kept.append([])
        for number, (first, second, same) in enumerate(these, 1):
            absent = [video for video in (first, second) if video not in known]
            if absent:
                missing.append((fold, number, absent))
            else:
                kept[-1].append((known[first], known[second], same))
    return kept, missing


@dataclasses.dataclass(frozen=True)
class Result:
    """What the folds gave.

    Attributes:
        accuracy: mean over the folds of the share of pairs that are told right.
        standard_error: of that mean: the folds' deviation (n - 1) over the root of their number.
        auc: area under the ROC curve of all test pairs, the folds' decision values put together.
        folds: accuracy of each fold.
        decisions: of each fold the SVM's values, above 0 for the same action.
    """

    accuracy: float
    standard_error: float
    auc: float
    folds: list
    decisions: list


def evaluate(found, pairs, C=1.0, seed=0):  # noqa: N803, the name that all use
    """Tests each fold with an SVM that was trained on all others.

    Args:
        found: a `features.Features`.
        pairs: of each fold (first, second, same): ids of `found`, and 0 or 1.
        C: inverse strength of the SVM's regularisation.
        seed: of its solver.

    Returns:
        A `Result`.

    Raises:
        ValueError: features below 0, an empty fold, or folds that hold one kind of pairs alone.
    """
    values = retrieval.unit(found.values)
    rows = {video: row for row, video in enumerate(found.videos)}
    places = [np.array([(rows[one], rows[other]) for one, other, _ in fold]) for fold in pairs]
    same = [np.array([kind for _, _, kind in fold], int) for fold in pairs]
    _check_folds(same)
    described = [pairwise.describe(values[fold[:, 0]], values[fold[:, 1]]) for fold in places]
    decisions = []
    for tested, these in enumerate(described):
        others = [number for number in range(len(same)) if number != tested]
        model = probe.classifier("svm", C=C, seed=seed)  # standardises, as section 4.4
        model.fit(
            np.concatenate([described[number] for number in others]),
            np.concatenate([same[number] for number in others]),
        )
        decisions.append(model.decision_function(these))
    told = zip(decisions, same, strict=True)
    accuracies = [float(np.mean((these > 0) == (kinds == 1))) for these, kinds in told]
    return Result(
        accuracy=float(np.mean(accuracies)),
        standard_error=float(np.std(accuracies, ddof=1) / np.sqrt(len(accuracies))),
        auc=float(metrics.roc_auc_score(np.concatenate(same), np.concatenate(decisions))),
        folds=accuracies,
        decisions=[values.tolist() for values in decisions],
    )


def _check_folds(same):
    for number, kinds in enumerate(same, 1):
        others = np.concatenate([part for place, part in enumerate(same, 1) if place != number])
        if not len(kinds) or len(np.unique(others)) < 2:
            raise ValueError(
                "each fold must hold pairs, and the others both kinds. Received: fold "
                f"{number} with {len(kinds)}, the others with {others.sum()} same of {len(others)}."
            )


def _paragraph(result, missing, found, flags):
    count = sum(map(len, result.decisions))
    left = f", {len(missing)} left out for want of a video" if missing else ""
    return (
        f"Action similarity (ASLAN, View 2): {count} pairs in {len(result.folds)} folds{left}; "
        f"{len(pairwise.SIMILARITIES)} similarities and distances of the two videos' features "
        "(scaled to length 1), each standardised over the training pairs; a linear SVM (squared "
        f"hinge, C = {flags.C:g}, seed {flags.seed}), leave one fold out. "
        f"{protocol.describe(found.facts)} Accuracy: "
        f"{result.accuracy:.1%}, standard error over folds {result.standard_error:.1%}; AUC of all "
        f"decision values {result.auc:.3f}."
    )
