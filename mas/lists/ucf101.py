"""UCF101: builds lists from file names alone, and detects its official lists.

The official lists are `trainlist0N.txt`, whose labels count from 1, and `testlist0N.txt`, which has
no labels, next to `classInd.txt`. Lists of other data sets may have the same form.
"""

from __future__ import annotations

import dataclasses
import pathlib
import posixpath
import re
from collections.abc import Iterable, Sequence

from absl import logging

from mas.files import PathLike
from mas.lists import text
from mas.lists.classes import class_names, class_names_beside
from mas.lists.entries import Entry, canonical, counted, of_names, some, video_id

# Next to the package in a checkout; setup.py installs the class files into the package.
_PACKAGE = pathlib.Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "data_lists"
DATA_LISTS = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "data_lists"

# The test groups of each split: testlist01.txt to testlist03.txt of the official lists.
TEST_GROUPS = {1: range(1, 8), 2: range(8, 15), 3: range(15, 22)}
_NAME = re.compile(r"v_(\w+)_g(\d\d)_c(\d\d)")
_LOOKED_AT = 20  # lines searched for one in the form of UCF101


def ucf101(
    names: Iterable[str], split: int, part: str, classes: Sequence[str] | None = None
) -> list[Entry]:
    """Builds a list of UCF101 from its file names, whose groups determine the split.

    Args:
        names: iterable of ids or file names that end in `v_CLASS_gGG_cCC`, with or without folders.
        split: 1, 2 or 3.
        part: "train" or "test".
        classes: class names in label order; None means `ucf101_classes`.

    Returns:
        A list of Entry in the order of `names`; labels count from 0 (from 1 in the official lists).

    Raises:
        ValueError: If `split` or `part` is unknown, or names are not those of UCF101.

    >>> ucf101(["YoYo/v_YoYo_g01_c01.avi", "YoYo/v_YoYo_g08_c01.avi"], split=1, part="test")
    [Entry(video='YoYo/v_YoYo_g01_c01', label=100, start=None, frames=None, line=0)]
    """
    check_split(split, part)
    classes = classes or ucf101_classes()
    labels = {canonical(name): label for label, name in enumerate(classes)}
    entries, unknown = [], []
    for entry in of_names(names):
        match = _match(entry.video)
        if match is None or match[1] not in labels:
            unknown.append(text.shown(entry.video))
        elif (int(match[2]) in TEST_GROUPS[split]) == (part == "test"):
            entries.append(dataclasses.replace(entry, label=labels[match[1]]))
    if unknown:
        raise ValueError(
            f"names must end in v_CLASS_gGG_cCC with one of {len(labels)} classes. "
            f"Received: {counted(len(unknown), 'other name')}: {some(unknown)}."
        )
    return entries


def ucf101_classes() -> list[str]:
    """Returns the class names of UCF101 in the order of its classInd.txt."""
    return class_names(DATA_LISTS / "ucf101_classes.txt")


def check_split(split: int, part: str) -> None:
    """Raises ValueError if a split is not 1, 2 or 3, or a part is not train or test."""
    if split not in TEST_GROUPS:
        raise ValueError(f"split must be one of [1, 2, 3]. Received: split={split!r}.")
    if part not in ("train", "test"):
        raise ValueError(f"part must be one of ['train', 'test']. Received: part={part!r}.")


def _match(video):
    return _NAME.fullmatch(posixpath.basename(canonical(video)))


def _labels(video, classes, path):
    """Returns {class: label} from the first class names that include a video's class, or None."""
    match = _match(video)
    for names in (lambda: classes or class_names_beside(path), ucf101_classes) if match else ():
        labels = {canonical(name): label for label, name in enumerate(names() or ())}
        if match[1] in labels:
            return labels
    return None


def official_test(
    lines: Sequence[tuple[int, str]], classes: Sequence[str] | None, path: PathLike
) -> list[Entry] | None:
    """Reads a list such as testlist01.txt, whose labels are only in its names.

    Args:
        lines: lines of the list, with their numbers.
        classes: class names in label order; defaults to those next to the list, else UCF101's.
        path: path of the list.

    Returns:
        Labelled entries, or None if the first line is not in this form.

    Raises:
        ValueError: If a later line is not in this form.
    """
    labels = _labels(video_id(lines[0][1]), classes, path)
    if labels is None:
        return None
    entries = []
    for number, line in lines:
        match = _match(video_id(line))
        if match is None or match[1] not in labels:
            raise ValueError(
                f'{path}:{number}: expected "CLASS/v_CLASS_gGG_cCC.avi" without a label, as on '
                f"line {lines[0][0]}, with one of {len(labels)} classes. "
                f"Received: {text.shown(line)}"
            )
        file = posixpath.normpath(line)
        video = video_id(line)
        file_or_none = None if file == video else file
        entries.append(Entry(video, labels[match[1]], line=number, file=file_or_none))
    return entries


def counted_from_0(
    entries: list[Entry], classes: Sequence[str] | None, path: PathLike
) -> list[Entry]:
    """Converts a list such as trainlist01.txt to labels that count from 0.

    A list counts from 1 if most of its labels are one more than those of the classes in its names,
    in more than one class.

    Args:
        entries: entries of any list; returned unchanged if the list does not count from 1.
        classes: class names in label order; defaults to those next to the list, else UCF101's.
        path: path of the list.

    Raises:
        ValueError: If a list counts from 1 but a label is not that of its class.
    """
    found = (_labels(entry.video, classes, path) for entry in entries[:_LOOKED_AT])
    labels = next(filter(None, found), None)
    if labels is None:
        return entries
    # If labels are those of sorted class folders, HammerThrow comes before Hammering.
    places = {name: place for place, name in enumerate(sorted(labels))}
    names = [_class(entry.video, labels) for entry in entries]
    telling = [
        (name, entry.label == labels[name] + 1)
        for entry, name in zip(entries, names, strict=True)
        if name is not None and places[name] != labels[name] + 1
    ]
    more = [name for name, is_more in telling if is_more]
    most = 2 * len(more) > max(len(telling), len(entries) // 2) and len(set(more)) > 1
    if not (most or (more and len(more) == len(telling) == len(entries))):
        return entries
    for entry, name in zip(entries, names, strict=True):
        if name is None or entry.label != labels[name] + 1:
            wanted = f"the label {labels[name] + 1} of {name}" if name else "v_CLASS_gGG_cCC"
            raise ValueError(
                f"{path}:{entry.line}: expected {wanted}, as the list counts its classes from 1. "
                f"Received: {text.shown(entry.video)} with {entry.label}."
            )
    logging.info("%s counts classes from 1; converted to count from 0.", path)
    return [dataclasses.replace(entry, label=entry.label - 1) for entry in entries]


def _class(video, labels):
    """Returns the class in a video's name if it has a label."""
    match = _match(video)
    return match[1] if match and match[1] in labels else None
