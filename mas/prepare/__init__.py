"""A folder of video files -> a prepared data set: decoded, resized, with optical flow.

    python -m mas.prepare --videos=DIR --output=DATA

Can be killed at any moment and started again: it repeats at most the videos that were in work, and
what it leaves is the same, byte for byte, as after an undisturbed run.
"""

from mas.prepare.dataset import FAILURES, Settings, find_videos, parse_size, prepare

__all__ = ["FAILURES", "Settings", "find_videos", "parse_size", "prepare"]
