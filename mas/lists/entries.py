"""One entry, and the text file it stands in: the line format of data_lists/README.md."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import pathlib
import posixpath
from collections.abc import Iterable, Sequence

from mas import files
from mas.files import PathLike

VIDEO_EXTENSIONS = frozenset(
    ".avi .mp4 .mkv .mov .webm .m4v .mpg .mpeg .wmv .flv .gif .3gp .ts .mts .m2ts .ogv".split()
)

# The column orders of the lists that the methods' authors ship.
PRESETS = {
    "mas": ("video", "start"),
    "sts": ("video", "start", "label"),
    "vtdl": ("video", "frames", "label"),  # and DSM; their READMEs say label before frames
    "pace": ("video", "label", "frames"),
    "kinetics": ("video", "label"),
}
# Smallest value of each number as it stands in a file.
_LOWEST = {"label": 0, "start": 1, "frames": 1}
_MEANING = {
    "label": "an integer label >= 0",
    "start": "an integer start >= 1",
    "frames": "an integer number of frames >= 1",
}
_NAMED_IN_ERRORS = 5


@dataclasses.dataclass(frozen=True)
class Entry:
    """A video, or one clip of it, that a list names.

    Attributes:
        video: id of the video: see `video_id`.
        label: class, from 0; -1 is unlabelled.
        start: first frame of the clip, from 0 (files count from 1); None where the list has none.
        frames: number of RGB frames of the video; None where the list has none.
        line: line of the file it was read from, from 1; 0 where it comes from no file.
        file: name of the video's file as far as it is known, with its extension: it tells apart
            two files of one id. Two entries that differ in `line` or `file` alone are equal.
    """

    video: str
    label: int = -1
    start: int | None = None
    frames: int | None = None
    line: int = dataclasses.field(default=0, compare=False)
    file: str | None = dataclasses.field(default=None, compare=False, repr=False)


def video_id(path: str) -> str:
    """The id of a video: its path without video extensions, '/'-separated.

    All of them go, as copies of Kinetics hold names such as `9EnSwbXxu5g.mp4.webm`; so the id of
    an id is itself. An extension that is not one of VIDEO_EXTENSIONS belongs to the name.

    >>> video_id("a/9EnSwbXxu5g.mp4.webm"), video_id("./a/b.v2")
    ('a/9EnSwbXxu5g', 'a/b.v2')
    """
    video = posixpath.normpath(path)
    stem, extension = posixpath.splitext(video)
    while extension.lower() in VIDEO_EXTENSIONS:
        video = stem
        stem, extension = posixpath.splitext(video)
    return video


def of_names(names: Iterable[str]) -> list[Entry]:
    """Entries of files or ids, without labels, in their order.

    >>> [(entry.video, entry.file) for entry in of_names(["a.avi", "b.avi", "b.mkv"])]
    [('a', None), ('b', 'b.avi'), ('b', 'b.mkv')]
    """
    names = list(names)
    counts = collections.Counter(map(video_id, names))
    videos = [video_id(name) for name in names]
    return [
        Entry(video, file=name if counts[video] > 1 and name != video else None)
        for video, name in zip(videos, names, strict=True)
    ]


def parse_columns(columns: str | Sequence[str]) -> tuple[str, ...]:
    """Column names as a tuple: from a preset's name, a comma-separated string or a sequence.

    Raises:
        ValueError: where they do not start with `video`, repeat a column or name an unknown one.

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


def read(path: PathLike, columns: str | Sequence[str] = ("video", "label")) -> list[Entry]:
    """Reads a list.

    Args:
        path: text file in UTF-8; see data_lists/README.md for its lines.
        columns: their order; anything that `parse_columns` takes.

    Returns:
        A list of Entry, in the file's order.

    Raises:
        ValueError: naming file and line, for a line that does not fit the columns, a video that
            stands there twice with the same start, an empty list, or text that is not UTF-8.
    """
    return _parse(pathlib.Path(path).read_bytes(), parse_columns(columns), path)


def write(
    path: PathLike, entries: Iterable[Entry], columns: str | Sequence[str] = ("video", "label")
) -> None:
    """Writes a list so that the file is either the whole new list or what it was before.

    The text is parsed before it is written: whatever `read` refuses is not written either.

    Raises:
        ValueError: naming file and line, for an empty list, an entry without one of the columns'
            values, a repeated entry, or a video whose name would not read back equal (white space
            at an end, a line break, a video extension, not UTF-8).
    """
    columns = parse_columns(columns)
    entries = list(entries)
    text = "".join(f"{_format(entry, columns)}\n" for entry in entries)
    data = text.encode("utf-8", "surrogateescape")
    videos = [entry.video for entry in entries]
    back = _parse(data, columns, path)
    parsed = [
        new.file if old.file == old.video else new.video
        for old, new in zip(entries, back, strict=False)
    ] + [new.video for new in back[len(entries) :]]
    for number, (video, back) in enumerate(itertools.zip_longest(videos, parsed), 1):
        if video != back:
            raise ValueError(
                f"{path}:{number}: a video must read back equal: no white space at its ends, no "
                f"line break, no video extension. Received: {video!r}, which reads as {back!r}."
            )
    files.write(path, data)


