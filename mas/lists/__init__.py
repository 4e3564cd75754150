"""Data lists: parse, check, match to a data set, build (`python -m mas.lists`).

The line format, the column orders and the builders are described in data_lists/README.md.
"""

from mas.lists.annotations import (
    diving48,
    diving48_classes,
    kinetics,
    kinetics_classes,
    something,
    something_classes,
)
from mas.lists.builders import (
    folder_classes,
    folders,
    fraction,
    hmdb51,
    hmdb51_classes,
    split_by,
    ucf101,
    ucf101_classes,
    unlabelled,
)
from mas.lists.entries import (
    PRESETS,
    VIDEO_EXTENSIONS,
    Entry,
    class_names,
    class_names_beside,
    counted,
    parse_columns,
    read,
    video_id,
    write,
)
from mas.lists.matching import drop_absent, entries_of, find_video, find_videos, resolve

__all__ = [
    "PRESETS",
    "VIDEO_EXTENSIONS",
    "Entry",
    "class_names",
    "class_names_beside",
    "counted",
    "diving48",
    "diving48_classes",
    "drop_absent",
    "entries_of",
    "find_video",
    "find_videos",
    "folder_classes",
    "folders",
    "fraction",
    "hmdb51",
    "hmdb51_classes",
    "kinetics",
    "kinetics_classes",
    "parse_columns",
    "read",
    "resolve",
    "something",
    "something_classes",
    "split_by",
    "ucf101",
    "ucf101_classes",
    "unlabelled",
    "video_id",
    "write",
]
