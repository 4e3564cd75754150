"""From a list's names to the videos that a data set holds."""

import collections
import dataclasses
import os
import pathlib
import posixpath

from mas.lists.entries import VIDEO_EXTENSIONS, refuse_repeats, some, video_id


def find_videos(folder):
    """Finds the video files below a folder, at any depth; links to folders are followed.

    Returns:
        A dict from video id to the file's path relative to `folder`, '/'-separated, sorted by id
        (by code point, the same on every machine), and the sorted list of the files left out
        because they have none of VIDEO_EXTENSIONS. Files that differ in nothing but their
        extension keep it in their ids.

    Raises:
        ValueError: where `folder` is no folder or holds no video.
        OSError: where a folder below it cannot be listed.
    """
    if not os.path.isdir(folder):
        raise ValueError(f"videos must be an existing folder. Received: {str(folder)!r}.")
    alike, ignored = collections.defaultdict(list), []
    for name in sorted(_files(folder)):
        if posixpath.splitext(name)[1].lower() in VIDEO_EXTENSIONS:
            alike[video_id(name)].append(name)
        else:
            ignored.append(name)
    if not alike:
        raise ValueError(
            f"{folder}: expected files that end in one of {sorted(VIDEO_EXTENSIONS)}. "
            f"Received: {len(ignored)} other files."
        )
    videos = {
        video if len(names) == 1 else name: name for video, names in alike.items() for name in names
    }
    return dict(sorted(videos.items())), ignored


def resolve(entries, available, path):
    """Maps each entry to a video of the data set.

    A video is found by its id; else by its last path component, where that is unique: the authors'
    lists hold absolute paths, and Feichtenhofer's flow lies in one flat folder where the videos lie
    in one per class. A video whose own folder is also a folder of the data set matches only there,
    so that a missing `run/01` never becomes `walk/01`. Both spellings of UCF101's
    HandStandPushups count as one (`canonical`).

    Args:
        entries: list of Entry.
        available: iterable of the data set's video ids.
        path: the list's name, for errors.

    Returns:
        The entries in their order, with `video` replaced by the data set's id.

    Raises:
        ValueError: naming the list and the first few lines, where a video matches none or several,
            or where two entries become the same video and start.
    """
    available = set(available)
    resolved, failures = [], []
    for entry, ids in zip(entries, _matches(entries, available), strict=True):
        if len(ids) == 1:
            resolved.append(dataclasses.replace(entry, video=ids[0]))
        else:
            found = f"matches {some([repr(i) for i in ids], 3)}" if ids else "matches none"
            failures.append(f"line {entry.line}: {entry.video!r} {found}")
    if failures:
        raise ValueError(
            f"{path}: expected each video to match exactly one of the data set's {len(available)}, "
            f"by its id or by its last path component. "
            f"Received: {len(failures)} of {len(entries)} that do not: {some(failures)}."
        )
    refuse_repeats(resolved, path)
    return resolved


def drop_absent(entries, available, path):
    """As `resolve`, but for lists of which a part is known to be gone (Kinetics).

    Returns:
        The resolved entries that the data set holds, and the entries that it does not hold.
    """
    available = set(available)
    present, absent = [], []
    for entry, ids in zip(entries, _matches(entries, available), strict=True):
        (present if ids else absent).append(entry)
    return resolve(present, available, path), absent


def canonical(video):
    """The same name for both spellings of one UCF101 class.

    The class is HandstandPushups in classInd.txt and as a folder, its files in the archive are
    v_HandStandPushups_gGG_cCC.avi, and Feichtenhofer's frames v_HandstandPushups_gGG_cCC.
    """
    return video.replace("HandStandPushups", "HandstandPushups")


def _files(folder):
    def refuse(error):
        raise error

    for root, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        real, parent = os.path.realpath(root), os.path.realpath(os.path.dirname(root))
        if root != str(folder) and os.path.commonpath([real, parent]) == real:
            folders.clear()  # a link to a folder that it lies in
            continue
        for name in files:
            yield pathlib.Path(root, name).relative_to(folder).as_posix()


def _matches(entries, available):
    """For each entry, the list of the data set's ids that it may mean."""
    by_name = collections.defaultdict(list)
    for video in sorted(available):
        by_name[_name(video)].append(video)
    known_folders = {_folder(video) for video in available} - {""}
    for entry in entries:
        if entry.video in available:
            yield [entry.video]
            continue
        ids = by_name.get(_name(entry.video), [])
        folder = _folder(entry.video)
        yield [video for video in ids if folder not in known_folders or _folder(video) == folder]


def _name(video):
    return posixpath.basename(video_id(canonical(video)))


def _folder(video):
    return posixpath.basename(posixpath.dirname(canonical(video)))
