"""dataset.json: the description of a data set by mas.prepare, and comparing the data with it."""

from __future__ import annotations

import json
import pathlib
import re
import zlib
from typing import Any

from absl import logging

from mas import files, flow
from mas.files import PathLike
from mas.lists import counted
from mas.records import sums
from mas.records.layout import (
    DESCRIPTION,
    RGB_FOLDER,
    UNFINISHED,
    shard_numbers,
)

FORMS = ("shards", "folders")
SEAL = "crc32"  # checksum of all other values
MOST_NAMED = 10  # faults to log


def seal(content: dict) -> dict:
    """Adds a checksum of its values to an object, for `read_sealed`."""
    return {**content, SEAL: _checksum(content)}


def _checksum(content):
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x}"


def read_sealed(path: PathLike) -> dict[str, Any]:
    """Reads a JSON object written by mas.prepare and verifies its checksum, if it has one.

    Raises:
        ValueError: If the content is not what was written.
        OSError: If the file cannot be read.
    """
    found = files.read_json(path)
    known = found.pop(SEAL, None)
    if known is not None and known != _checksum(found):
        raise ValueError(
            f"{path} must be as mas.prepare wrote it. Received: other values; its checksum differs."
        )
    return found


def _short(value):
    return " ".join(str(value).split())[:100]


def described(root: pathlib.Path) -> dict[str, Any]:
    """Reads the description of a data set; returns {} if mas.prepare did not write it.

    `shards` is {name: number of videos}, `indices` is {name: checksum of the shard's index}, and
    `unfinished` is true if preparation is incomplete.

    Raises:
        ValueError: If mas.prepare wrote it and it is damaged.
    """
    path = root / DESCRIPTION
    ours = any((root / name).exists() for name in ("plan.json", sums.FOLDER)) or shard_numbers(root)
    try:
        known = read_sealed(path)
        if "form" not in known and not ours:
            return {}
        if known.get("form") not in FORMS:
            raise ValueError(
                f"{path} must name a form of {list(FORMS)}. Received: {_short(known)}."
            )
        _check(path, known)
        return {**known, "unfinished": (root / UNFINISHED).exists()}
    except FileNotFoundError:
        return {}
    except ValueError as error:
        if ours or (root / RGB_FOLDER).exists():
            raise ValueError(f"{error} Prepare the same videos again to rewrite it.") from None
        return {}


def _check(path, known):
    """Rejects values that mas.prepare cannot have written."""
    shards = known.get("shards", {})
    sizes = known.get("size")
    rules = {
        "method": known.get("method") in ("none", *flow.METHODS),
        "size": sizes is None or (isinstance(sizes, list) and [*map(_counts, sizes)] == [True] * 2),
        "shards": isinstance(shards, dict)
        and all(re.fullmatch(r"videos-\d{5,9}", n) and _counts(c) for n, c in shards.items()),
    }
    rules["indices"] = isinstance(known.get("indices", {}), dict)
    rules |= {name: _counts(known.get(name, 0)) for name in ("videos", "frames", "failures")}
    for name, right in rules.items():
        if not right:
            raise ValueError(
                f"{path} must be as mas.prepare wrote it. "
                f"Received: {name}={_short(known.get(name))!r}."
            )


def _amount(videos, frames):
    return f"{counted(videos, 'video')} with {counted(frames, 'frame')}"


def _counts(value):
    return type(value) is int and value >= 0


def settings(data: Any) -> dict[str, Any]:
    """Returns how the images of a data set were made: {form, size, method, quality}, if known.

    Includes fps, deinterlace and flow_size if videos were resampled or deinterlaced, or flow was
    computed at another size than it is stored at.
    """
    known = described(data.data)
    names: list[str] = [n for n in ("form", "size", "method", "quality") if n in known]
    names += [name for name in ("fps", "deinterlace", "flow_size") if known.get(name)]
    return {name: known[name] for name in names} or {"form": type(data).__name__.lower()}


class Faults:
    """Collects faults of a data set while it is opened."""

    def __init__(self, root: pathlib.Path, allowed: bool, words: str = "Left out"):
        """Creates an empty collection.

        Args:
            root: folder of the data set.
            allowed: whether to continue without the faulty parts.
            words: prefix of the warnings; "" disables them.
        """
        self._root, self._allowed, self._words = root, allowed, words
        self.found: dict[str, str] = {}  # {path: message on one line}

    def add(self, path: pathlib.Path, reason: str) -> None:
        """Adds a fault of a file or folder; its path and `reason` form a sentence."""
        self.found.setdefault(str(path), f"{path} {reason}.")

    def add_error(self, path: pathlib.Path, error: Exception) -> None:
        """Adds an error whose message names the file."""
        if isinstance(error, OSError):
            error = ValueError(f"{error.filename}: {error.strerror}.")
        self.found.setdefault(str(path), " ".join(str(error).split()))

    def names(self, path: pathlib.Path) -> bool:
        """Whether a file or folder has a fault."""
        return str(path) in self.found

    def check_counts(self, known: dict[str, Any], videos: int, frames: int) -> None:
        """Compares the numbers of videos and frames with dataset.json, unless there are faults."""
        expected = (known.get("videos", videos), known.get("frames", frames))
        fewer = videos < expected[0] or frames < expected[1]
        if known.get("unfinished") and not fewer:
            logging.warning("%s: its preparation is unfinished.", self._root)
        elif not self.found and expected != (videos, frames):
            self.add(
                self._root,
                f"must contain {_amount(*expected)}, as {DESCRIPTION} says. "
                f"Received: {_amount(videos, frames)}",
            )

    def report(self) -> dict[str, str]:
        """Raises an error, or logs warnings if faults are allowed; returns {path: fault}.

        Raises:
            ValueError: If there are faults and they are not allowed; names the first.
        """
        lines = sorted(self.found.values())
        if lines and not self._allowed:
            more = f" And {len(lines) - 1} more." if len(lines) > 1 else ""
            raise ValueError(
                f"{lines[0]}{more} Prepare the same videos again, or use allow_missing to read the "
                "rest."
            )
        for line in lines[:MOST_NAMED] if self._words else ():
            logging.warning("%s: %s", self._words, line)
        if self._words and len(lines) > MOST_NAMED:
            left = len(lines) - MOST_NAMED
            logging.warning("%s: %d more of %s.", self._words, left, self._root)
        return dict(self.found)
