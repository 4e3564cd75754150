"""Preparation of odd, damaged, changed and endless files, and files of one stem."""

import csv
import json
import os
import sys

import cv2
import numpy as np
import preparing
import pytest
import video_files
from video_files import coded, encode, film, numbers

from mas import lists, prepare, records
from mas.prepare import extract, plan, sources, workers


@pytest.fixture(autouse=True)
def inline(monkeypatch):
    monkeypatch.setattr(workers, "Pool", video_files.Inline)


def run(videos, output, **options):
    options = {"size": (64, 48), "flow": "none", "min_frames": 2, "progress": False, **options}
    return prepare.prepare_videos(videos, output, **options)


def shown(data, video):
    """Numbers of the stored frames of a `coded` video."""
    number = data.videos.index(video)
    files = data.read(number, range(int(data.lengths[number])))[0]
    return numbers(np.stack([cv2.imdecode(np.frombuffer(f, np.uint8), 1) for f in files]))


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


# Settings.


def test_frame_rate_and_deinterlacing_are_data_set_settings(tmp_path):
    encode(tmp_path / "videos" / "x.mp4", film(coded(40), "libx264"))
    whole = run(tmp_path / "videos", tmp_path / "whole")
    data = run(tmp_path / "videos", tmp_path / "data", fps=5, deinterlace=True)
    assert shown(whole, "x") == list(range(40)) and whole.rate(0) == 25
    assert len(shown(data, "x")) == 8 and data.rate(0) == 5
    stored = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert (stored["fps"], stored["deinterlace"]) == (5, True)
    assert records.settings(data)["fps"] == 5 and "fps" not in records.settings(whole)
    assert not {"fps", "update"} & json.loads((tmp_path / "whole/plan.json").read_text()).keys()
    for name, options, old in (
        ("data", {"fps": 6, "deinterlace": True}, "fps=5.0"),
        ("data", {"fps": 5}, "deinterlace=True"),
        ("whole", {"deinterlace": True}, "deinterlace=None"),
    ):
        with pytest.raises(ValueError, match=f"was started with {old}: a data set keeps"):
            run(tmp_path / "videos", tmp_path / name, **options)
    with pytest.raises(ValueError, match="fps.*=0"):
        run(tmp_path / "videos", tmp_path / "data", fps=0)


def test_wild_files_decode_correctly(shared, tmp_path):
    """Prepares every wild file in a real worker."""
    names = (
        "inter.mp4",
        "mixed.mpg",
        "av1.mp4",
        "audiolong.mkv",
        "halfrate.mkv",
        "two_streams.mkv",
    )
    (tmp_path / "videos").mkdir()
    for name in names:
        (tmp_path / "videos" / name).symlink_to(shared / "videos" / "wild" / name)
    data = run(tmp_path / "videos", tmp_path / "data", size=None)
    assert data.failures == {} and data.lengths.tolist() == [48] * len(names)
    for number in range(len(names)):
        files = data.read(number, range(48))[0]
        images = np.stack([cv2.imdecode(np.frombuffer(f, np.uint8), 1) for f in files])
        squares = images[:, 54:66, 16:144].reshape(48, 12, 8, 16, 3)[:, :, :, 2:14]
        found = (squares.mean((1, 3, 4)) > 125) @ (1 << np.arange(8))
        assert found.tolist() == list(range(48)), data.videos[number]


# Damaged files.


@pytest.mark.parametrize("form", ["shards", "folders"])
def test_damaged_files_are_partly_prepared_and_reported(tmp_path, form, caplog):
    videos, output = tmp_path / "videos", tmp_path / "data"
    whole = encode(videos / "a.mkv", film(coded(40), "libx264", g="10")).read_bytes()
    (videos / "b.mkv").write_bytes(whole[: int(len(whole) * 0.7)])
    (videos / "c.avi").write_text("no video")
    first = run(videos, output, form=form)
    assert first.videos == ["a"] and first.damaged == {}
    assert first.failures[str(videos / "b.mkv")].startswith("truncated: ")
    assert not (output / "damaged.csv").exists()
    data = run(videos, output, form=form, allow_damaged=True)
    assert data.videos == ["a", "b"] and list(data.failures) == [str(videos / "c.avi")]
    found = shown(data, "b")
    assert found == list(range(len(found))) and 10 < len(found) < 40
    ((path, reason),) = data.damaged.items()
    assert path == str(videos / "b.mkv") and reason == first.failures[path]
    assert rows(output / "damaged.csv") == [[path, reason]]
    assert "Prepared 1 video in part; see" in caplog.text
    again = run(videos, output, form=form)  # it stays
    assert again.videos == ["a", "b"] and again.damaged == data.damaged
    (videos / "b.mkv").write_bytes(whole)
    updated = run(videos, output, form=form, update=True)
    assert shown(updated, "b") == list(range(40)) and updated.damaged == {}
    assert not (output / "damaged.csv").exists()


