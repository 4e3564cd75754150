"""Data lists as users have them: other forms of annotations and file names."""

import os
import re

import pytest
from list_sources import refused, ucf101_names, written

from mas import cli, lists
from mas.lists import Entry

# Kinetics.


def test_kinetics_annotations_in_the_wild(shared):
    wild = shared / "videos" / "wild" / "lists"
    assert lists.kinetics(wild / "k600.txt") == [
        Entry("---QUuC4vJs_000084_000094", 0),
        Entry("---aQ-tA5_A_000009_000019", 1),
    ]
    assert lists.kinetics_classes(wild / "k600.txt") == ["testifying", "washing feet"]
    assert lists.kinetics(wild / "k400cc.csv") == [Entry("_4YTwq0-73Y_000016_000026", 0)]
    assert lists.kinetics_classes(wild / "k400cc.csv") == ["abseiling"]


@pytest.mark.parametrize(
    "text",
    [
        "label,youtube_id,time_start,time_end,split,is_cc\nrun,_4YTwq0-73Y,16,26,train,0\n",
        "youtube_id,time_end,x,time_start,Label \n_4YTwq0-73Y,26.0,,16.0,run\n",
        '"run",_4YTwq0-73Y,"000016","000026",train\n',
        "run,_4YTwq0-73Y,16,26\n",
        "7,run,_4YTwq0-73Y,16,26,train,0\n",
    ],
)
def test_columns_of_kinetics(tmp_path, text):
    path = written(tmp_path / "x.csv", text)
    assert lists.kinetics(path) == [Entry("_4YTwq0-73Y_000016_000026", 0)]
    assert lists.kinetics_classes(path) == ["run"]


def test_kinetics_test_file_without_header_has_no_labels(tmp_path):
    path = written(tmp_path / "x.csv", "_4YTwq0-73Y,16,26,test\n")
    assert lists.kinetics(path) == [Entry("_4YTwq0-73Y_000016_000026", -1)]


@pytest.mark.parametrize(
    "name",
    ["_4YTwq0-73Y", "_4YTwq0-73Y_16_26", "_4YTwq0-73Y_000016_000026", "_4YTwq0-73Y_16.0_26.0"],
)
@pytest.mark.parametrize("folder", ["", "ab seiling/", "ab_seiling/", "train/ab_seiling/"])
def test_kinetics_files_with_other_names(shared, name, folder):
    path = shared / "videos" / "wild" / "lists" / "k400cc.csv"
    videos = [f"{folder}{name}", f"{folder}other"]
    entries = lists.kinetics(path, names=[f"{folder}{name}.mp4"])
    assert lists.drop_absent(entries, videos, path) == ([Entry(videos[0], 0)], [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,youtube_id,time_start,time_end\n", r"x\.csv: .*only a header"),
        ("label,youtube_id,time_start,time_end\nrun,x,1,2,3\n", r"x\.csv:2: expected 4 fields"),
        ("label,label,youtube_id,time_start,time_end\na,b,x,1,2\n", r"x\.csv:1: .*each once"),
        ("run,_4YTwq0-73Y,16,26\nrun,short,1,2\n", r"x\.csv:2: .*'short'"),
        ("_4YTwq0-73Y,run,16,26\n", r"x\.csv:1: expected the columns"),
        ("run,_4YTwq0-73Y,16,26\nrun,_4YTwq0-73Y,16,26\n", "1 repeated: lines 1 and 2: '_4YT"),
        ('run,_4YTwq0-73Y,16,26\n"run,-4YTwq0-73Y,16,26\n', r"x\.csv:2: expected csv"),
        ('"run,_4YTwq0-73Y,16,26\n",-4YTwq0-73Y,16,26\n', r"x\.csv:1: .*closed on line 2"),
        (f"run,_4YTwq0-73Y,16,26\n{'a' * 200_000},x,1,2\n", r"x\.csv:2: expected csv. .*field"),
        (f"run,_4YTwq0-73Y,16,{'9' * 5000}\n", r"x\.csv:1: "),
    ],
)
def test_rejects_non_kinetics_files(tmp_path, text, message):
    assert re.search(message, refused(lists.kinetics, written(tmp_path / "x.csv", text)))


