"""Clusters of clips: k-means on vectors of length 1, with cosine similarity."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from mas import lazy
from mas.checks import refuse

if TYPE_CHECKING:
    from sklearn import cluster as methods
    from sklearn import exceptions
else:
    exceptions = lazy.module("sklearn.exceptions")
    methods = lazy.module("sklearn.cluster")

threadpoolctl = lazy.module("threadpoolctl")  # comes with scikit-learn

MOST_FITTED = 100_000  # the most clips to fit centres on; every clip is assigned to a centre
BATCH = 4096  # clips per update of mini-batch k-means, which fits more clips than that
STARTS = 10  # initializations, of which the best is kept
BLOCK = 8192  # clips assigned at a time


@dataclasses.dataclass(frozen=True, eq=False)
class Clusters:
    """Clusters of clips, the largest first.

    Attributes:
        labels: int (n,), the cluster of each clip, from 0.
        cosines: float32 (n,), the cosine of each clip and the centre of its cluster.
        centres: float32 (K, D) of length 1.
    """

    labels: np.ndarray
    cosines: np.ndarray
    centres: np.ndarray

    def __len__(self) -> int:
        """Number of clusters; each has at least one clip."""
        return len(self.centres)

    def rows(self, number: int) -> np.ndarray:
        """Rows of the clips of a cluster, nearest to its centre first."""
        rows = np.flatnonzero(self.labels == number)
        return rows[np.argsort(-self.cosines[rows], kind="stable")]

    def shown(
        self, number: int, videos: np.ndarray, typical: int, odd: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Picks the most typical and the oddest clips of a cluster.

        It picks at most one clip per video, unless there are too few videos.

        Args:
            number: the cluster.
            videos: int (n,), the video of each clip.
            typical: number of clips nearest to the centre.
            odd: number of clips farthest from the centre; fewer if the cluster is too small.

        Returns:
            Rows of the typical clips, nearest first, and of the odd clips, farthest first.
        """
        rows = self.rows(number)
        near = _one_per_video_first(rows, videos)[:typical]
        others = rows[~np.isin(rows, near)][::-1]
        return near, _one_per_video_first(others, videos)[:odd]


def _one_per_video_first(rows, videos):
    """Moves the first clip of each video to the front and keeps the order otherwise."""
    first = np.zeros(len(rows), bool)
    first[np.unique(videos[rows], return_index=True)[1]] = True
    return np.concatenate([rows[first], rows[~first]])


def cluster(unit: Any, count: int, seed: int = 0) -> Clusters:
    """Clusters clips with scikit-learn's k-means, by mini-batches (Sculley, 2010) if many.

    The centres are scaled to length 1, and each clip is assigned to the centre with the largest
    cosine. The same vectors and seed give the same clusters with the same scikit-learn.

    Args:
        unit: float (n, D), vectors of length 1, in memory or mapped from a file, which is read in
            blocks.
        count: number of clusters, at most n; fewer remain if clips are identical.
        seed: random seed of the choice of `MOST_FITTED` clips and of the initial centres.

    Raises:
        ValueError: If `count` is below 1 or above the number of clips.
    """
    if not 1 <= count <= len(unit):
        refuse("clusters", f"in 1..{len(unit)}, the number of clips", count)
    centres = _fitted(unit, count, seed)
    labels, cosines = np.zeros(len(unit), np.int64), np.zeros(len(unit), np.float32)
    for first in range(0, len(unit), BLOCK):
        found = np.asarray(unit[first : first + BLOCK], np.float32) @ centres.T
        block = slice(first, first + len(found))
        labels[block], cosines[block] = found.argmax(axis=1), found.max(axis=1)
    sizes = np.bincount(labels, minlength=count)
    order = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]
    places = np.zeros(count, np.int64)
    places[order] = np.arange(len(order))
    return Clusters(places[labels], np.minimum(cosines, 1), centres[order])


def _fitted(unit, count, seed):
    """float32 (count, D) of length 1."""
    rows = np.arange(len(unit))
    if len(rows) > MOST_FITTED:
        drawn = np.random.default_rng(seed).choice(rows, MOST_FITTED, replace=False)
        rows = np.sort(drawn)
    values = np.asarray(unit[rows], np.float32)
    options = {"n_init": STARTS, "max_iter": 300, "random_state": seed}
    if len(values) > BATCH:
        method = methods.MiniBatchKMeans(count, batch_size=BATCH, **options)
    else:  # as fast, and often better: mini-batches finish only the best start
        method = methods.KMeans(count, **options)
    # With several threads the order of additions, and so the result, would vary.
    with threadpoolctl.threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", exceptions.ConvergenceWarning)  # identical clips
        centres = method.fit(values).cluster_centers_
    lengths = np.linalg.norm(centres, axis=1, keepdims=True)
    return (centres / np.where(lengths > 0, lengths, 1)).astype(np.float32)
