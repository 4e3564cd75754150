"""`mas predict`: its files by closed forms, resuming, failures, unusual names."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from predicting import FRAMES, NAMES, bright, describe, film, rows, write_run
from video_files import tree

from mas import cli, prediction
from mas.prediction import calls, page, results, stream
from mas.prediction.segments import Track

LOW, HIGH = 40, 210


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "bright")


@pytest.fixture
def videos(tmp_path):
    """Writes a video: dark, bright, dark for a second each; and one shorter than a window."""
    film(tmp_path / "videos/two/long.avi", [LOW] * 25 + [HIGH] * 25 + [LOW] * 25)
    film(tmp_path / "videos/short.avi", [HIGH] * 2)
    return tmp_path / "videos"


def predict(run, output, *arguments):
    return cli.main("predict", f"--model={run}", f"--output={output}", *map(str, arguments))


def test_written_files(run, videos, tmp_path):
    out = tmp_path / "out"
    assert predict(run, out, videos) == 0
    table = rows(out / "windows/two/long.csv")
    starts = range(0, 75 - FRAMES + 1, FRAMES // 2)
    values = [LOW] * 25 + [HIGH] * 25 + [LOW] * 25
    expected = [bright(values[s : s + FRAMES]) for s in starts]
    assert [float(row["start"]) for row in table] == pytest.approx([s / 25 for s in starts])
    assert [float(row["end"]) for row in table] == pytest.approx([(s + 4) / 25 for s in starts])
    assert [NAMES.index(row["class"]) for row in table] == [int(p > 0.5) for p in expected]
    shares = [float(row["probability"]) for row in table]
    assert shares == pytest.approx([max(p, 1 - p) for p in expected], abs=1e-4)
    assert table[0]["class_2"] == NAMES[1]
    first, second = rows(out / "videos.csv")
    assert (first["video"], second["video"]) == ("short", "two/long")
    assert first["remark"] == "shorter than a window: repeated" and second["remark"] == ""
    assert float(second["seconds"]) == 3 and int(second["windows"]) == len(expected)
    assert float(second["probability_2"]) == pytest.approx(np.mean(expected), abs=1e-4)
    parts = [row for row in rows(out / "segments.csv") if row["video"] == "two/long"]
    assert [row["class"] for row in parts] == [NAMES[n] for n in (0, 1, 0)]
    # Of the window from frame 48 on, half is dark; it speaks for the time from 1.96 s on.
    assert [float(row["start"]) for row in parts] == [0, 1, 1.96]
    known = json.loads((out / "videos/two/long.json").read_text())
    assert known["segments"][1]["class"] == NAMES[1] and known["windows"] == len(expected)
    answered = json.loads((out / "windows/two/long.json").read_text())
    assert [part["start"] for part in answered] == [float(row["start"]) for row in table]
    assert [part["classes"][0][1] for part in answered] == shares
    described = json.loads((out / "predict.json").read_text())
    assert described["classes"] == NAMES and described["stride"] == 1
    assert not (out / "unfinished").exists() and not (out / "failures.csv").exists()


def test_pages_escape_names(run, tmp_path):
    name = "<img src=x onerror=alert(1)>"
    film(tmp_path / "plain.avi", [LOW] * 9).rename(tmp_path / f"{name}.avi")
    assert predict(run, tmp_path / "out", tmp_path / f"{name}.avi") == 0
    for path in (tmp_path / f"out/pages/{name}.html", tmp_path / "out/index.html"):
        text = path.read_text()
        assert "<b>bright</b>" not in text and "<img src=x" not in text
        assert "default-src 'none'" in text and "<script" not in text
        assert not re.search(r"(src|href)=\"(?!data:|\./)", text)


def test_no_pages(run, videos, tmp_path):
    assert predict(run, tmp_path / "out", videos, "--nopages", "--top=1") == 0
    names = tree(tmp_path / "out")
    assert not any(name.endswith(".html") for name in map(str, names))
    assert "class_2" not in rows(tmp_path / "out/videos.csv")[0]


def test_threshold_and_least_length(run, videos, tmp_path):
    options = ("--threshold=0.999", "--nopages", "--every=0.04")
    assert predict(run, tmp_path / "a", videos / "two", *options) == 0
    assert rows(tmp_path / "a/segments.csv") == []
    assert predict(run, tmp_path / "b", videos / "two", "--min_seconds=1.5", "--nopages") == 0
    (part,) = rows(tmp_path / "b/segments.csv")
    assert (part["class"], float(part["end"])) == ("dark", 3)


def test_repeated_call_does_nothing_and_new_call_adds(run, videos, tmp_path, monkeypatch):
    out, asked = tmp_path / "out", []
    events = stream.events

    def listening(classifier, footage, *others):
        asked.append([video.name for video in footage])
        return events(classifier, footage, *others)

    monkeypatch.setattr(calls.stream, "events", listening)
    assert predict(run, out, videos / "two") == 0
    before = tree(out)
    assert predict(run, out, videos / "two") == 0
    assert tree(out) == before
    assert predict(run, out, videos / "short.avi") == 0
    assert [row["video"] for row in rows(out / "videos.csv")] == ["long", "short"]
    film(videos / "two/long.avi", [HIGH] * 8)
    assert predict(run, out, videos / "two") == 0
    assert asked == [["long"], [], ["short"], ["long"]]
    assert rows(out / "videos.csv")[0]["class"] == NAMES[1]
    other = film(tmp_path / "other/long.avi", [LOW] * 8)
    assert predict(run, out, other) == 0
    assert [row["video"] for row in rows(out / "videos.csv")] == ["long", "other/long", "short"]


def test_damaged_video_is_reported_and_others_are_done(run, videos, tmp_path, capfd):
    (videos / "damaged.avi").write_bytes(b"no video")
    cut = film(videos / "short_cut.avi", list(range(0, 200, 2)))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    out = tmp_path / "out"
    assert predict(run, out, videos) == 1
    assert [row["video"] for row in rows(out / "videos.csv")] == ["short", "two/long"]
    failed = rows(out / "failures.csv")
    assert [row["path"] for row in failed] == [str(videos / "damaged.avi"), str(cut)]
    assert "truncated" in failed[1]["reason"] and "damaged.avi" in (out / "index.html").read_text()
    assert not (out / "windows/short_cut.csv").exists()
    (videos / "two/long.avi").write_bytes(b"damaged since")
    assert predict(run, out, videos) == 1
    assert [row["video"] for row in rows(out / "videos.csv")] == ["short"]
    assert (
        not (out / "windows/two/long.csv").exists() and not (out / "pages/two/long.html").exists()
    )
    film(videos / "two/long.avi", [LOW] * 8)
    assert predict(run, out, videos, "--allow_failures") == 0
    film(videos / "damaged.avi", [HIGH] * 8)
    assert predict(run, out, videos / "damaged.avi") == 0
    assert [row["path"] for row in rows(out / "failures.csv")] == [str(cut)]
    assert predict(run, tmp_path / "part", cut, "--allow_damaged") == 0
    assert "truncated" in rows(tmp_path / "part/videos.csv")[0]["remark"]


def test_interrupted_call_resumes_mid_video(run, tmp_path, monkeypatch):
    """Stops at every window in turn: files are complete, and nothing is done twice."""
    for name in "abc":
        film(tmp_path / f"videos/{name}.avi", [LOW, HIGH] * 5)
    whole, out = tmp_path / "whole", tmp_path / "out"
    settings = {"windows": prediction.Windows(batch=1), "report": prediction.Report(pages=False)}
    prediction.write(run, tmp_path / "videos", whole, **settings)
    add, left, seen = results.Writer.add, [0], []

    def stopping(self, window):
        add(self, window)
        seen.append((window.video, window.number))
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    monkeypatch.setattr(results.Writer, "add", stopping)
    for count in (2, 5, 3):
        left[0] = count
        with pytest.raises(KeyboardInterrupt):
            prediction.write(run, tmp_path / "videos", out, **settings)
        assert not (out / "videos.csv").exists()
        done = [path.stem for path in sorted((out / "videos").glob("*"))]
        assert done == [path.stem for path in sorted((out / "windows").glob("*.csv"))]
    left[0] = -1
    prediction.write(run, tmp_path / "videos", out, **settings)
    assert tree(out) == tree(whole)
    assert seen[:7] == [("a", n) for n in (0, 1, 0, 1, 2, 3)] + [("b", 0)]
    assert [video for video, _ in seen[7:]] == ["b"] * 3 + ["b"] * 4 + ["c"] * 4


@pytest.mark.slow
def test_killed_process_resumes(run, tmp_path):
    for name in "abcdef":
        film(tmp_path / f"videos/{name}.avi", [LOW, HIGH] * 200)
    command = [sys.executable, "-m", "mas", "predict", f"--model={run}", "--nopages"]
    command += ["--every=0.04", str(tmp_path / "videos")]
    for output, kill in ((tmp_path / "out", True), (tmp_path / "whole", False)):
        process = subprocess.Popen([*command, f"--output={output}"])
        while kill and process.poll() is None and not (output / "videos/b.json").exists():
            time.sleep(0.01)
        if kill:
            process.send_signal(signal.SIGKILL)
        assert process.wait() == (-signal.SIGKILL if kill else 0)
    assert subprocess.call([*command, f"--output={tmp_path / 'out'}"]) == 0
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_rejects_folder_of_other_settings(run, videos, tmp_path, caplog):
    out = tmp_path / "out"
    assert predict(run, out, videos, "--nopages") == 0
    assert predict(run, out, videos, "--nopages", "--every=0.5") == 2
    assert "made with every=null, where this call has 0.5" in caplog.text
    assert predict(run, out, videos, "--nopages", "--every=0.5", "--restart") == 0
    assert len(rows(out / "windows/two/long.csv")) == 6


def test_folder_with_other_files_is_left_alone(run, videos, caplog):
    assert predict(run, videos.parent, videos, "--restart") == 2
    assert "must be a new or empty folder, or one with earlier predictions" in caplog.text
    assert (videos / "short.avi").is_file()


def test_lost_file_is_recreated(run, videos, tmp_path):
    assert predict(run, tmp_path / "out", videos) == 0
    whole = tree(tmp_path / "out")
    for part in ("pages/short.html", "windows/short.csv", "windows/short.json"):
        (tmp_path / "out" / part).unlink()
        assert predict(run, tmp_path / "out", videos) == 0
        assert tree(tmp_path / "out") == whole


def test_rate_without_frames_is_a_failure(run, videos, tmp_path):
    assert predict(run, tmp_path / "out", videos / "short.avi", "--fps=0.00001") == 1
    assert rows(tmp_path / "out/failures.csv")[0]["reason"] == "no frames at 1e-05 per second"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.mp4"], "videos must be a video file or a folder of them.*nowhere.mp4"),
        (["empty"], "expected files that end in one of .* Received: 0 other files"),
        ([], "needs a video file or a folder"),
        (["a.avi", "--model=nowhere"], "model must be a finished run folder.*nowhere"),
        (["a.avi", "--model=pretext"], "model must be a classifier.*a network of the task mas"),
        (["a.avi", "--output=a.avi"], "output must be a folder. Received: output='a.avi'"),
        (["a.avi", "--every=0"], "every must be at least 0.001.*every=0"),
        (["a.avi", "--stride=0"], "stride must be at least 1"),
        (["a.avi", "--threshold=2"], "threshold must be at least 0 and at most 1"),
    ],
)
def test_bad_input_is_reported_in_one_line(run, tmp_path, caplog, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    film(tmp_path / "a.avi", [LOW] * 8)
    if "--model=pretext" in arguments:
        write_run(tmp_path / "pretext", task="mas", output="motion")
    assert predict(run, "out", *arguments) == 2
    assert re.search(message, caplog.text) and len(caplog.records) == 1
    assert not (tmp_path / "out").exists()


def test_rejects_flow_network(tmp_path, run):
    path = describe(tmp_path / "flow")
    known = json.loads(path.with_name("run.json").read_text())
    known["network"]["modality"] = "flow"
    path.with_name("run.json").write_text(json.dumps(known))
    for name in ("model.keras", "backbone.keras"):
        os.link(run / name, path.with_name(name))
    with pytest.raises(ValueError, match="model must take RGB frames.*optical flow"):
        prediction.check(path.parent)


def test_many_segments_are_drawn_by_columns():
    rng = np.random.default_rng(0)
    names = [f"class {n}" for n in rng.integers(0, 3, 5000)]
    segments = [
        {"class": name, "start": n / 10, "end": n / 10 + 0.05, "probability": 0.5}
        for n, name in enumerate(names)
    ]
    drawn = page._spans(segments, 0.0, 500.0)
    assert 0 < len(drawn) <= page.COLUMNS
    for name, start, end, _ in drawn:
        place = int((start + 500 / page.COLUMNS / 2) * 10)
        assert names[place] == name and end > start
    few = page._spans(segments[:9], 0.1, 0.23)
    assert [(start, end) for _, start, end, _ in few] == [(0.1, pytest.approx(0.15)), (0.2, 0.23)]


def test_curve_has_few_points():
    track = Track()
    for number in range(10_000):
        track.add(number, number + 1, 0, 0.25)
    drawn = page._curve(track, 10_000.0, 0.0, 10_000.0)
    points = re.search(r'points="([^"]*)"', drawn)[1].split()
    assert len(points) == page.POINTS + 2 and points[0] == "0.0,75.0"
