"""Reads and writes lists in the line format of data_lists/README.md."""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Iterable, Sequence

from mas import files
from mas.files import PathLike
from mas.lists import text, ucf101
from mas.lists.classes import check_labels, encoded
from mas.lists.entries import Entry, is_film, refuse_repeats, video_id

# Column orders in the lists of the methods' authors.
PRESETS = {
    "mas": ("video", "start"),
    "sts": ("video", "start", "label"),
    "vtdl": ("video", "frames", "label"),  # and DSM; their READMEs state the opposite order
    "pace": ("video", "label", "frames"),
    "kinetics": ("video", "label"),
}
# Smallest value of each column in a file, and the largest of any.
_LOWEST = {"label": 0, "start": 1, "frames": 1}
_MOST = 2**31 - 1
_HMDB51_SPLIT = re.compile(r"_test_split[123]\.txt$")
_MEANING = {
    "label": "an integer label >= 0",
    "start": "an integer start >= 1",
    "frames": "an integer number of frames >= 1",
}


def parse_columns(columns: str | Sequence[str]) -> tuple[str, ...]:
    """Parses columns: a preset's name, a comma-separated string or a sequence of names.

    Raises:
        ValueError: If the columns do not start with `video`, or one is repeated or unknown.

    >>> parse_columns("vtdl"), parse_columns("video,label")
    (('video', 'frames', 'label'), ('video', 'label'))
    """
    if isinstance(columns, str):
        names = PRESETS.get(columns) or tuple(name.strip() for name in columns.split(","))
    else:
        names = tuple(columns) if isinstance(columns, Iterable) else ()
    known = all(name in _LOWEST for name in names[1:])
    if names[:1] != ("video",) or not known or len(set(names)) != len(names):
        raise ValueError(
            f"columns must be one of {list(PRESETS)}, or video and then any of {list(_LOWEST)}, "
            f"each once. Received: columns={columns!r}."
        )
    return names


def read(
    path: PathLike,
    columns: str | Sequence[str] = ("video", "label"),
    classes: Sequence[str] | None = None,
) -> list[Entry]:
    """Reads a list.

    Detects UCF101's official lists: labels that count from 1 are converted to count from 0, and
    labels missing from a list are derived from the names.

    Args:
        path: UTF-8 text file; see data_lists/README.md for the format.
        columns: order of the columns, in any form that `parse_columns` accepts.
        classes: class names in label order, to check the labels. Without them, a label must be
            below 4096 or below the number of lines.

    Returns:
        A list of Entry, in file order.

    Raises:
        OSError: If the file does not exist.
        ValueError: If a line does not fit the columns, a video is repeated with the same start, a
            label is not a class, the list is empty, or it is not UTF-8 text; names the file and the
            line.
    """
    columns = parse_columns(columns)
    lines = _lines(text.read(path), columns, path)
    if _HMDB51_SPLIT.search(str(path)) and "label" in columns:
        raise ValueError(
            f"{path}: expected labels. Received: a split file of HMDB51, whose numbers mean train "
            "and test: mas lists hmdb51 makes a list from all split files."
        )
    tested = ucf101.official_test(lines, classes, path) if columns == ("video", "label") else None
    entries = tested or _parse(lines, columns, path)
    if "label" in columns and not tested:
        entries = ucf101.counted_from_0(entries, classes, path)
    _refuse_more_numbers(entries, columns, path)
    refuse_repeats(entries, path)
    check_labels(entries, path, classes)
    return entries


def read_names(path: PathLike) -> list[str]:
    """Reads names of video files from a text file, one per line, ignoring numbers after them.

    Raises:
        OSError: If the file does not exist.
        ValueError: See `read`.
    """
    entries = _parse(_lines(text.read(path), ("video",), path), ("video",), path)
    split = [_split(entry) for entry in entries]
    if all(numbers and is_film(name) for name, numbers in split):
        return [name for name, _ in split]
    refuse_repeats(entries, path)
    return [entry.file or entry.video for entry in entries]


def write(
    path: PathLike, entries: Iterable[Entry], columns: str | Sequence[str] = ("video", "label")
) -> None:
    """Writes a list atomically.

    The text is parsed before it is written, so anything that `read` rejects is never written.

    Raises:
        ValueError: If the list is empty, an entry lacks a value for a column or is repeated, or a
            video's name would not read back unchanged (white space at its ends, a line break, a
            video extension, not UTF-8); names the file and the line.
    """
    columns = parse_columns(columns)
    entries = list(entries)
    content = "".join(f"{_format(entry, columns)}\n" for entry in entries)
    data = encoded(content, path)
    videos = [entry.video for entry in entries]
    back = _parse(_lines(text.decode(data, path), columns, path), columns, path)
    refuse_repeats(back, path)
    check_labels(back, path)
    parsed = [
        new.file if old.file == old.video else new.video
        for old, new in zip(entries, back, strict=False)
    ] + [new.video for new in back[len(entries) :]]
    for number, (video, again) in enumerate(itertools.zip_longest(videos, parsed), 1):
        if video != again:
            raise ValueError(
                f"{path}:{number}: a video must read back unchanged: no white space at its ends, "
                f"no line break, no video extension. Received: {text.shown(video)}, which reads "
                f"as {text.shown(again)}."
            )
    files.write(path, data)


