"""Data lists: UCF101's official files, as lists and as class names."""

import re

import pytest
from list_sources import UCF101, UCF101_TRAIN, UCF101_TRAIN_LABELS, refused, written

from mas import cli, lists
from mas.lists import Entry

# UCF101's official files.


def test_ucf101_train_list_becomes_zero_based(tmp_path, caplog):
    path = written(tmp_path / "trainlist01.txt", "\r\n".join([*UCF101_TRAIN, ""]))
    entries = lists.read(path)
    assert [entry.label for entry in entries] == UCF101_TRAIN_LABELS
    assert [entry.video for entry in entries] == [
        lists.video_id(line.split()[0]) for line in UCF101_TRAIN
    ]
    assert "trainlist01.txt counts classes from 1; converted to count from 0" in caplog.text
    labels = [entry.label for entry in lists.ucf101([e.video for e in entries], 1, "train")]
    assert labels == UCF101_TRAIN_LABELS


def test_zero_based_lists_are_unchanged(tmp_path):
    """Lists of `mas lists ucf101`, and of folders sorted by code point (HammerThrow first)."""
    names = [f"{name}/v_{name}_g08_c01" for name in lists.ucf101_classes()]
    for entries in (lists.ucf101(names, 1, "train"), lists.folders(names)):
        lists.write(tmp_path / "x.txt", entries)
        assert lists.read(tmp_path / "x.txt") == entries
    few = [e for e in lists.folders(names) if e.video.startswith(("Hammering/", "JumpingJack/"))]
    lists.write(tmp_path / "x.txt", few)
    assert lists.read(tmp_path / "x.txt") == few
    # A class against others, of which most are of the class.
    against = [Entry(f"ApplyEyeMakeup/v_ApplyEyeMakeup_g0{n}_c01", 1) for n in range(5)]
    against.append(Entry("ApplyLipstick/v_ApplyLipstick_g01_c01", 0))
    lists.write(tmp_path / "x.txt", against)
    assert lists.read(tmp_path / "x.txt") == against
    one = [Entry("Archery/v_Archery_g01_c01", 1), Entry("Biking/v_Biking_g01_c01", 0)]
    lists.write(tmp_path / "x.txt", one)
    assert lists.read(tmp_path / "x.txt") == one


def test_wrong_label_in_official_list_is_reported(tmp_path):
    path = written(tmp_path / "x.txt", UCF101_TRAIN[3])
    assert [entry.label for entry in lists.read(path)] == [100]
    written(path, "\n".join([*UCF101_TRAIN, "YoYo/v_Yoyo_g25_c02.avi 101"]))
    assert re.search(r"x\.txt:5: expected v_CLASS_gGG_cCC, ", refused(lists.read, path))
    path = written(tmp_path / "x.txt", "\n".join([*UCF101_TRAIN[:3], "YoYo/v_YoYo_g25_c01.avi 1"]))
    assert re.search(
        r"x\.txt:4: expected the label 101 of YoYo.* with 1\.", refused(lists.read, path)
    )


def test_ucf101_test_list_takes_labels_from_names(tmp_path):
    lines = [line.rpartition(" ")[0] for line in UCF101_TRAIN]
    path = written(tmp_path / "testlist01.txt", "\r\n".join(lines))
    assert [entry.label for entry in lists.read(path)] == UCF101_TRAIN_LABELS
    assert [entry.label for entry in lists.read(path, "video")] == [-1] * 4
    written(path, "\n".join([*lines[:2], "YoYo/a.avi", lines[3]]))
    assert re.search(r"testlist01\.txt:3: .*'YoYo/a\.avi'", refused(lists.read, path))
    written(path, "\n".join([*lines[:2], UCF101_TRAIN[2]]))
    assert "testlist01.txt:3: " in refused(lists.read, path)
    written(path, "a/v_Other_g01_c01.avi\n")
    assert 'testlist01.txt:1: expected "video label"' in refused(lists.read, path)


def test_other_data_sets_in_ucf101_format(tmp_path):
    """The classes come from the file next to the lists, or from the argument."""
    written(tmp_path / "classInd.txt", "1 jump\r\n2 run\r\n")
    train = written(tmp_path / "trainlist01.txt", "jump/v_jump_g01_c01.avi 1\nrun/v_run_g01_c01 2")
    test = written(tmp_path / "testlist01.txt", "run/v_run_g02_c01.avi\njump/v_jump_g02_c01.avi\n")
    assert [entry.label for entry in lists.read(train)] == [0, 1]
    assert [entry.label for entry in lists.read(test)] == [1, 0]
    assert lists.class_names_beside(train) == ["jump", "run"]
    (tmp_path / "classInd.txt").unlink()
    assert [entry.label for entry in lists.read(train, classes=["run", "jump", "x"])] == [1, 2]
    assert [entry.label for entry in lists.read(test, classes=["run", "jump"])] == [0, 1]
    message = refused(lists.read, train, classes=["a", "b"])
    assert message.endswith("trainlist01.txt:2: expected a label in 0..1, one of the class names, "
                            "counted from 0. Received: 2.")  # fmt: skip


