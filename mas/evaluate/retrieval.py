"""Retrieval: is one of a query's nearest videos of its class?

The protocol of most tables since VCOP (CVPR 2019): 10 clips a video, test videos query the training
videos by cosine distance, a hit if the class of the query is among those of the k nearest.
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

BLOCK = 2**24  # similarities of queries and gallery that are held at a time, 64 MiB
NAMED = 10  # neighbours of a query in neighbours.csv
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
        (1, 5, 10, 20, 50), "Nearest videos among which the query's class must be.", least=1
    )
    whiten: int = option(
        0,
        "Whiten the features to this many numbers, by a PCA of the gallery; 0 leaves them.",
        least=0,
    )

    def __post_init__(self):
        """In ascending order."""
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
        """Searches.

        Args:
            source: as for `Probe`, with all that is not named here.
            data: as for `Probe`.
            videos: the gallery: labelled videos that are searched.
            queries: labelled videos that search; by default those of the gallery, of which none is
                its own neighbour.
            sampling: as for `Probe`.
            random: as for `Probe`.
            seed: of the random weights.
            columns: as for `Probe`.
            classes: as for `Probe`.
            cache: as for `Probe`.

        Returns:
            A `Result` whose accuracy is that of the smallest k; with `recall` and `chance` ({k:
            share}), `per_class` ({label: {k: share}}), `own` (queries in the gallery), `gallery`,
            `queries` and `classes`.

        Raises:
            ValueError: the videos cannot be compared.
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
        """The numbers of nearest videos that the gallery has."""
        most = len(gallery.videos) - bool(set(gallery.videos) & set(queries.videos))
        top = tuple(sorted({min(k, most) for k in self.top}))
        if say and top != self.top:
            logging.warning("top is cut to %d, the other videos of the gallery.", most)
        return top


@dataclasses.dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest videos of each query.

    Attributes:
        places: int (queries, k), rows of the gallery, nearest first; of equals the lower row.
        similarities: float32 (queries, k), cosines.
        own: int (queries,), the gallery's row of the query's own video, which is none of its
            neighbours; -1 where it has none.
    """

    places: np.ndarray
    similarities: np.ndarray
    own: np.ndarray


def unit(values: Any) -> np.ndarray:
    """Rows of length 1, float32; a row of zeros stays one, so that its cosine with all is 0."""
    values = np.asarray(values, np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    if not lengths.all():
        count = lists.counted(int((lengths == 0).sum()), "video")
        logging.warning("Features of zeros alone: %s.", count)
    return (values / np.where(lengths, lengths, 1)).astype(np.float32)


def nearest(gallery: Features, queries: Features, k: int) -> Neighbours:
    """The k nearest videos of each query by cosine; its own video, by its id, is none of them.

    In blocks of queries: memory does not grow with their number. By TensorFlow on the CPU, which
    takes 0.6 of NumPy's time with argpartition and half of scikit-learn's
    (benchmarks/retrieval.py), and orders equals by their row.

    Args:
        gallery: features that are searched.
        queries: features of the same width.
        k: how many; fewer where the gallery has fewer.
    """
    rows = {video: row for row, video in enumerate(gallery.videos)}
    own = np.array([rows.get(video, -1) for video in queries.videos])
    k = min(k, len(rows) - bool((own >= 0).any()))
    count = min(k + 1, len(rows))  # one more, as the query's own may be among them
    places, similarities = search(unit(gallery.values), unit(queries.values), count)
    order = np.argsort(places == own[:, None], axis=1, kind="stable")[:, :k]  # its own goes last
    places = np.take_along_axis(places, order, 1)
    return Neighbours(places, np.take_along_axis(similarities, order, 1), own)


def search(gallery: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the k largest inner products, and these, largest first.

    Args:
        gallery: float32 (n, D).
        queries: float32 (m, D).
        k: at most n.

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
    """{k: share of the queries with a video of their class among the k nearest}."""
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
    """{k: recall of a random order of the gallery}.

    1 - C(n - m, k) / C(n, k), of n videos m of the query's class; mean over the queries.
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
    """Rows of `COLUMNS`, one a query and neighbour: the `NAMED` nearest, rank from 1.

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
    asking, searched = (side.said(found) for side, found in zip(sides, known, strict=True))
    ours, theirs = (report.describe(part.facts) for part in known)
    found = ", ".join(f"{100 * value:.1f} at {k}" for k, value in numbers["recall"].items())
    random = ", ".join(f"{100 * value:.1f}" for value in numbers["chance"].values())
    how = report.whitened(numbers["whiten"], "the gallery")
    own = "No query is in the gallery."
    if numbers["own"]:
        own = f"{numbers['own']} queries are in the gallery, too; none is its own neighbour."
    texts = [f"Retrieval: {asking} query {searched} by cosine distance{how}.", ours]
    texts += [] if ours == theirs else [f"The gallery: {theirs}"]
    texts += [own, f"Accuracy in percent: {found}; of a random order: {random}."]
    return " ".join(texts)
