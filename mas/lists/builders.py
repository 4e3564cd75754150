"""Lists from file names, folders and split files; shares of lists."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import math
import pathlib
import posixpath
import re
from collections.abc import Iterable, Sequence

from mas.files import PathLike
from mas.lists.entries import Entry, class_names, counted, of_names, some, video_id
from mas.lists.matching import canonical

# In a checkout beside the package; setup.py installs the class files into it.
_PACKAGE = pathlib.Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "data_lists"
_DATA_LISTS = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "data_lists"

# UCF101's test groups per split: testlist01.txt to testlist03.txt of its official train/test lists.
_UCF101_TEST_GROUPS = {1: range(1, 8), 2: range(8, 15), 3: range(15, 22)}
_UCF101_NAME = re.compile(r"v_(\w+)_g(\d\d)_c(\d\d)")

# The numbers in HMDB51's official split files; 0 is in neither part.
_HMDB51_FLAGS = {"train": "1", "test": "2"}


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
    _check_split(split, part)
    classes = classes or ucf101_classes()
    labels = {canonical(name): label for label, name in enumerate(classes)}
    entries, unknown = [], []
    for entry in of_names(names):
        match = _UCF101_NAME.fullmatch(posixpath.basename(canonical(entry.video)))
        if match is None or match[1] not in labels:
            unknown.append(repr(entry.video))
        elif (int(match[2]) in _UCF101_TEST_GROUPS[split]) == (part == "test"):
            entries.append(dataclasses.replace(entry, label=labels[match[1]]))
    if unknown:
        raise ValueError(
            f"names must end in v_CLASS_gGG_cCC with one of {len(labels)} classes. "
            f"Received: {len(unknown)} that do not: {some(unknown)}."
        )
    return entries


def ucf101_classes() -> list[str]:
    """The class names of UCF101 in the order of its classInd.txt."""
    return class_names(_DATA_LISTS / "ucf101_classes.txt")


def hmdb51(
    split_dir: PathLike, split: int, part: str, classes: Sequence[str] | None = None
) -> list[Entry]:
    """HMDB51 from its official split files, `CLASS_test_splitN.txt` with lines `NAME.avi 0|1|2`.

    Args:
        split_dir: folder of the split files; all classes' must be there.
        split: 1, 2 or 3.
        part: "train" (1 in the files) or "test" (2). Videos with 0 are in neither.
        classes: class names in label order; None: `hmdb51_classes`.

    Returns:
        A list of Entry with ids `CLASS/NAME`, by class and then in the files' order.

    Raises:
        ValueError: for another split or part, a missing file, or naming file and line.
    """
    _check_split(split, part)
    classes = classes or hmdb51_classes()
    paths = [pathlib.Path(split_dir, f"{name}_test_split{split}.txt") for name in classes]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise ValueError(
            f"{split_dir}: expected a file CLASS_test_split{split}.txt for each of "
            f"{len(classes)} classes. Received: {len(missing)} missing: {some(missing)}."
        )
    return [
        Entry(f"{name}/{video}", label)
        for label, (name, path) in enumerate(zip(classes, paths, strict=True))
        for video, flag in _hmdb51_lines(path)
        if flag == _HMDB51_FLAGS[part]
    ]


def hmdb51_classes() -> list[str]:
    """The class names of HMDB51, sorted."""
    return class_names(_DATA_LISTS / "hmdb51_classes.txt")


def _hmdb51_lines(path):
    pairs = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            continue
        name, *flag = line.strip().rsplit(None, 1)
        if flag not in (["0"], ["1"], ["2"]):
            raise ValueError(
                f'{path}:{number}: expected "NAME.avi 0", 1 (train) or 2 (test). Received: {line!r}'
            )
        pairs.append((video_id(name), flag[0]))
    return pairs


def folders(names: Iterable[str], classes: Sequence[str] | None = None) -> list[Entry]:
    """A data set with a folder per class: the label is the first folder's place among all, sorted.

    Args:
        names: iterable of ids or file names, `CLASS/.../NAME`.
        classes: class names in label order; None: the names' own (`folder_classes`), which is
            right only where `names` is the whole data set.

    Returns:
        A list of Entry in the names' order.

    Raises:
        ValueError: naming the first few names that lie in no folder or in an unknown one.

    >>> [(entry.video, entry.label) for entry in folders(["walk/1.mp4", "run/1.avi"])]
    [('walk/1', 1), ('run/1', 0)]
    """
    entries = of_names(names)
    videos = [entry.video for entry in entries]
    classes = classes or folder_classes(videos)
    if videos and not classes:
        raise ValueError(
            "names must be CLASS/.../NAME, below the folder that holds a folder for each class. "
            f"Received: {len(videos)} without a folder, such as {videos[0]!r}."
        )
    labels = {name: label for label, name in enumerate(classes)}
    unknown = [repr(v) for v in videos if _first_folder(v) not in labels]
    if unknown:
        raise ValueError(
            f"names must be CLASS/.../NAME with one of {counted(len(labels), 'class', 'classes')}. "
            f"Received: {len(unknown)} that are not: {some(unknown)}."
        )
    return [dataclasses.replace(e, label=labels[_first_folder(e.video)]) for e in entries]


def folder_classes(names: Iterable[str]) -> list[str]:
    """The first folders of the names, sorted by code point (`HammerThrow` before `Hammering`)."""
    return sorted({_first_folder(video_id(name)) for name in names} - {""})


def _first_folder(name):
    return name.split("/")[0] if "/" in name else ""


def unlabelled(names: Iterable[str]) -> list[Entry]:
    """Entries without labels, in the names' order."""
    return of_names(names)


