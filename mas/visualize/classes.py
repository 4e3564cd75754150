"""Names and colours of classes in pictures."""

from __future__ import annotations

import colorsys
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from absl import logging

from mas import files, lists, networks

# Facts of a result that are paths of lists, feature files or runs.
_PATHS = ("from", "gallery", "list", "model", "queries", "run")


def class_name(label: int, names: Sequence[str] | None = None) -> str:
    """Name of a label; its number without names; "unlabelled" for -1.

    >>> class_name(1, ["bend", "jack"]), class_name(1), class_name(-1)
    ('jack', '1', 'unlabelled')
    """
    if label < 0:
        return "unlabelled"
    return str(label) if names is None else names[label]


def class_colours(count: int) -> np.ndarray:
    """Colours for classes: evenly spaced hues, every other one darker.

    Returns:
        float (count, 3) in [0, 1], R G B.
    """
    shades = [
        colorsys.hls_to_rgb(number / max(count, 1), (0.55, 0.35)[number % 2], 0.85)
        for number in range(count)
    ]
    return np.array(shades).reshape(count, 3)


def find_class_names(
    path: str | os.PathLike, highest: int, facts: dict[str, Any] | None = None
) -> list[str] | None:
    """Finds the class names of a result.

    It looks next to the result and next to its lists (`lists.class_names_beside`), and in the
    run.json of its network.

    Args:
        path: file of the result, such as neighbours.csv or a file of features.
        highest: highest label that needs a name.
        facts: facts of the result; by default those in retrieval.json next to the file.

    Returns:
        Names in label order; None if there are none.
    """
    path = pathlib.Path(path)
    if facts is None:
        facts = _json(path.with_name("retrieval.json"))
    told = facts.get("classes")
    if isinstance(told, list) and highest < len(told):
        return [str(name) for name in told]
    for place in dict.fromkeys([str(path), *_paths(facts)]):
        names = _names_at(pathlib.Path(place))
        if names and highest < len(names):
            logging.info("Using the class names of %s.", place)
            return names
    return None


def _paths(facts: Any) -> Iterator[str]:
    """Yields the paths in facts, at any depth."""
    for name, value in facts.items() if isinstance(facts, dict) else ():
        if isinstance(value, dict):
            yield from _paths(value)
        elif isinstance(value, str) and name in _PATHS:
            yield value


def _names_at(place):
    """Class names next to a list or a file of features, or in a run; None without any."""
    if not place.exists():
        return None
    if place.is_dir() or (place.parent / networks.RUN).is_file():
        run = place if place.is_dir() else place.parent
        known = _json(run / networks.RUN).get("classes")
        return [str(name) for name in known] if isinstance(known, list) else None
    return lists.class_names_beside(place)


def _json(path):
    """Reads a JSON file; {} if that fails."""
    try:
        return files.read_json(path, networks.MOST_RUN)
    except (OSError, ValueError):
        return {}
