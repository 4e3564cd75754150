"""From a list's names to the videos that a data set holds."""

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
    """Finds the video files below a folder, at any depth; links to folders are followed.

    Returns:
        A dict from video id to the file's path relative to `folder`, '/'-separated, sorted by id
        (by code point, the same on every machine), and the sorted list of the files left out
        because they have none of VIDEO_EXTENSIONS. Files that differ in nothing but their
        extension keep it in their ids. What a Mac puts beside files and into archives (`._NAME`,
        `.DS_Store`, `__MACOSX/`) is neither.

    Raises:
        ValueError: where `folder` is no folder or holds no video.
        OSError: where a folder below it cannot be listed.
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

    A video is found by its id; else by its last path component, where that is unique: the authors'
    lists hold absolute paths, and Feichtenhofer's flow lies in one flat folder where the videos lie
    in one per class. A video whose own folder is also a folder of the data set matches only there,
    so that a missing `run/01` never becomes `walk/01`. Both spellings of UCF101's
    HandStandPushups count as one (`canonical`). Extensions count only between files of one stem:
    `01.mkv` is the id `01.mkv` if there is one, else `01`.

    Args:
        entries: list of Entry.
        available: iterable of the data set's video ids.
        path: the list's name, for errors.

    Returns:
        The entries in their order, with `video` replaced by the data set's id.

    Raises:
        ValueError: naming the list and the first few lines, where a video matches none or several,
            or where two entries become the same video and start.

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
            f"Received: {len(failures)} of {len(entries)} that do not: {some(failures)}.{hint}"
        )
    refuse_repeats(resolved, path)
    return resolved


def drop_absent(
    entries: Sequence[Entry], available: Iterable[str], path: PathLike
) -> tuple[list[Entry], list[Entry]]:
    """As `resolve`, for lists of which a part is known to be gone (Kinetics).

    Returns:
        The resolved entries that the data set holds, and the entries that it does not hold.
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
    """The entries that a list names, or those given, with the ids of a data set.

    Args:
        source: path of a list, a sequence of `Entry`, or None.
        columns: of the list; anything that `parse_columns` takes.
        videos: the data set's ids.
        name: of the parameter, for errors.
        classes: class names in label order, which bound the labels; see `read`.

    Returns:
        The entries in their order; None for None.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: for another source, an empty one, or as `read` and `resolve`.

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
    """The id of one video, by what lists may call it.

    Args:
        text: its id, its last path component, or either with a video extension.
        videos: the data set's ids.

    Raises:
        ValueError: none or several have this name; names those, or the most similar.

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
        f"{found if ids else f'none; they have names such as {found}'}."
    )


def _files(folder):
    def refuse(error):
        raise error

    for root, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        real, parent = os.path.realpath(root), os.path.realpath(os.path.dirname(root))
        if root != str(folder) and os.path.commonpath([real, parent]) == real:
            folders.clear()  # a link to a folder that it lies in
            continue
        folders[:] = [name for name in folders if name != "__MACOSX"]
        for name in names:
            if left_by_mac(name):
                continue
            yield pathlib.Path(root, name).relative_to(folder).as_posix()


def _matches(entries, available):
    """For each entry, the list of the data set's ids that it may mean."""
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
        # Of files of one stem the one that is named, else the one that has the stem alone.
        file = posixpath.basename(canonical(entry.file or entry.video))
        named = [video for video in ids if posixpath.basename(canonical(video)) == file]
        yield named or [video for video in ids if video == video_id(video)] or ids


def _name(video):
    return posixpath.basename(video_id(canonical(video)))


def _folder(video):
    return posixpath.basename(posixpath.dirname(canonical(video)))
