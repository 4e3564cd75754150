"""Data lists: the command `mas lists`."""

import re
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
from preparing import ENVIRONMENT

from mas import cli, lists


@pytest.fixture
def run(tmp_path, monkeypatch, caplog):
    """Runs the command in a folder of sources, with output x.txt; returns (status, log)."""
    sources = {"V2.json": DIVING48, "vocab.json": DIVING48_VOCABULARY, "val.csv": KINETICS}
    sources |= {"train.csv": SOMETHING, "labels.csv": SOMETHING_LABELS, "test.csv": "7\n5\n"}
    for name, text in sources.items():
        (tmp_path / name).write_text(text)
    for name in ("run/1.avi", "run/2.avi", "walk/1.mp4", "walk/readme.txt"):
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)

    def command(kind, arguments="", names=(), output="x.txt"):
        caplog.clear()
        (tmp_path / "names.txt").write_text("\n".join(names))
        given = [*arguments.split(), *(["--names=names.txt"] if names else [])]
        return cli.main("lists", kind, *given, f"--output={output}"), caplog.text

    return command


def text_of(name):
    with open(name, encoding="utf-8", newline="") as file:
        return file.read()


def test_splits_real_videos_by_actor(run, shared):
    videos = f"--videos={shared}/videos/weizmann"
    assert run("folders", f"{videos} --exclude=/(daria|denis)_", output="train.txt")[0] == 0
    assert run("folders", f"{videos} --match=/(daria|denis)_", output="test.txt")[0] == 0
    train, test = lists.read("train.txt"), lists.read("test.txt")
    assert (len(train), len(test)) == (70, 20)
    classes = lists.class_names_beside("test.txt")
    assert classes == "bend jack jump pjump run side skip walk wave1 wave2".split()
    assert classes == lists.class_names_beside("train.txt")
    assert all(entry.video.startswith(f"{classes[entry.label]}/") for entry in train + test)
    assert len({entry.video for entry in train + test}) == 90


@pytest.mark.parametrize(
    ("kind", "arguments", "names", "lines", "classes"),
    [
        ("folders", "--videos=videos", (), "run/1 0,run/2 0,walk/1 1", "run,walk"),
        ("folders", "--classes=labels.csv", ["Unfolding something/1"], "Unfolding something/1 0",
         SOMETHING_LABELS[:-1].replace("\n", ",")),
        ("unlabelled", "--videos=videos", (), "run/1,run/2,walk/1", None),
        ("kinetics", "--csv=val.csv", ["air_drumming/--nQbRBEz2s_000104_000114.mp4"],
         "air_drumming/--nQbRBEz2s_000104_000114 1",
         "abseiling,air drumming,passing American football (in game)"),
        ("diving48", "--json=V2.json --vocabulary=vocab.json", (),
         "kzB6Zs3Ipyk_00000 2,-8Vy3dlHg2w_00003 0",
         "Back-15som-05Twis-FREE,Back-2som-NoTwis-TUCK,Inward-Dive-NoTwis-PIKE"),
        ("diving48", "--json=V2.json --columns=vtdl", ["rgb/kzB6Zs3Ipyk_00000"],
         "rgb/kzB6Zs3Ipyk_00000 81 2", None),
        ("something", "--csv=train.csv --labels=labels.csv", ["24413", "100218"],
         "100218 1,24413 2", SOMETHING_LABELS[:-1].replace("\n", ",")),
        ("something", "--csv=train.csv", (), "100218 1,24413 0,100218x 0",
         "Moving something, something and something,Something falling like a feather or paper"),
        ("something", "--csv=test.csv", (), "7,5", None),
    ],
)  # fmt: skip
def test_kinds(run, tmp_path, kind, arguments, names, lines, classes):
    assert run(kind, arguments, names)[0] == 0
    assert text_of("x.txt").replace("\n", ",") == f"{lines},"
    found = lists.class_names_beside("x.txt")
    assert (found and ",".join(found)) == classes


def test_ucf101_hmdb51_and_a_fraction(run, tmp_path):
    assert run("ucf101", "--split=2 --part=test", ucf101_names())[0] == 0
    entries = lists.read("x.txt")
    assert entries == sorted(lists.ucf101(ucf101_names(), 2, "test"), key=lambda e: e.video)
    run("fraction", "--list=x.txt --fraction=0.5 --seed=3", output="half.txt")
    assert lists.read("half.txt") == lists.fraction(entries, 0.5, 3)
    assert lists.class_names_beside("half.txt") == lists.ucf101_classes()
    write_hmdb51_splits(tmp_path / "splits")
    flat = [f"b_{name}" for name in lists.hmdb51_classes()]
    assert run("hmdb51", "--splits=splits --split=2 --part=test", flat)[0] == 0
    assert text_of("x.txt").split("\n")[21] == "b_kick_ball 21"


def test_reports_written_and_skipped_videos(run):
    said = run("folders", "--videos=videos")[1]
    assert "videos: 3 videos\n" in said and "x.txt: 3 lines with columns video,label\n" in said
    assert "ignored 1 file without a video extension: walk/readme.txt" in said
    assert "2 classes, 1 to 2 lines each" in said and "x_classes.txt: 2 classes" in said
    said = run("folders", "--videos=videos --match=1")[1]
    assert "match and exclude keep 2 of 3 videos" in said and "2 classes, 1 line each" in said
    said = run("something", "--csv=train.csv", ["24413", "100218"])[1]
    assert "skipped 1 video missing from your folder: 100218x" in said
    said = run("kinetics", "--csv=val.csv", ["0wR5jVB-WPk_000417_000427"])[1]
    assert "skipped 3 videos missing from your folder: --nQbRBEz2s_000104_000114; " in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("foo", "KIND must be one of ucf101, .*Received: foo"),
        ("diving48 --csv=x", "--csv belongs to mas lists kinetics or mas lists something"),
        ("diving48 --json=train.csv", "train.csv:1: expected json"),
        ("something --csv=x --classes=x", "--classes belongs to mas lists ucf101"),
        ("folders", "needs one of --videos and --names. Received: neither"),
        ("folders --videos=. --names=x", "needs one .* Received: videos and names"),
        ("ucf101 --videos=.", "needs --part"),
        ("ucf101 --names=names.txt --part=train", "train part of split 1. Received: 1 video of"),
        ("fraction --list=x --fraction=2", "fraction .*Received: fraction=2"),
        ("folders --videos=gone", "videos must be an existing folder. Received: 'gone'"),
        ("folders --videos=videos --match=no", "must keep a video. Received: none of 3"),
        ("kinetics --csv=val.csv --names=names.txt", "val.csv must name some of the videos"),
    ],
)
def test_command_reports_errors(run, tmp_path, caplog, arguments, message):
    (tmp_path / "names.txt").write_text("v_YoYo_g01_c01\n")
    assert cli.main("lists", *arguments.split(), "--output=x.txt") == cli.FAILED
    assert re.search(message, caplog.text), caplog.text
    assert not (tmp_path / "x.txt").exists()


def test_command_imports_no_heavy_library():
    code = "import sys, mas.lists; sys.exit(bool({'cv2', 'tensorflow', 'numpy'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT).returncode == 0
