"""One entry of a list: a video, by its id, and what the list says of it."""

from __future__ import annotations

import collections
import dataclasses
import posixpath
from collections.abc import Iterable

from mas.lists import text

VIDEO_EXTENSIONS = frozenset(
    ".avi .mp4 .mkv .mov .webm .m4v .mpg .mpeg .wmv .flv .gif .3gp .ts .mts .m2ts .ogv".split()
)
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
    """Entries of files or ids, without labels, in their order; without those of `left_by_mac`.

    >>> [(entry.video, entry.file) for entry in of_names(["a.avi", "b.avi", "b.mkv"])]
    [('a', None), ('b', 'b.avi'), ('b', 'b.mkv')]
    """
    names = [name for name in names if not left_by_mac(name)]
    videos = [video_id(name) for name in names]
    counts = collections.Counter(videos)
    return [
        Entry(video, file=name if counts[video] > 1 and name != video else None)
        for video, name in zip(videos, names, strict=True)
    ]


def is_film(path: str) -> bool:
    """Whether a name ends in a video extension."""
    return posixpath.splitext(path)[1].lower() in VIDEO_EXTENSIONS


def left_by_mac(path: str) -> bool:
    """Whether a file is what a Mac puts beside others and into archives: no video, no class.

    >>> [left_by_mac(name) for name in ("run/a.mp4", "run/._a.mp4", "__MACOSX/run/._a.mp4")]
    [False, True, True]
    """
    *folders, name = path.split("/")
    return name.startswith("._") or name == ".DS_Store" or "__MACOSX" in folders


def canonical(video: str) -> str:
    """The same name for both spellings of one UCF101 class.

    The class is HandstandPushups in classInd.txt and as a folder, its files in the archive are
    v_HandStandPushups_gGG_cCC.avi, and Feichtenhofer's frames v_HandstandPushups_gGG_cCC.
    """
    return video.replace("HandStandPushups", "HandstandPushups")


def refuse_repeats(entries, path, unit="line"):
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
            repeats.append(f"{unit}s {earlier.line} and {entry.line}: {text.shown(entry.video)}")
        alike.setdefault(entry.file, entry)
    if repeats:
        raise ValueError(
            f"{path}: expected each video once, or once per start. "
            f"Received: {len(repeats)} repeated: {some(repeats)}."
        )


def place(path, number, unit="line"):
    """Where something stands, for a message: a line of a file, or a numbered part of it.

    >>> place("list.txt", 3), place("V2.json", 3, "object")
    ('list.txt:3', 'V2.json, object 3')
    """
    return f"{path}:{number}" if unit == "line" else f"{path}, {unit} {number}"


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
