"""Dynamic scenes: a linear SVM on video features, leaving one video out at a time.

YUPENN has 14 scenes with 30 videos each (CVPR 2019, section 4.5); any labelled list works.
Features are those of `similarity`: pool5, unless `Sampling.pooling` is set.
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

MOST_VIDEOS = 2000  # 2000 SVMs take a quarter of an hour, 420 a few seconds


@dataclasses.dataclass(frozen=True)
class Scenes(Settings):
    """Tests each video with an SVM trained on all others, on overlapping clips.

    >>> values = [[1, 0], [3, 1], [2, 0], [0, 2], [1, 4], [0, 1]]
    >>> videos = ["sea/1", "sea/2", "sea/3", "fire/1", "fire/2", "fire/3"]
    >>> Scenes()(videos=Features(values, videos, [0, 0, 0, 1, 1, 1])).accuracy
    1.0
    """

    C: float = option(
        1.0,
        "Inverse regularisation strength of the SVM, for features of total variance 1.",
        above=0,
    )

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
        """Trains and tests an SVM for each video.

        Args:
            source: as in `Probe`.
            data: as in `Probe`.
            videos: labelled videos, two or more of each class.
            sampling: as in `Probe`, but the clips always overlap.
            random: as in `Probe`.
            seed: seed of the random weights.
            columns: as in `Probe`.
            classes: as in `Probe`.
            cache: as in `Probe`.

        Returns:
            A `Result` with `mean_class`, `per_class`, `confusion`, `classes` and `facts`.

        Raises:
            ValueError: If videos and labels cannot be tested; checked before extraction.
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
            f"Dynamic scenes: {side.described(found)} of {len(np.unique(found.labels))} classes; "
            "a linear SVM on features scaled to length 1 (one against one; "
            f"C = {self.C:g} over their variance), leaving one video out at a time. "
            f"{report.describe(found.facts)} Accuracy: {result.top1:.1%}, mean over classes "
            f"{result.mean_class:.1%}."
        )
        rows = list(zip(found.videos, found.labels, predicted, strict=True))
        tables = {"predictions.csv": (("video", "label", "predicted"), rows)}
        return Result("scenes", result.top1, text, numbers, {"": (result, names)}, tables)


def check(labels: Sequence[int] | np.ndarray) -> None:
    """Checks that each video can be left out.

    Raises:
        ValueError: If a class has only one video, or there are more than `MOST_VIDEOS`.
    """
    if len(labels) > MOST_VIDEOS:
        allowed = f"at most {MOST_VIDEOS} in number, since each is left out once (or use Probe)"
        refuse("videos", allowed, len(labels))
    classes, sizes = np.unique(labels, return_counts=True)
    if sizes.min() < 2:
        raise ValueError(
            "every class must have two videos or more. "
            f"Received: one video of label {classes[sizes.argmin()]}."
        )


def leave_one_out(found: Features, C: float = 1.0) -> np.ndarray:
    """Predicts the class of each video with a linear SVM trained on all others.

    It uses a precomputed kernel: 420 videos take seconds, instead of minutes with an SVM on the
    features themselves.

    C is divided by the variance of the features, so it applies to features whose mean squared
    distance from their mean is 1. With a fixed C and unit features that are close together (cosines
    near 1), the SVM's bias decides and favours the larger class. The tested video's class is
    smaller by that video, so every prediction would be wrong. The paper does not give its C.

    Args:
        found: features with labels.
        C: inverse regularisation strength of the SVM, for features of total variance 1.

    Returns:
        Predicted labels, int64 (videos,).

    Raises:
        ValueError: As `check`.
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
    """Mean squared distance from the mean, computed from inner products (n, n); above 0."""
    return max(products.diagonal().mean() - products.mean(), 1e-9)