def test_rejects_hmdb51_split_file_as_list(tmp_path):
    path = written(tmp_path / "wave_test_split1.txt", "a.avi 1\nb.avi 2\n")
    assert "wave_test_split1.txt: expected labels" in refused(lists.read, path)
    assert lists.read_names(path) == ["a.avi", "b.avi"]


def test_official_files_are_the_input_of_the_builder(tmp_path, monkeypatch):
    """`--names` may be an official list, `--classes` classInd.txt."""
    monkeypatch.chdir(tmp_path)
    numbered = enumerate(lists.class_names(UCF101), 1)
    written(tmp_path / "classInd.txt", "".join(f"{n} {name}\r\n" for n, name in numbered))
    written(tmp_path / "trainlist01.txt", "\r\n".join(UCF101_TRAIN))
    given = ("--names=trainlist01.txt", "--classes=classInd.txt", "--part=train")
    assert cli.main("lists", "ucf101", *given, "--output=x.txt") == 0
    assert [entry.label for entry in lists.read("x.txt")] == UCF101_TRAIN_LABELS
    assert lists.class_names("x_classes.txt") == lists.ucf101_classes()
    assert cli.main("lists", "fraction", "--list=trainlist01.txt", "--fraction=1",
                    "--output=y.txt") == 0  # fmt: skip
    assert [entry.label for entry in lists.read("y.txt")] == UCF101_TRAIN_LABELS
    assert lists.class_names("y_classes.txt") == lists.ucf101_classes()


# Class names.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 ApplyEyeMakeup\r\n2 ApplyLipstick\r\n", ["ApplyEyeMakeup", "ApplyLipstick"]),
        ("0 a b\r1 c", ["a b", "c"]),
        ("1 a\n10 j\n2 b\n", ["1 a", "10 j", "2 b"]),  # folders, sorted by code point
        ("1 a\n2 b\n4 c\n", ["1 a", "2 b", "4 c"]),
        ("1 a\nb\n", ["1 a", "b"]),
        ("50\n60\n", ["50", "60"]),
        ('{"b":"1", "a":"0"}', ["a", "b"]),
        ('{"b":1, "a":0}', ["a", "b"]),
        ('["b", "a"]', ["b", "a"]),
    ],
)
def test_files_of_class_names(tmp_path, text, expected):
    assert lists.class_names(written(tmp_path / "x.txt", text)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# my classes\nrun\n", r"x\.txt:1: expected a class name, no comment"),
        ('"a":"0",\n"b":"1"}', r"x\.txt:1: expected a class name, .* no json"),
        ("1 a\n2 a\n", r"x\.txt:2: expected each class name once. Received: 'a', also on line 1"),
        ('{"b":"1", "a":"1"}', r"x\.txt: expected a json object"),
        ('{"b":"2", "a":"0"}', r"x\.txt: expected a json object"),
        ('{"b":"0", "b":"1"}', r"x\.txt: .*'b' twice"),
        ('["a", "a"]', r"x\.txt: .*'a' twice"),
        ('["a", ["b"]]', r"x\.txt: expected a json object"),
        ("[]", r"x\.txt: expected a json object"),
        ('{"a": "0"', r"x\.txt:1: expected json"),
        ('{"a": ' + "9" * 5000 + "}", r"x\.txt: expected numbers of 18 digits"),
        ("[" * 100_000, r"x\.txt.*: expected json"),
        (b"run\nw\xe4lk\n", r"x\.txt:2: .*0xe4"),
    ],
)
def test_rejects_bad_class_names(tmp_path, text, message):
    assert re.search(message, refused(lists.class_names, written(tmp_path / "x.txt", text)))


def test_numbered_folders_match_written_class_file(tmp_path):
    names = ["1 walk/a", "2 run/b"]
    written(tmp_path / "x_classes.txt", lists.class_text(lists.folder_classes(names), "x"))
    found = lists.folders(names, lists.class_names_beside(tmp_path / "x.txt"))
    assert [entry.label for entry in found] == [0, 1]
    for name in ("run ", "a\nb", "# x", "latin\udce9"):
        assert refused(lists.class_text, ["x", name], "y.txt").startswith("y.txt: ")


def test_rejects_labels_outside_class_names():
    entries = [Entry("run/1", 1), Entry("walk/1", 1), Entry("set/walk/2", 0), Entry("b/3", 1)]
    assert lists.misplaced(entries, ["run", "walk"]) == [entries[0], entries[2]]
    assert lists.misplaced(entries, []) == []
