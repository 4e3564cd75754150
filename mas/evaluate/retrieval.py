"""Retrieval: is one of a query's nearest videos of its class?

The protocol of most tables since VCOP (CVPR 2019): 10 clips a video, test videos query the training
videos by cosine distance, a hit if the class of the query is among those of the k nearest.
"""

import collections
import dataclasses

import numpy as np
import tensorflow as tf
from absl import logging

from mas import files
from mas.evaluate import features, protocol

NEEDED = ("gallery", "queries")
OPTIONAL = ("output", "top", *features.FLAGS)

BLOCK = 2**24  # similarities of queries and gallery that are held at a time, 64 MiB
NAMED = 10  # neighbours of a query in neighbours.csv
COLUMNS = ("query", "query_label", "rank", "neighbour", "neighbour_label", "similarity")


@dataclasses.dataclass(frozen=True)
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


def run(flags):
    """Searches, and writes retrieval.json, retrieval.txt, recall.csv and neighbours.csv."""
    top, folder = parse_top(flags.top), protocol.folder(flags, "retrieval")
    names = (flags.gallery, flags.queries)
    features.check_source(flags, *names)
    gallery, queries = (
        features.labelled(features.of_flags(flags, name), name, least)
        for name, least in zip(names, (2, 1), strict=True)
    )
    features.check_alike(gallery, queries, names)
    others = len(gallery.videos) - bool(set(gallery.videos) & set(queries.videos))
    _check_top(top, others)
    found = nearest(gallery, queries, max(*top, min(NAMED, others)))
    recalls, chances = recall(found, gallery, queries, top), chance(found, gallery, queries, top)
    rows = [(k, f"{recalls[k]:.6f}", f"{chances[k]:.6f}") for k in top]
    numbers = {"recall": recalls, "chance": chances, "own": int((found.own >= 0).sum())}
    numbers |= {"per_class": per_class(found, gallery, queries, top)}
    numbers |= {"gallery": _source(gallery, names[0]), "queries": _source(queries, names[1])}
    folder.mkdir(parents=True, exist_ok=True)
    files.write_csv(folder / "recall.csv", ("k", "accuracy", "chance"), rows)
    write_neighbours(folder / "neighbours.csv", found, gallery, queries)
    logging.info("Wrote %s: recall.csv, neighbours.csv.", folder)
    protocol.write(folder, "retrieval", _paragraph(numbers, gallery, queries), numbers)


def parse_top(texts):
    """The k of --top, ascending.

    Raises:
        ValueError: it holds something else than numbers above 0.
    """
    if not texts or not all(text.strip().isdecimal() and int(text) for text in texts):
        raise ValueError(f"top must be numbers above 0. Received: top={','.join(texts)}.")
    return sorted({int(text) for text in texts})


def _check_top(top, most):
    if top[-1] > most:
        raise ValueError(
            f"top must be at most {most}, the videos of the gallery but for a query's own. "
            f"Received: top={top[-1]}."
        )


def unit(values):
    """Rows of length 1, float32; a row of zeros stays one, so that its cosine with all is 0."""
    values = np.asarray(values, np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    if not lengths.all():
        logging.warning("%d videos have features of zeros alone.", (lengths == 0).sum())
    return (values / np.where(lengths, lengths, 1)).astype(np.float32)


def nearest(gallery, queries, k):
    """The k nearest videos of each query by cosine; its own video, by its id, is none of them.

    In blocks of queries: memory does not grow with their number. By TensorFlow on the CPU, which
    takes 0.6 of NumPy's time with argpartition and half of scikit-learn's
    (benchmarks/retrieval.py), and orders equals by their row.

    Args:
        gallery: a `Features`.
        queries: a `Features` of the same width.
        k: how many; each query must have so many.

    Returns:
        A `Neighbours`.
    """
    rows = {video: row for row, video in enumerate(gallery.videos)}
    own = np.array([rows.get(video, -1) for video in queries.videos])
    count = min(k + 1, len(rows))  # one more, as the query's own may be among them
    places, similarities = search(unit(gallery.values), unit(queries.values), count)
    order = np.argsort(places == own[:, None], axis=1, kind="stable")[:, :k]  # its own goes last
    parts = (np.take_along_axis(part, order, 1) for part in (places, similarities))
    return Neighbours(*parts, own)


def search(gallery, queries, k):
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


def hits(found, gallery, queries):
    """Whether each neighbour has its query's class: bool (queries, k)."""
    return np.asarray(gallery.labels)[found.places] == np.asarray(queries.labels)[:, None]


def recall(found, gallery, queries, top):
    """{k: share of the queries with a video of their class among the k nearest}."""
    right = hits(found, gallery, queries)
    return {k: float(right[:, :k].any(1).mean()) for k in top}


def per_class(found, gallery, queries, top):
    """{label: {k: recall of the queries of that class}}."""
    right, labels = hits(found, gallery, queries), np.asarray(queries.labels)
    return {
        int(label): {k: float(right[labels == label, :k].any(1).mean()) for k in top}
        for label in np.unique(labels)
    }


def chance(found, gallery, queries, top):
    """{k: recall of a random order of the gallery}.

    1 - C(n - m, k) / C(n, k), of n videos m of the query's class; mean over the queries.
    """
    labels, wanted = np.asarray(gallery.labels), np.asarray(queries.labels)
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


def write_neighbours(path, found, gallery, queries):
    """Writes `COLUMNS`, one row a query and neighbour: the `NAMED` nearest, rank from 1.

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
    files.write_csv(path, COLUMNS, rows)


def _source(part, name):
    return {"from": name, "videos": len(part.videos), "facts": part.facts}


def _paragraph(numbers, gallery, queries):
    parts = (numbers[name] for name in ("queries", "gallery"))
    sides = [f"{part['videos']} videos ({part['from']})" for part in parts]
    ours, theirs = (protocol.describe(part.facts) for part in (queries, gallery))
    found = ", ".join(f"{100 * value:.1f} at {k}" for k, value in numbers["recall"].items())
    random = ", ".join(f"{100 * value:.1f}" for value in numbers["chance"].values())
    own = "No query is in the gallery."
    if numbers["own"]:
        own = f"{numbers['own']} queries are in the gallery, too; none is its own neighbour."
    texts = [f"Retrieval: {sides[0]} query {sides[1]} by cosine distance.", ours]
    texts += [] if ours == theirs else [f"The gallery: {theirs}"]
    texts += [own, f"Accuracy in percent: {found}; of a random order: {random}."]
    return " ".join(texts)
