"""Annotation files as the data sets provide them, for the tests of data lists."""

import pathlib

import pytest

from mas import lists

DATA_LISTS = pathlib.Path(__file__).resolve().parents[1] / "data_lists"
UCF101 = DATA_LISTS / "ucf101_classes.txt"
HMDB51 = DATA_LISTS / "hmdb51_classes.txt"

KINETICS = """label,youtube_id,time_start,time_end,split,is_cc
air drumming,--nQbRBEz2s,104,114,val,0
"passing American football (in game)",-egPJubR-CE,0,10,val,0
abseiling,0wR5jVB-WPk,417,427,val,1
air drumming,_dbcJuKJQNs,9999,10009,val,0
"""

DIVING48 = """[{"vid_name": "kzB6Zs3Ipyk_00000", "label": 2, "start_frame": 0, "end_frame": 81},
 {"vid_name": "-8Vy3dlHg2w_00003", "label": 0, "start_frame": 0, "end_frame": 192}]"""
DIVING48_VOCABULARY = """[["Back", "15som", "05Twis", "FREE"], ["Back", "2som", "NoTwis", "TUCK"],
 ["Inward", "Dive", "NoTwis", "PIKE"]]"""
SOMETHING = """100218;Something falling like a feather or paper
24413;Moving something, something and something
100218x;Moving something, something and something
"""
UCF101_TRAIN = [
    "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1",
    "Hammering/v_Hammering_g09_c03.avi 35",
]
UCF101_TRAIN += [
    "HandstandPushups/v_HandStandPushups_g11_c02.avi 37",
    "YoYo/v_YoYo_g25_c01.avi 101",
]
UCF101_TRAIN_LABELS = [0, 34, 36, 100]
SOMETHING_LABELS = """Unfolding something
Something falling like a feather or paper
Moving something, something and something
"""


def ucf101_names():
    """Names of two clips of each of the 25 groups of four classes, spelled as in the archive."""
    classes = {"HandstandPushups": "HandStandPushups", "YoYo": "YoYo", "JumpRope": "JumpRope"}
    return [
        f"{folder}/v_{name}_g{group:02d}_c{clip:02d}.avi"
        for folder, name in classes.items()
        for group in range(1, 26)
        for clip in (1, 2)
    ]


def write_hmdb51_splits(folder):
    """The official files of split 2: a video of each class for training, test and neither."""
    folder.mkdir()
    for name in lists.class_names(HMDB51):
        text = f"#1!_({name});_&_[x]_f_0.avi 1 \nb_{name}.avi 2 \nc_{name}.avi 0 \n"
        (folder / f"{name}_test_split2.txt").write_text(text)
    return folder


def refused(function, *arguments, **options):
    """The one-line error of a call."""
    with pytest.raises((ValueError, OSError)) as error:
        function(*arguments, **options)
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000
    return str(error.value)


def written(path, text):
    """Writes text or bytes to a path and returns it."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path
