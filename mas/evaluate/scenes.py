"""Dynamic scenes: a linear SVM on the features of videos, leave one video out.

YUPENN holds 14 scenes of 30 videos (CVPR 2019, section 4.5); any labelled list will do.
"""

import dataclasses

import numpy as np
import tqdm
from absl import logging
from sklearn import svm

from mas import files
from mas.evaluate import action, features, protocol, retrieval

NEEDED = ("list",)
OPTIONAL = ("classes", "C", "output", *(name for name in features.FLAGS if name != "clips"))

MOST_VIDEOS = 2000  # so many SVMs take a quarter of an hour, 420 some seconds


def run(flags):
    """Tests every video; writes scenes.json, .txt, predictions.csv, per_class.csv, confusion.*."""
    settings, folder = None, protocol.folder(flags, "scenes")
    features.check_source(flags, flags.list)
    if not features.is_file(flags.list):
        settings = dataclasses.replace(features.settings(flags), how="overlapping")
    found = features.labelled(features.of_flags(flags, flags.list, settings), flags.list)
    names = action.class_names(flags.classes, int(np.max(found.labels)))
    predicted = leave_one_out(found, flags.C)
    result = action.tally(found.labels, predicted, len(names))
    paragraph = (
        f"Dynamic scenes: {len(found.videos)} videos of {len(np.unique(found.labels))} classes "
        f"({flags.list}), features scaled to length 1, a linear SVM (one against one; "
        f"C = {flags.C:g} over their variance), leave one video out. "
        f"{protocol.describe(found.facts)} Accuracy: {result.top1:.1%}, mean over classes "
        f"{result.mean_class:.1%}."
    )
    numbers = {"accuracy": result.top1, "mean_class": result.mean_class, "classes": names}
    numbers |= {"per_class": result.per_class, "confusion": result.confusion}
    numbers |= {"C": flags.C, "facts": found.facts}
    folder.mkdir(parents=True, exist_ok=True)
    action.write(result, names, folder)
    rows = zip(found.videos, found.labels, predicted, strict=True)
    files.write_csv(folder / "predictions.csv", ("video", "label", "predicted"), rows)
    logging.info("%s", "\n".join(action.rows(result, names)))
    protocol.write(folder, "scenes", paragraph, numbers)


def leave_one_out(found, C=1.0):  # noqa: N803, the name that all use
    """The class that each video gets from a linear SVM that was trained on all others.

    By the inner products of all videos, which are taken once: 420 videos take seconds, where an
    SVM in the space of the features takes minutes.

    Unit features that lie close together (cosines near 1) leave an SVM of fixed C at its bias,
    which follows the sizes of the classes; and a class that lacks the tested video is the smaller
    one, so that not a single video is told right. C is therefore meant for features whose mean
    squared distance from their mean is 1, which is a matter of scale alone: no direction gains.
    The paper does not tell its C.

    Args:
        found: a `features.Features`, with labels.
        C: inverse strength of the SVM's regularisation, for features of variance 1 in all.

    Returns:
        int64 (videos,).

    Raises:
        ValueError: a class has one video alone, or there are more than `MOST_VIDEOS`.
    """
    labels, count = np.asarray(found.labels), len(found.videos)
    if count > MOST_VIDEOS:
        raise ValueError(
            f"videos must be at most {MOST_VIDEOS}, as each is left out once (or the kind probe). "
            f"Received: {count}."
        )
    classes, sizes = np.unique(labels, return_counts=True)
    if sizes.min() < 2:
        raise ValueError(
            "every class must have two videos or more. "
            f"Received: one of label {classes[sizes.argmin()]}."
        )
    values = retrieval.unit(found.values).astype(np.float64)
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
