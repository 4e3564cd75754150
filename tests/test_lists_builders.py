"""Data lists: builders and selections."""

import collections
import hashlib
import json
import math
import pathlib
import shutil
import subprocess
import sys

import pytest
from list_sources import (
    DIVING48,
    DIVING48_VOCABULARY,
    KINETICS,
    SOMETHING,
    SOMETHING_LABELS,
    ucf101_names,
    write_hmdb51_splits,
)

from mas import lists
from mas.lists import Entry

ROOT = pathlib.Path(__file__).resolve().parents[1]
DIVES = ["Back-15som-05Twis-FREE", "Back-2som-NoTwis-TUCK", "Inward-Dive-NoTwis-PIKE"]


def pairs(videos, labels):
    return [Entry(*pair) for pair in zip(videos, labels, strict=True)]


# UCF101 and HMDB51.


@pytest.mark.parametrize(("split", "groups"), [(1, (1, 7)), (2, (8, 14)), (3, (15, 21))])
def test_ucf101_splits_by_group(split, groups):
    train = lists.ucf101(ucf101_names(), split, "train")
    test = lists.ucf101(ucf101_names(), split, "test")
    assert {int(entry.video[-6:-4]) for entry in test} == set(range(groups[0], groups[1] + 1))
    assert (len(test), len(train)) == (3 * 7 * 2, 3 * 18 * 2)
    assert {e.video for e in train + test} == {lists.video_id(name) for name in ucf101_names()}
    labels = {entry.video.split("/")[0]: entry.label for entry in train + test}
    assert labels == {"HandstandPushups": 36, "YoYo": 100, "JumpRope": 47}


def test_ucf101_takes_both_spellings_flat_or_nested():
    names = ["v_HandstandPushups_g01_c01", "HandStandPushups/v_HandStandPushups_g02_c01.avi"]
    assert lists.ucf101(names, 1, "test") == pairs(map(lists.video_id, names), [36, 36])


@pytest.mark.parametrize("name", ["a/v_Yoyo_g01_c01", "v_YoYo_g1_c01", "v_YoYo_g01_c01_x"])
def test_ucf101_refuses_other_names(name):
    with pytest.raises(ValueError, match=f"Received: 1 other name: '{name}'"):
        lists.ucf101([*ucf101_names(), name], 1, "train")


@pytest.mark.parametrize(
    ("split", "part", "message"),
    [(0, "train", "split.*=0"), (4, "train", "split.*=4"), (1, "val", "part.*='val'")],
)
def test_splits_and_parts_are_checked(split, part, message):
    for build in (lists.ucf101, lists.hmdb51):
        with pytest.raises(ValueError, match=message):
            build([], split, part)


def test_hmdb51_reads_the_official_split_files(tmp_path):
    splits = write_hmdb51_splits(tmp_path / "splits")
    train, test = (lists.hmdb51(splits, 2, part) for part in ("train", "test"))
    assert train[0] == Entry("brush_hair/#1!_(brush_hair);_&_[x]_f_0", 0)
    assert test[21] == Entry("kick_ball/b_kick_ball", 21)
    assert [entry.label for entry in train] == [entry.label for entry in test] == list(range(51))
    with pytest.raises(ValueError, match="51 missing: brush_hair_test_split1.txt; "):
        lists.hmdb51(splits, 1, "train")
    (splits / "wave_test_split2.txt").write_text("a.avi 1\nb.avi 3\n")
    with pytest.raises(ValueError, match=r"wave_test_split2.txt:2: .*Received: 'b.avi 3'"):
        lists.hmdb51(splits, 2, "train")


# Annotation files.


def test_kinetics(tmp_path):
    path = tmp_path / "val.csv"
    path.write_text(KINETICS)
    ids = ["--nQbRBEz2s_000104_000114", "-egPJubR-CE_000000_000010", "0wR5jVB-WPk_000417_000427",
           "_dbcJuKJQNs_009999_010009"]  # fmt: skip
    names = ["abseiling", "air drumming", "passing American football (in game)"]
    assert lists.kinetics_classes(path) == names
    assert lists.kinetics(path) == pairs(ids, [1, 2, 0, 1])
    nested = [f"{names[label]}/{name}" for label, name in zip([1, 2, 0, 1], ids, strict=True)]
    assert lists.kinetics(path, class_dirs=True) == pairs(nested, [1, 2, 0, 1])
    assert lists.kinetics(path, classes=["a", *names]) == pairs(ids, [2, 3, 1, 2])
    with pytest.raises(ValueError, match=r"val.csv:4: .*'abseiling'"):
        lists.kinetics(path, classes=names[1:])


