"""Times the search for nearest videos, and compares it with other implementations.

    python benchmarks/retrieval.py [--gallery=100000] [--queries=10000] [--width=512] [--nearest=50]

On random features, it compares `mas.evaluate.retrieval.search` with NumPy (matrix product and
argpartition in the same blocks) and scikit-learn's NearestNeighbors. They take turns on a share of
the queries and must find the same neighbours. Exit status: 1 if one of them is faster, else 0.
"""

import os
import resource
import sys
import time

import numpy as np
from absl import app, flags
from sklearn import neighbors

from mas.evaluate import retrieval

ROUNDS = 3
SHARE = 10  # the ways are compared on the SHARE-th part of the queries
LEAST = 1.0  # times of the others over ours
LEAST_SAME = 0.9999  # of the neighbours: rounding may swap two

_GALLERY = flags.DEFINE_integer("gallery", 100_000, "Number of gallery videos.", 100)
_QUERIES = flags.DEFINE_integer("queries", 10_000, "Number of query videos.", SHARE)
_WIDTH = flags.DEFINE_integer("width", 512, "Dimensions of a feature.", 1)
_NEAREST = flags.DEFINE_integer("nearest", 50, "Neighbours per query.", 1)


def by_numpy(gallery, queries, k):
    """Rows of the k nearest: matrix product, argpartition, and a sort of the k."""
    step, found = max(1, retrieval.BLOCK // len(gallery)), []
    for first in range(0, len(queries), step):
        products = queries[first : first + step] @ gallery.T
        places = np.argpartition(-products, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(products, places, 1), axis=1, kind="stable")
        found.append(np.take_along_axis(places, order, 1))
    return np.concatenate(found)


def by_sklearn(gallery, queries, k):
    """The same by Euclidean distance, which gives rows of length 1 the order of their cosines."""
    search = neighbors.NearestNeighbors(n_neighbors=k, algorithm="brute").fit(gallery)
    return search.kneighbors(queries, return_distance=False)


def by_ours(gallery, queries, k):
    """The search of the command."""
    return retrieval.search(gallery, queries, k)[0]


WAYS = {"ours": by_ours, "NumPy": by_numpy, "scikit-learn": by_sklearn}


def compare(gallery, queries, k):
    """{way: median seconds of the rounds}, without a first round for warm-up."""
    expected = by_ours(gallery, queries, k)
    times = {name: [] for name in WAYS}
    for _ in range(ROUNDS):
        for name, way in WAYS.items():
            start = time.perf_counter()
            found = way(gallery, queries, k)
            times[name].append(time.perf_counter() - start)
            same = np.mean(found == expected)
            if same < LEAST_SAME:
                raise SystemExit(f"{name}: {1 - same:.2%} of the neighbours differ.")
    return {name: float(np.median(values)) for name, values in times.items()}


def missed(times):
    """Messages for the ways that are faster than ours."""
    ratios = {name: seconds / times["ours"] for name, seconds in times.items() if name != "ours"}
    return [
        f"{name} takes {ratio:.2f} of our time" for name, ratio in ratios.items() if ratio < LEAST
    ]


def main(_):
    """Runs everything; returns the exit status."""
    rng = np.random.default_rng(0)
    shapes = ((_GALLERY.value, _WIDTH.value), (_QUERIES.value, _WIDTH.value))
    gallery, queries = (retrieval.unit(rng.standard_normal(shape, np.float32)) for shape in shapes)
    k = _NEAREST.value
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
    part = queries[: len(queries) // SHARE]
    times = compare(gallery, part, k)
    for name, seconds in times.items():
        print(f"{name:13s} {seconds:7.2f} s for {len(part)} queries, {len(gallery)} videos")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    by_ours(gallery, queries, k)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"all {len(queries)} queries: {time.perf_counter() - start:.1f} s, "
        f"{grown:.0f} MiB more memory"
    )
    found = missed(times)
    print("MISSED: " + "; ".join(found) if found else "Nothing is faster.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(app.run(main))
