"""The whitening of an index, and the whitened vectors that a search compares.

A PCA is fitted when an index is first finished, and again each time the number of clips has at
least doubled. In between it stays fixed, so cosines stay comparable while the index grows. It is
fitted on all clips, or on `MOST_FITTED` evenly spaced ones if there are more.
"""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
from absl import logging

from mas import features, lists
from mas.index import storage

MOST_FITTED = 20_000  # clips
LEAST_SHARE = 1e-6  # of the first direction's variance; anything smaller is float16 rounding
# Clips for each direction: n clips whitened to n - 1 directions are all equally far apart.
LEAST_CLIPS = 3
BLOCK = 4096  # clips at a time


class Whitening:
    """Whitens features: subtracts the mean, projects on directions, scales to length 1.

    Attributes:
        mean: float64 (D,).
        directions: float64 (K, D), each divided by the standard deviation along it; the identity
            without whitening.
        plain: whether features are only scaled to length 1.
    """

    def __init__(self, mean: np.ndarray, directions: np.ndarray):
        """Takes the mean and the directions."""
        self.mean, self.directions = mean, directions
        self.plain = not mean.any() and np.array_equal(directions, np.eye(len(mean)))
        self._offset = (mean @ directions.T).astype(np.float32)
        self._weights = directions.T.astype(np.float32)

    def __call__(self, values: Any) -> np.ndarray:
        """Features (n, D) to float32 (n, K) of length 1; a zero vector stays zero."""
        found = np.asarray(values, np.float32)
        found = found if self.plain else found @ self._weights - self._offset
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        return found / np.where(lengths > 0, lengths, 1)


def fit(values: np.ndarray, count: int) -> Whitening:
    """Fits a whitening.

    Args:
        values: features, float (n, D).
        count: size of whitened features, at most n / 3; smaller if the features vary in fewer
            directions. 0 turns whitening off.
    """
    values = np.asarray(values, np.float64)
    variances = np.linalg.eigvalsh(np.cov(values.T)) if count and len(values) > 1 else np.zeros(1)
    varying = int((variances > LEAST_SHARE * variances.max()).sum())
    count = min(count, varying, len(values) // LEAST_CLIPS)
    if count < 1:
        return Whitening(np.zeros(values.shape[1]), np.eye(values.shape[1]))
    found = features.whitening(values, count)
    scales = np.sqrt(found.explained_variance_)[:, None]
    return Whitening(found.mean_, found.components_ / scales)


def update(root: pathlib.Path, state: dict[str, Any], whiten: int) -> dict[str, Any]:
    """Whitens new clips, or all clips if the whitening is fitted again.

    Args:
        root: folder of the index.
        state: content of index.json; its clips are on the disk.
        whiten: size of whitened features.

    Returns:
        The state with `compared`, as written to index.json.
    """
    known = state.get("compared")
    vectors, clips = arrays(root, state)
    if known is None or whiten != known["whiten"] or state["clips"] >= 2 * known["fitted"]:
        compared = _fit(root, vectors, clips, whiten, known)
    elif known["clips"] < state["clips"]:
        compared = dict(known)
    else:
        return state
    whitening = read(root, compared, state["width"])
    unit = unit_name(compared)
    with storage.appended(root, {unit: compared["files"].get(unit, [0, 0])}) as file:
        for first in range(compared["clips"], state["clips"], BLOCK):
            block = slice(first, min(first + BLOCK, state["clips"]))
            made = whitening(features_of(vectors, clips, block)).astype(storage.HALF)
            file.write(unit, made.tobytes())
        compared["files"] = compared["files"] | file.sync()
    state = state | {"compared": compared | {"clips": state["clips"]}}
    storage.write_state(root, state)
    for path in (*root.glob("unit-*.f16"), *root.glob("whitening-*.f64")):
        if path.name not in compared["files"]:
            path.unlink(missing_ok=True)
    return state


def _fit(root, vectors, clips, whiten, known):
    """Fits and writes a new whitening; returns its entry for the state."""
    rows = np.linspace(0, len(clips) - 1, min(len(clips), MOST_FITTED)).round().astype(int)
    found = fit(features_of(vectors, clips, rows).astype(np.float64), whiten)
    compared = {"number": known["number"] + 1 if known else 0, "whiten": whiten, "clips": 0}
    compared |= {"fitted": len(clips), "width": len(found.directions), "files": {}}
    name = whitening_name(compared)
    with storage.appended(root, {name: [0, 0]}) as file:
        file.write(name, np.vstack([found.mean, found.directions]).astype("<f8").tobytes())
        compared["files"] = file.sync()
    kept = lists.counted(len(found.directions), "number")
    logging.info("Whitening: fitted on %d clips, %s kept.", len(rows), kept)
    return compared


def arrays(root: pathlib.Path, state: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The valid parts of vectors.f16 and clips.bin."""
    vectors = storage.mapped(root / storage.VECTORS, storage.HALF, (state["clips"], state["width"]))
    return vectors, storage.mapped(root / storage.CLIPS, storage.CLIP, (state["clips"],))


def features_of(vectors: np.ndarray, clips: np.ndarray, rows: Any) -> np.ndarray:
    """float32 features of some clips, the network's output up to float16 rounding."""
    return vectors[rows].astype(np.float32) * clips["scale"][rows][:, None]


def whitening_name(compared: dict[str, Any]) -> str:
    """File name of the whitening in the state."""
    return f"whitening-{compared['number']}.f64"


def unit_name(compared: dict[str, Any]) -> str:
    """File name of the whitened vectors in the state."""
    return f"unit-{compared['number']}.f16"


def read(root: pathlib.Path, compared: dict[str, Any], width: int) -> Whitening:
    """Reads the whitening in the state."""
    name = whitening_name(compared)
    shape = (1 + compared["width"], width)
    found = np.fromfile(root / name, storage.DOUBLE, count=shape[0] * shape[1])
    mean, directions = np.split(found.reshape(shape), [1])
    return Whitening(mean[0], directions)
