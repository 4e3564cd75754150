"""Class names in label order, and checks of labels against them."""

from __future__ import annotations

import operator
import pathlib
import re
from collections.abc import Iterable, Sequence

from mas.files import PathLike
from mas.lists import text
from mas.lists.entries import Entry, canonical, place

# Without class names, a label must be below this or below the number of lines, so that a wrong one
# cannot exhaust memory. A list of more classes has more lines.
MOST_UNNAMED = 4096
NO_NAME = ("# ", '"', "{")  # start of a comment, or of part of a json file
_NUMBERED = re.compile(r"(\d+)\s+(\S.*)")


def class_names(path: PathLike) -> list[str]:
    """Reads class names, one per line; the label is the index of the line, from 0.

    If every line starts with its own number, from 0 or 1 (`classInd.txt` of UCF101), the numbers
    are dropped. A json file may hold `{NAME: LABEL}` (Something-Something v2) or a list.

    Raises:
        OSError: If the file does not exist.
        ValueError: If a name is repeated, the file is empty, or it does not hold class names; names
            the file and the line.
    """
    content = text.read(path)
    if text.is_json(content):
        return _of_json(text.from_json(content, path), path)
    lines = text.lines(content)
    if not lines:
        raise ValueError(f"{path}: expected one class name per line. Received: an empty file.")
    found: dict[str, int] = {}
    names = _unnumbered([name for _, name in lines])
    for (number, _), name in zip(lines, names, strict=True):
        if name.startswith(NO_NAME):
            raise ValueError(
                f"{path}:{number}: expected a class name, no comment and no json. "
                f"Received: {text.shown(name)}."
            )
        if name in found:
            raise ValueError(
                f"{path}:{number}: expected each class name once. "
                f"Received: {text.shown(name)}, also on line {found[name]}."
            )
        found[name] = number
    return names


def _unnumbered(names):
    """Drops the numbers from names if all names start with their own number."""
    found = [unnumbered(name) for name in names]
    for first in (0, 1):
        if [number for number, _ in found] == list(range(first, first + len(names))):
            return [name for _, name in found]
    return names


def unnumbered(name: str) -> tuple[int | None, str]:
    """Splits a name that starts with a number into (number, rest); gives (None, name) for others.

    >>> unnumbered("1 ApplyEyeMakeup"), unnumbered("50m sprint")
    ((1, 'ApplyEyeMakeup'), (None, '50m sprint'))
    """
    match = _NUMBERED.fullmatch(name)
    short = match is not None and match[1].isascii() and len(match[1]) <= text.MOST_DIGITS
    return (int(match[1]), match[2]) if match and short else (None, name)


def _of_json(found, path):
    """Returns the names in a json list, or those of an object in the order of their labels."""
    names = found
    if isinstance(found, dict):
        labels = {label: name for name, label in found.items() if isinstance(label, int | str)}
        names = [labels.get(n, labels.get(str(n))) for n in range(len(found))]
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError(
            f"{path}: expected a json object from class names to labels 0, 1, 2, ..., or a "
            f"list of names. Received: {text.shown(found)}."
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(
            f"{path}: expected each class name once. Received: {text.shown(twice)} twice."
        )
    return names


def class_names_beside(path: PathLike | None) -> list[str] | None:
    """Reads the class names next to a list.

    For LIST.txt, looks for LIST_classes.txt, classes.txt or classInd.txt: the files that `mas
    lists` and `mas.sample` write, and the one that comes with UCF101's official lists.

    Args:
        path: path of the list, or None.

    Returns:
        Names in label order, or None if there is no such file.

    Raises:
        ValueError: See `class_names`.
    """
    found = classes_file(path)
    return class_names(found) if found else None


def classes_file(path: PathLike | None) -> pathlib.Path | None:
    """Returns the file that `class_names_beside` reads, or None."""
    if path is None:
        return None
    beside = pathlib.Path(path)
    names = (f"{beside.stem}_classes.txt", "classes.txt", "classInd.txt")
    return next((p for p in map(beside.with_name, names) if p.is_file()), None)


def class_text(names: Sequence[str], path: PathLike) -> bytes:
    """Returns the content of a file of class names.

    Args:
        names: class names in label order.
        path: path of the file, for errors.

    Raises:
        ValueError: If a name would not read back unchanged, for instance because of white space at
            its ends.
    """
    lines = "".join(f"{name}\n" for name in names)
    back = {line for _, line in text.lines(lines)}
    wrong = [name for name in names if name not in back or name.startswith(NO_NAME)]
    if wrong:
        raise ValueError(
            f"{path}: a class name must not have white space at its ends or a line break, or begin "
            f"with one of {list(NO_NAME)}. Received: {text.shown(wrong[0])}."
        )
    return encoded(lines, path)


def encoded(content: str, path: PathLike) -> bytes:
    """Encodes text as UTF-8.

    Raises:
        ValueError: If a line, which is the name of a file or folder, cannot be encoded.
    """
    try:
        return content.encode("utf-8")
    except UnicodeEncodeError as error:
        start = content.rfind("\n", 0, error.start) + 1
        line = content[start:].split("\n", 1)[0]
        raise ValueError(
            f"{path}: names in a list must be UTF-8: rename the file, or leave it out. "
            f"Received: {text.shown_name(line)}."
        ) from None


def check_labels(
    entries: Iterable[Entry],
    source: PathLike | str,
    classes: Sequence[str] | None = None,
    whose: str = "the class names",
    unit: str = "line",
) -> None:
    """Checks labels against the classes.

    Args:
        entries: entries with line numbers.
        source: source of the entries, for errors.
        classes: class names in label order. Without them, a label must be below `MOST_UNNAMED` or
            below the number of entries.
        whose: description of the classes, for errors.
        unit: what `Entry.line` counts in the source.

    Raises:
        ValueError: If a label is neither -1 (unlabelled) nor the label of a class; names the source
            and the line.
    """
    entries = list(entries)
    bound = max(MOST_UNNAMED, len(entries)) if classes is None else len(classes)
    for entry in entries:
        try:
            label = operator.index(entry.label)
        except TypeError:
            label = bound
        if -1 <= label < bound:
            continue
        allowed = f"in 0..{bound - 1}, one of {whose}"
        if classes is None:
            allowed = f"below {bound}, as no class names are known"
        elif entry.label == bound and all(e.label for e in entries):
            allowed += ", counted from 0"
        raise ValueError(
            f"{place(source, entry.line, unit)}: expected a label {allowed}. "
            f"Received: {text.shown(entry.label)}."
        )


def misplaced(entries: Iterable[Entry], names: Sequence[str]) -> list[Entry]:
    """Returns the entries that are in the folder of a class other than their label's.

    Args:
        entries: labelled entries; labels must be within `names`.
        names: class names in label order. Folders that are not named after a class are ignored.

    >>> misplaced([Entry("run/1", 1), Entry("walk/1", 1), Entry("x/1", 0)], ["run", "walk"])
    [Entry(video='run/1', label=1, start=None, frames=None, line=0)]
    """
    known = [canonical(name) for name in names]
    found = []
    for entry in entries:
        folders = set(canonical(entry.video).split("/")[:-1]) if known else set()
        if folders.intersection(known) and known[entry.label] not in folders:
            found.append(entry)
    return found
