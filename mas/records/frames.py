"""Recognises how the frames of a video are named in its folder."""

from __future__ import annotations

import collections
import os
import pathlib
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mas.lists import counted

IMAGE = re.compile(r"(.*?)([0-9]+)(\.(?:jpe?g|png))", re.IGNORECASE | re.DOTALL)
MOST_DIGITS = 10  # in a frame number
ENDINGS = (".jpg", ".jpeg", ".png")
RGB, FLOW = ("frame", "frame_", "img_", "image_", ""), {"flow_x_": "u", "flow_y_": "v"}
KNOWN = "frame000001, frame_000001, img_00001, image_00001, 00001 or ID_000001, from 0 or 1 on"


class Naming(NamedTuple):
    """The names of a video's frames: prefix, digits, first number and suffix."""

    before: str
    digits: int
    first: int
    behind: str

    def name(self, index: int) -> str:
        """Returns the file name of a frame, counted from 0."""
        return f"{self.before}{index + self.first:0{self.digits}d}{self.behind}"


def listed(top: pathlib.Path) -> Iterator[tuple[str, list[str], str]]:
    """Yields (id, names of images, another file) for every folder of frames below a folder.

    Empty folders count as folders of frames. Metadata of macOS, temporary folders of killed
    processes, and links to a parent folder are skipped.
    """
    yield from _listed(top, "", (os.path.realpath(top),))


def _listed(folder, prefix, above):
    images, other, below = [], "", []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                unfinished = entry.name.startswith(".") and entry.name.endswith(".tmp")
                loop = entry.is_symlink() and os.path.realpath(entry.path) in above
                if not (unfinished or loop or entry.name == "__MACOSX"):
                    below.append(entry.name)
            elif _is_image(entry.name) and entry.is_file():
                images.append(entry.name)
            elif not entry.name.startswith("."):
                other = min(filter(None, (other, entry.name)))
    if prefix and (images or not below):
        yield prefix, images, other
    for name in sorted(below):
        path = os.path.join(folder, name)
        yield from _listed(path, f"{prefix}/{name}".lstrip("/"), (*above, os.path.realpath(path)))


def _is_image(name):
    return name.lower().endswith(ENDINGS) and not name.startswith("._")


def image_names(folder: pathlib.Path) -> list[str]:
    """Returns the names of the images in a folder."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if _is_image(entry.name) and entry.is_file()]


def recognise(folder: pathlib.Path, names: Iterable[str]) -> dict[str, tuple[Naming, int]]:
    """Recognises the naming of a folder's frames and counts them.

    Args:
        folder: folder of the frames; its name may be part of their names.
        names: names of its images.

    Returns:
        {"rgb": (Naming, frames)}, with "u" and "v" if the folder also contains flow.

    Raises:
        ValueError: If a name is unknown or a frame is missing; names the file.
    """
    alone = _only_rgb(folder, names)
    if alone:
        return {"rgb": alone}
    # names by number, for each part, prefix and suffix
    found: dict[tuple, dict[int, str]] = collections.defaultdict(dict)
    for name in sorted(names):
        match = IMAGE.fullmatch(name)
        part = match and len(match[2]) < MOST_DIGITS and _part(match[1], folder.name)
        if not match or not part or int(match[2]) in found[part, match[1], match[3]]:
            raise _unknown(folder / name)
        found[part, match[1], match[3]][int(match[2])] = name
    parts: dict[str, tuple[Naming, int]] = {}
    for (part, before, behind), numbers in sorted(found.items(), key=lambda item: -len(item[1])):
        if part in parts:  # the larger group has the frames
            raise _unknown(folder / min(numbers.values()))
        parts[part] = _naming(folder, before, behind, numbers), len(numbers)
    if len({naming.first for naming, _ in parts.values()}) > 1:
        raise ValueError(f"{folder} must number its flow from the number of its first frame.")
    return parts


def _only_rgb(folder, names):
    """Handles the common case fast: only RGB frames, with names of equal length; else None."""
    first, last = min(names, default=""), max(names, default="")
    ends = [IMAGE.fullmatch(name) for name in (first, last)]
    if not all(ends) or ends[0].group(1, 3) != ends[1].group(1, 3):
        return None
    before, digits, behind = ends[0].groups()
    numbers = "".join(name[len(before) : -len(behind)] for name in names)
    alike = all(
        len(name) == len(first) and name.startswith(before) and name.endswith(behind)
        for name in names
    )
    begin, whole = int(digits), len(digits) < MOST_DIGITS and numbers.isascii()
    count = int(ends[1][2]) + 1 - begin
    whole &= alike and numbers.isdigit() and count == len(set(names)) == len(names) and begin < 2
    if not whole or _part(before, folder.name) != "rgb":
        return None
    return Naming(before, len(digits), begin, behind), count


def _part(before, video):
    if before in FLOW:
        return FLOW[before]
    return "rgb" if before in RGB or before == f"{video}_" or re.search(r"\d.*_$", before) else None


def _unknown(path):
    return ValueError(f"{path}: frames must be named alike: {KNOWN}.")


def _naming(folder, before, behind, numbers):
    """Returns the naming of frames, given their numbers; raises if a frame is missing."""
    first = min(min(numbers), 1)
    naming = Naming(before, min(_digits(name, before, behind) for name in numbers.values()), 0, "")
    naming = naming._replace(first=first, behind=behind)
    for index in range(len(numbers)):
        name = naming.name(index)
        if first + index not in numbers:
            last = counted(max(numbers) + 1 - first, "frame")
            raise ValueError(
                f"{folder / name} must exist: the numbers imply {last}. Received: none."
            )
        if numbers[first + index] != name:
            raise _unknown(folder / numbers[first + index])
    return naming


def _digits(name, before, behind):
    return len(name) - len(before) - len(behind)