def test_diving48(tmp_path):
    (tmp_path / "V2.json").write_text(DIVING48)
    (tmp_path / "vocab.json").write_text(DIVING48_VOCABULARY)
    videos = {"kzB6Zs3Ipyk_00000": (2, 81), "-8Vy3dlHg2w_00003": (0, 192)}
    expected = [Entry(video, label, frames=n) for video, (label, n) in videos.items()]
    assert lists.diving48_classes(tmp_path / "vocab.json") == DIVES
    for classes in (None, DIVES):
        assert lists.diving48(tmp_path / "V2.json", classes) == expected
    lists.write(tmp_path / "list.txt", expected, "vtdl")
    lines = "kzB6Zs3Ipyk_00000 81 2\n-8Vy3dlHg2w_00003 192 0\n"  # as the authors' list of DSM
    assert (tmp_path / "list.txt").read_text() == lines
    with pytest.raises(ValueError, match=r"V2.json, object 1: label .*: 2\."):
        lists.diving48(tmp_path / "V2.json", DIVES[:2])


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_something(tmp_path, end):
    """Labels are positions in the official file, which is not alphabetical."""
    path, names = tmp_path / "train.csv", SOMETHING_LABELS.splitlines()
    path.write_text(SOMETHING.replace("\n", end))
    videos = ["100218", "24413", "100218x"]
    assert lists.something(path, names) == pairs(videos, [1, 2, 2])
    assert lists.something(path) == pairs(videos, [1, 0, 0])
    assert lists.something_classes(path) == [names[2], names[1]]
    with pytest.raises(ValueError, match=r"train.csv:2: .*'Moving some"):
        lists.something(path, names[:2])


def test_files_without_labels(tmp_path):
    path = tmp_path / "test.csv"
    path.write_text("youtube_id,time_start,time_end,split\n--0edUL8zmA,76,86,test\n")
    assert lists.kinetics(path) == [Entry("--0edUL8zmA_000076_000086")]
    assert lists.kinetics_classes(path) == []
    with pytest.raises(ValueError, match="class_dirs needs a label column"):
        lists.kinetics(path, class_dirs=True)
    path.write_text("100218\n24413\n")
    for classes in (None, ["a"]):
        assert lists.something(path, classes) == [Entry("100218"), Entry("24413")]
    assert lists.something_classes(path) == []


def dive(**changed):
    return json.dumps([{"vid_name": "a", "label": 0, "end_frame": 9}, changed])


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (lists.kinetics, "label,id\nrun,x\n", "x:1: .*'label,id'"),
        (lists.kinetics, "", "x:1: "),
        (lists.kinetics, KINETICS + "run,x,1,1.5,val,0\n", r"x:6: .*'1\.5'"),
        (lists.kinetics, KINETICS + "run,x\n", "x:6: "),
        (lists.kinetics, KINETICS + ",x,1,2,val,0\n", "x:6: "),
        (lists.kinetics, KINETICS + "run,,1,2,val,0\n", "x:6: "),
        (lists.something, SOMETHING + "4", "x:4: .*'4'"),
        (lists.something, SOMETHING + ";Moving", "x:4: .*';Moving'"),
        (lists.something, SOMETHING + "4; ", "x:4: .*'4; '"),
        (lists.something, "1\n2\n" + SOMETHING, "x:3: .*'100218;Something falling"),
        (lists.diving48, dive(vid_name="", label=1, end_frame=1), "x, object 2: .*'vid_name': ''"),
        (lists.diving48, dive(label=1, end_frame=1), "x, object 2: .*Received: {'label'"),
        (lists.diving48, dive(vid_name="b", label=-1, end_frame=1), "x, object 2: .*-1"),
        (lists.diving48, dive(vid_name="b", label="2", end_frame=1), "x, object 2: .*'2'"),
        (lists.diving48, dive(vid_name="b", label=True, end_frame=1), "x, object 2: .*True"),
        (lists.diving48, dive(vid_name="b", label=1, end_frame=0), "x, object 2: .*e': 0"),
        (lists.diving48, "[\n{,}]", "x:2: expected json. Received: Expecting property name"),
        (lists.diving48, "[[]]", r"x, object 1: .*\[\]"),
        (lists.diving48_classes, "{}", r"x: expected a list. Received: dict\."),
        (lists.diving48_classes, "[[]]", r"x, class 1: .*\[\]"),
        (lists.diving48_classes, '["Back"]', "x, class 1: .*'Back'"),
        (lists.diving48_classes, '[["A", "B"], ["C"], ["A", "B"]]', r"x, class 3: .*\['A', 'B'\]"),
    ],
)
def test_error_names_its_position(tmp_path, read, text, message):
    (tmp_path / "x").write_text(text)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "x")


