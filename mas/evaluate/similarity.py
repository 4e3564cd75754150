"""Action similarity: whether two videos show the same action. ASLAN, View 2 (CVPR 2019, 4.4).

A video's features are the mean over its overlapping clips, scaled to length 1. The paper says
"features from the last conv layer"; here they are C3D's fifth pooling, flattened, unless
`Sampling.pooling` is set, and the result names them.

Each pair is described by twelve similarities and distances, standardised over the training pairs; a
linear SVM decides whether the actions are the same. There are ten folds with different actions:
each is tested by an SVM trained on the other nine.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import numpy as np
from absl import logging

from mas import lists
from mas.checks import Settings, option
from mas.evaluate import pairs as pairs_of
from mas.evaluate import report
from mas.evaluate.classifiers import classifier
from mas.evaluate.inputs import Inputs, Videos
from mas.evaluate.pairs import Pairs
from mas.evaluate.report import Result
from mas.evaluate.retrieval import unit
from mas.features import Features, Sampling
from mas.files import PathLike


@dataclasses.dataclass(frozen=True)
class Similarity(Settings):
    """Tests each fold of ASLAN's pairs with an SVM trained on all others.

        mas.evaluate.Similarity()(run, data, aslan="aslan").auc

    >>> Similarity(C=0.5).C
    0.5
    """

    C: float = option(1.0, "Inverse regularisation strength of the SVM.", above=0)

    def __call__(
        self,
        source: Any = None,
        data: Any = None,
        videos: Features | str | os.PathLike | None = None,
        *,
        aslan: PathLike,
        sampling: Sampling | None = None,
        random: bool = False,
        seed: int = 0,
        cache: bool = True,
    ) -> Result:
        """Trains and tests an SVM for each fold.

        Args:
            source: as in `Probe`.
            data: as in `Probe`.
            videos: features of the videos, or the path of their .npz file; None extracts the
                features of all videos in the pairs.
            aslan: folder that contains View2.mat.
            sampling: as in `Probe`, but the clips always overlap. With `allow_failures`, pairs
                with a missing video are skipped.
            random: as in `Probe`.
            seed: seed of the random weights and of the SVM's solver.
            cache: as in `Probe`.

        Returns:
            A `Result` with `standard_error`, `auc`, `folds` (accuracy of each), `decisions`,
            `missing` and `facts`.

        Raises:
            OSError: If there is no such file.
            ValueError: If the file has other contents, or a pair lacks a video.
        """
        path = pairs_of.find(aslan)
        pairs = pairs_of.read(path)
        made = Inputs(source, data, sampling, random, seed, cache=cache, overlapping=True)
        given: Videos = videos
        if videos is None:
            kept = self._kept(pairs, made.data.videos, made, path)[0]
            names = sorted({video for fold in kept for *both, _ in fold for video in both})
            if not names:
                raise ValueError(f"data must contain a pair of {path}. Received: none.")
            given = [lists.Entry(name) for name in names]
        (side,) = made.sides(videos=given)
        kept, _ = self._kept(pairs, side.videos, made, path)
        pairs_of.check(kept)
        found = side.features()
        kept, missing = self._kept(pairs, found.videos, made, path)
        if missing:
            logging.warning("Skipping %s.", pairs_of.count(missing))
        numbers = evaluate(found, kept, self.C, seed)
        rows = [
            (fold, *pair, f"{decision:.6f}")
            for fold, (these, decisions) in enumerate(
                zip(kept, numbers["decisions"], strict=True), 1
            )
            for pair, decision in zip(these, decisions, strict=True)
        ]
        settings = made.settings(self, videos=videos) | {"aslan": os.fspath(aslan)}
        numbers |= {"missing": missing, "C": self.C, "seed": seed, "facts": found.facts}
        numbers["settings"] = settings
        tables = {"pairs.csv": (("fold", "first", "second", "same", "decision"), rows)}
        text = self._paragraph(numbers, len(rows), found.facts)
        return Result("similarity", numbers["accuracy"], text, numbers, tables=tables)

    def _kept(self, pairs, videos, made, path):
        """Calls `pairs.present`; raises ValueError for missing videos unless allowed."""
        kept, missing = pairs_of.present(pairs, videos)
        if missing and not made.sampling.allow_failures:
            raise ValueError(
                f"every pair of {path} must have both videos, unless allow_failures is true. "
                f"Received: {pairs_of.count(missing)}."
            )
        return kept, missing

    def _paragraph(self, numbers, count, facts):
        missing = len(numbers["missing"])
        left = f", {missing} skipped without their videos" if missing else ""
        return (
            f"Action similarity (ASLAN, View 2): {count} pairs in {len(numbers['folds'])} folds"
            f"{left}; {len(SIMILARITIES)} similarities and distances of the two videos' features "
            "(scaled to length 1), each standardised over the training pairs; a linear SVM "
            f"(squared hinge, C = {self.C:g}, seed {numbers['seed']}), leaving one fold out at a "
            f"time. {report.describe(facts)} Accuracy: {numbers['accuracy']:.1%}, standard error "
            f"over folds {numbers['standard_error']:.1%}; AUC over all pairs {numbers['auc']:.3f}."
        )


def evaluate(found: Features, pairs: Pairs, C: float = 1.0, seed: int = 0) -> dict[str, Any]:
    """Tests each fold with an SVM trained on all others.

    Args:
        found: non-negative features.
        pairs: for each fold, tuples (first, second, same): ids in `found`, and 0 or 1.
        C: inverse regularisation strength of the SVM.
        seed: seed of its solver.

    Returns:
        accuracy: mean accuracy of the folds; standard_error: of that mean (deviation with n - 1,
        over the root of the number of folds); auc: area under the ROC curve of all decision values
        together; folds: accuracy of each; decisions: for each fold the SVM's decision values,
        above 0 for the same action.

    Raises:
        ValueError: If features are negative, or as `pairs.check`.
    """
    from sklearn import metrics

    values = unit(found.values)
    rows = {video: row for row, video in enumerate(found.videos)}
    places = [np.array([(rows[one], rows[other]) for one, other, _ in fold]) for fold in pairs]
    same = [np.array([kind for _, _, kind in fold], int) for fold in pairs]
    pairs_of.check(pairs)
    described = [describe(values[fold[:, 0]], values[fold[:, 1]]) for fold in places]
    decisions = []
    for tested, these in enumerate(described):
        others = [number for number in range(len(same)) if number != tested]
        model = classifier("svm", C=C, seed=seed)  # standardises, as in section 4.4
        model.fit(
            np.concatenate([described[number] for number in others]),
            np.concatenate([same[number] for number in others]),
        )
        decisions.append(model.decision_function(these))
    told = zip(decisions, same, strict=True)
    folds = [float(np.mean((these > 0) == (kinds == 1))) for these, kinds in told]
    return {
        "accuracy": float(np.mean(folds)),
        "standard_error": float(np.std(folds, ddof=1) / np.sqrt(len(folds))),
        "auc": float(metrics.roc_auc_score(np.concatenate(same), np.concatenate(decisions))),
        "folds": folds,
        "decisions": [values.tolist() for values in decisions],
    }


def _share(numerator, denominator):
    """Quotient with 0 / 0 = 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)


