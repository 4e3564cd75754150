"""A folder of video files -> a prepared data set: decoded, resized, with optical flow.

    data = prepare_videos("videos", "data")

Can be killed at any moment and started again: it repeats at most the videos that were in work, and
what it leaves is the same, byte for byte, as after an undisturbed run.
"""

from mas.prepare.dataset import find_videos, prepare_videos
from mas.prepare.plan import Storage, parse_size

__all__ = ["Storage", "find_videos", "parse_size", "prepare_videos"]
