"""Matches the names in a list to the videos of a data set."""

from __future__ import annotations

import collections
import dataclasses
import difflib
import os
import pathlib
import posixpath
from collections.abc import Iterable, Sequence

from mas import checks, files
from mas.checks import refuse
from mas.files import PathLike
from mas.lists import text
from mas.lists.classes import check_labels
from mas.lists.entries import (
    VIDEO_EXTENSIONS,
    Entry,
    canonical,
    counted,
    is_film,
    left_by_mac,
    refuse_repeats,
    some,
    video_id,
)
from mas.lists.reading import advice, parse_columns, read


def find_videos(folder: PathLike) -> tuple[dict[str, str], list[str]]:
    """Finds the video files below a folder, at any depth; follows links to folders.

    Returns:
        A dict from video id to the file's path relative to `folder`, '/'-separated, sorted by id
        (by code point, the same on every machine), and the sorted list of files that are ignored
        because they have no extension in VIDEO_EXTENSIONS. Files that differ only in their
        extension keep it in their ids. Metadata of macOS (`._NAME`, `.DS_Store`, `__MACOSX/`)
        appears in neither.

    Raises:
        ValueError: If `folder` is not a folder or contains no video.
        OSError: If a subfolder cannot be listed.
    """
    checks.local("videos", folder)
    if not (isinstance(folder, str | os.PathLike) and os.path.isdir(folder)):
        raise ValueError(f"videos must be an existing folder. Received: {str(folder)!r}.")
    alike, ignored = collections.defaultdict(list), []
    for name in sorted(_files(folder)):
        if is_film(name):
            alike[video_id(name)].append(name)
        else:
            ignored.append(name)
    if not alike:
        raise ValueError(
            f"{folder}: expected files that end in one of {sorted(VIDEO_EXTENSIONS)}. "
            f"Received: {counted(len(ignored), 'other file')}"
            f"{': ' + some(ignored, 3) if ignored else ''}."
        )
    videos = {
        video if len(names) == 1 else name: name for video, names in alike.items() for name in names
    }
    return dict(sorted(videos.items())), ignored


def resolve(entries: Sequence[Entry], available: Iterable[str], path: PathLike) -> list[Entry]:
    """Maps each entry to a video of the data set.

    Videos are matched by id, else by the last path component if it is unique: the authors' lists
    hold absolute paths, and Feichtenhofer's flow is in one flat folder while the videos are in one
    folder per class. If a video's own folder is also a folder of the data set, it matches only
    there, so a missing `run/01` never becomes `walk/01`. Both spellings of UCF101's
    HandStandPushups are the same (`canonical`). Extensions matter only between files with the same
    stem: `01.mkv` is the id `01.mkv` if it exists, else `01`.

    Args:
        entries: list of Entry.
        available: iterable of the data set's video ids.
        path: path of the list, for errors.

    Returns:
        The entries in order, with `video` replaced by the data set's id.

    Raises:
        ValueError: If a video matches no id or several, or two entries become the same video and
            start; names the list and the first few lines.

    >>> resolve([Entry("/data/v_YoYo_g01_c01", 100)], ["YoYo/v_YoYo_g01_c01"], "list.txt")
    [Entry(video='YoYo/v_YoYo_g01_c01', label=100, start=None, frames=None, line=0)]
    """
    available = set(available)
    resolved, failures = [], []
    for entry, ids in zip(entries, _matches(entries, available), strict=True):
        if len(ids) == 1:
            file = None if ids[0] == video_id(ids[0]) else ids[0]
            resolved.append(dataclasses.replace(entry, video=ids[0], file=file))
        else:
            found = f"matches {some([text.shown(i) for i in ids], 3)}" if ids else "matches none"
            failures.append(f"line {entry.line}: {text.shown(entry.video)} {found}")
    if failures:
        hint = advice(entries)
        if not hint and len(failures) == len(entries) and available:
            hint = f" The data set has names such as {text.shown(min(available))}."
        raise ValueError(
            f"{path}: expected each video to match exactly one of the data set's {len(available)}, "
            f"by its id or by its last path component. "
            f"Received: {len(failures)} of {len(entries)} do not match: {some(failures)}.{hint}"
        )
    refuse_repeats(resolved, path)
    return resolved


def drop_absent(
    entries: Sequence[Entry], available: Iterable[str], path: PathLike
) -> tuple[list[Entry], list[Entry]]:
    """Resolves the entries of a list whose videos are not all available, such as Kinetics.

    Returns:
        The resolved entries that the data set contains, and the entries that it does not hold.
    """
    available = set(available)
    present: list[Entry] = []
    absent: list[Entry] = []
    for entry, ids in zip(entries, _matches(entries, available), strict=True):
        (present if ids else absent).append(entry)
    return resolve(present, available, path), absent


