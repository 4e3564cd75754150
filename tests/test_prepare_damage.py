"""Damaged data sets: mas.prepare names the file, keeps the rest and repairs."""

import json
import pathlib
import shutil
import struct

import numpy as np
import preparing
import pytest
import video_files
from preparing import run_noise as run
from preparing import write_text, write_videos

from mas import cli, prepare, records
from mas.prepare import plan


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "VIDEOS_PER_SHARD", 2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def extracted(monkeypatch):
    return preparing.watch(monkeypatch)


FORMS = ("shards", "folders")


@pytest.fixture(params=FORMS)
def form(request):
    return request.param


def finished(tmp_path, form, names="abcd"):
    """(videos, data set, its files)."""
    videos, output = tmp_path / "videos", tmp_path / "data"
    write_videos(videos, names, frames=3)
    run(videos, output, form)
    return videos, output, video_files.tree(output)


def flip(path, place=0.5):
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 16
    path.write_bytes(data)


def image_of(output, form):
    return output / ("videos-00001.tfrecord" if form == "shards" else "jpegs_256/c/frame000002.jpg")


@pytest.mark.parametrize("place", [0.0, 0.1, 0.45, 0.55, 0.999])
def test_same_call_finds_and_replaces_damaged_videos(tmp_path, extracted, form, place, caplog):
    videos, output, before = finished(tmp_path, form)
    flip(image_of(output, form), place)
    extracted.clear()
    assert run(videos, output, form) == {}
    assert str(image_of(output, form)) in caplog.text
    assert 1 <= len(extracted) <= 2 and {*extracted} <= {"c", "d"}
    assert video_files.tree(output) == before
    extracted.clear()
    assert run(videos, output, form) == {} and extracted == []


CHANGES = {
    "shards": {
        "videos-00000.tfrecord cut": "ab",
        "videos-00000.tfrecord gone": "ab",
        "videos-00000.csv gone": "",
        "videos-00000.csv cut": "",
        "videos-00000.csv flipped": "",
        "videos-00000.csv empty": "",
    },
    "folders": {
        "jpegs_256/a gone": "a",
        "jpegs_256/a/frame000002.jpg gone": "a",
        "jpegs_256/a/frame000002.jpg empty": "a",
        "tvl1_flow/u/a gone": "a",
        "tvl1_flow/u/a/frame000001.jpg gone": "a",
        "checksums/a gone": "a",
        "checksums/a cut": "a",
        "checksums/a flipped": "a",
    },
}
SMALL = {"plan.json", "dataset.json", "sources.csv"}
for changes in CHANGES.values():
    changes |= {
        f"{name} {how}": "" for name in SMALL for how in ("gone", "empty", "cut", "flipped")
    }


def change(path, how):
    if how == "gone":
        records.remove(path)
    elif how == "flipped":
        flip(path)
    else:
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2 if how == "cut" else 0])


UNREAD = ("checksums/a flipped", "jpegs_256/a/frame000002.jpg empty")  # by a call with more videos
CASES = [(f, what, False) for f, changes in CHANGES.items() for what in sorted(changes)]
CASES += [
    pytest.param(f, what, True, marks=pytest.mark.slow)
    for f, what, _ in CASES
    if what not in UNREAD
]


@pytest.mark.parametrize("form, what, more", CASES)
def test_any_damaged_file_is_repaired(tmp_path, extracted, form, what, more, caplog):
    """The same call, or one with another video, gives the same data as without damage."""
    videos, output, before = finished(tmp_path, form)
    if more:
        write_videos(videos, "e", frames=3)
        run(videos, shutil.copytree(output, tmp_path / "undisturbed"), form)
        before = video_files.tree(tmp_path / "undisturbed")
    name, how = what.rsplit(" ", 1)
    change(output / name, how)
    extracted.clear()
    assert run(videos, output, form) == {}
    assert set(extracted) <= {*CHANGES[form][what], *("e" if more else "")}
    found = video_files.tree(output)
    if name == "sources.csv":  # when the files changed last is known again only by the next change
        found.pop(name), before.pop(name)
    assert found == before
    silent = name in ("sources.csv", "dataset.json") or what == "videos-00000.csv gone"
    assert (
        silent
        or str(output / name) in caplog.text
        or str(output / pathlib.Path(name).parent) in (caplog.text)
    )
    assert records.check_data(output).faults == ()


