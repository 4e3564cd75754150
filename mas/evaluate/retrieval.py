"""Retrieval: whether one of a query's nearest videos has its class.

The protocol of most tables since VCOP (CVPR 2019): 10 clips per video; test videos query the
training videos by cosine distance; a hit if one of the k nearest has the query's class.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging

from mas import lazy, lists
from mas.checks import Settings, option
from mas.evaluate import inputs, report
from mas.evaluate.inputs import Classes, Inputs, Videos
from mas.evaluate.report import Result
from mas.features import Features, Sampling, check_whiten, whitening

tf = lazy.module("tensorflow")

BLOCK = 2**24  # similarities of queries and gallery in memory at a time, 64 MiB
NAMED = 10  # neighbours per query in neighbours.csv
COLUMNS = ("query", "query_label", "rank", "neighbour", "neighbour_label", "similarity")


@dataclasses.dataclass(frozen=True)
class Retrieval(Settings):
    """Searches a gallery for the nearest videos of each query.

    >>> gallery = Features([[1, 0], [0, 1], [3, 1]], ["run/1", "walk/1", "run/2"], [0, 1, 0])
    >>> queries = Features([[2, 1]], ["run/3"], [0])
    >>> result = Retrieval(top=(1, 2))(videos=gallery, queries=queries)
    >>> result.accuracy, result.recall
    (1.0, {1: 1.0, 2: 1.0})
    """

    top: tuple[int, ...] = option(
        (1, 5, 10, 20, 50), "Values of k: a hit if one of the k nearest has the class.", least=1
    )
    whiten: int = option(
        0,
        "Whiten the features to this many dimensions, by a PCA of the gallery; 0: no whitening.",
        least=0,
    )

    def __post_init__(self):
        """Sorts `top`."""
        super().__post_init__()
        object.__setattr__(self, "top", tuple(sorted(set(self.top))) or (1,))

    def __call__(
        self,
        source: Any = None,
        data: Any = None,
        videos: Videos = None,
        *,
        queries: Videos = None,
        sampling: Sampling | None = None,
        random: bool = False,
        seed: int = 0,
        columns: str = "video,label",
        classes: Classes = None,
        cache: bool = True,
    ) -> Result:
        """Searches the gallery for each query.

        Args:
            source: as in `Probe`.
            data: as in `Probe`.
            videos: the gallery: labelled videos to search.
            queries: labelled query videos; by default those of the gallery. A query is never its
                own neighbour.
            sampling: as in `Probe`.
            random: as in `Probe`.
            seed: seed of the random weights.
            columns: as in `Probe`.
            classes: as in `Probe`.
            cache: as in `Probe`.

        Returns:
            A `Result` whose accuracy is that of the smallest k; with `recall` and `chance` ({k:
            share}), `per_class` ({label: {k: share}}), `own` (number of queries in the gallery),
            `gallery`, `queries` and `classes`.

        Raises:
            ValueError: If the videos cannot be compared.
        """
        queries = videos if queries is None else queries
        made = Inputs(source, data, sampling, random, seed, columns, cache)
        gallery, asking = made.sides(videos=videos, queries=queries)
        gallery.labelled(2), asking.labelled(1)
        self._cut(gallery, asking, say=True)
        check_whiten(self.whiten, len(gallery.videos))
        names = inputs.class_names(
            classes, gallery, source, int(max(gallery.labels.max(), asking.labels.max()))
        )
        known = (gallery.features(), asking.features())
        inputs.check_alike(*known, (gallery.name, asking.name))
        known = self._whitened(*known)
        top = self._cut(*known)
        found = nearest(*known, max(*top, NAMED))
        recalls, chances = recall(found, *known, top), chance(found, *known, top)
        numbers = {
            "recall": recalls,
            "chance": chances,
            "own": int((found.own >= 0).sum()),
            "per_class": per_class(found, *known, top),
            "gallery": _facts(gallery, known[0]),
            "queries": _facts(asking, known[1]),
            "classes": names,
            "whiten": self.whiten,
            "settings": made.settings(self, videos=videos, queries=queries),
        }
        tables = {
            "recall.csv": (
                ("k", "accuracy", "chance"),
                [(k, f"{recalls[k]:.6f}", f"{chances[k]:.6f}") for k in top],
            ),
            "neighbours.csv": (COLUMNS, neighbours(found, *known)),
        }
        text = _paragraph(numbers, (asking, gallery), known[::-1])
        return Result("retrieval", recalls[top[0]], text, numbers, tables=tables)

    def _whitened(self, gallery: Features, queries: Features) -> tuple[Features, Features]:
        if not self.whiten:
            return gallery, queries
        fitted = whitening(gallery.values, self.whiten)

        def of(side):
            values = fitted.transform(np.asarray(side.values, np.float64))
            return dataclasses.replace(side, values=values)

        return of(gallery), of(queries)

    def _cut(self, gallery, queries, say=False):
        """The values of k, limited to the size of the gallery."""
        most = len(gallery.videos) - bool(set(gallery.videos) & set(queries.videos))
        top = tuple(sorted({min(k, most) for k in self.top}))
        if say and top != self.top:
            logging.warning("Reducing top to %d, the number of other gallery videos.", most)
        return top


@dataclasses.dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest videos of each query.

    Attributes:
        places: int (queries, k), rows of the gallery, nearest first; ties by row.
        similarities: float32 (queries, k), cosines.
        own: int (queries,), row of the query itself in the gallery, which is excluded from its
            neighbours; -1 if it is not there.
    """

    places: np.ndarray
    similarities: np.ndarray
    own: np.ndarray