def _format(entry, columns):
    start = None if entry.start is None else entry.start + 1
    values = {"label": entry.label, "start": start, "frames": entry.frames}
    return " ".join([entry.file or entry.video, *(str(values[column]) for column in columns[1:])])


def _lines(content, columns, path):
    """Returns (line number, line) pairs of a list."""
    wanted = f'{path}: expected lines "{" ".join(columns)}". Received:'
    if text.is_json(content):
        raise ValueError(f"{wanted} json, which mas lists converts to a list.")
    lines = text.lines(content)
    if not lines:
        raise ValueError(f"{wanted} an empty list.")
    return lines


def _parse(lines, columns, path):
    return [_parse_line(line, columns, path, number) for number, line in lines]


def _parse_line(line, columns, path, number):
    video, *texts = line.rsplit(None, len(columns) - 1)
    numbers = {}
    for column, digits in zip(columns[1:], texts, strict=False):
        value = _number(digits, column, path, number) if _is_number(digits) else -1
        if value >= _LOWEST[column]:
            numbers[column] = value
    if len(numbers) != len(columns) - 1:
        meaning = ", ".join(_MEANING[column] for column in columns[1:])
        raise ValueError(
            f'{path}:{number}: expected "{" ".join(columns)}" with {meaning}. '
            f"Received: {text.shown(line)}"
        )
    if "start" in numbers:
        numbers["start"] -= 1
    name, own = video_id(video), posixpath.normpath(video)
    return Entry(name, line=number, file=None if own == name else own, **numbers)


def _is_number(word):
    return word.isascii() and word.isdecimal()


def _number(digits, column, path, number):
    if len(digits) > text.MOST_DIGITS or int(digits) > _MOST:
        meaning = _MEANING[column].partition(" >=")[0]
        raise ValueError(
            f"{path}:{number}: expected {meaning} of at most {_MOST}. "
            f"Received: {text.shown(digits)}."
        )
    return int(digits)


def _refuse_more_numbers(entries, columns, path):
    """Rejects lines such as `a.avi 300 70` if one number was expected."""
    split = (_split(entry) for entry in entries)
    if all(numbers and is_film(name) for name, numbers in split):
        received = text.shown(entries[0].file or entries[0].video)
        raise ValueError(
            f'{path}:{entries[0].line}: expected "{" ".join(columns)}". '
            f"Received: more numbers, after {received}.{advice(entries)}"
        )


def _split(entry):
    """Splits the numbers, at most three, off the end of an entry's name."""
    name, numbers = entry.file or entry.video, []
    while len(numbers) < len(_LOWEST):
        *before, last = name.rsplit(None, 1)
        if not before or not _is_number(last) or len(last) > text.MOST_DIGITS:
            break
        name, numbers = before[0], [int(last), *numbers]
    return name, numbers


def advice(entries: Sequence[Entry]) -> str:
    """Suggests columns for lines whose numbers were parsed as parts of the names.

    Args:
        entries: entries of a list, each with a number at the end of its name.

    Returns:
        A sentence to append to an error, with a leading space; "" if a name has no number.
    """
    split = [_split(entry) for entry in entries]
    if not all(numbers for _, numbers in split):
        return ""
    known = [[*n, *_values(entry)] for (_, n), entry in zip(split, entries, strict=True)]
    preset = _fitting([name for name, _ in split], known)
    if preset is None:
        return " Name the columns with --columns=video,..."
    return f" Name the columns: --columns={preset} ({' '.join(PRESETS[preset])})."


def _values(entry):
    """Returns the numbers that an entry contains, in the order of a line."""
    start = None if entry.start is None else entry.start + 1
    label = None if entry.label < 0 else entry.label
    return [number for number in (start, entry.frames, label) if number is not None]


def _fitting(names, numbers):
    """Returns the preset that fits lines with these numbers, or None."""
    several = len(set(names)) < len(names)
    counts = set(map(len, numbers))
    if counts == {1}:
        return "mas" if several else "kinetics"
    if counts != {2}:
        return None
    if several:
        return "sts"
    first, second = zip(*numbers, strict=True)
    labels_first = min(first) == 0 or (min(second) > 0 and max(first) < max(second))
    return "pace" if labels_first else "vtdl"
