"""Builds lists from file names, folders and split files; selects parts of lists."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import math
import pathlib
import re
from collections.abc import Iterable, Sequence

from mas.files import PathLike
from mas.lists import text
from mas.lists.classes import class_names, unnumbered
from mas.lists.entries import (
    Entry,
    counted,
    left_by_mac,
    of_names,
    refuse_repeats,
    some,
    video_id,
)
from mas.lists.ucf101 import DATA_LISTS, check_split

# Numbers in HMDB51's official split files; 0 means neither part.
_HMDB51_FLAGS = {"train": "1", "test": "2"}


def hmdb51(
    split_dir: PathLike, split: int, part: str, classes: Sequence[str] | None = None
) -> list[Entry]:
    """Builds a list of HMDB51 from its official split files.

    The files are called `CLASS_test_splitN.txt` and have lines `NAME.avi 0|1|2`.

    Args:
        split_dir: folder of the split files of all classes.
        split: 1, 2 or 3.
        part: "train" (1 in the files) or "test" (2). Videos with 0 are in neither part.
        classes: class names in label order; None means `hmdb51_classes`.

    Returns:
        A list of Entry with ids `CLASS/NAME`, ordered by class and then as in the files.

    Raises:
        ValueError: If `split` or `part` is unknown, a file is missing, or a line is invalid.
    """
    check_split(split, part)
    classes = classes or hmdb51_classes()
    paths = [pathlib.Path(split_dir, f"{name}_test_split{split}.txt") for name in classes]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        below = sorted(pathlib.Path(split_dir).glob(f"*/*_test_split{split}.txt"))
        hint = f" There are some in {below[0].parent}." if below else ""
        raise ValueError(
            f"{split_dir}: expected a file CLASS_test_split{split}.txt for each of "
            f"{len(classes)} classes. Received: {len(missing)} missing: {some(missing)}.{hint}"
        )
    return [
        entry
        for label, (name, path) in enumerate(zip(classes, paths, strict=True))
        for entry in _of_split_file(path, name, label, _HMDB51_FLAGS[part])
    ]


def hmdb51_classes() -> list[str]:
    """Returns the class names of HMDB51, sorted."""
    return class_names(DATA_LISTS / "hmdb51_classes.txt")


def _of_split_file(path, name, label, wanted):
    """Returns the entries of a class with the given flag."""
    entries, flags = [], []
    for number, line in text.lines(text.read(path)):
        video, *flag = line.rsplit(None, 1)
        if flag not in (["0"], ["1"], ["2"]):
            raise ValueError(
                f'{path}:{number}: expected "NAME.avi 0", 1 (train) or 2 (test). '
                f"Received: {text.shown(line)}"
            )
        entries.append(Entry(f"{name}/{video_id(video)}", label, line=number))
        flags += flag
    refuse_repeats(entries, path)
    return [entry for entry, flag in zip(entries, flags, strict=True) if flag == wanted]


def folders(names: Iterable[str], classes: Sequence[str] | None = None) -> list[Entry]:
    """Builds a list of a data set with one folder per class.

    The label is the position of the video's top-level folder among all of them, sorted.

    Args:
        names: iterable of ids or file names, `CLASS/.../NAME`.
        classes: class names in label order. None means the folders in `names` (`folder_classes`),
            which is correct only if `names` is the whole data set.

    Returns:
        A list of Entry, in the order of `names`.

    Raises:
        ValueError: If names have no folder or an unknown one.

    >>> [(entry.video, entry.label) for entry in folders(["walk/1.mp4", "run/1.avi"])]
    [('walk/1', 1), ('run/1', 0)]
    """
    entries = of_names(names)
    videos = [entry.video for entry in entries]
    classes = classes or folder_classes(videos)
    if videos and not classes:
        raise ValueError(
            "names must be CLASS/.../NAME, below the folder that contains a folder for each class. "
            f"Received: {len(videos)} without a folder, such as {text.shown(videos[0])}: is the "
            "folder one level too deep?"
        )
    labels = {name: label for label, name in enumerate(classes)}
    # Numbers in class names such as `1 walk` are dropped when read from a file.
    folders = [_first_folder(video) for video in videos]
    found = [labels.get(f, labels.get(unnumbered(f)[1], -1)) for f in folders]
    unknown = [text.shown(v) for v, label in zip(videos, found, strict=True) if label < 0]
    if unknown:
        raise ValueError(
            f"names must be CLASS/.../NAME with one of {counted(len(labels), 'class', 'classes')}. "
            f"Received: {counted(len(unknown), 'other name')}: {some(unknown)}."
        )
    return [dataclasses.replace(e, label=n) for e, n in zip(entries, found, strict=True)]


def folder_classes(names: Iterable[str]) -> list[str]:
    """Returns the top-level folders, sorted by code point (`HammerThrow` before `Hammering`)."""
    videos = {video_id(name) for name in names if not left_by_mac(name)}
    return sorted(set(map(_first_folder, videos)) - {""})


def _first_folder(name):
    return name.split("/")[0] if "/" in name else ""


def unlabelled(names: Iterable[str]) -> list[Entry]:
    """Returns entries without labels, in the order of `names`."""
    return of_names(names)


def fraction(entries: Sequence[Entry], fraction: float, seed: int = 0) -> list[Entry]:
    """Selects a fraction of each class: ceil(fraction * size) entries, at least one.

    The choice depends on a hash of seed, video and start. It is the same on every machine and for
    every order of the list, and a smaller fraction is a subset of a larger one with the same seed.
    DSM's authors instead take the first ceil(fraction * size) lines; in a sorted list, these are
    the first few groups of a class.

    Args:
        entries: list of Entry; unlabelled entries count as one class.
        fraction: fraction in (0, 1].
        seed: any integer.

    Returns:
        The selected entries, in their original order.

    Raises:
        ValueError: If `fraction` is not in (0, 1].

    >>> entries = [Entry(f"{label}/{number}", label) for label in range(2) for number in range(40)]
    >>> [entry.video for entry in fraction(entries, 0.05)]
    ['0/19', '0/23', '1/0', '1/1']
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be in (0, 1]. Received: fraction={fraction}.")
    alike = collections.Counter((entry.video, entry.start) for entry in entries)
    by_label = collections.defaultdict(list)
    for place, entry in enumerate(entries):
        # If two files share a stem, include the extension.
        both = alike[entry.video, entry.start] > 1
        rank = _order_key(entry.file if both and entry.file else entry.video, entry.start, seed)
        by_label[entry.label].append((rank, place))
    chosen = []
    for members in by_label.values():
        # With tolerance: 0.07 * 100 is 7.000000000000001.
        count = max(1, math.ceil(fraction * len(members) - 1e-9))
        chosen += [place for _, place in sorted(members)[:count]]
    return [entries[place] for place in sorted(chosen)]


def _order_key(name, start, seed):
    return hashlib.sha256(f"{seed}\n{name}\n{start}".encode()).digest()


def split_by(
    entries: Iterable[Entry], match: str | None = None, exclude: str | None = None
) -> list[Entry]:
    """Selects entries by regular expressions, which are searched for in the id and the file name.

    Args:
        entries: list of Entry.
        match: keep only entries that match; None keeps all.
        exclude: drop entries that match; None drops nothing.

    Returns:
        The selected entries, in their original order.

    Raises:
        ValueError: If an expression does not compile.

    >>> split_by([Entry("run/ann_1"), Entry("run/bob_1")], exclude="/bob_")
    [Entry(video='run/ann_1', label=-1, start=None, frames=None, line=0)]
    """
    keep, leave = _expression("match", match), _expression("exclude", exclude)
    return [
        entry
        for entry in entries
        if (keep is None or _matches(keep, entry)) and not (leave and _matches(leave, entry))
    ]


def _matches(expression, entry):
    return any(expression.search(name) for name in (entry.video, entry.file) if name)


def _expression(name, pattern):
    try:
        return None if pattern is None else re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"{name} must be a regular expression ({error}). Received: {pattern!r}."
        ) from error
