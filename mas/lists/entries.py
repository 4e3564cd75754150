"""Entries of a list: the id of a video, its label and so on."""

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
    """A video, or a clip of a video, in a list.

    Attributes:
        video: id of the video; see `video_id`.
        label: class, from 0; -1 if unlabelled.
        start: first frame of the clip, from 0 (files count from 1), or None.
        frames: number of RGB frames of the video, or None.
        line: line of the file it was read from, from 1; 0 if it was not read from a file. Ignored
            in comparisons.
        file: file name with its extension, if known; distinguishes files with the same id. Ignored
            in comparisons.
    """

    video: str
    label: int = -1
    start: int | None = None
    frames: int | None = None
    line: int = dataclasses.field(default=0, compare=False)
    file: str | None = dataclasses.field(default=None, compare=False, repr=False)


def video_id(path: str) -> str:
    """Returns the id of a video: its normalised path, '/'-separated, without video extensions.

    All of them are removed, because copies of Kinetics have names such as `9EnSwbXxu5g.mp4.webm`;
    so `video_id` is idempotent. Extensions that are not in VIDEO_EXTENSIONS belong to the name.

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
    """Returns unlabelled entries for files or ids, in order, ignoring files of `left_by_mac`.

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
    """Whether a name has a video extension."""
    return posixpath.splitext(path)[1].lower() in VIDEO_EXTENSIONS


def left_by_mac(path: str) -> bool:
    """Whether a file is metadata that macOS leaves in folders and archives.

    >>> [left_by_mac(name) for name in ("run/a.mp4", "run/._a.mp4", "__MACOSX/run/._a.mp4")]
    [False, True, True]
    """
    *folders, name = path.split("/")
    return name.startswith("._") or name == ".DS_Store" or "__MACOSX" in folders


def canonical(video: str) -> str:
    """Normalises the two spellings of a UCF101 class.

    The class is HandstandPushups in classInd.txt and as a folder. Its files in the archive are
    called v_HandStandPushups_gGG_cCC.avi, and Feichtenhofer's frames v_HandstandPushups_gGG_cCC.
    """
    return video.replace("HandStandPushups", "HandstandPushups")


def refuse_repeats(entries, path, unit="line"):
    """Raises ValueError if a video is repeated with the same start; names both lines.

    Names with different extensions are different videos. A name without an extension matches any.
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
    """Formats a position for a message: a line of a file, or a numbered part of it.

    >>> place("list.txt", 3), place("V2.json", 3, "object")
    ('list.txt:3', 'V2.json, object 3')
    """
    return f"{path}:{number}" if unit == "line" else f"{path}, {unit} {number}"


def some(texts, count=_NAMED_IN_ERRORS):
    """Joins the first few of many texts for a message, and says how many more there are."""
    more = len(texts) - count
    return "; ".join(texts[:count]) + (f"; and {more} more" if more > 0 else "")


def counted(number: int, noun: str, several: str | None = None) -> str:
    """Formats a number and a noun, with the right plural.

    >>> counted(1, "video"), counted(20, "class", "classes")
    ('1 video', '20 classes')
    """
    return f"{number} {noun if number == 1 else several or noun + 's'}"
