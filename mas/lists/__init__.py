"""Data lists: reading, checking, matching to a data set, and building (`python -m mas.lists`).

The line format, the column orders and the builders are described in data_lists/README.md.
"""

from mas.lists.annotations import diving48, diving48_classes, something, something_classes
from mas.lists.builders import (
    folder_classes,
    folders,
    fraction,
    hmdb51,
    hmdb51_classes,
    split_by,
    unlabelled,
)
from mas.lists.classes import (
    check_labels,
    class_names,
    class_names_beside,
    class_text,
    classes_file,
    misplaced,
)
from mas.lists.clusters import LINES, cluster_classes, cluster_names, from_clusters
from mas.lists.entries import VIDEO_EXTENSIONS, Entry, counted, video_id
from mas.lists.kinetics import kinetics, kinetics_classes
from mas.lists.matching import drop_absent, entries_of, find_video, find_videos, resolve
from mas.lists.reading import PRESETS, parse_columns, read, read_names, write
from mas.lists.ucf101 import ucf101, ucf101_classes

__all__ = [
    "LINES",
    "PRESETS",
    "VIDEO_EXTENSIONS",
    "Entry",
    "check_labels",
    "class_names",
    "class_names_beside",
    "class_text",
    "classes_file",
    "cluster_classes",
    "cluster_names",
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
    "from_clusters",
    "hmdb51",
    "hmdb51_classes",
    "kinetics",
    "kinetics_classes",
    "misplaced",
    "parse_columns",
    "read",
    "read_names",
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
