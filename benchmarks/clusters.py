"""Compares k-means with HDBSCAN: how often the clips of a cluster have the same class.

    python benchmarks/clusters.py --index=INDEX [--clusters=20]

The class of a clip is the first folder of its video; neither method uses it. For each method, it
prints the number of clusters, the share of clips without a cluster, and the share of all clips
whose class is the most frequent one in their cluster.
"""

import numpy as np
from absl import app, flags
from sklearn.cluster import HDBSCAN

from mas.index import Index, clusters

SEEDS = (0, 1, 2)
LEAST = (3, 5, 10)  # clips of a cluster of HDBSCAN

_INDEX = flags.DEFINE_string("index", None, "Folder written by mas index.", required=True)
_CLUSTERS = flags.DEFINE_integer("clusters", 20, "Number of clusters for k-means.")


def purity(labels, classes):
    """Share of clips in the most frequent class of their cluster; label -1 is no cluster."""
    sizes = [np.bincount(classes[labels == n]).max() for n in np.unique(labels) if n >= 0]
    return sum(sizes) / len(labels)


def methods(unit, count):
    """Yields (name, labels) of each method and seed."""
    for seed in SEEDS:
        yield f"k-means, seed {seed}", clusters.cluster(unit, count, seed).labels
    for least in LEAST:
        found = HDBSCAN(min_cluster_size=least, copy=True).fit(unit)
        yield f"HDBSCAN, at least {least} clips", found.labels_


def main(_=None):
    """Prints the table."""
    index = Index.open(_INDEX.value)
    names = [index.video(row).split("/")[0] for row in range(len(index))]
    classes = np.unique(names, return_inverse=True)[1]
    print(f"{'method':28} clusters  in none  of the class")
    for name, labels in methods(index.unit[:].astype(np.float32), _CLUSTERS.value):
        count, left = len({*labels.tolist()} - {-1}), (labels < 0).mean()
        print(f"{name:28} {count:8} {left:8.2f} {purity(labels, classes):13.3f}")


if __name__ == "__main__":
    app.run(main)
