"""Lists of Kinetics from the annotation files of various sources."""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Iterable, Sequence

from mas.files import PathLike
from mas.lists import text
from mas.lists.entries import Entry, counted, refuse_repeats, video_id

_NEEDED = ("youtube_id", "time_start", "time_end")
_SECONDS = re.compile(r"([0-9]{1,9})(?:\.0+)?")
_ID = re.compile(r"[A-Za-z0-9_-]{11}")


@dataclasses.dataclass(frozen=True)
class _Row:
    """A line of an annotation file."""

    line: int
    label: str | None
    youtube_id: str
    start: str
    end: str

    def names(self):
        """Returns the file names used in copies of the data set, the most common first."""
        start, end = (int(_SECONDS.fullmatch(time)[1]) for time in (self.start, self.end))
        return (
            f"{self.youtube_id}_{start:06d}_{end:06d}",
            f"{self.youtube_id}_{start}_{end}",
            f"{self.youtube_id}_{self.start}_{self.end}",
            self.youtube_id,
        )


def kinetics(
    csv_path: PathLike,
    class_dirs: bool = False,
    classes: Sequence[str] | None = None,
    names: Iterable[str] | None = None,
) -> list[Entry]:
    """Builds a list of Kinetics (400, 600, 700) from an official csv file.

    Args:
        csv_path: file with the columns label, youtube_id, time_start, time_end and split in any
            order; other columns are ignored. Without a header, the columns must be in this order.
            Test files have no label and give unlabelled entries.
        class_dirs: whether to put `LABEL/` before the id, the layout of the usual download tools.
        classes: class names in label order; None means the names in the file, sorted
            (`kinetics_classes`).
        names: ids or files of the data set's videos, which determine how videos are named: with
            six-digit seconds, with plain seconds, or by the YouTube id alone.

    Returns:
        A list of Entry in file order. Ids are `{youtube_id}_{start:06d}_{end:06d}` (in seconds), or
        as in `names`.

    Raises:
        ValueError: If a line is invalid, or `class_dirs` is set for a file without labels.
    """
    rows = _rows(csv_path)
    labelled = rows[0].label is not None
    if class_dirs and not labelled:
        raise ValueError(f"{csv_path}: class_dirs needs a label column. Received: none.")
    classes = (classes or sorted({row.label for row in rows})) if labelled else []
    labels = {name: label for label, name in enumerate(classes)}
    known = {posixpath.basename(video_id(name)) for name in names or ()}
    entries = []
    for row in rows:
        if labelled and row.label not in labels:
            raise ValueError(
                f"{csv_path}:{row.line}: label must be one of the {len(labels)} classes. "
                f"Received: {text.shown(row.label)}."
            )
        usual, *others = row.names()
        video = next((name for name in (usual, *others) if name in known), usual)
        folder = f"{row.label}/" if class_dirs else ""
        entries.append(Entry(folder + video, labels.get(row.label, -1), line=row.line))
    refuse_repeats(entries, csv_path)
    return entries


def kinetics_classes(csv_path: PathLike) -> list[str]:
    """Returns the sorted class names in a Kinetics csv file; empty for a test file."""
    return sorted({row.label for row in _rows(csv_path)} - {None})


def _rows(path):
    """Reads and checks the rows; either all or none have a label."""
    lines = text.rows(path)
    columns, width = _columns(lines[0][1] if lines else [], path)
    headless = columns is None
    if headless:
        columns = _columns_of_content(lines[0][1])
    rows = []
    for number, fields in lines if headless else lines[1:]:
        if len(fields) != width:
            raise ValueError(
                f"{path}:{number}: expected {counted(width, 'field')}, as on line {lines[0][0]}. "
                f"Received: {text.shown(fields)}."
            )
        row = _Row(number, *(None if place is None else fields[place] for place in columns))
        times = _SECONDS.fullmatch(row.start) and _SECONDS.fullmatch(row.end)
        named = _ID.fullmatch(row.youtube_id) if headless else row.youtube_id
        if not (times and named and row.label != ""):
            raise ValueError(
                f"{path}:{number}: expected a label, a youtube_id and whole seconds. "
                f"Received: {text.shown(fields)}."
            )
        rows.append(row)
    if not rows:
        raise ValueError(f"{path}: expected a line for each video. Received: only a header.")
    return rows


def _columns(first, path):
    """Returns the column indices of label, youtube_id, time_start and time_end, and the row width.

    The indices are None if the line is not a header; the label's index is None if there is no such
    column.
    """
    header = [name.lower() for name in first]
    if set(_NEEDED) <= set(header):
        twice = [name for name in ("label", *_NEEDED) if header.count(name) > 1]
        if not twice:
            label = header.index("label") if "label" in header else None
            return (label, *map(header.index, _NEEDED)), len(header)
    elif _columns_of_content(first):
        return None, len(first)
    raise ValueError(
        f"{path}:1: expected the columns {', '.join(_NEEDED)}, and label except in test files, "
        f"each once. Received: {text.shown(','.join(first))}."
    )


def _columns_of_content(fields):
    """Infers the indices of label, youtube_id, time_start and time_end from a row, or returns None.

    The label comes first, or after a line number.
    """
    first = 1 if fields and fields[0].isdecimal() else 0
    for label, place in ((None, 0), (0, 1), (first, first + 1)):
        named = _ID.fullmatch(fields[place]) if len(fields) > place + 2 else None
        if named and all(map(_SECONDS.fullmatch, fields[place + 1 : place + 3])):
            return label, place, place + 1, place + 2
    return None
