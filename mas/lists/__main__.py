"""Builds a data list: `python -m mas.lists KIND --videos=DIR ... --output=FILE`.

KIND is one of ucf101, hmdb51, kinetics, diving48, something, folders, unlabelled, fraction;
data_lists/README.md has an example of each.
"""

import collections
import pathlib
import sys

from absl import app, flags, logging

from mas import files, lists
from mas.lists.entries import some

_OUTPUT = flags.DEFINE_string("output", None, "list to write", required=True)
_VIDEOS = flags.DEFINE_string("videos", None, "folder of video files, at any depth")
_NAMES = flags.DEFINE_string("names", None, "instead of --videos: text file, one name per line")
_CLASSES = flags.DEFINE_string(
    "classes", None, "class names in label order, one per line (default: the data set's, sorted)"
)
_MATCH = flags.DEFINE_string("match", None, "keep only ids where this expression is found")
_EXCLUDE = flags.DEFINE_string("exclude", None, "leave out ids where this expression is found")

_SPLIT = flags.DEFINE_integer("split", 1, "ucf101, hmdb51: official split", 1, 3)
_PART = flags.DEFINE_enum("part", None, ["train", "test"], "ucf101, hmdb51: part of the split")
_SPLITS = flags.DEFINE_string("splits", None, "hmdb51: folder of CLASS_test_splitN.txt files")
_CSV = flags.DEFINE_string("csv", None, "kinetics, something: official csv file")
_CLASS_DIRS = flags.DEFINE_bool("class_dirs", False, "kinetics: ids are LABEL/ID instead of ID")
_JSON = flags.DEFINE_string("json", None, "diving48: official json file")
_VOCABULARY = flags.DEFINE_string(
    "vocabulary", None, "diving48: official json file of class names (default: they have none)"
)
_LABELS = flags.DEFINE_string(
    "labels", None, "something: official csv file of class names (default: those of --csv, sorted)"
)

_LIST = flags.DEFINE_string("list", None, "fraction: list to take a share of")
_COLUMNS = flags.DEFINE_string(
    "columns", "video,label", "fraction: columns of both lists; diving48: vtdl has the lengths too"
)
_FRACTION = flags.DEFINE_float("fraction", None, "fraction: share of each class, in (0, 1]")
_SEED = flags.DEFINE_integer("seed", 0, "fraction: seed of the choice")

# Of each kind: the flags that it needs, and those that it may have beside the common ones.
_COMMON = ("output", "match", "exclude")
_FLAGS = {
    "ucf101": (("part",), ("videos", "names", "split", "classes")),
    "hmdb51": (("splits", "part"), ("videos", "names", "split", "classes")),
    "kinetics": (("csv",), ("videos", "names", "class_dirs", "classes")),
    "diving48": (("json",), ("videos", "names", "vocabulary", "columns")),
    "something": (("csv",), ("videos", "names", "labels")),
    "folders": ((), ("videos", "names", "classes")),
    "unlabelled": ((), ("videos", "names")),
    "fraction": (("list", "fraction"), ("columns", "seed")),
}
_NEED_VIDEOS = ("ucf101", "folders", "unlabelled")


def main(argv):
    """Checks the flags, builds the list, writes it and says what it holds."""
    kind = _checked_kind(argv)
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.INFO)
    try:
        _build(kind)
    except (OSError, ValueError) as error:
        logging.error("%s", error)
        sys.exit(1)


def _checked_kind(argv):
    if len(argv) != 2 or argv[1] not in _FLAGS:
        raise app.UsageError(f"KIND must be one of {list(_FLAGS)}. Received: {argv[1:]}.")
    kind = argv[1]
    needed, optional = _FLAGS[kind]
    own = {flag.name for flag in flags.FLAGS.get_flags_for_module(sys.modules[__name__])}
    given = {name for name in own if flags.FLAGS[name].present}
    wrong = sorted(given - {*needed, *optional, *_COMMON})
    missing = sorted(set(needed) - given)
    if wrong or missing:
        raise app.UsageError(
            f"{kind} needs {_dashed(needed)} and may have {_dashed((*optional, *_COMMON))}. "
            f"Received: {_dashed(sorted(given))}."
        )
    if len(given & {"videos", "names"}) not in ((1,) if kind in _NEED_VIDEOS else (0, 1)):
        raise app.UsageError(
            f"{kind} needs {'one' if kind in _NEED_VIDEOS else 'at most one'} of --videos and "
            f"--names. Received: {_dashed(sorted(given))}."
        )
    return kind