def entries_of(
    source: PathLike | Sequence[Entry] | None,
    columns: str | Sequence[str],
    videos: Iterable[str],
    name: str = "list",
    classes: Sequence[str] | None = None,
) -> list[Entry] | None:
    """Returns the entries of a list, given as a path or a sequence, with the ids of a data set.

    Args:
        source: path of a list, a sequence of `Entry`, or None.
        columns: columns of the list, in any form that `parse_columns` accepts.
        videos: ids of the data set.
        name: name of the parameter, for errors.
        classes: class names in label order, to check the labels; see `read`.

    Returns:
        The entries in order, or None if `source` is None.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the source has another type or is empty, or as in `read` and `resolve`.

    >>> entries_of([Entry("v_YoYo_g01_c01", 100)], "video,label", ["YoYo/v_YoYo_g01_c01"])
    [Entry(video='YoYo/v_YoYo_g01_c01', label=100, start=None, frames=None, line=1)]
    """
    columns = parse_columns(columns)
    if source is None:
        return None
    allowed = "the path of a list, or a sequence of one or more lists.Entry"
    if isinstance(source, str | os.PathLike):
        try:
            kind = files.special(source)
        except OSError as error:
            received = f"{name}={str(source)!r}: no such file"
            raise FileNotFoundError(f"{name} must be {allowed}. Received: {received}.") from error
        if kind:
            refuse(name, allowed, f"{source}, {kind}")
        return resolve(read(source, columns, classes), videos, source)
    entries = list(source) if isinstance(source, Iterable) else []
    if not entries or not all(isinstance(entry, Entry) for entry in entries):
        refuse(name, allowed, source)
    numbered = [dataclasses.replace(e, line=e.line or n) for n, e in enumerate(entries, 1)]
    check_labels(numbered, name, classes)
    return resolve(numbered, videos, name)


def find_video(text: str, videos: Iterable[str]) -> str:
    """Finds the id of a video.

    Args:
        text: id, last path component of an id, or either with a video extension.
        videos: ids of the data set.

    Raises:
        ValueError: If no video or several have this name; suggests names.

    >>> find_video("v_YoYo_g01_c01.avi", ["YoYo/v_YoYo_g01_c01", "YoYo/v_YoYo_g01_c02"])
    'YoYo/v_YoYo_g01_c01'
    """
    videos = list(videos)
    if text in videos:
        return text
    ((*ids,),) = _matches([Entry(video_id(text), file=text)], set(videos))
    if len(ids) == 1:
        return ids[0]
    names = {_name(video): video for video in reversed(videos)}
    alike = [names[name] for name in difflib.get_close_matches(_name(text), names)]
    found = some([repr(video) for video in ids or alike or videos], 3)
    raise ValueError(
        f"video must be one of the data set's {len(videos)}, by its id or its last path component. "
        f"Received: video={text!r}, which matches "
        f"{found if ids else f'none; the data set has names such as {found}'}."
    )


def _files(folder):
    def refuse(error):
        raise error

    for root, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        real, parent = os.path.realpath(root), os.path.realpath(os.path.dirname(root))
        if root != str(folder) and os.path.commonpath([real, parent]) == real:
            folders.clear()  # a link to one of its parent folders
            continue
        folders[:] = [name for name in folders if name != "__MACOSX"]
        for name in names:
            if left_by_mac(name):
                continue
            yield pathlib.Path(root, name).relative_to(folder).as_posix()


def _matches(entries, available):
    """Yields, for each entry, the list of the data set's ids that it may mean."""
    by_name = collections.defaultdict(list)
    for video in sorted(available):
        by_name[_name(video)].append(video)
    known_folders = {_folder(video) for video in available} - {""}
    for entry in entries:
        exact = [name for name in (entry.file, entry.video) if name in available]
        if exact:
            yield exact[:1]
            continue
        folder = _folder(entry.video)
        ids = [
            video
            for video in by_name.get(_name(entry.video), [])
            if folder not in known_folders or _folder(video) == folder
        ]
        # Among files with the same stem: the one with this name, else the one whose id is the stem.
        file = posixpath.basename(canonical(entry.file or entry.video))
        named = [video for video in ids if posixpath.basename(canonical(video)) == file]
        yield named or [video for video in ids if video == video_id(video)] or ids


def _name(video):
    return posixpath.basename(video_id(canonical(video)))


def _folder(video):
    return posixpath.basename(posixpath.dirname(canonical(video)))
