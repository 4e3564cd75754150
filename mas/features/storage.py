"""Features of videos, and the file they are kept in."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import pathlib
import zipfile
import zlib
from typing import Any

import numpy as np

from mas import checks, files, lists
from mas.files import PathLike

# Of each array in the file: the kinds of its numbers or text, as NumPy has them, and its axes.
_ARRAYS = {"values": ("fiu", 2), "videos": ("U", 1), "labels": ("iu", 1), "facts": ("U", 0)}
# What NumPy raises for bytes that it cannot read; the last four for damaged archives.
_UNREADABLE: tuple[type[Exception], ...] = (AttributeError, EOFError, KeyError, TypeError)
_UNREADABLE += (ValueError, zipfile.BadZipFile, OSError, RuntimeError, zlib.error)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Features:
    """One vector a video.

    >>> Features([[1.0, 0.0], [0.0, 1.0]], ["run/ann", "walk/ann"], [0, 1])
    Features(2 videos, 2 numbers each)

    Attributes:
        values: float32 (videos, D), finite.
        videos: ids, each once.
        labels: int (videos,); -1 is unlabelled.
        facts: how they were made, as JSON can hold it; {} where nothing is known. See `extract`.
    """

    values: np.ndarray
    videos: list[str]
    labels: np.ndarray
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        """Checks what any use of features relies on.

        Raises:
            ValueError: the parts do not belong together, a video stands there twice, or a value is
                not finite; names the video.
        """
        for name in ("values", "labels"):
            object.__setattr__(self, name, np.asarray(getattr(self, name)))
        object.__setattr__(self, "videos", list(self.videos))
        shape, count = self.values.shape, len(self.videos)
        if len(shape) != 2 or not min(shape) or shape[0] != count or len(self.labels) != count:
            raise ValueError(
                "features must be values (videos, D), and an id and a label for each video. "
                f"Received: values {shape}, {count} ids, {len(self.labels)} labels."
            )
        if self.labels.dtype.kind not in "iu":
            raise ValueError(f"labels must be whole numbers. Received: {self.labels.dtype}.")
        if len(set(self.videos)) < count:
            twice = next(video for n, video in enumerate(self.videos) if video in self.videos[:n])
            raise ValueError(f"features must hold each video once. Received: {twice!r} twice.")
        finite = np.isfinite(self.values).all(1)
        if not finite.all():
            first = self.videos[int(np.argmin(finite))]
            raise ValueError(
                "features must be finite. "
                f"Received: NaN or infinity in {count - finite.sum()} videos, such as {first}."
            )

    def __repr__(self) -> str:
        """How many there are."""
        count, numbers = self.values.shape
        return f"Features({lists.counted(count, 'video')}, {lists.counted(numbers, 'number')} each)"


def load(path: PathLike) -> Features:
    """Reads features that `save` wrote.

    Raises:
        ValueError: the file holds something else; names it.
        OSError: it cannot be read.
    """
    checks.local("path", path)
    right = False
    with open(path, "rb") as file, contextlib.suppress(*_UNREADABLE):
        with np.load(file) as held:
            arrays = {name: held[name] for name in _ARRAYS}
        values, videos, labels, facts = arrays.values()
        facts = json.loads(str(facts))
        right = isinstance(facts, dict) and all(
            arrays[name].dtype.kind in kinds and arrays[name].ndim == axes
            for name, (kinds, axes) in _ARRAYS.items()
        )
    if not right:
        raise ValueError(
            f"{path} must hold the arrays {', '.join(_ARRAYS)}, as mas.features.save writes them. "
            "Received: something else."
        )
    try:
        return Features(values, videos.tolist(), labels, facts)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def save(path: PathLike, features: Features) -> None:
    """Writes features whole or not at all: .npz with everything, or .npy with the values alone.

    Raises:
        ValueError: another file extension.
    """
    path, held = pathlib.Path(path), io.BytesIO()
    check_output(path)
    if path.suffix == ".npy":
        np.save(held, features.values)
    else:
        facts = json.dumps(features.facts)
        parts = (features.values, np.array(features.videos), features.labels, np.array(facts))
        arrays: dict[str, Any] = dict(zip(_ARRAYS, parts, strict=True))
        np.savez(held, **arrays)
    files.write(path, held.getvalue())


def check_output(path: PathLike) -> None:
    """Refuses a file that `save` would not write."""
    checks.local("output", path)
    if pathlib.Path(path).suffix not in (".npz", ".npy"):
        raise ValueError(f"output must end in .npz or .npy. Received: output={path}.")