# Files that change.


def write(path, first, count=20):
    return encode(path, film(coded(first + count)[first:]))


@pytest.mark.parametrize("form", ["shards", "folders"])
def test_changed_file_is_reported_and_updated_on_request(tmp_path, form, caplog):
    videos, output = tmp_path / "videos", tmp_path / "data"
    for name, first in (("a.avi", 0), ("b.avi", 50), ("c.avi", 100)):
        write(videos / name, first)
    run(videos, output, form=form)
    before = video_files.tree(output)
    assert shown(run(videos, output, form=form), "b") == list(range(50, 70))
    assert "changed" not in caplog.text and video_files.tree(output) == before
    write(videos / "b.avi", 80, 30)
    os.utime(videos / "c.avi", ns=(0, 0))  # the time alone
    caplog.clear()
    assert shown(run(videos, output, form=form), "b") == list(range(50, 70))
    for name in ("b.avi", "c.avi"):
        assert f"{videos / name} has changed since it was prepared." in caplog.text
    assert "keeping 2 changed videos; update=True" in caplog.text
    assert video_files.tree(output) == before
    data = run(videos, output, form=form, update=True)
    assert "preparing 2 changed videos again" in caplog.text
    assert data.videos == ["a", "b", "c"]
    for name, numbers_now in (("a", range(20)), ("b", range(80, 110)), ("c", range(100, 120))):
        assert shown(data, name) == list(numbers_now)
    caplog.clear()
    run(videos, output, form=form)
    assert "changed" not in caplog.text
    undisturbed = run(videos, tmp_path / "undisturbed", form=form)
    assert undisturbed.videos == data.videos
    assert video_files.tree(output) == video_files.tree(tmp_path / "undisturbed")


