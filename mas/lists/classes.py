"""Class names in the order of their labels, and whether labels are within them."""

from __future__ import annotations

import operator
import pathlib
import re
from collections.abc import Iterable, Sequence

from mas.files import PathLike
from mas.lists import text
from mas.lists.entries import Entry, canonical, place

# Without class names a label is below this, or below the number of lines: one that is not may take
# all memory. More classes than this have lists that are longer.
MOST_UNNAMED = 4096
NO_NAME = ("# ", '"', "{")  # what begins so is a comment, or part of a json file
_NUMBERED = re.compile(r"(\d+)\s+(\S.*)")


def class_names(path: PathLike) -> list[str]:
    """Reads class names, one per line; the label is the line's place, from 0.

    Where each line begins with its own number, from 0 or 1 (`classInd.txt` of UCF101), that is no
    part of the name. A json file may hold `{NAME: LABEL}` (Something-Something v2), or a list.

    Raises:
        OSError: there is no such file.
        ValueError: naming file and line, for a name that stands there twice, an empty file, or what
            holds no class names.
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
    """Names without their own places before them, where all have them."""
    found = [unnumbered(name) for name in names]
    for first in (0, 1):
        if [number for number, _ in found] == list(range(first, first + len(names))):
            return [name for _, name in found]
    return names


def unnumbered(name: str) -> tuple[int | None, str]:
    """(number, rest) of a name that begins with a number; (None, name) of another.

    >>> unnumbered("1 ApplyEyeMakeup"), unnumbered("50m sprint")
    ((1, 'ApplyEyeMakeup'), (None, '50m sprint'))
    """
    match = _NUMBERED.fullmatch(name)
    short = match is not None and match[1].isascii() and len(match[1]) <= text.MOST_DIGITS
    return (int(match[1]), match[2]) if match and short else (None, name)


def _of_json(found, path):
    """Names in the order of the labels that an object gives them; or those of a list."""
    names = found
    if isinstance(found, dict):
        labels = {label: name for name, label in found.items() if isinstance(label, int | str)}
        names = [labels.get(n, labels.get(str(n))) for n in range(len(found))]
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError(
            f"{path}: expected a json object from class names to labels, each from 0 once, or a "
            f"list of names. Received: {text.shown(found)}."
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(
            f"{path}: expected each class name once. Received: {text.shown(twice)} twice."
        )
    return names


def class_names_beside(path: PathLike | None) -> list[str] | None:
    """The class names beside a list: of LIST.txt, LIST_classes.txt, classes.txt or classInd.txt.

    So `mas lists` and `mas.sample` leave them, and UCF101's official lists come.

    Args:
        path: of the list; None has none.

    Returns:
        Names in label order; None where neither file is there.

    Raises:
        ValueError: as `class_names`.
    """
    found = classes_file(path)
    return class_names(found) if found else None


def classes_file(path: PathLike | None) -> pathlib.Path | None:
    """The file of `class_names_beside`."""
    if path is None:
        return None
    beside = pathlib.Path(path)
    names = (f"{beside.stem}_classes.txt", "classes.txt", "classInd.txt")
    return next((p for p in map(beside.with_name, names) if p.is_file()), None)


def class_text(names: Sequence[str], path: PathLike) -> bytes:
    """The content of a file of class names.

    Args:
        names: in label order.
        path: of the file, for errors.

    Raises:
        ValueError: one would not read back equal, such as one with white space at its ends.
    """
    lines = "".join(f"{name}\n" for name in names)
    back = {line for _, line in text.lines(lines)}
    wrong = [name for name in names if name not in back or name.startswith(NO_NAME)]
    if wrong:
        raise ValueError(
            f"{path}: a class name must have no white space at its ends and no line break, and "
            f"begin with none of {list(NO_NAME)}. Received: {text.shown(wrong[0])}."
        )
    return encoded(lines, path)


def encoded(content: str, path: PathLike) -> bytes:
    """Text in UTF-8.

    Raises:
        ValueError: a line of it is not; it is the name of a file or folder, and is named.
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
    """Refuses labels that are no class.

    Args:
        entries: with the lines that they stand on.
        source: of the entries, for errors.
        classes: names in label order; without them a label is below `MOST_UNNAMED` or below the
            number of entries.
        whose: what the classes are, for errors.
        unit: what `Entry.line` counts in the source.

    Raises:
        ValueError: a label is no whole number, or another than -1 (none) and those of the classes;
            names source and line.
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
    """The entries that lie in the folder of another class than their label's.

    Args:
        entries: labelled, within the names.
        names: of the classes, in label order. A folder that has no class's name tells nothing.

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
