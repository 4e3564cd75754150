"""Data lists: names matched to a data set, videos found, class names."""

import pytest
from list_sources import HMDB51, UCF101

from mas import lists
from mas.lists import Entry


@pytest.mark.parametrize(
    ("listed", "available", "expected"),
    [
        ("a/b", ["a/b", "c/b"], "a/b"),  # exact
        ("/home/w/jpegs_256/v_X_g01_c01", ["X/v_X_g01_c01", "X/v_X_g01_c02"], "X/v_X_g01_c01"),
        ("X/v_X_g01_c01", ["v_X_g01_c01", "v_X_g01_c02"], "v_X_g01_c01"),  # nested to flat
        ("/d/cat/7", ["cat/7", "dog/7"], "cat/7"),  # own folder decides
        ("a/b", ["a/b.avi", "c/b"], "a/b.avi"),  # a data set's id may keep an extension
        ("air drumming/z_1_2", ["air_drumming/z_1_2"], "air_drumming/z_1_2"),
        (
            "HandstandPushups/v_HandStandPushups_g01_c01",
            ["HandStandPushups/v_HandstandPushups_g01_c01", "HandstandPushups/other"],
            "HandStandPushups/v_HandstandPushups_g01_c01",
        ),
    ],
)
def test_resolve_finds(listed, available, expected):
    entry = Entry(listed, 4, 16, 99, line=2)
    (found,) = lists.resolve([entry], iter(available), "list.txt")
    assert found == Entry(expected, 4, 16, 99) and found.line == 2
    assert lists.find_video(listed, available) == expected


@pytest.mark.parametrize(
    ("listed", "available", "message"),
    [
        ("a", ["b"], r"line 7: 'a' matches none"),
        ("a", ["x/a", "y/a"], r"line 7: 'a' matches 'x/a'; 'y/a'"),
        ("cat/7", ["cat/1", "dog/7"], r"line 7: 'cat/7' matches none"),  # never another class
        (
            "v_HandstandPushups_g01_c01",
            ["a/v_HandstandPushups_g01_c01", "b/v_HandStandPushups_g01_c01"],
            "matches 'a/v_HandstandPushups_g01_c01'; 'b/v_HandStandPushups_g01_c01'",
        ),
        ("a 100", ["a"], "'a 100' matches none. Name the columns"),
    ],
)
def test_resolve_refuses(listed, available, message):
    with pytest.raises(ValueError, match=message) as error:
        lists.resolve([Entry(listed, line=7)], available, "some/list.txt")
    assert str(error.value).startswith("some/list.txt: ")
    assert ("Name the columns" in str(error.value)) == listed.endswith(" 100")


def test_resolve_counts_all_missing_and_names_first_few():
    entries = [Entry(f"gone{i}", line=i) for i in range(1, 10)] + [Entry("here", line=10)]
    with pytest.raises(
        ValueError, match="set's 2,.*Received: 9 of 10 .*line 5: .*; and 4"
    ) as error:
        lists.resolve(entries, ["here", "there"], "list.txt")
    assert "gone6" not in str(error.value)


def test_resolve_refuses_two_entries_that_become_one_video():
    entries = [Entry("/old/b", 0, line=1), Entry("a/b", 1, line=2)]
    with pytest.raises(ValueError, match="lines 1 and 2: 'a/b'"):
        lists.resolve(entries, ["a/b"], "list.txt")
    clips = [Entry("/old/b", start=0, line=1), Entry("a/b", start=16, line=2)]
    assert [entry.video for entry in lists.resolve(clips, ["a/b"], "list.txt")] == ["a/b"] * 2


def test_drop_absent_returns_missing_but_rejects_ambiguous():
    entries = [Entry("x_1_2", 0), Entry("y_1_2", 1), Entry("z_1_2", 2)]
    present, absent = lists.drop_absent(entries, ["k/z_1_2", "k/x_1_2"], "k.csv")
    assert present == [Entry("k/x_1_2", 0), Entry("k/z_1_2", 2)]
    assert absent == [Entry("y_1_2", 1)]
    with pytest.raises(ValueError, match="matches 'k/x_1_2'; 'l/x_1_2'"):
        lists.drop_absent(entries, ["k/x_1_2", "l/x_1_2"], "k.csv")


def test_entries_from_file_or_as_given(tmp_path):
    (tmp_path / "list.txt").write_text("b 8 1\n")
    expected = [Entry("a/b", 1, frames=8)]
    assert lists.entries_of(tmp_path / "list.txt", "vtdl", ["a/b"]) == expected
    assert lists.entries_of(str(tmp_path / "list.txt"), "vtdl", ["a/b"]) == expected
    assert lists.entries_of((e for e in [Entry("b", 1, frames=8)]), "video", ["a/b"]) == expected
    assert lists.entries_of(None, "vtdl", ["a/b"]) is None
    with pytest.raises(ValueError, match="list: .*line 2: 'c' matches none"):
        lists.entries_of([Entry("b"), Entry("c")], "video", ["a/b"])
    for wrong in ([], ["a/b"], 7):
        with pytest.raises(ValueError, match="sides must be .*Received: sides="):
            lists.entries_of(wrong, "video", ["a/b"], "sides")


