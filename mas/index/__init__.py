"""Clips of many videos, found again by what a network makes of them.

index = mas.Index.build("index", "runs/mas_c3d", "videos")
index = mas.Index.open("index")
"""

from mas.index.index import Index
from mas.index.storage import DamagedIndexError, Video

__all__ = ["DamagedIndexError", "Index", "Video"]