def test_truncated_shard_is_repaired_while_adding_video(tmp_path, extracted):
    videos, output, _ = finished(tmp_path, "shards", "abc")
    write_videos(videos, "d", frames=3)
    change(output / "videos-00001.tfrecord", "cut")
    extracted.clear()
    assert run(videos, output) == {} and extracted == ["c", "d"]
    assert run(videos, tmp_path / "undisturbed") == {}
    assert video_files.tree(output) == video_files.tree(tmp_path / "undisturbed")


def test_index_of_earlier_version_is_rewritten(tmp_path, extracted):
    videos, output, before = finished(tmp_path, "shards")
    for index in output.glob("videos-*.csv"):
        rows = [",".join(line.split(",")[:6]) for line in index.read_text().splitlines()]
        index.write_text("\n".join(rows))
    extracted.clear()
    assert run(videos, output) == {} and extracted == [] and video_files.tree(output) == before


def test_record_longer_than_shard_is_detected(tmp_path, extracted, caplog):
    """The checksum is correct and the index is missing."""
    videos, output, before = finished(tmp_path, "shards")
    shard = output / "videos-00000.tfrecord"
    for claimed in (2**40, 2**62, 2**64 - 1, 0):
        data = struct.pack("<Q", claimed) + shard.read_bytes()[8:]
        shard.write_bytes(data)
        shard.with_suffix(".csv").unlink(missing_ok=True)
        caplog.clear()
        assert run(videos, output) == {}
        assert str(shard) in caplog.text and video_files.tree(output) == before


@pytest.mark.parametrize("name", ["../../victim/x", "/victim/x", "a/../../victim/x", "", "a//b", 5])
def test_rejects_plan_with_path_outside(tmp_path, extracted, name, form):
    videos, output, _ = finished(tmp_path, form)
    victim = tmp_path / "victim" / ".x.tmp"
    victim.mkdir(parents=True)
    known = json.loads((output / "plan.json").read_text())
    del known["crc32"]
    (output / "plan.json").write_text(json.dumps(known | {"videos": [*known["videos"], name]}))
    (output / "plan.copy.json").unlink()
    with pytest.raises(ValueError, match="plan.json must be as mas.prepare wrote it"):
        run(videos, output, form)
    assert victim.is_dir()


def test_damaged_plan_and_copy_are_reported(tmp_path, extracted, form):
    videos, output, before = finished(tmp_path, form)
    for name in ("plan.json", "plan.copy.json"):
        (output / name).write_text("{")
    with pytest.raises(ValueError, match="plan.*json must be JSON"):
        run(videos, output, form)
    assert {**video_files.tree(output), "plan.json": 0, "plan.copy.json": 0} == {
        **before, "plan.json": 0, "plan.copy.json": 0,
    }  # fmt: skip
    assert len(records.open_data(output).videos) == 4, "nothing else is lost"


def test_truncated_failures_file_is_rebuilt(tmp_path, extracted, caplog):
    videos, output = tmp_path / "videos", tmp_path / "data"
    write_videos(videos, "a")
    write_text(videos, "bc")
    assert len(run(videos, output)) == 2
    before = video_files.tree(output)
    path = output / "failures.csv"
    path.write_bytes(path.read_bytes()[:-40] + b"\n")
    assert records.open_data(output).videos == ["a"]
    assert len(run(videos, output)) == 2 and video_files.tree(output) == before
    path.write_bytes(b'\xff\x00\n"')
    assert len(run(videos, output)) == 2 and video_files.tree(output) == before
    assert str(path) in caplog.text