def _dashed(names):
    return ", ".join(f"--{name}" for name in names) or "no flag"


def _build(kind):
    output = pathlib.Path(_OUTPUT.value)
    names = _names()
    classes = lists.class_names(_CLASSES.value) if _CLASSES.value else _own_classes(kind, names)
    entries = _entries(kind, names, classes)
    selected = lists.split_by(entries, _MATCH.value, _EXCLUDE.value)
    if len(selected) < len(entries):
        logging.info("--match and --exclude leave %d of %d", len(selected), len(entries))
    columns = lists.parse_columns(_COLUMNS.value)
    if kind != "fraction" and all(entry.label == -1 for entry in entries):
        columns = ("video",)
    lists.write(output, selected, columns)
    _report(output, selected, columns)
    if classes and not _CLASSES.value:
        path = output.with_name(f"{output.stem}_classes.txt")
        files.write(path, "".join(f"{name}\n" for name in classes).encode())
        logging.info("%s: %d classes", path, len(classes))


def _own_classes(kind, names):
    """The class names that the data set itself defines; None where they are known or none."""
    if kind == "folders":
        return lists.folder_classes(names)
    if kind == "kinetics":
        return lists.kinetics_classes(_CSV.value)
    if kind == "diving48" and _VOCABULARY.value:
        return lists.diving48_classes(_VOCABULARY.value)
    if kind == "something":
        own = lists.class_names(_LABELS.value) if _LABELS.value else None
        return own or lists.something_classes(_CSV.value)
    return None


def _entries(kind, names, classes):
    if kind == "ucf101":
        return lists.ucf101(names, _SPLIT.value, _PART.value, classes)
    if kind == "hmdb51":
        entries = lists.hmdb51(_SPLITS.value, _SPLIT.value, _PART.value, classes)
        return entries if names is None else lists.resolve(entries, names, _SPLITS.value)
    if kind in ("kinetics", "diving48", "something"):
        return _annotated(kind, names, classes)
    if kind == "folders":
        return lists.folders(names, classes)
    if kind == "unlabelled":
        return lists.unlabelled(names)
    entries = lists.read(_LIST.value, _COLUMNS.value)
    return lists.fraction(entries, _FRACTION.value, _SEED.value)


def _annotated(kind, names, classes):
    """The lines of one annotation file; with names, those whose video is there."""
    if kind == "kinetics":
        path, entries = _CSV.value, lists.kinetics(_CSV.value, _CLASS_DIRS.value, classes)
    elif kind == "diving48":
        path, entries = _JSON.value, lists.diving48(_JSON.value, classes)
    else:
        path, entries = _CSV.value, lists.something(_CSV.value, classes)
    if names is None:
        return entries
    present, absent = lists.drop_absent(entries, names, path)
    if absent:
        absent = [entry.video for entry in absent]
        logging.warning("left out %d videos that are not there: %s", len(absent), some(absent))
    return present


def _names():
    """The data set's ids, sorted, from --videos or --names; None without them."""
    if _NAMES.value:
        return sorted(entry.video for entry in lists.read(_NAMES.value, ("video",)))
    if not _VIDEOS.value:
        return None
    videos, ignored = lists.find_videos(_VIDEOS.value)
    logging.info("%s: %d videos", _VIDEOS.value, len(videos))
    if ignored:
        logging.info("ignored %d files that are no videos: %s", len(ignored), some(ignored))
    return list(videos)


def _report(output, entries, columns):
    logging.info("%s: %d lines of %s", output, len(entries), " ".join(columns))
    if "label" in columns:
        sizes = collections.Counter(entry.label for entry in entries).values()
        logging.info("%d classes, %d to %d lines each", len(sizes), min(sizes), max(sizes))


if __name__ == "__main__":
    app.run(main)