@pytest.mark.parametrize("text", ["walk/ann.v2", "ann.v2", "ann.v2.avi", "walk/ann.v2.mp4"])
def test_video_is_found_by_any_listed_name(text):
    assert lists.find_video(text, ["run/bob", "walk/ann.v2"]) == "walk/ann.v2"


def test_missing_video_suggests_similar_names():
    videos = ["YoYo/v_YoYo_g01_c01", "YoYo/v_YoYo_g02_c01", "run/x", "walk/x", "c.avi", "c.mkv"]
    with pytest.raises(ValueError, match="video='v_YoYo_g01_c09'.*such as 'YoYo/v_YoYo_g01_c01'"):
        lists.find_video("v_YoYo_g01_c09", videos)
    with pytest.raises(ValueError, match="Received: video='x', which matches 'run/x'; 'walk/x'"):
        lists.find_video("x", videos)
    with pytest.raises(ValueError, match="Received: video='zzz', which matches none.*'YoYo/"):
        lists.find_video("zzz", videos)
    assert lists.find_video("old/c.mkv", [*videos[:4], "run/c.avi", "run/c.mkv"]) == "run/c.mkv"


def test_find_videos(tmp_path):
    for name in ["b/x.AVI", "a/deep/y.mp4.webm", "a-z.flv", "b/notes.txt", ".hidden", "b/x.v2"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    videos, ignored = lists.find_videos(tmp_path)
    assert list(videos.items()) == [
        ("a-z", "a-z.flv"),
        ("a/deep/y", "a/deep/y.mp4.webm"),
        ("b/x", "b/x.AVI"),
    ]
    assert ignored == [".hidden", "b/notes.txt", "b/x.v2"]
    (tmp_path / "b/x.mkv").touch()
    assert list(lists.find_videos(tmp_path)[0]) == ["a-z", "a/deep/y", "b/x.AVI", "b/x.mkv"]


def test_macos_files_are_neither_videos_nor_classes(tmp_path):
    names = ["jump/a.mp4", "jump/._a.mp4", "__MACOSX/jump/._a.mp4", "__MACOSX/b.mp4", "x/.DS_Store"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    videos, ignored = lists.find_videos(tmp_path)
    assert videos == {"jump/a": "jump/a.mp4"} and ignored == []
    assert lists.folder_classes(videos) == ["jump"]


def test_find_videos_rejects_folder_without_videos(tmp_path):
    with pytest.raises(ValueError, match="videos must be an existing folder. Received: .*none"):
        lists.find_videos(tmp_path / "none")
    (tmp_path / "list.txt").touch()
    with pytest.raises(ValueError, match="Received: 1 other file"):
        lists.find_videos(tmp_path)


# Class names.


def test_ucf101_class_names():
    names = lists.ucf101_classes()
    assert names == lists.class_names(UCF101) and len(set(names)) == 101
    # The official order ignores case: Hammering, HammerThrow; JumpingJack, JumpRope.
    assert names == sorted(names, key=str.lower)
    places = {"ApplyEyeMakeup": 0, "Hammering": 34, "HammerThrow": 35, "HandstandPushups": 36,
              "JumpingJack": 46, "JumpRope": 47, "Mixing": 53, "ParallelBars": 56, "Punch": 70,
              "SoccerJuggling": 83, "TaiChi": 90, "WritingOnBoard": 99, "YoYo": 100}  # fmt: skip
    assert {name: names.index(name) for name in places} == places


def test_hmdb51_class_names():
    names = lists.hmdb51_classes()
    assert names == lists.class_names(HMDB51) and len(set(names)) == 51
    assert names == sorted(names)  # by code point: all lower case, '_' before letters
    # The lists of VTDL give the same labels but to kick, kick_ball, sword and sword_exercise.
    places = {"brush_hair": 0, "climb": 5, "climb_stairs": 6, "fall_floor": 12, "flic_flac": 14,
              "jump": 19, "kick": 20, "kick_ball": 21, "pullup": 26, "shoot_ball": 34, "sword": 44,
              "sword_exercise": 45, "talk": 46, "wave": 50}  # fmt: skip
    assert {name: names.index(name) for name in places} == places


def test_class_names_path(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("air drumming\n\nrun\nair drumming \n")
    with pytest.raises(ValueError, match=r"classes.txt:4: .*'air drumming', also on line 1"):
        lists.class_names(path)
    path.write_text("\n")
    with pytest.raises(ValueError, match="an empty file"):
        lists.class_names(path)
    path.write_text("air drumming\nrun\n")
    assert lists.class_names(path) == ["air drumming", "run"]
    assert lists.class_names_beside(tmp_path / "train.txt") == ["air drumming", "run"]
    (tmp_path / "train_classes.txt").write_text("walk\n")
    assert lists.class_names_beside(str(tmp_path / "train.txt")) == ["walk"]
    assert lists.class_names_beside(tmp_path / "test.txt") == ["air drumming", "run"]
    path.unlink()
    assert lists.class_names_beside(tmp_path / "test.txt") is None
    assert lists.class_names_beside(None) is None
