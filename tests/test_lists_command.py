"""Data lists: the command `python -m mas.lists`."""

import pathlib
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

from mas import lists

ROOT = pathlib.Path(__file__).resolve().parents[1]


def lines_of(path):
    return path.read_bytes().decode().split("\n")


def run(*arguments, cwd):
    command = [sys.executable, "-m", "mas.lists", *map(str, arguments)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def test_command_splits_real_videos_by_actor(tmp_path, shared):
    videos = f"--videos={shared}/videos/weizmann"
    train = run("folders", videos, "--output=train.txt", "--exclude=/(daria|denis)_", cwd=tmp_path)
    test = run("folders", videos, "--output=test.txt", "--match=/(daria|denis)_", cwd=tmp_path)
    assert (train.returncode, test.returncode) == (0, 0), train.stderr + test.stderr
    train, test = lists.read(tmp_path / "train.txt"), lists.read(tmp_path / "test.txt")
    assert (len(train), len(test)) == (70, 20)
    classes = lists.class_names(tmp_path / "test_classes.txt")
    assert classes == "bend jack jump pjump run side skip walk wave1 wave2".split()
    assert classes == lists.class_names(tmp_path / "train_classes.txt")
    assert all(entry.video.startswith(f"{classes[entry.label]}/") for entry in train + test)
    assert len({entry.video for entry in train + test}) == 90


def test_command_says_what_it_did_and_ignored(tmp_path):
    for name in ["run/1.avi", "run/2.avi", "walk/1.mp4", "walk/readme.txt"]:
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    result = run("folders", "--videos=videos", "--output=all.txt", cwd=tmp_path)
    assert lines_of(tmp_path / "all.txt") == ["run/1 0", "run/2 0", "walk/1 1", ""]
    assert "videos: 3 videos" in result.stderr
    assert "ignored 1 files that are no videos: walk/readme.txt" in result.stderr
    assert "all.txt: 3 lines of video label" in result.stderr
    assert "2 classes, 1 to 2 lines each" in result.stderr
    run("unlabelled", "--videos=videos", "--output=plain.txt", cwd=tmp_path)
    assert lines_of(tmp_path / "plain.txt") == ["run/1", "run/2", "walk/1", ""]
    (tmp_path / "classes.txt").write_text("jump\nwalk\nrun\n")
    run("folders", "--videos=videos", "--classes=classes.txt", "--output=own.txt", cwd=tmp_path)
    assert lines_of(tmp_path / "own.txt") == ["run/1 2", "run/2 2", "walk/1 1", ""]
    assert not (tmp_path / "own_classes.txt").exists()


def test_command_builds_ucf101_from_names_and_a_fraction_of_it(tmp_path):
    (tmp_path / "names.txt").write_text("\n".join(ucf101_names()))
    arguments = ["--names=names.txt", "--split=2", "--part=test", "--output=test.txt"]
    assert run("ucf101", *arguments, cwd=tmp_path).returncode == 0
    entries = lists.read(tmp_path / "test.txt")
    assert entries == sorted(lists.ucf101(ucf101_names(), 2, "test"), key=lambda e: e.video)
    arguments = ["--list=test.txt", "--fraction=0.5", "--seed=3", "--output=half.txt"]
    assert run("fraction", *arguments, cwd=tmp_path).returncode == 0
    assert lists.read(tmp_path / "half.txt") == lists.fraction(entries, 0.5, 3)


@pytest.fixture
def hmdb51_splits(tmp_path):
    return write_hmdb51_splits(tmp_path / "splits")


def test_command_matches_official_files_to_the_videos_there(tmp_path, hmdb51_splits):
    (tmp_path / "flat.txt").write_text("\n".join(f"b_{n}" for n in lists.class_names(HMDB51)))
    arguments = ["--splits=splits", "--split=2", "--part=test", "--output=test.txt"]
    assert run("hmdb51", *arguments, "--names=flat.txt", cwd=tmp_path).returncode == 0
    assert lines_of(tmp_path / "test.txt")[21] == "b_kick_ball 21"
    (tmp_path / "val.csv").write_text(KINETICS)
    (tmp_path / "some.txt").write_text("air_drumming/--nQbRBEz2s_000104_000114.mp4")
    arguments = ["--csv=val.csv", "--names=some.txt", "--output=val.txt"]
    result = run("kinetics", *arguments, cwd=tmp_path)
    assert lines_of(tmp_path / "val.txt") == ["air_drumming/--nQbRBEz2s_000104_000114 1", ""]
    assert "left out 3 videos that are not there: -egPJubR-CE_000000_000010; " in result.stderr
    assert len(lists.class_names(tmp_path / "val_classes.txt")) == 3


def test_command_builds_diving48_of_the_videos_there(tmp_path):
    (tmp_path / "V2.json").write_text(DIVING48)
    (tmp_path / "vocab.json").write_text(DIVING48_VOCABULARY)
    (tmp_path / "videos" / "rgb").mkdir(parents=True)
    (tmp_path / "videos" / "rgb" / "kzB6Zs3Ipyk_00000.mp4").touch()
    arguments = ["--json=V2.json", "--vocabulary=vocab.json", "--output=all.txt"]
    result = run("diving48", *arguments, cwd=tmp_path)
    assert lines_of(tmp_path / "all.txt") == ["kzB6Zs3Ipyk_00000 2", "-8Vy3dlHg2w_00003 0", ""]
    assert lines_of(tmp_path / "all_classes.txt")[2:] == ["Inward-Dive-NoTwis-PIKE", ""]
    arguments = ["--json=V2.json", "--videos=videos", "--columns=vtdl", "--output=some.txt"]
    result = run("diving48", *arguments, cwd=tmp_path)
    assert lines_of(tmp_path / "some.txt") == ["rgb/kzB6Zs3Ipyk_00000 81 2", ""]
    assert "left out 1 videos that are not there: -8Vy3dlHg2w_00003" in result.stderr
    assert not (tmp_path / "some_classes.txt").exists()


def test_command_builds_something_with_the_labels_of_its_file(tmp_path):
    (tmp_path / "v1-train.csv").write_text(SOMETHING)
    (tmp_path / "v1-labels.csv").write_text(SOMETHING_LABELS)
    (tmp_path / "v1-test.csv").write_text("7\n5\n")
    (tmp_path / "there.txt").write_text("24413\n100218\n")
    arguments = ["--csv=v1-train.csv", "--labels=v1-labels.csv", "--output=train.txt"]
    result = run("something", *arguments, "--names=there.txt", cwd=tmp_path)
    assert lines_of(tmp_path / "train.txt") == ["100218 1", "24413 2", ""]
    assert "left out 1 videos that are not there: 100218x" in result.stderr
    assert (tmp_path / "train_classes.txt").read_text() == SOMETHING_LABELS
    run("something", "--csv=v1-train.csv", "--output=own.txt", cwd=tmp_path)
    assert lines_of(tmp_path / "own.txt") == ["100218 1", "24413 0", "100218x 0", ""]
    assert run("something", "--csv=v1-test.csv", "--output=test.txt", cwd=tmp_path).returncode == 0
    assert lines_of(tmp_path / "test.txt") == ["7", "5", ""]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["foo"], "KIND must be one of ['ucf101', 'hmdb51', 'kinetics', 'diving48', 'something',"),
        (["diving48", "--csv=x"], "diving48 needs --json and may have --videos, --names, --vocab"),
        (["diving48", "--json=x"], "x:1: expected json. Received: Expecting value"),
        (["something", "--csv=x", "--classes=x"], "something needs --csv and may have --videos"),
        (["folders"], "folders needs one of --videos and --names"),
        (["folders", "--videos=.", "--names=x"], "folders needs one of --videos and --names"),
        (["folders", "--videos=.", "--part=train"], "Received: --output, --part, --videos"),
        (["ucf101", "--videos=."], "ucf101 needs --part and may have"),
        (["fraction", "--list=x", "--fraction=0.1", "--videos=."], "fraction needs --list"),
        (["folders", "--videos=gone"], "videos must be an existing folder. Received: 'gone'"),
        (["folders", "--names=x", "--match=nothing"], "x.txt: expected lines"),
    ],
)
def test_command_refuses(tmp_path, arguments, message):
    (tmp_path / "x").write_text("run/1\n")
    result = run(*arguments, "--output=x.txt", cwd=tmp_path)
    assert result.returncode == 1
    assert message in " ".join((result.stdout + result.stderr).split())
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
