"""Lists from the annotation files of data sets: one csv or json file names all videos."""

from __future__ import annotations

import csv
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from mas.files import PathLike
from mas.lists.entries import Entry


def kinetics(
    csv_path: PathLike, class_dirs: bool = False, classes: Sequence[str] | None = None
) -> list[Entry]:
    """Kinetics (400, 600, 700) from an official csv file.

    Args:
        csv_path: file with the header label,youtube_id,time_start,time_end,split; other columns
            are not read, and the test files' missing label makes unlabelled entries.
        class_dirs: put `LABEL/` before the id, the layout that the usual download tools make.
        classes: class names in label order; None: the file's own, sorted (`kinetics_classes`).

    Returns:
        A list of Entry with ids `{youtube_id}_{start:06d}_{end:06d}` (seconds), in file order.

    Raises:
        ValueError: naming file and line; or class_dirs for a file without labels.
    """
    rows = _kinetics_rows(csv_path)
    labelled = any("label" in row for _, row in rows)
    if class_dirs and not labelled:
        raise ValueError(f"{csv_path}: class_dirs needs a label column. Received: none.")
    classes = (classes or kinetics_classes(csv_path)) if labelled else []
    labels = {name: label for label, name in enumerate(classes)}
    entries = []
    for number, row in rows:
        if labelled and row["label"] not in labels:
            raise ValueError(
                f"{csv_path}:{number}: label must be one of the {len(labels)} classes. "
                f"Received: {row['label']!r}."
            )
        video = f"{row['youtube_id']}_{int(row['time_start']):06d}_{int(row['time_end']):06d}"
        folder = f"{row['label']}/" if class_dirs else ""
        entries.append(Entry(folder + video, labels[row["label"]] if labelled else -1))
    return entries


def kinetics_classes(csv_path: PathLike) -> list[str]:
    """The sorted class names of an official Kinetics csv file; empty for a test file."""
    return sorted({row["label"] for _, row in _kinetics_rows(csv_path) if "label" in row})


def _kinetics_rows(path):
    """Pairs of line number and row, checked."""
    needed = ("youtube_id", "time_start", "time_end")
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        header = reader.fieldnames or []
        if not set(needed) <= set(header):
            raise ValueError(
                f"{path}:1: expected the columns {', '.join(needed)}, and label except in test "
                f"files. Received: {','.join(header)!r}."
            )
        rows = [(reader.line_num, row) for row in reader]
    for number, row in rows:
        times = [row["time_start"], row["time_end"]]
        whole = all(time and time.isascii() and time.isdecimal() for time in times)
        if not (whole and row["youtube_id"] and row.get("label", "unlabelled")):
            raise ValueError(
                f"{path}:{number}: expected a label, a youtube_id and whole seconds. "
                f"Received: {list(row.values())}."
            )
    return rows


def diving48(json_path: PathLike, classes: Sequence[str] | None = None) -> list[Entry]:
    """Diving48 from an official json file, such as Diving48_V2_train.json.

    Args:
        json_path: file with a list of objects {"vid_name", "label", "start_frame", "end_frame"};
            labels count from 0. Videos are cut to one dive, so start_frame is not read.
        classes: class names in label order (`diving48_classes`), which labels must be within.

    Returns:
        A list of Entry in file order; `frames` is end_frame, as in the authors' lists of DSM.

    Raises:
        ValueError: naming the file and the object, counted from 1.
    """
    classes = classes or []
    entries: list[Entry] = []
    for number, row in enumerate(_json_list(json_path), 1):
        row = row if isinstance(row, dict) else {"object": row}
        video: Any = row.get("vid_name")
        label: Any = row.get("label")
        frames: Any = row.get("end_frame")
        named = isinstance(video, str) and video.strip()
        if not (named and _whole(label, 0) and _whole(frames, 1)):
            raise ValueError(
                f"{json_path}, object {number}: expected a vid_name, a label >= 0 and an "
                f"end_frame >= 1. Received: {row}."
            )
        if classes and label >= len(classes):
            raise ValueError(
                f"{json_path}, object {number}: label must be in 0..{len(classes) - 1}, the "
                f"classes of the vocabulary. Received: {label}."
            )
        entries.append(Entry(video, label, frames=frames, line=number))
    return entries


def diving48_classes(vocabulary: PathLike) -> list[str]:
    """Class names in label order from Diving48_vocab.json, which has a list of words for each.

    Returns:
        A list of str such as "Back-15som-05Twis-FREE".

    Raises:
        ValueError: naming the file and the class, counted from 1.
    """
    names: list[str] = []
    for number, words in enumerate(_json_list(vocabulary), 1):
        known = isinstance(words, list) and all(isinstance(word, str) for word in words)
        name = "-".join(words) if known else ""
        if not name or name in names:
            raise ValueError(
                f"{vocabulary}, class {number}: expected a list of words that no other class has. "
                f"Received: {words!r}."
            )
        names.append(name)
    return names


def something(csv_path: PathLike, classes: Sequence[str] | None = None) -> list[Entry]:
    """Something-Something v1 from an official csv file, lines `ID;LABEL` without a header.

    Args:
        csv_path: file of the training or validation part; that of the test part has lines `ID`,
            which make unlabelled entries.
        classes: class names in label order, those of something-something-v1-labels.csv; None: the
            file's own, sorted (`something_classes`).

    Returns:
        A list of Entry in file order.

    Raises:
        ValueError: naming file and line.
    """
    rows = _something_rows(csv_path)
    classes = classes or something_classes(csv_path)
    labels = {name: label for label, name in enumerate(classes)}
    entries = []
    for number, video, name in rows:
        if name is not None and name not in labels:
            raise ValueError(
                f"{csv_path}:{number}: label must be one of the {len(labels)} classes. "
                f"Received: {name!r}."
            )
        entries.append(Entry(video, -1 if name is None else labels[name], line=number))
    return entries


def something_classes(csv_path: PathLike) -> list[str]:
    """The sorted class names of an official csv file of Something-Something; empty for a test."""
    return sorted({name for _, _, name in _something_rows(csv_path)} - {None})


def _something_rows(path):
    """Triples of line number, id and class name, which is None on all lines or on none."""
    rows = []
    for number, line in enumerate(pathlib.Path(path).read_text("utf-8-sig").split("\n"), 1):
        if not line.strip():
            continue
        video, mark, name = (part.strip() for part in line.partition(";"))
        labelled = bool(mark)
        alike = not rows or labelled == (rows[0][2] is not None)
        if not video or labelled != bool(name) or not alike:
            raise ValueError(
                f'{path}:{number}: expected "ID;LABEL" on every line, or "ID" on every line. '
                f"Received: {line!r}"
            )
        rows.append((number, video, name if labelled else None))
    return rows


def _json_list(path):
    """The list that a json file holds."""
    try:
        found = json.loads(pathlib.Path(path).read_text("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: expected json. Received: {error.msg}.") from error
    if not isinstance(found, list):
        raise ValueError(f"{path}: expected a list. Received: {type(found).__name__}.")
    return found


def _whole(number, lowest):
    """Whether a value of a json file is a whole number of at least `lowest`."""
    return isinstance(number, int) and not isinstance(number, bool) and number >= lowest
