"""Data lists: the command `mas lists`."""

import re
import subprocess
import sys

import pytest
from list_sources import (
    DIVING48,
    DIVING48_VOCABULARY,
    HMDB51,
    KINETICS,
    SOMETHING,
    SOMETHING_LABELS,
    ucf101_names,
    write_hmdb51_splits,
)
from preparing import ENVIRONMENT

from mas import cli, lists


@pytest.fixture
def run(tmp_path, monkeypatch, caplog):
    """Runs the command in tmp_path; (exit status, what it said)."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        caplog.clear()
        return cli.main("lists", *map(str, arguments)), caplog.text

    return command


def text_of(name):
    with open(name, encoding="utf-8", newline="") as file:
        return file.read()


def test_splits_real_videos_by_actor(run, shared):
    videos = f"--videos={shared}/videos/weizmann"
    assert run("folders", videos, "--output=train.txt", "--exclude=/(daria|denis)_")[0] == 0
    assert run("folders", videos, "--output=test.txt", "--match=/(daria|denis)_")[0] == 0
    train, test = lists.read("train.txt"), lists.read("test.txt")
    assert (len(train), len(test)) == (70, 20)
    classes = lists.class_names_beside("test.txt")
    assert classes == "bend jack jump pjump run side skip walk wave1 wave2".split()
    assert classes == lists.class_names_beside("train.txt")
    assert all(entry.video.startswith(f"{classes[entry.label]}/") for entry in train + test)
    assert len({entry.video for entry in train + test}) == 90


def test_says_what_it_did_and_ignored(run, tmp_path):
    for name in ["run/1.avi", "run/2.avi", "walk/1.mp4", "walk/readme.txt"]:
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    said = run("folders", "--videos=videos", "--output=all.txt")[1]
    assert text_of("all.txt") == "run/1 0\nrun/2 0\nwalk/1 1\n"
    assert "videos: 3 videos\n" in said and "all.txt: 3 lines of video label\n" in said
    assert "ignored 1 file without a video extension: walk/readme.txt" in said
    assert "2 classes, 1 to 2 lines each" in said and "all_classes.txt: 2 classes" in said
    said = run("folders", "--videos=videos", "--match=1", "--output=one.txt")[1]
    assert "match and exclude leave 2 of 3 videos" in said and "2 classes, 1 line each" in said
    run("unlabelled", "--videos=videos", "--output=plain.txt")
    assert text_of("plain.txt") == "run/1\nrun/2\nwalk/1\n"
    (tmp_path / "classes.txt").write_text("jump\nwalk\nrun\n")
    run("folders", "--videos=videos", "--classes=classes.txt", "--output=own.txt")
    assert text_of("own.txt") == "run/1 2\nrun/2 2\nwalk/1 1\n"
    assert text_of("own_classes.txt") == "jump\nwalk\nrun\n"


def test_ucf101_from_names_and_a_fraction_of_it(run, tmp_path):
    (tmp_path / "names.txt").write_text("\n".join(ucf101_names()))
    assert not run("ucf101", "--names=names.txt", "--split=2", "--part=test", "--output=t.txt")[0]
    entries = lists.read("t.txt")
    assert entries == sorted(lists.ucf101(ucf101_names(), 2, "test"), key=lambda e: e.video)
    run("fraction", "--list=t.txt", "--fraction=0.5", "--seed=3", "--output=half.txt")
    assert lists.read("half.txt") == lists.fraction(entries, 0.5, 3)
    assert lists.class_names_beside("half.txt") == lists.ucf101_classes()


def test_matches_official_files_to_the_videos_there(run, tmp_path):
    write_hmdb51_splits(tmp_path / "splits")
    (tmp_path / "flat.txt").write_text("\n".join(f"b_{n}" for n in lists.class_names(HMDB51)))
    arguments = ["--splits=splits", "--split=2", "--part=test", "--output=test.txt"]
    assert run("hmdb51", *arguments, "--names=flat.txt")[0] == 0
    assert text_of("test.txt").split("\n")[21] == "b_kick_ball 21"
    (tmp_path / "val.csv").write_text(KINETICS)
    (tmp_path / "some.txt").write_text("air_drumming/--nQbRBEz2s_000104_000114.mp4")
    said = run("kinetics", "--csv=val.csv", "--names=some.txt", "--output=val.txt")[1]
    assert text_of("val.txt") == "air_drumming/--nQbRBEz2s_000104_000114 1\n"
    assert "left out 3 videos that your folder lacks: -egPJubR-CE_000000_000010; " in said
    assert len(lists.class_names_beside("val.txt")) == 3


def test_diving48(run, tmp_path):
    (tmp_path / "V2.json").write_text(DIVING48)
    (tmp_path / "vocab.json").write_text(DIVING48_VOCABULARY)
    (tmp_path / "videos" / "rgb").mkdir(parents=True)
    (tmp_path / "videos" / "rgb" / "kzB6Zs3Ipyk_00000.mp4").touch()
    run("diving48", "--json=V2.json", "--vocabulary=vocab.json", "--output=all.txt")
    assert text_of("all.txt") == "kzB6Zs3Ipyk_00000 2\n-8Vy3dlHg2w_00003 0\n"
    assert text_of("all_classes.txt").endswith("\nInward-Dive-NoTwis-PIKE\n")
    run("diving48", "--json=V2.json", "--videos=videos", "--columns=vtdl", "--output=some.txt")
    assert text_of("some.txt") == "rgb/kzB6Zs3Ipyk_00000 81 2\n"
    assert not (tmp_path / "some_classes.txt").exists()


def test_something_with_the_labels_of_its_file(run, tmp_path):
    (tmp_path / "train.csv").write_text(SOMETHING)
    (tmp_path / "labels.csv").write_text(SOMETHING_LABELS)
    (tmp_path / "test.csv").write_text("7\n5\n")
    (tmp_path / "there.txt").write_text("24413\n100218\n")
    arguments = ["--csv=train.csv", "--labels=labels.csv", "--output=train.txt"]
    said = run("something", *arguments, "--names=there.txt")[1]
    assert text_of("train.txt") == "100218 1\n24413 2\n"
    assert "left out 1 video that your folder lacks: 100218x" in said
    assert text_of("train_classes.txt") == SOMETHING_LABELS
    run("something", "--csv=train.csv", "--output=own.txt")
    assert text_of("own.txt") == "100218 1\n24413 0\n100218x 0\n"
    assert run("something", "--csv=test.csv", "--output=test.txt")[0] == 0
    assert text_of("test.txt") == "7\n5\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["foo"], "KIND must be one of ucf101, .*Received: foo"),
        (["diving48", "--csv=x"], "--csv belongs to mas lists kinetics or mas lists something"),
        (["diving48", "--json=x"], "x:1: expected json"),
        (["something", "--csv=x", "--classes=x"], "--classes belongs to mas lists ucf101"),
        (["folders"], "needs one of --videos and --names. Received: neither"),
        (["folders", "--videos=.", "--names=x"], "needs one .* Received: videos and names"),
        (["ucf101", "--videos=."], "needs --part"),
        (["ucf101", "--names=y", "--part=train"], "train part of split 1. Received: 1 video of"),
        (["fraction", "--list=x", "--fraction=2"], "fraction .*Received: fraction=2"),
        (["folders", "--videos=gone"], "videos must be an existing folder. Received: 'gone'"),
        (["folders", "--names=x", "--match=nothing"], "must leave a video. Received: none of 1"),
        (["kinetics", "--csv=k", "--names=x"], "k must name some of the videos"),
    ],
)
def test_refuses(run, tmp_path, caplog, arguments, message):
    (tmp_path / "x").write_text("run/1\n")
    (tmp_path / "y").write_text("v_YoYo_g01_c01\n")
    (tmp_path / "k").write_text(KINETICS)
    assert run(*arguments, "--output=x.txt")[0] == cli.FAILED
    assert re.search(message, caplog.text), caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["k", "x", "y"]


def test_needs_no_heavy_library():
    code = "import sys, mas.lists; sys.exit(bool({'cv2', 'tensorflow', 'numpy'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT).returncode == 0