def test_staged_videos_are_checked(tmp_path, extracted, caplog):
    """Staged videos of a killed call, whose shard is incomplete."""
    videos, output, before = finished(tmp_path, "shards", "abc")
    staging = output / "staging"
    staging.mkdir()
    with np.errstate(all="ignore"):
        (staging / "0000002.npz").write_bytes(b"PK\x03\x04 no zip")
    (output / "videos-00001.csv").unlink()
    (output / "videos-00001.tfrecord").unlink()
    extracted.clear()
    assert run(videos, output) == {} and extracted == ["c"]
    assert "0000002.npz is damaged" in caplog.text and video_files.tree(output) == before


def test_data_set_stays_readable_while_growing(tmp_path, extracted, form, monkeypatch, caplog):
    """dataset.json stays until the work succeeds; a failure changes nothing."""
    videos, output, before = finished(tmp_path, form)
    write_videos(videos, "e", frames=3)
    monkeypatch.setattr(records, "place_folders", broken)
    monkeypatch.setattr(records, "place_shard", broken)
    with pytest.raises(RuntimeError, match="broken|cannot be stored"):
        run(videos, output, form)
    assert (output / "dataset.json").read_bytes() == before["dataset.json"]
    assert records.open_data(output).videos == ["a", "b", "c", "d"]
    assert "its preparation is unfinished" in caplog.text
    monkeypatch.undo()
    monkeypatch.setattr(plan, "VIDEOS_PER_SHARD", 2)
    monkeypatch.setattr(prepare.dataset.workers, "Pool", video_files.Inline)
    assert run(videos, output, form) == {} and len(records.open_data(output).videos) == 5
    assert not (output / ".unfinished").exists()


def broken(*args):
    raise RuntimeError("broken")


def test_damaged_video_without_source_is_reported_lost(tmp_path, extracted, caplog):
    videos, output, _ = finished(tmp_path, "folders")
    flip(output / "jpegs_256" / "c" / "frame000002.jpg")
    (videos / "c.avi").unlink()
    assert run(videos, output, "folders") == {}
    assert "Skipping 1 damaged video: not among the videos of this call" in caplog.text
    assert records.check_data(output).faults


def test_command_repairs_data(tmp_path, extracted, monkeypatch, caplog):
    monkeypatch.setattr(cli, "load_frameworks", lambda: None)
    videos, output, before = finished(tmp_path, "shards")
    flip(output / "videos-00000.tfrecord")
    width, height = video_files.SIZE
    same = (f"--videos={videos}", f"--output={output}", "--flow=dis", "--min_frames=2")
    assert cli.main("prepare", "--check", f"--output={output}") == 2
    assert cli.main("prepare", *same, f"--size={width}x{height}") == 0
    assert cli.main("prepare", "--check", f"--output={output}") == 0
    assert video_files.tree(output) == before


def test_foreign_shard_is_reported_and_prepared_again(tmp_path, caplog):
    """The other shard is intact, with an index of the same names."""
    for name, frames in (("one", 6), ("two", 6)):
        preparing.write_videos(tmp_path / name, ["x/a"], frames)
        path = tmp_path / name / "x" / "b.avi"
        video_files.write(path, video_files.noise(frames, seed=len(name) + ord(name[0])))
        preparing.run_noise(tmp_path / name, tmp_path / f"{name}-data")
    one, two = tmp_path / "one-data", tmp_path / "two-data"
    whole = video_files.tree(one)
    for path in two.glob("videos-*"):
        (one / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match=r"one-data/videos-00000.csv must match its checksum"):
        records.open_data(one)
    assert records.check_data(one).faults
    preparing.run_noise(tmp_path / "one", one)
    assert video_files.tree(one) == whole and "videos-00000.csv" in caplog.text
