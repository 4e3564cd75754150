"""Search, clusters and near-duplicates of clips by the features of a network.

index = mas.Index.build("index", "runs/mas_c3d", "videos")
index = mas.Index.open("index")
mas.index.sort("index", "sorted", clusters=20)
"""

from mas.index.clusters import Clusters, cluster
from mas.index.duplicates import near_duplicates
from mas.index.index import Index
from mas.index.searching import Hit
from mas.index.sorting import Sorted, Sorting, sort
from mas.index.storage import DamagedIndexError, Video

__all__ = [
    "Clusters",
    "DamagedIndexError",
    "Hit",
    "Index",
    "Sorted",
    "Sorting",
    "Video",
    "cluster",
    "near_duplicates",
    "sort",
]
