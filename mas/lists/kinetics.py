"""Lists of Kinetics from its annotation files, as they come from several places."""

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
        """What copies of the data set call the file, the usual name first."""
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
    """Kinetics (400, 600, 700) from an official csv file.

    Args:
        csv_path: file with the header label,youtube_id,time_start,time_end,split, in any order and
            with other columns, which are not read; or without a header, in this order. The test
            files' missing label makes unlabelled entries.
        class_dirs: put `LABEL/` before the id, the layout that the usual download tools make.
        classes: class names in label order; None: the file's own, sorted (`kinetics_classes`).
        names: ids or files of the data set's videos, which decide how a video is called: with
            seconds of six digits, with seconds as they are, or by its YouTube id alone.

    Returns:
        A list of Entry with ids `{youtube_id}_{start:06d}_{end:06d}` (seconds), or what `names`
        call them, in file order.

    Raises:
        ValueError: naming file and line; or class_dirs for a file without labels.
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
    """The sorted class names of an official Kinetics csv file; empty for a test file."""
    return sorted({row.label for row in _rows(csv_path)} - {None})


def _rows(path):
    """The rows, checked; all have a label, or none has."""
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
        raise ValueError(f"{path}: expected a line for each video. Received: a header alone.")
    return rows


def _columns(first, path):
    """Places of label, youtube_id, time_start and time_end in a header, and its width.

    The places are None where the line is no header, and that of the label where there is none.
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
    """Places of label, youtube_id, time_start and time_end by what stands there; None if none.

    A label stands first, or behind a number of the line.
    """
    first = 1 if fields and fields[0].isdecimal() else 0
    for label, place in ((None, 0), (0, 1), (first, first + 1)):
        named = _ID.fullmatch(fields[place]) if len(fields) > place + 2 else None
        if named and all(map(_SECONDS.fullmatch, fields[place + 1 : place + 3])):
            return label, place, place + 1, place + 2
    return None