# Folders, and the installed package.


def test_folders_and_unlabelled():
    names = ["run/2.avi", "Walk/deep/1.mp4", "run/1.avi"]
    videos = ["run/2", "Walk/deep/1", "run/1"]
    assert lists.folder_classes(names) == ["Walk", "run"]  # by code point
    assert lists.folders(names) == pairs(videos, [1, 0, 1])
    assert lists.folders(names[2:], ["jump", "Walk", "run"]) == [Entry("run/1", 2)]
    assert lists.unlabelled(names) == pairs(videos, [-1, -1, -1])
    with pytest.raises(ValueError, match="2 other names: 'Walk/deep/1'; '1'"):
        lists.folders([*names, "1.avi"], ["run"])
    with pytest.raises(ValueError, match="a folder for each class. Received: 2 without .* 'a'"):
        lists.folders(["a.avi", "b.avi"])


def test_class_names_are_installed_with_the_package(tmp_path):
    """Without a checkout; no other list of data_lists/ is installed."""
    pytest.importorskip("setuptools")
    names = ("mas", "data_lists", "recipes", "setup.py", "README.md")
    for name in names:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        (tmp_path / "checkout").mkdir(exist_ok=True)
        copy(ROOT / name, tmp_path / "checkout" / name)
    (tmp_path / "checkout" / "data_lists" / "my_classes.txt").write_text("mine")
    build = [sys.executable, "setup.py", "-q", "build", f"--build-lib={tmp_path / 'installed'}"]
    subprocess.run(build, cwd=tmp_path / "checkout", check=True)
    shutil.rmtree(tmp_path / "checkout")
    found = sorted(path.name for path in (tmp_path / "installed" / "mas" / "data_lists").iterdir())
    assert found == ["hmdb51_classes.txt", "ucf101_classes.txt"]
    code = "from mas import lists; print(lists.ucf101(['v_YoYo_g01_c01'], 1, 'test')[0].label)"
    environment = {"PYTHONPATH": str(tmp_path / "installed")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout == "100\n", done.stderr


# Selections.


def many(counts):
    return [Entry(f"{label}/{i}", label) for label, n in counts.items() for i in range(n)]


@pytest.mark.parametrize("share", [0.01, 0.07, 0.5, 1.0])
def test_fraction_takes_its_share_of_every_class(share):
    counts = {0: 100, 1: 30, 2: 1, -1: 7}
    chosen = lists.fraction(many(counts), share)
    sizes = collections.Counter(entry.label for entry in chosen)
    assert sizes == {label: math.ceil(round(100 * share) * n / 100) for label, n in counts.items()}
    places = [many(counts).index(entry) for entry in chosen]
    assert places == sorted(places)


def test_fraction_is_deterministic_and_nested():
    entries = many({0: 40, 1: 40})

    def rank(entry):
        return hashlib.sha256(f"5\n{entry.video}\nNone".encode()).hexdigest()

    expected = {e for i in (0, 1) for e in sorted(entries[40 * i : 40 * i + 40], key=rank)[:4]}
    assert set(lists.fraction(entries, 0.1, 5)) == expected
    # Golden: fixed for good, as published results may name a share by its seed.
    assert [e.video for e in lists.fraction(entries, 0.05, 0)] == ["0/19", "0/23", "1/0", "1/1"]
    assert set(lists.fraction(entries[::-1], 0.1, 5)) == expected
    assert expected < set(lists.fraction(entries, 0.3, 5))
    assert set(lists.fraction(entries, 0.1, 6)) != expected


@pytest.mark.parametrize("share", [0, 1.1, float("nan")])
def test_fraction_refuses_other_shares(share):
    with pytest.raises(ValueError, match=f"fraction.*={share}"):
        lists.fraction(many({0: 3}), share)


def test_split_by():
    entries = many({1: 2, 2: 2, 12: 1})
    videos = [e.video for e in lists.split_by(entries, match="^[12]/")]
    assert videos == ["1/0", "1/1", "2/0", "2/1"]
    videos = [e.video for e in lists.split_by(entries, match="2/", exclude="/1$")]
    assert videos == ["2/0", "12/0"]
    assert lists.split_by(entries) == entries
    with pytest.raises(ValueError, match=r"exclude must be a regular expression .*'\('"):
        lists.split_by(entries, exclude="(")