def class_names(path: PathLike) -> list[str]:
    """Reads class names, one per line; the label is the line's place, from 0.

    Raises:
        ValueError: naming file and line, for a name that stands there twice, or an empty file.
    """
    lines: dict[str, int] = {}
    for number, name in _lines(pathlib.Path(path).read_bytes(), path):
        if name in lines:
            raise ValueError(
                f"{path}:{number}: expected each class name once. "
                f"Received: {name!r}, also on line {lines[name]}."
            )
        lines[name] = number
    if not lines:
        raise ValueError(f"{path}: expected one class name per line. Received: an empty file.")
    return list(lines)


def class_names_beside(path: PathLike | None) -> list[str] | None:
    """The class names that lie beside a list: of LIST.txt, LIST_classes.txt, else classes.txt.

    So `mas lists` and `mas.sample` leave them.

    Args:
        path: of the list; None has none.

    Returns:
        Names in label order; None where neither file is there.

    Raises:
        ValueError: as `class_names`.
    """
    if path is None:
        return None
    beside = pathlib.Path(path)
    for name in (f"{beside.stem}_classes.txt", "classes.txt"):
        if beside.with_name(name).is_file():
            return class_names(beside.with_name(name))
    return None


def refuse_repeats(entries, path):
    """Raises a ValueError that names both lines where a video stands twice with one start.

    Names with two extensions are two videos; one without may be either.
    """
    first, repeats = {}, []
    for entry in entries:
        alike = first.setdefault((entry.video, entry.start), {})
        earlier = alike.get(entry.file) or alike.get(None)
        if entry.file is None and alike:
            earlier = next(iter(alike.values()))
        if earlier:
            repeats.append(f"lines {earlier.line} and {entry.line}: {entry.video!r}")
        alike.setdefault(entry.file, entry)
    if repeats:
        raise ValueError(
            f"{path}: expected each video once, or once per start. "
            f"Received: {len(repeats)} repeated: {some(repeats)}."
        )


def some(texts, count=_NAMED_IN_ERRORS):
    """The first few of many texts for a message, and how many more there are."""
    more = len(texts) - count
    return "; ".join(texts[:count]) + (f"; and {more} more" if more > 0 else "")


def counted(number: int, noun: str, several: str | None = None) -> str:
    """A number and what it counts.

    >>> counted(1, "video"), counted(20, "class", "classes")
    ('1 video', '20 classes')
    """
    return f"{number} {noun if number == 1 else several or noun + 's'}"


def _format(entry, columns):
    start = None if entry.start is None else entry.start + 1
    values = {"label": entry.label, "start": start, "frames": entry.frames}
    return " ".join([entry.file or entry.video, *(str(values[column]) for column in columns[1:])])


def _parse(data, columns, path):
    entries = [_parse_line(line, columns, path, number) for number, line in _lines(data, path)]
    if not entries:
        raise ValueError(f'{path}: expected lines "{" ".join(columns)}". Received: an empty list.')
    refuse_repeats(entries, path)
    return entries


def _lines(data, path):
    """Pairs of line number, from 1, and text without white space at its ends; no blank lines."""
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        number = error.object[: error.start].count(b"\n") + 1
        byte = error.object[error.start]
        raise ValueError(
            f"{path}:{number}: expected text in UTF-8. Received: byte 0x{byte:02x}."
        ) from error
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def _parse_line(line, columns, path, number):
    video, *texts = line.rsplit(None, len(columns) - 1)
    numbers = {
        column: int(text)
        for column, text in zip(columns[1:], texts, strict=False)
        if text.isascii() and text.isdecimal() and int(text) >= _LOWEST[column]
    }
    if len(numbers) != len(columns) - 1:
        meaning = ", ".join(_MEANING[column] for column in columns[1:])
        raise ValueError(
            f'{path}:{number}: expected "{" ".join(columns)}" with {meaning}. Received: {line!r}'
        )
    if "start" in numbers:
        numbers["start"] -= 1
    name, own = video_id(video), posixpath.normpath(video)
    return Entry(name, line=number, file=None if own == name else own, **numbers)
