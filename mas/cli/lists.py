"""`mas lists KIND`: builds a list of videos; data_lists/README.md has an example of each kind."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from absl import logging

from mas import files, forms, lists
from mas.cli.flags import Flags, UsageError
from mas.cli.kinds import split_kind
from mas.lists.entries import is_film, of_names, some
from mas.lists.text import shown_name

PARTS = ("train", "test")


@dataclasses.dataclass(frozen=True)
class _Kind:
    """A kind of list: its summary, and required and optional flags."""

    summary: str
    needed: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    videos: str = "may"  # --videos or --names: "must" or "may" be given, or "no" such flags


KINDS = {
    "ucf101": _Kind(
        "UCF101, from its file names, with the official splits built in.",
        ("part",),
        ("split", "classes"),
        "must",
    ),
    "hmdb51": _Kind("HMDB51, from its split files.", ("splits", "part"), ("split", "classes")),
    "kinetics": _Kind("Kinetics, from its csv file.", ("csv",), ("class_dirs", "classes")),
    "diving48": _Kind("Diving48, from its json file.", ("json",), ("vocabulary", "columns")),
    "something": _Kind(
        "Something-Something, version 1 or 2, from its csv or json file.", ("csv",), ("labels",)
    ),
    "folders": _Kind("Any data set with a folder per class.", (), ("classes",), "must"),
    "unlabelled": _Kind("Videos without labels.", (), (), "must"),
    "fraction": _Kind(
        "A random share of each class of a list.", ("list", "fraction"), ("columns", "seed"), "no"
    ),
    "from_clusters": _Kind("Named clusters of mas sort.", ("clusters",), ("line",), "no"),
}
# name: (default, help, other arguments of `mas.checks.option`)
_FLAGS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "part": (None, "Part of the split.", {"choices": PARTS}),
    "split": (1, "Official split.", {"least": 1, "most": 3}),
    "splits": (None, "Folder of CLASS_test_splitN.txt files.", {}),
    "csv": (None, "Official csv file.", {}),
    "class_dirs": (False, "Ids are LABEL/ID instead of ID.", {}),
    "json": (None, "Official json file.", {}),
    "vocabulary": (None, "Official json file of class names, by default no names.", {}),
    "labels": (None, "Official file of class names, by default those in the csv or json.", {}),
    "classes": (
        None,
        "File of class names in label order, one per line, by default the data set's own.",
        {},
    ),
    "list": (None, "List to take the share from.", {}),
    "fraction": (None, "Share of each class.", {"form": forms.NUMBER, "above": 0, "most": 1}),
    "seed": (0, "Seed of the random choice.", {}),
    "clusters": (None, "Folder written by mas sort, with names.csv filled in.", {}),
    "line": ("clip", "List clips, or videos with their main label.", {"choices": lists.LINES}),
    "columns": ("video,label", "Columns of the list, or a preset: mas, sts, pace, vtdl.", {}),
}


def flags(name: str) -> Flags:
    """The flags of a kind."""
    kind = KINDS[name]
    usage = [f"--{flag}={flag.upper()}" for flag in kind.needed]
    usage += ["--videos=DIR"] if kind.videos != "no" else []
    usage += ["--output=FILE ..."]
    found = Flags(f"mas lists {name}", kind.summary, " ".join(usage))
    if kind.videos != "no":
        found.option("videos", None, "Folder of video files, at any depth.", group="videos")
        found.option("names", None, "File of names, instead of --videos.", group="videos")
    for flag in (*kind.needed, *kind.optional):
        default, help, known = _FLAGS[flag]
        if (name, flag) == ("something", "csv"):
            help, known = "Official csv or json file.", {"alias": "json"}
        found.option(flag, default, help, group=name, **known)
    found.option("match", None, "Keep only ids that match this expression.", group="list")
    found.option("exclude", None, "Drop ids that match this expression.", group="list")
    found.option("output", None, "List to write.", group="list")
    for other, theirs in KINDS.items():
        names = {*theirs.needed, *theirs.optional, "videos", "names"}
        found.elsewhere([n for n in names if n not in found.defined], f"mas lists {other}")
    return found


def run(arguments: list[str]) -> int:
    """Builds a list; returns the exit status."""
    summaries = {name: kind.summary for name, kind in KINDS.items()}
    name, arguments = split_kind("mas lists", "Builds a list of videos.", summaries, arguments)
    given = flags(name)
    given.parse(arguments)
    given.require(*KINDS[name].needed, "output")
    _build(name, given)
    return 0


def _build(name, given):
    names = _names(KINDS[name], given)
    classes = _classes(name, given, names)
    entries = _entries(name, given, names, classes)
    if not entries:
        _refuse_none(name, given, names)
    selected = lists.split_by(entries, given.match, given.exclude)
    if len(selected) < len(entries):
        logging.info("match and exclude keep %d of %d videos", len(selected), len(entries))
    if not selected:
        asked = {"match": given.match, "exclude": given.exclude}
        words = " and ".join(f"{flag}={text!r}" for flag, text in asked.items() if text)
        raise ValueError(
            f"match and exclude must keep a video. Received: none of {len(entries)} kept by "
            f"{words}, with names such as {entries[0].video!r}."
        )
    columns = lists.parse_columns(given.columns if "columns" in given.defined else "video,label")
    if name != "fraction" and all(entry.label == -1 for entry in entries):
        columns = ("video",)
    if name == "from_clusters" and given.line == "clip":
        columns = lists.PRESETS["sts"]
    _check_names(selected, names)
    output = pathlib.Path(given.output)
    beside = output.with_name(f"{output.stem}_classes.txt")
    named = classes if "label" in columns else None
    content = named and lists.class_text(named, beside)  # may raise: before anything is written
    lists.write(output, selected, columns)
    _report(output, selected, columns)
    if named:
        files.write(beside, content)
        logging.info("%s: %s", beside, lists.counted(len(named), "class", "classes"))
        _warn_of_level(name, given, named, names)


def _refuse_none(name, given, names):
    """Raises the error for a list without videos."""
    if name == "ucf101":
        received = f"{lists.counted(len(names), 'video')} of the other part"
        raise ValueError(
            f"videos must contain some of the {given.part} part of split {given.split}. Received: "
            f"{received}, such as {min(names)!r}."
        )
    source = {"hmdb51": "splits", "fraction": "list", "diving48": "json"}.get(name, "csv")
    source = "clusters" if name == "from_clusters" else source
    raise ValueError(f"{getattr(given, source)} must name some videos. Received: none.")


def _check_names(entries, names):
    """Raises ValueError for names that cannot be written to a list."""
    for entry in entries:
        try:
            entry.video.encode()
        except UnicodeEncodeError:
            file = (names or {}).get(entry.video, entry.file or entry.video)
            raise ValueError(
                "videos must have names in UTF-8: rename the file, or drop it with exclude. "
                f"Received: {shown_name(file)}."
            ) from None


def _warn_of_level(name, given, classes, names):
    """Warns if a folder of all classes was taken for the only class."""
    if name == "folders" and len(classes) == 1 and not given.classes:
        below = {video.split("/")[1] for video in names if video.count("/") > 1}
        if len(below) > 1:
            message = "All videos are in one class, %r, with %d subfolders: are these the classes?"
            logging.warning(message, classes[0], len(below))


def _names(kind, given) -> dict[str, str] | None:
    """{id: file} of the data set, sorted; None if neither --videos nor --names is given."""
    if kind.videos == "no":
        return None
    sources = [flag for flag in ("videos", "names") if given.given(flag)]
    if len(sources) > 1 or (kind.videos == "must" and not sources):
        raise UsageError(
            f"{given.command} needs {'one' if kind.videos == 'must' else 'at most one'} of "
            f"--videos and --names. Received: {' and '.join(sources) or 'neither'}."
        )
    if given.names:
        listed = lists.read_names(given.names)
        films = [name for name in listed if is_film(name)]
        if 2 * len(films) > len(listed):  # otherwise they are ids, or folders of frames
            _log_ignored([name for name in listed if not is_film(name)])
            listed = films
        read = of_names(listed)
        if not read:
            raise ValueError(f"{given.names} must name videos. Received: none.")
        names = sorted(entry.file or entry.video for entry in read)
        return dict(zip(names, names, strict=True))
    if not given.videos:
        return None
    videos, ignored = lists.find_videos(given.videos)
    logging.info("%s: %s", given.videos, lists.counted(len(videos), "video"))
    _log_ignored(ignored)
    return videos


def _log_ignored(names):
    if names:
        count = lists.counted(len(names), "file")
        logging.info("ignored %s without a video extension: %s", count, some(names))


def _classes(name, given, names) -> list[str] | None:
    """Class names in label order; None if there are none."""
    if "classes" in given.defined and given.classes:
        return lists.class_names(given.classes)
    if name == "ucf101":
        return lists.ucf101_classes()
    if name == "hmdb51":
        return lists.hmdb51_classes()
    if name == "folders":
        return lists.folder_classes(names)
    if name == "kinetics":
        return lists.kinetics_classes(given.csv)
    if name == "from_clusters":
        return lists.cluster_classes(given.clusters)
    if name == "diving48" and given.vocabulary:
        return lists.diving48_classes(given.vocabulary)
    if name == "something":
        own = lists.class_names(given.labels) if given.labels else None
        return own or lists.something_classes(given.csv)
    return lists.class_names_beside(given.list) if name == "fraction" else None


def _entries(name, given, names, classes) -> Sequence[lists.Entry]:
    names = names and list(names)
    if name == "ucf101":
        return lists.ucf101(names, given.split, given.part, classes)
    if name == "folders":
        return lists.folders(names, classes)
    if name == "unlabelled":
        return lists.unlabelled(names)
    if name == "from_clusters":
        return lists.from_clusters(given.clusters, given.line)
    if name == "fraction":
        read = lists.read(given.list, given.columns, classes)
        return lists.fraction(read, given.fraction, given.seed)
    if name == "hmdb51":
        entries = lists.hmdb51(given.splits, given.split, given.part, classes)
        return entries if names is None else _complete(entries, names, given)
    if name == "kinetics":
        path, entries = given.csv, lists.kinetics(given.csv, given.class_dirs, classes, names)
    elif name == "diving48":
        path, entries = given.json, lists.diving48(given.json, classes)
    else:
        path, entries = given.csv, lists.something(given.csv, classes)
    return entries if names is None else _existing(entries, names, path)


def _complete(entries, names, given):
    """Entries of HMDB51's split files, all of which must exist."""
    if not lists.drop_absent(entries, names, given.splits)[0]:
        _refuse_absent(entries, names, given.splits)
    return lists.resolve(entries, names, given.splits)


def _existing(entries, names, path):
    """Entries whose video exists: annotation files also name videos that are no longer online."""
    present, absent = lists.drop_absent(entries, names, path)
    if not present:
        _refuse_absent(entries, names, path)
    if absent:
        count, videos = lists.counted(len(absent), "video"), [entry.video for entry in absent]
        logging.warning("skipped %s missing from your folder: %s", count, some(videos))
    return present


def _refuse_absent(entries, names, path):
    raise ValueError(
        f"{path} must name some of the videos: are they of another part of the data set, or named "
        f"differently? Received: none of {len(names)}, with names such as {min(names)!r}; "
        f"looked for {lists.counted(len(entries), 'video')} such as {entries[0].video!r}."
    )


def _report(output, entries, columns):
    lines = lists.counted(len(entries), "line")
    logging.info("%s: %s with columns %s", output, lines, ",".join(columns))
    if "label" in columns:
        sizes = collections.Counter(entry.label for entry in entries).values()
        classes = lists.counted(len(sizes), "class", "classes")
        fewest, most = min(sizes), lists.counted(max(sizes), "line")
        each = most if fewest == max(sizes) else f"{fewest} to {most}"
        logging.info("%s, %s each", classes, each)
