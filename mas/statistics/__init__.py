"""Motion and appearance statistics of a clip (MAS), as pure functions of arrays."""

import importlib

from mas.statistics import regions
from mas.statistics.names import COLOURS, appearance_names, largest, motion_names

# Functions that need Numba or OpenCV are imported on first use.
_PLACES = {
    "appearance": "appearance_labels",
    "overlap": "appearance_labels",
    "motion": "motion_labels",
    "motion_boundaries": "motion_labels",
}


def __getattr__(name):
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


__all__ = [
    "COLOURS",
    "appearance",
    "appearance_names",
    "largest",
    "motion",
    "motion_boundaries",
    "motion_names",
    "overlap",
    "regions",
]