@pytest.mark.parametrize("form", ["shards", "folders"])
@pytest.mark.parametrize("moment", ["before", "staged", "noted"])
def test_interrupted_update_is_consistent(tmp_path, form, moment, monkeypatch):
    """Either the file counts as changed, or the new one is stored; the old never counts as new."""
    videos, output = tmp_path / "videos", tmp_path / "data"
    write(videos / "a.avi", 0)
    write(videos / "b.avi", 50)
    run(videos, output, form=form)
    write(videos / "a.avi", 100)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if moment == "before":
            patch.setattr(extract, "run", interrupted)
        elif moment == "staged":
            patch.setattr(sources.Sources, "end", interrupted)
        else:
            patch.setattr(prepare.dataset._Run, "_finish", interrupted)
            patch.setattr(prepare.dataset._Run, "_write_shard", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(videos, output, form=form, update=True)
    data = run(videos, output, form=form, update=moment == "before")
    assert shown(data, "a") == list(range(100, 120)) and shown(data, "b") == list(range(50, 70))
    run(videos, output, form=form, update=True)
    run(videos, tmp_path / "undisturbed", form=form)
    assert video_files.tree(output) == video_files.tree(tmp_path / "undisturbed")


def test_failed_update_keeps_stored_video(tmp_path):
    videos, output = tmp_path / "videos", tmp_path / "data"
    write(videos / "a.avi", 0)
    run(videos, output)
    (videos / "a.avi").write_text("no video")
    data = run(videos, output, update=True)
    assert list(data.failures) == [str(videos / "a.avi")] and shown(data, "a") == list(range(20))
    write(videos / "a.avi", 30)
    data = run(videos, output, update=True)
    assert data.failures == {} and shown(data, "a") == list(range(30, 50))


def test_data_set_of_earlier_version_resumes(tmp_path, caplog):
    """It has no sources.csv, so its files count as unchanged."""
    videos, output = tmp_path / "videos", tmp_path / "data"
    write(videos / "a.avi", 0)
    run(videos, output)
    whole = video_files.tree(output)
    (output / "sources.csv").unlink()
    run(videos, output)
    assert "changed" not in caplog.text and video_files.tree(output) == whole
    write(videos / "a.avi", 30)
    run(videos, output)
    assert "a.avi has changed since" in caplog.text


# Files of one stem.


@pytest.mark.parametrize("form", ["shards", "folders"])
@pytest.mark.parametrize("first", ["v1.avi", "v1.mkv"])
def test_two_files_of_one_stem_in_any_order(tmp_path, first, form):
    videos, output = tmp_path / "videos", tmp_path / "data"
    files = {"v1.avi": 0, "v1.mkv": 100}
    write(videos / "jump" / first, files[first])
    assert run(videos, output, form=form).videos == ["jump/v1"]
    (second,) = files.keys() - {first}
    write(videos / "jump" / second, files[second])
    write(videos / "jump" / "v2.avi", 200)
    for _ in range(2):
        data = run(videos, output, form=form)
        assert sorted(data.videos) == ["jump/v1", f"jump/{second}", "jump/v2"]
    assert shown(data, "jump/v1")[0] == files[first]
    assert shown(data, f"jump/{second}")[0] == files[second]
    together = run(videos, tmp_path / "together", form=form)
    assert together.videos == ["jump/v1.avi", "jump/v1.mkv", "jump/v2"]
    (tmp_path / "list.txt").write_text("jump/v1.avi 0\nv1.mkv 1\njump/v2.mp4 2\n")
    for found in (data, together):
        entries = lists.entries_of(tmp_path / "list.txt", "video,label", found.videos)
        starts = [shown(found, entry.video)[0] for entry in entries]
        assert starts == [0, 100, 200]


def test_first_file_of_one_stem_keeps_id_in_earlier_data_set(tmp_path):
    videos, output = tmp_path / "videos", tmp_path / "data"
    write(videos / "v1.mkv", 100)
    run(videos, output)
    (output / "sources.csv").unlink()
    write(videos / "v1.avi", 0)
    data = run(videos, output)
    assert sorted(data.videos) == ["v1", "v1.avi"] and shown(data, "v1")[0] == 100
    (videos / "v1.mkv").unlink()
    assert sorted(run(videos, output).videos) == ["v1", "v1.avi"]
    assert plan.videos(output) == ["v1", "v1.avi"]


# Files that take a worker down.


FAKE = """
import json, sys, time
for line in sys.stdin:
    job = json.loads(line)
    if job["video"] == "hang":
        print(json.dumps({"done": 3}), flush=True)
        time.sleep(60)
    print(json.dumps({"frames": 1}), flush=True)
"""


def test_hanging_worker_is_replaced_and_its_video_reported(monkeypatch):
    monkeypatch.undo()
    jobs = [{"video": name, "path": f"{name}.avi"} for name in ("a", "hang", "b", "c")]
    with workers.Pool(1, [sys.executable, "-c", FAKE], patience=2) as pool:
        answers = [(job["video"], answer) for job, answer in pool.run(jobs)]
    hung = {"error": "the decoder hung: no frame in 2 seconds"}
    done = [(name, {"frames": 1}) for name in "abc"]
    assert answers == [done[0], ("hang", {"done": 3}), ("hang", hung), *done[1:]]


def test_special_files_are_failures_without_being_opened(tmp_path):
    write(tmp_path / "videos" / "a.avi", 0)
    os.mkfifo(tmp_path / "videos" / "b.avi")
    (tmp_path / "videos" / "c.avi").symlink_to("/dev/zero")
    data = run(tmp_path / "videos", tmp_path / "data")
    assert data.videos == ["a"] and list(data.failures.values()) == [
        "is a FIFO, not a video file",
        "is a device, not a video file",
    ]
    assert preparing.failures(tmp_path / "data")[1:] == [list(row) for row in data.failures.items()]