def unit(values: Any) -> np.ndarray:
    """Scales rows to length 1, as float32; rows of zeros are kept, so their cosines are 0."""
    values = np.asarray(values, np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    if not lengths.all():
        count = lists.counted(int((lengths == 0).sum()), "video")
        logging.warning("All features are zero for %s.", count)
    return (values / np.where(lengths, lengths, 1)).astype(np.float32)


def nearest(gallery: Features, queries: Features, k: int) -> Neighbours:
    """Finds the k nearest gallery videos of each query by cosine, other than the query itself.

    It works in blocks of queries, so memory does not grow with their number. TensorFlow on the CPU
    takes 0.6 of the time of NumPy's argpartition and half of scikit-learn's
    (benchmarks/retrieval.py), and breaks ties by row.

    Args:
        gallery: features to search.
        queries: features of the same dimensions.
        k: number of neighbours, at most as many as the gallery has.
    """
    rows = {video: row for row, video in enumerate(gallery.videos)}
    own = np.array([rows.get(video, -1) for video in queries.videos])
    k = min(k, len(rows) - bool((own >= 0).any()))
    count = min(k + 1, len(rows))  # one more, since the query itself may be among them
    places, similarities = search(unit(gallery.values), unit(queries.values), count)
    order = np.argsort(places == own[:, None], axis=1, kind="stable")[:, :k]  # itself goes last
    places = np.take_along_axis(places, order, 1)
    return Neighbours(places, np.take_along_axis(similarities, order, 1), own)


def search(gallery: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Finds the k largest inner products of each query, largest first.

    Args:
        gallery: float32 (n, D).
        queries: float32 (m, D).
        k: number of products, at most n.

    Returns:
        (rows int32 (m, k), products float32 (m, k)).
    """
    step = max(1, BLOCK // len(gallery))
    places, products = [], []
    with tf.device("/CPU:0"):  # GPUs round products of float32 to TF32
        held = tf.constant(gallery)
        for first in range(0, len(queries), step):
            block = tf.constant(queries[first : first + step])
            found = tf.math.top_k(tf.matmul(block, held, transpose_b=True), k)
            places.append(found.indices.numpy())
            products.append(found.values.numpy())
    return np.concatenate(places), np.concatenate(products)


def hits(found: Neighbours, gallery: Features, queries: Features) -> np.ndarray:
    """Whether each neighbour has its query's class: bool (queries, k)."""
    return gallery.labels[found.places] == queries.labels[:, None]


def recall(
    found: Neighbours, gallery: Features, queries: Features, top: Sequence[int]
) -> dict[int, float]:
    """{k: share of queries with a video of their class among the k nearest}."""
    right = hits(found, gallery, queries)
    return {k: float(right[:, :k].any(1).mean()) for k in top}


def per_class(
    found: Neighbours, gallery: Features, queries: Features, top: Sequence[int]
) -> dict[int, dict[int, float]]:
    """{label: {k: recall of the queries of that class}}."""
    right, labels = hits(found, gallery, queries), queries.labels
    return {
        int(label): {k: float(right[labels == label, :k].any(1).mean()) for k in top}
        for label in np.unique(labels)
    }


def chance(
    found: Neighbours, gallery: Features, queries: Features, top: Sequence[int]
) -> dict[int, float]:
    """{k: recall for a random order of the gallery}.

    1 - C(n - m, k) / C(n, k) for n videos, m of them of the query's class; mean over queries.
    """
    labels, wanted = gallery.labels, queries.labels
    own, sizes = found.own >= 0, collections.Counter(labels.tolist())
    same = np.array([sizes[label] for label in wanted.tolist()])
    same = same - (own & (labels[found.own] == wanted))
    total = len(labels) - own
    result = {}
    for k in top:
        drawn = np.arange(k)
        misses = np.maximum(total[:, None] - same[:, None] - drawn, 0) / (total[:, None] - drawn)
        result[k] = float(1 - misses.prod(1).mean())
    return result


def neighbours(found: Neighbours, gallery: Features, queries: Features) -> list[tuple]:
    """Rows of `COLUMNS` for the `NAMED` nearest videos of each query, ranked from 1.

    Labels are integers; the similarity is the cosine, in [-1, 1].
    """
    rows = []
    for query, label, places, cosines in zip(
        queries.videos, queries.labels, found.places, found.similarities, strict=True
    ):
        nearby = zip(places[:NAMED], cosines[:NAMED], strict=True)
        for rank, (place, cosine) in enumerate(nearby, 1):
            other = (gallery.videos[place], gallery.labels[place])
            rows.append((query, label, rank, *other, f"{cosine:.6f}"))
    return rows


def _facts(side, known):
    return {"from": side.path, "videos": len(known.videos), "facts": known.facts}


def _paragraph(numbers, sides, known):
    asking, searched = (side.described(found) for side, found in zip(sides, known, strict=True))
    ours, theirs = (report.describe(part.facts) for part in known)
    found = ", ".join(f"{100 * value:.1f} at {k}" for k, value in numbers["recall"].items())
    random = ", ".join(f"{100 * value:.1f}" for value in numbers["chance"].values())
    how = report.whitened(numbers["whiten"], "the gallery")
    own, count = "No query is in the gallery.", lists.counted(numbers["own"], "query", "queries")
    if numbers["own"]:
        verb = "is" if numbers["own"] == 1 else "are"
        own = f"{count} {verb} also in the gallery, but never counted as a neighbour of itself."
    texts = [f"Retrieval: {asking} query a gallery of {searched} by cosine distance{how}.", ours]
    texts += [] if ours == theirs else [f"For the gallery: {theirs}"]
    texts += [own, f"Accuracy in percent: {found}; with a random order: {random}."]
    return " ".join(texts)