# Something-Something, version 2.


def test_something_annotations_in_the_wild(shared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wild = shared / "videos" / "wild" / "lists"
    path, labels = (f"{wild}/something-something-v2-{name}.json" for name in ("train", "labels"))
    names = ["Holding something next to something", "Spreading something onto something"]
    assert lists.class_names(labels) == names
    assert lists.something(path) == lists.something(path, names)
    for flag in ("csv", "json"):
        given = (f"--{flag}={path}", f"--labels={labels}", "--output=x.txt")
        assert cli.main("lists", "something", *given) == 0
        assert (tmp_path / "x.txt").read_text() == "78687 0\n42326 1\n"
        assert lists.class_names("x_classes.txt") == names


def test_something_v2_parts_without_labels(tmp_path):
    path = written(tmp_path / "test.json", '[{"id":"1420"},\n{"id":"1421"}]')
    assert lists.something(path, ["a"]) == [Entry("1420"), Entry("1421")]
    path = written(tmp_path / "test-answers.csv", "1420;a b\n1421;c d\n")  # official, too
    names = lists.class_names(written(tmp_path / "labels.json", '{"c d":"0","a b":"1"}'))
    assert lists.something(path, names) == [Entry("1420", 1), Entry("1421", 0)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('{"id":"2","template":"c"}', r"x\.json, object 2: label must be one of the 1 .*'c'"),
        ('{"id":"2"}', r"x\.json, object 2: expected a string"),
        ('{"id":2,"template":"a b"}', r"x\.json, object 2: expected a string"),
        ('{"id":"2","template":["a b"]}', r"x\.json, object 2: expected a string"),
        ('{"id":"1","template":"a b"}', "1 repeated: objects 1 and 2: '1'"),
        ("7", r"x\.json, object 2: .*7"),
        ('{"id":"2"', r"x\.json:2: expected json"),
    ],
)
def test_rejects_non_something_v2_files(tmp_path, rows, message):
    text = f'[{{"id":"1","template":"a [b]"}},\n{rows}]'
    assert re.search(message, refused(lists.something, written(tmp_path / "x.json", text), ["a b"]))


# Two files of one stem; what a Mac leaves; names of files.


def test_fraction_includes_both_files_of_one_stem(tmp_path):
    written(
        tmp_path / "x.txt", "".join(f"a/{n}.{e} 0\n" for n in range(50) for e in ("mp4", "mkv"))
    )
    entries = lists.read(tmp_path / "x.txt")
    chosen = lists.fraction(entries, 0.5)
    assert len(chosen) == 50 and len({entry.file for entry in chosen}) == 50
    assert 30 < len({entry.video for entry in chosen}) < 50, "each on its own"
    assert [e.file for e in lists.fraction(entries[::-1], 0.5)[::-1]] == [e.file for e in chosen]
    lists.write(tmp_path / "y.txt", chosen)
    assert [entry.file for entry in lists.read(tmp_path / "y.txt")] == [e.file for e in chosen]


def test_macos_files_among_names_are_ignored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [
        "./run/a.mp4",
        "./run/._a.mp4",
        "./__MACOSX/run/._a.mp4",
        "./.DS_Store",
        "./jump/b.avi",
    ]
    written(tmp_path / "names.txt", "\n".join(names))
    assert lists.folder_classes(names) == ["jump", "run"]
    assert [entry.video for entry in lists.folders(names)] == ["run/a", "jump/b"]
    assert cli.main("lists", "folders", "--names=names.txt", "--output=x.txt") == 0
    assert (tmp_path / "x.txt").read_text() == "jump/b 0\nrun/a 1\n"
    assert (tmp_path / "x_classes.txt").read_text() == "jump\nrun\n"


