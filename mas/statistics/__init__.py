"""Statistics of one clip that a network learns to predict (MAS): pure functions of arrays."""

from mas.statistics import regions
from mas.statistics.appearance import COLOURS, appearance, appearance_names, overlap
from mas.statistics.motion import motion, motion_boundaries, motion_names

__all__ = [
    "COLOURS",
    "appearance",
    "appearance_names",
    "motion",
    "motion_boundaries",
    "motion_names",
    "overlap",
    "regions",
]
