"""Dynamic scenes: a linear SVM on the features of videos, leave one video out.

YUPENN holds 14 scenes of 30 videos (CVPR 2019, section 4.5); any labelled list will do. Features
are those of `similarity`: the fifth pool, unless `Sampling.pooling` says otherwise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tqdm

from mas import accuracy
from mas.checks import Settings, option, refuse
from mas.evaluate import inputs, report
from mas.evaluate.inputs import Classes, Inputs, Videos
from mas.evaluate.report import Result
from mas.evaluate.retrieval import unit
from mas.features import Features, Sampling

MOST_VIDEOS = 2000  # so many SVMs take a quarter of an hour, 420 some seconds


@dataclasses.dataclass(frozen=True)
class Scenes(Settings):
    """Tests each video with an SVM that was trained on all others, on overlapping clips.

    >>> values = [[1, 0], [3, 1], [2, 0], [0, 2], [1, 4], [0, 1]]
    >>> videos = ["sea/1", "sea/2", "sea/3", "fire/1", "fire/2", "fire/3"]
    >>> Scenes()(videos=Features(values, videos, [0, 0, 0, 1, 1, 1])).accuracy
    1.0
    """

    C: float = option(1.0, "Inverse of the SVM's regularisation, over the variance.", above=0)

    def __call__(
        self,
        source: Any = None,
        data: Any = None,
        videos: Videos = None,
        *,
        sampling: Sampling | None = None,
        random: bool = False,
        seed: int = 0,
        columns: str = "video,label",
        classes: Classes = None,
        cache: bool = True,
    ) -> Result:
        """Trains and tests.

        Args:
            source: as for `Probe`, with all that is not named here.
            data: as for `Probe`.
            videos: labelled videos, two or more of each class.
            sampling: as for `Probe`; the clips overlap in any case.
            random: as for `Probe`.
            seed: of the random weights.
            columns: as for `Probe`.
            classes: as for `Probe`.
            cache: as for `Probe`.

        Returns:
            A `Result` with `mean_class`, `per_class`, `confusion`, `classes` and `facts`.

        Raises:
            ValueError: the videos cannot be tested; before anything is extracted.
        """
        given = (source, data, sampling, random, seed, columns, cache)
        made = Inputs(*given, overlapping=True)
        (side,) = made.sides(videos=videos)
        check(side.labelled().labels)
        names = inputs.class_names(classes, side, source, int(side.labels.max()))
        found = side.features()
        predicted = leave_one_out(found, self.C)
        result = accuracy.of_choices(found.labels, predicted, len(names))
        numbers = {
            "accuracy": result.top1,
            "mean_class": result.mean_class,
            "classes": names,
            "per_class": result.per_class,
            "confusion": result.confusion,
            "C": self.C,
            "facts": found.facts,
            "settings": made.settings(self, videos=videos),
        }
        text = (
            f"Dynamic scenes: {side.said(found)} of {len(np.unique(found.labels))} classes, "
            "features scaled to length 1, a linear SVM (one against one; "
            f"C = {self.C:g} over their variance), leave one video out. "
            f"{report.describe(found.facts)} Accuracy: {result.top1:.1%}, mean over classes "
            f"{result.mean_class:.1%}."
        )
        rows = list(zip(found.videos, found.labels, predicted, strict=True))
        tables = {"predictions.csv": (("video", "label", "predicted"), rows)}
        return Result("scenes", result.top1, text, numbers, {"": (result, names)}, tables)


def check(labels: Sequence[int] | np.ndarray) -> None:
    """Refuses videos of which one cannot be left out.

    Raises:
        ValueError: a class has one video alone, or there are more than `MOST_VIDEOS`.
    """
    if len(labels) > MOST_VIDEOS:
        allowed = f"at most {MOST_VIDEOS} in number, as each is left out once (or take Probe)"
        refuse("videos", allowed, len(labels))
    classes, sizes = np.unique(labels, return_counts=True)
    if sizes.min() < 2:
        raise ValueError(
            "every class must have two videos or more. "
            f"Received: one of label {classes[sizes.argmin()]}."
        )


def leave_one_out(found: Features, C: float = 1.0) -> np.ndarray:
    """The class that each video gets from a linear SVM that was trained on all others.

    By the inner products of all videos, which are taken once: 420 videos take seconds, where an
    SVM in the space of the features takes minutes.

    Unit features that lie close together (cosines near 1) leave an SVM of fixed C at its bias,
    which follows the sizes of the classes; and a class that lacks the tested video is the smaller
    one, so that not a single video is told right. C is therefore meant for features whose mean
    squared distance from their mean is 1, which is a matter of scale alone: no direction gains.
    The paper does not tell its C.

    Args:
        found: with labels.
        C: inverse strength of the SVM's regularisation, for features of variance 1 in all.

    Returns:
        int64 (videos,).

    Raises:
        ValueError: as `check`.
    """
    from sklearn import svm

    labels, count = found.labels, len(found.videos)
    check(labels)
    values = unit(found.values).astype(np.float64)
    products = values @ values.T
    predicted = np.empty(count, np.int64)
    for left in tqdm.trange(count, desc="leave one out", unit="video"):
        others = np.arange(count) != left
        inner = products[others][:, others]
        model = svm.SVC(C=C / _variance(inner), kernel="precomputed").fit(inner, labels[others])
        predicted[left] = model.predict(products[left, others][None])[0]
    return predicted


def _variance(products):
    """Mean squared distance from the mean, from inner products (n, n); above 0."""
    return max(products.diagonal().mean() - products.mean(), 1e-9)
