"""Features of videos, and their file format."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import pathlib
import zipfile
import zlib
from typing import Any

import numpy as np

from mas import checks, files, lists
from mas.checks import refuse
from mas.features.sampling import HOWS, POOLINGS
from mas.files import PathLike
from mas.settings import MODALITIES

# The arrays in the file: NumPy's kinds of their elements, and number of axes.
_ARRAYS = {"values": ("fiu", 2), "videos": ("U", 1), "labels": ("iu", 1), "facts": ("U", 0)}
# Errors of NumPy for unreadable files; the last five for damaged archives.
_UNREADABLE: tuple[type[Exception], ...] = (AttributeError, EOFError, KeyError, TypeError)
_UNREADABLE += (ValueError, zipfile.BadZipFile, OSError, RuntimeError, zlib.error, MemoryError)
_HEADER_1, _HEADER_2 = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
MOST_LABEL = 10**6
# Types of the facts that reports use. If the first key is present, all of a dict must be.
_FACTS: dict[str, Any] = {
    **{"network": str, "pooling": POOLINGS, "how": HOWS, "modality": MODALITIES, "frames": int},
    **{"clips": (int, int), "size": int, "resize": (int, int), "static": bool, "failures": dict},
}
_WEIGHTS: dict[str, Any] = {"weights": ("loaded", "random"), "model": str, "digest": str}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Features:
    """One feature vector per video.

    >>> Features([[1.0, 0.0], [0.0, 1.0]], ["run/ann", "walk/ann"], [0, 1])
    Features(2 videos, 2 numbers each)

    Attributes:
        values: float32 (videos, D), finite.
        videos: ids, each once.
        labels: int (videos,); -1 is unlabelled.
        facts: how they were computed, serialisable as JSON; {} if unknown. See `extract`.
    """

    values: np.ndarray
    videos: list[str]
    labels: np.ndarray
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        """Checks the arrays.

        Raises:
            ValueError: If the shapes disagree, a video appears twice, or a value is not finite;
                the message names the video.
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
        if self.labels.dtype.kind in "iu" and self.labels.max() > MOST_LABEL:
            refuse("labels", f"at most {MOST_LABEL}", int(self.labels.max()))
        if self.labels.dtype.kind not in "iu":
            raise ValueError(f"labels must be whole numbers. Received: {self.labels.dtype}.")
        if len(set(self.videos)) < count:
            twice = next(video for n, video in enumerate(self.videos) if video in self.videos[:n])
            raise ValueError(f"features must contain each video once. Received: {twice!r} twice.")
        finite = np.isfinite(self.values).all(1)
        if not finite.all():
            first = self.videos[int(np.argmin(finite))]
            raise ValueError(
                "features must be finite. "
                f"Received: NaN or infinity in {count - finite.sum()} videos, such as {first}."
            )

    def __repr__(self) -> str:
        """Number of videos and dimensions."""
        count, numbers = self.values.shape
        return f"Features({lists.counted(count, 'video')}, {lists.counted(numbers, 'number')} each)"


def load(path: PathLike) -> Features:
    """Reads features written by `save`.

    Raises:
        ValueError: If the file has other contents; the message names it.
        OSError: If the file cannot be read.
    """
    checks.local("path", path)
    files.check_regular(path)
    held: tuple = ()
    with open(path, "rb") as file, contextlib.suppress(*_UNREADABLE):
        _check_headers(file)
        with np.load(file) as arrays:
            values, videos, labels, facts = (arrays[name] for name in _ARRAYS)
        known = json.loads(str(facts))
        held = (values, videos.tolist(), labels, known) if isinstance(known, dict) else ()
    if not held:
        raise ValueError(
            f"{path} must contain the arrays {', '.join(_ARRAYS)}, as mas.features.save writes "
            "them. Received: other contents."
        )
    try:
        _check_facts(held[-1])
        return Features(*held)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _check_headers(file):
    """Checks each array's declared type and size against the archive, before it is read."""
    with zipfile.ZipFile(file) as archive:
        files.check_archive(archive)
        for name, (kinds, axes) in _ARRAYS.items():
            member = archive.getinfo(f"{name}.npy")
            with archive.open(member) as part:
                first = np.lib.format.read_magic(part) == (1, 0)
                shape, _, kind = (_HEADER_1 if first else _HEADER_2)(part)
                need = part.tell() + math.prod(shape) * kind.itemsize
            if kind.kind not in kinds or len(shape) != axes or need != member.file_size:
                raise ValueError(name)
    file.seek(0)


def _check_facts(facts):
    """Raises ValueError for facts that reports cannot use; {} is valid."""
    for kinds in (_FACTS, _WEIGHTS):
        if next(iter(kinds)) not in facts:
            continue
        for name, kind in kinds.items():
            if not _has_type(facts.get(name), kind):
                received = f"{name}={str(facts.get(name))[:60]}"
                raise ValueError(
                    f"facts must be those of mas.features.extract. Received: {received}."
                )


def _has_type(value, kind):
    """Whether a value has this type: a class, a list of classes, or one of several strings."""
    if isinstance(kind, type):
        return isinstance(value, kind)
    if isinstance(kind[0], str):
        return value in kind
    return isinstance(value, list) and [type(part) for part in value] == list(kind)


def save(path: PathLike, features: Features) -> None:
    """Writes features to a file: everything to .npz, or only the values to .npy.

    Raises:
        ValueError: If the file has another extension.
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
    """Raises ValueError for a file that `save` would not write."""
    checks.local("output", path)
    if pathlib.Path(path).suffix not in (".npz", ".npy"):
        raise ValueError(f"output must end in .npz or .npy. Received: output={path}.")
