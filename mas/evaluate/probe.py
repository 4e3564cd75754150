"""Probes: a simple classifier on frozen features."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from absl import logging

from mas import accuracy, lists
from mas.checks import Settings, option, refuse
from mas.evaluate import inputs, report
from mas.evaluate.classifiers import (
    CLASSIFIERS,
    Fold,
    check,
    classifier,
    fit_predict,
    groups,
    leave_one_out,
)
from mas.evaluate.inputs import Classes, Inputs, Videos
from mas.evaluate.report import Result
from mas.features import Sampling

_WORDS = {
    "linear": "logistic regression (C = {C:g}) on standardised features",
    "svm": "a linear SVM (C = {C:g}, seed {seed}) on standardised features",
    "knn": "the {k} nearest neighbours by cosine distance",
}


@dataclasses.dataclass(frozen=True)
class Probe(Settings):
    r"""Trains a classifier on frozen features and tests it, or leaves one group out at a time.

    >>> from mas.features import Features
    >>> values = [[1, 0], [0, 1], [2, 0.1], [0.1, 3], [5, 0], [0, 4]]
    >>> videos = ["run/ann_1", "walk/ann_1", "run/bob_1", "walk/bob_1", "run/cy_1", "walk/cy_1"]
    >>> found = Features(values, videos, [0, 1, 0, 1, 0, 1])
    >>> result = Probe("knn", groups=r"/(\w+?)_")(videos=found)
    >>> result.accuracy, result.folds
    (1.0, {'ann': 1.0, 'bob': 1.0, 'cy': 1.0})
    """

    classifier: str = option(
        "linear",
        "Classifier: logistic regression (linear) or a linear SVM (svm) on standardised features, "
        "or nearest neighbours by cosine (knn).",
        choices=CLASSIFIERS,
    )
    groups: str | None = option(
        None,
        "Leave one group out at a time; a video's group is what the first capture group of this "
        "expression matches in its id.",
    )
    k: int = option(1, "Number of neighbours for knn.", least=1)
    C: float = option(1.0, "Inverse regularisation strength of linear and svm.", above=0)
    whiten: int = option(
        0,
        "Whiten the features to this many dimensions, by a PCA of the training videos; 0: no "
        "whitening.",
        least=0,
    )

    def __post_init__(self):
        """Checks that settings belong to the classifier."""
        super().__post_init__()
        name, default = ("C", 1) if self.classifier == "knn" else ("k", 1)
        if getattr(self, name) != default:
            allowed = f"left out with classifier={self.classifier}"
            refuse(name, allowed, getattr(self, name))

    def __call__(
        self,
        source: Any = None,
        data: Any = None,
        videos: Videos = None,
        *,
        test: Videos = None,
        sampling: Sampling | None = None,
        random: bool = False,
        seed: int = 0,
        columns: str = "video,label",
        classes: Classes = None,
        cache: bool = True,
    ) -> Result:
        """Trains and tests the classifier.

        Args:
            source: `mas.Run`, run folder or .keras file; None with features.
            data: result of `mas.prepare_videos` or `mas.open_data`, or the folder; None with
                features.
            videos: labelled training videos, or all videos with `groups`: path of a list,
                `lists.Entry`, a `mas.features.Features` or the path of its .npz file.
            test: labelled test videos, in the same forms; None with `groups`.
            sampling: which clips of a video to use; by default ten.
            random: whether to replace the learned weights by random ones.
            seed: seed of the random weights and of the SVM's solver.
            columns: columns of the lists, or the name of a preset.
            classes: names in label order, or a file of them; by default those next to the list or
                in the run.
            cache: whether to keep the features in the user's cache folder.

        Returns:
            A `Result` with `mean_class`, `folds` ({group: accuracy}), `standard_deviation`,
            `per_class`, `confusion`, `classes`, `split`, `facts` and `train_facts`.

        Raises:
            ValueError: If lists, labels and settings do not fit together; this is checked before
                features are extracted, if possible.
        """
        if (self.groups is None) == (test is None):
            refuse("test", "given without groups, and None with groups", test)
        given = {"videos": videos} if test is None else {"videos": videos, "test": test}
        made = Inputs(source, data, sampling, random, seed, columns, cache)
        sides = [
            side.labelled(1 if name == "test" else 2)
            for name, side in zip(given, made.sides(**given), strict=True)
        ]
        train, tested = sides[0], sides[-1]
        highest = int(max(side.labels.max() for side in sides))
        names = inputs.class_names(classes, train, source, highest)
        settings = made.settings(self, **given)
        if self.groups is None:
            check(train.labels, tested.videos, tested.labels, self.k, self.whiten)
            _warn_of_overlap(train.videos, tested.videos)
            known = [side.features() for side in sides]
            inputs.check_alike(known[0], known[1], (train.name, tested.name))
            folds = [self._one_split(known[0], known[1], seed)]
            split = (
                f"trained on {train.described(known[0])}, tested on {tested.described(known[1])}"
            )
        else:
            self._check_groups(train.videos, train.labels)
            known = [train.features()]
            of = groups(known[0].videos, self.groups)
            folds = leave_one_out(known[0], of, self._maker(seed), self.whiten)
            split = (
                f"{train.described(known[0])}, leaving one of {len(folds)} groups out at a time "
            )
            split += f"(groups: {self.groups})"
        numbers = {"seed": seed, "split": split, "settings": settings}
        return self._result(known, folds, names, numbers)

    def _maker(self, seed):
        return lambda: classifier(self.classifier, self.k, self.C, seed)

    def _one_split(self, train, tested, seed):
        given = train.values, train.labels, tested
        predicted = fit_predict(self._maker(seed), *given, self.whiten)
        return Fold("test", np.arange(len(tested.videos)), predicted)

    def _check_groups(self, videos, labels):
        """Runs `check` on each fold."""
        names = np.array(groups(videos, self.groups))
        for name in np.unique(names):
            inside = names == name
            tested = [video for video, there in zip(videos, inside, strict=True) if there]
            check(labels[~inside], tested, labels[inside], self.k, self.whiten)

    def _result(self, known, folds, names, numbers):
        train, tested = known[0], known[-1]
        rows = np.concatenate([fold.tested for fold in folds])
        predicted = np.concatenate([fold.predicted for fold in folds])
        found = accuracy.of_choices(tested.labels[rows], predicted, len(names))
        shares = {f.name: float(np.mean(f.predicted == tested.labels[f.tested])) for f in folds}
        of = [fold.name for fold in folds for _ in fold.tested]
        table = [
            (tested.videos[row], tested.labels[row], label, group)
            for row, label, group in zip(rows, predicted, of, strict=True)
        ]
        text = self._paragraph(found, shares, train.facts, tested.facts, numbers)
        numbers = {
            "accuracy": found.top1,
            "mean_class": found.mean_class,
            "folds": shares,
            "standard_deviation": float(np.std(list(shares.values()))),
            "classes": names,
            "per_class": found.per_class,
            "confusion": found.confusion,
            "classifier": self.classifier,
            "k": self.k,
            "C": self.C,
            "whiten": self.whiten,
            **numbers,
            "facts": tested.facts,
            "train_facts": train.facts,
        }
        header = ("video", "label", "predicted", "group")
        tables = {"predictions.csv": (header, table)}
        return Result("probe", found.top1, text, numbers, {"": (found, names)}, tables)

    def _paragraph(self, found, shares, train, tested, numbers):
        how = _WORDS[self.classifier].format(k=self.k, C=self.C, seed=numbers["seed"])
        how = how.replace("the 1 nearest neighbours", "the nearest neighbour")
        how += report.whitened(self.whiten, "the training videos")
        ours, theirs = report.describe(tested), report.describe(train)
        text = f"Probe: {how}; {numbers['split']}. {ours} "
        text += f"For the training videos: {theirs} " if theirs != ours else ""
        text += f"Accuracy: {found.top1:.1%}, mean over classes {found.mean_class:.1%}"
        if len(shares) > 1:
            mean, spread = np.mean(list(shares.values())), np.std(list(shares.values()))
            text += f"; mean over groups {mean:.1%}, standard deviation {spread:.1%}"
        return f"{text}."


def _warn_of_overlap(train, tested):
    both = set(train) & set(tested)
    if both:
        count = lists.counted(len(both), "test video")
        logging.warning("The training list contains %s, such as %s.", count, min(both))