def fraction(entries: Sequence[Entry], fraction: float, seed: int = 0) -> list[Entry]:
    """A share of each class: ceil(fraction * size) of its entries, so at least one.

    Which ones is decided by a hash of seed, video and start. So it is the same on every machine
    and in every order of the list, and a smaller share lies within a larger one of the same seed.
    The DSM authors take the first ceil(fraction * size) lines in file order instead, which for
    sorted lists are a class's first few groups.

    Args:
        entries: list of Entry; the unlabelled count as one class.
        fraction: share in (0, 1].
        seed: any integer.

    Returns:
        The chosen entries, in their order.

    Raises:
        ValueError: for a share outside (0, 1].

    >>> entries = [Entry(f"{label}/{number}", label) for label in range(2) for number in range(40)]
    >>> [entry.video for entry in fraction(entries, 0.05)]
    ['0/19', '0/23', '1/0', '1/1']
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be in (0, 1]. Received: fraction={fraction}.")
    by_label = collections.defaultdict(list)
    for entry in entries:
        by_label[entry.label].append(entry)
    chosen = set()
    for members in by_label.values():
        # Less a little, as 0.07 * 100 is 7.000000000000001.
        count = max(1, math.ceil(fraction * len(members) - 1e-9))
        chosen.update(sorted(members, key=lambda entry: _rank(entry, seed))[:count])
    return [entry for entry in entries if entry in chosen]


def _rank(entry, seed):
    return hashlib.sha256(f"{seed}\n{entry.video}\n{entry.start}".encode()).digest()


def split_by(
    entries: Iterable[Entry], match: str | None = None, exclude: str | None = None
) -> list[Entry]:
    """Selects entries by regular expressions that are searched for in the id and the file name.

    Args:
        entries: list of Entry.
        match: keep only those where it is found; None: all.
        exclude: of those, leave out where it is found; None: none.

    Returns:
        The selected entries, in their order.

    Raises:
        ValueError: for an expression that does not compile.

    >>> split_by([Entry("run/ann_1"), Entry("run/bob_1")], exclude="/bob_")
    [Entry(video='run/ann_1', label=-1, start=None, frames=None, line=0)]
    """
    keep, leave = _expression("match", match), _expression("exclude", exclude)
    return [
        entry
        for entry in entries
        if (keep is None or _found(keep, entry)) and not (leave and _found(leave, entry))
    ]


def _found(expression, entry):
    return any(expression.search(name) for name in (entry.video, entry.file) if name)


def _expression(name, pattern):
    try:
        return None if pattern is None else re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"{name} must be a regular expression ({error}). Received: {pattern!r}."
        ) from error


def _check_split(split, part):
    if split not in _UCF101_TEST_GROUPS:
        raise ValueError(f"split must be one of [1, 2, 3]. Received: split={split!r}.")
    if part not in _HMDB51_FLAGS:
        raise ValueError(f"part must be one of ['train', 'test']. Received: part={part!r}.")
