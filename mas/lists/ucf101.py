"""UCF101: lists from its file names alone, and its official lists told by their content.

The official lists are `trainlist0N.txt`, whose labels count from 1, and `testlist0N.txt`, which has
none. `classInd.txt` lies beside them. Other data sets come in the same form.
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
from mas.lists.entries import Entry, canonical, of_names, some, video_id

# In a checkout beside the package; setup.py installs the class files into it.
_PACKAGE = pathlib.Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "data_lists"
DATA_LISTS = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "data_lists"

# The test groups of each split: testlist01.txt to testlist03.txt of the official lists.
TEST_GROUPS = {1: range(1, 8), 2: range(8, 15), 3: range(15, 22)}
_NAME = re.compile(r"v_(\w+)_g(\d\d)_c(\d\d)")
_LOOKED_AT = 20  # lines of a list, for one in the form of UCF101


def ucf101(
    names: Iterable[str], split: int, part: str, classes: Sequence[str] | None = None
) -> list[Entry]:
    """UCF101 from its file names alone: the groups of a split's test part are fixed.

    Args:
        names: iterable of ids or file names that end in `v_CLASS_gGG_cCC`, in folders or not.
        split: 1, 2 or 3.
        part: "train" or "test".
        classes: class names in label order; None: `ucf101_classes`.

    Returns:
        A list of Entry in the names' order; labels from 0 (the official lists count from 1).

    Raises:
        ValueError: for another split or part, or naming the first few names that are not UCF101's.

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
            f"Received: {len(unknown)} that do not: {some(unknown)}."
        )
    return entries


def ucf101_classes() -> list[str]:
    """The class names of UCF101 in the order of its classInd.txt."""
    return class_names(DATA_LISTS / "ucf101_classes.txt")


def check_split(split: int, part: str) -> None:
    """Raises ValueError where a split is not 1, 2 or 3, or a part not train or test."""
    if split not in TEST_GROUPS:
        raise ValueError(f"split must be one of [1, 2, 3]. Received: split={split!r}.")
    if part not in ("train", "test"):
        raise ValueError(f"part must be one of ['train', 'test']. Received: part={part!r}.")


def _match(video):
    return _NAME.fullmatch(posixpath.basename(canonical(video)))


def _labels(video, classes, path):
    """{class: label} of the first class names that know the class in a video's name; else None."""
    match = _match(video)
    for names in (lambda: classes or class_names_beside(path), ucf101_classes) if match else ():
        labels = {canonical(name): label for label, name in enumerate(names() or ())}
        if match[1] in labels:
            return labels
    return None


def official_test(
    lines: Sequence[tuple[int, str]], classes: Sequence[str] | None, path: PathLike
) -> list[Entry] | None:
    """The entries of a list such as testlist01.txt, whose labels are in its names alone.

    Args:
        lines: of the list, with their numbers.
        classes: names in label order; by default those beside the list, else UCF101's.
        path: of the list.

    Returns:
        Labelled entries; None where the first line is not in this form.

    Raises:
        ValueError: another line is not; names it.
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
    """The entries of a list such as trainlist01.txt with labels that count from 0.

    A list counts from 1 where most of its labels are one more than those of the classes in its
    names, in more than one class.

    Args:
        entries: of any list; those of another are returned as they are.
        classes: names in label order; by default those beside the list, else UCF101's.
        path: of the list.

    Raises:
        ValueError: a list that counts from 1 has a label that is not that of its class; names it.
    """
    found = (_labels(entry.video, classes, path) for entry in entries[:_LOOKED_AT])
    labels = next(filter(None, found), None)
    if labels is None:
        return entries
    # A folder for each class, sorted by code point, puts HammerThrow before Hammering.
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
                f"{path}:{entry.line}: expected {wanted}, as the list counts the classes of its "
                f"names from 1. Received: {text.shown(entry.video)} with {entry.label}."
            )
    logging.info("%s counts classes from 1: taken from 0.", path)
    return [dataclasses.replace(entry, label=entry.label - 1) for entry in entries]


def _class(video, labels):
    """The class in a video's name, if it is one of those with labels."""
    match = _match(video)
    return match[1] if match and match[1] in labels else None