def _length(x):
    return np.linalg.norm(x, axis=1)


# Functions from non-negative float (pairs, D) to (pairs,), after the ASLAN paper (T-PAMI 2012,
# Table 3), from memory.
SIMILARITIES = {
    "product": lambda x, y: (x * y).sum(1),
    "root_product": lambda x, y: np.sqrt((x * y).sum(1)),
    "bhattacharyya": lambda x, y: np.sqrt(np.sqrt(x * y).sum(1)),
    "harmonic": lambda x, y: np.sqrt(_share(x * y, x + y).sum(1)),
    "cosine": lambda x, y: _share((x * y).sum(1), _length(x) * _length(y)),
    "city_block": lambda x, y: np.abs(x - y).sum(1),
    "root_city_block": lambda x, y: np.sqrt(np.abs(x - y).sum(1)),
    "squared_euclidean": lambda x, y: np.square(x - y).sum(1),
    "euclidean": lambda x, y: np.sqrt(np.square(x - y).sum(1)),
    "hellinger": lambda x, y: np.sqrt(np.square(np.sqrt(x) - np.sqrt(y)).sum(1)),
    "chi_square": lambda x, y: _share(np.square(x - y), x + y).sum(1),
    "intersection": lambda x, y: _share(np.minimum(x, y).sum(1), np.maximum(x, y).sum(1)),
}


def describe(x: Any, y: Any) -> np.ndarray:
    """Computes the twelve similarities and distances of pairs.

    >>> describe([[1, 0]], [[0, 1]])[0, 5:9].tolist()  # city block, its root, Euclidean squared
    [2.0, 1.4142135623730951, 2.0, 1.4142135623730951]

    Args:
        x: non-negative features of the first videos, float (pairs, D).
        y: the same for the second videos.

    Returns:
        float64 (pairs, 12), in the order of `SIMILARITIES`.

    Raises:
        ValueError: If a value is negative, since roots are used.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    least = min(x.min(), y.min())
    if least < 0:
        raise ValueError(
            "features must be 0 or more, as from a network that ends with a ReLU. "
            f"Received: {least:.4g}."
        )
    return np.stack([function(x, y) for function in SIMILARITIES.values()], axis=1)