def test_non_utf8_name_is_reported(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    for name in (b"v/jump/latin\xe9.mp4", b"v/run/a.mp4"):
        os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, "wb"):
            pass
    for kind in ("folders", "unlabelled"):
        assert cli.main("lists", kind, "--videos=v", "--output=x.txt") == cli.FAILED
        assert r"Received: 'jump/latin\xe9.mp4'" in caplog.text
        assert os.listdir(tmp_path) == ["v"]
        caplog.clear()
    assert cli.main("lists", "folders", "--videos=v", "--exclude=latin", "--output=x.txt") == 0
    assert (tmp_path / "x.txt").read_text() == "run/a 1\n"
    message = refused(lists.write, "y.txt", [Entry("a", 0), Entry("latin\udce9", 0)])
    assert message.startswith("y.txt: ") and r"latin\xe9" in message


# A builder that finds nothing.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("folders --videos=v/run", r"2 without a folder, such as '1': is the folder one level too"),
        ("unlabelled --videos=empty", r"empty: expected files that end in .*1 other file: x\.zip"),
        ("ucf101 --names=u.txt --part=train", r"part of split 1. Received: 42 videos of the other"),
        ("ucf101 --videos=v --part=train", r"names must end in v_CLASS.*2 other names: 'run/1'"),
        ("hmdb51 --splits=. --part=train", r"\.: expected .* There are some in splits\."),
        ("hmdb51 --splits=splits --part=train --videos=v", "splits must name some of the videos"),
        ("kinetics --csv=k.csv --videos=v",
         r"k\.csv must name some of .* another part .* none of 2, .* such as 'run/1'; looked for 1 "
         r"video such as '_4YTwq0-73Y_000016_000026'"),
        ("something --json=s.json --videos=v", r"s\.json must name some .* such as '78687'"),
        ("diving48 --json=d.json", r"d\.json must name some videos. Received: none"),
        ("folders --videos=v --match=Run", r"none of 2 kept by match='Run', .* such as 'run/1'"),
        ("folders --names=mac.txt", r"mac\.txt must name videos. Received: none"),
    ],
)  # fmt: skip
def test_empty_result_says_what_was_searched(tmp_path, monkeypatch, caplog, arguments, message):
    monkeypatch.chdir(tmp_path)
    for name in ("v/run/1.avi", "v/run/2.avi", "empty/x.zip"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "splits").mkdir()
    for name in lists.hmdb51_classes():
        written(tmp_path / "splits" / f"{name}_test_split1.txt", f"a_{name}.avi 1\n")
    texts = {"k.csv": "run,_4YTwq0-73Y,16,26\n", "s.json": '[{"id":"78687"}]', "d.json": "[]"}
    texts["u.txt"] = "\n".join(lists.video_id(e.video) for e in lists.ucf101(
        ucf101_names(), 1, "test"))  # fmt: skip
    for name, text in {**texts, "mac.txt": "__MACOSX/._a.avi"}.items():
        written(tmp_path / name, text)
    assert cli.main("lists", *arguments.split(), "--output=x.txt") == cli.FAILED
    assert re.search(message, caplog.text.splitlines()[-1]), caplog.text
    assert not (tmp_path / "x.txt").exists()


def test_folder_one_level_too_high_is_reported(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "names.txt", "UCF/run/a.avi\nUCF/walk/b.avi\n")
    assert cli.main("lists", "folders", "--names=names.txt", "--output=x.txt") == 0
    assert "in one class, 'UCF', with 2 subfolders" in caplog.text


def test_other_files_among_names_are_ignored_and_reported(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "names.txt", "run/a.mp4\nrun/b.mp4\nrun/readme.txt\n")
    assert cli.main("lists", "folders", "--names=names.txt", "--output=x.txt") == 0
    assert (tmp_path / "x.txt").read_text() == "run/a 0\nrun/b 0\n"
    assert "ignored 1 file without a video extension: run/readme.txt" in caplog.text
    written(tmp_path / "names.txt", "run/a\nrun/b.v2\nrun/c.mp4\n")  # ids, most of them
    assert cli.main("lists", "folders", "--names=names.txt", "--output=x.txt") == 0
    assert (tmp_path / "x.txt").read_text() == "run/a 0\nrun/b.v2 0\nrun/c 0\n"
