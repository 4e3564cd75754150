"""Lists of Diving48 and Something-Something from their official annotation files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mas.files import PathLike
from mas.lists import text
from mas.lists.classes import check_labels
from mas.lists.entries import Entry, place, refuse_repeats

_ID = re.compile(r"[\w.-]+", re.ASCII)  # video ID in Something-Something


def diving48(json_path: PathLike, classes: Sequence[str] | None = None) -> list[Entry]:
    """Builds a list of Diving48 from an official json file, such as Diving48_V2_train.json.

    Args:
        json_path: file with a list of objects {"vid_name", "label", "start_frame", "end_frame"};
            labels count from 0. `start_frame` is ignored, because each video has one dive.
        classes: class names in label order (`diving48_classes`); labels must be within them.

    Returns:
        A list of Entry in file order; `frames` is end_frame, as in the lists of DSM's authors.

    Raises:
        ValueError: If an object is invalid; names the file and the object, counted from 1.
    """
    entries: list[Entry] = []
    for number, row in _objects(json_path):
        video: Any = row.get("vid_name")
        label: Any = row.get("label")
        frames: Any = row.get("end_frame")
        named = isinstance(video, str) and video.strip()
        if not (named and _is_whole(label, 0) and _is_whole(frames, 1)):
            raise ValueError(
                f"{json_path}, object {number}: expected a vid_name, a label >= 0 and an "
                f"end_frame >= 1. Received: {text.shown(row)}."
            )
        if classes and label >= len(classes):
            raise ValueError(
                f"{json_path}, object {number}: label must be in 0..{len(classes) - 1}, the "
                f"classes of the vocabulary. Received: {label}."
            )
        entries.append(Entry(video, label, frames=frames, line=number))
    refuse_repeats(entries, json_path, "object")
    check_labels(entries, json_path, unit="object")
    return entries


def diving48_classes(vocabulary: PathLike) -> list[str]:
    """Reads class names in label order from Diving48_vocab.json, a list of words for each class.

    Returns:
        A list of str such as "Back-15som-05Twis-FREE".

    Raises:
        ValueError: If a class is invalid; names the file and the class, counted from 1.
    """
    names: dict[str, None] = {}
    for number, words in enumerate(_json_list(vocabulary), 1):
        known = isinstance(words, list) and all(isinstance(word, str) for word in words)
        name = "-".join(words) if known else ""
        if not name or name in names:
            raise ValueError(
                f"{vocabulary}, class {number}: expected a list of words that no other class has. "
                f"Received: {text.shown(words)}."
            )
        names[name] = None
    return list(names)


def something(path: PathLike, classes: Sequence[str] | None = None) -> list[Entry]:
    """Builds a list of Something-Something v1 or v2 from an official file, detected by its content.

    Args:
        path: csv file of version 1, with lines `ID;LABEL` and no header; or json file of version 2,
            a list of objects {"id", "template"}, where the label is the template without brackets.
            Files of the test part have only IDs and give unlabelled entries.
        classes: class names in label order, from something-something-v1-labels.csv or
            something-something-v2-labels.json (`class_names` reads both). None means the names in
            the file, sorted (`something_classes`).

    Returns:
        A list of Entry in file order.

    Raises:
        ValueError: If a line or object is invalid; names the file and the line, or the object,
            counted from 1.
    """
    rows, unit = _something_rows(path)
    classes = classes or sorted({name for _, _, name in rows} - {None})
    labels = {name: label for label, name in enumerate(classes)}
    entries = []
    for number, video, name in rows:
        if name is not None and name not in labels:
            raise ValueError(
                f"{place(path, number, unit)}: label must be one of the {len(labels)} classes. "
                f"Received: {text.shown(name)}."
            )
        entries.append(Entry(video, -1 if name is None else labels[name], line=number))
    refuse_repeats(entries, path, unit)
    return entries


def something_classes(path: PathLike) -> list[str]:
    """Returns the sorted class names in a file of Something-Something; empty for a test part."""
    return sorted({name for _, _, name in _something_rows(path)[0]} - {None})


def _something_rows(path):
    """Returns ([(line number, ID, class name)], unit); the class name is None in a test part."""
    content = text.read(path)
    json = text.is_json(content)
    unit = "object" if json else "line"
    rows: list[tuple] = []
    for number, row in _objects(path, content) if json else text.lines(content):
        video, name = _of_object(row) if json else _of_line(row)
        alike = not rows or (name is None) == (rows[0][2] is None)
        if not _ID.fullmatch(video) or name == "" or not alike:
            wanted = (
                'a string "id" and a string "template" in every object, or "id" in every object'
                if json
                else '"ID;LABEL" on every line, or "ID" on every line'
            )
            received = text.shown(row if json else content.split("\n")[number - 1])
            raise ValueError(
                f"{place(path, number, unit)}: expected {wanted}. Received: {received}"
            )
        rows.append((number, video, name))
    if not rows:
        raise ValueError(f"{path}: expected a line for each video. Received: an empty file.")
    return rows, unit


def _of_line(line):
    """Parses a line of version 1 as (ID, class name); a missing ID is ""."""
    video, mark, name = (part.strip() for part in line.partition(";"))
    return video, name if mark else None


def _of_object(row):
    """Parses an object of version 2 as (ID, class name); invalid values are ""."""
    video, template = row.get("id"), row.get("template")
    if not isinstance(video, str):
        video = ""
    if template is not None:
        template = template.replace("[", "").replace("]", "") if isinstance(template, str) else ""
    return video.strip(), template


def _objects(path, content=None):
    """Yields (number from 1, object) of a json list; other values X become {"object": X}."""
    for number, row in enumerate(_json_list(path, content), 1):
        yield number, row if isinstance(row, dict) else {"object": row}


def _json_list(path, content=None):
    """Reads a json list from a file."""
    found = text.from_json(text.read(path) if content is None else content, path)
    if not isinstance(found, list):
        raise ValueError(f"{path}: expected a list. Received: {type(found).__name__}.")
    return found


def _is_whole(number, lowest):
    """Whether a json value is a whole number of at least `lowest`."""
    whole = isinstance(number, int) and not isinstance(number, bool)
    return whole and lowest <= number < 2**31
