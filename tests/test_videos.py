"""Training directly from video files: their cached properties, frames and errors."""

import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf
import video_files

from mas import clips, lists, prepare, records, video
from mas.prepare import workers
from mas.tasks.task import Task
from mas.video import opening

FRAMES = {"walk/a.avi": 30, "walk/b.mkv": 20, "run/c.avi": 40, "run/ä.avi": 24}
IDS = ["run/c", "run/ä", "walk/a", "walk/b"]
SIZE = video_files.SIZE


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mas"


@pytest.fixture
def folder(tmp_path):
    """Writes lossless videos; the first pixel's red encodes the frame, its green the video."""
    for number, (name, length) in enumerate(FRAMES.items()):
        images = video_files.noise(length, seed=number)
        images[:, 0, 0, 0], images[:, 0, 0, 1] = np.arange(length), number
        video_files.write(tmp_path / "videos" / name, images)
    return tmp_path / "videos"


@pytest.fixture
def measured(monkeypatch):
    """The files that were measured, in any order."""
    names, measure = [], video.measure

    def noted(path):
        names.append(path.name)
        return measure(path)

    monkeypatch.setattr(video, "measure", noted)
    return names


# Opening.


def test_folder_of_videos_is_a_data_set(folder):
    (folder / "notes.txt").touch()
    data = records.open_data(folder)
    assert isinstance(data, records.Videos) and data.decoded and not data.has_flow
    assert data.videos == IDS and data.failures == {} and data.rate(0) == 25.0
    assert data.lengths.tolist() == [40, 24, 30, 20]
    assert data.sizes.tolist() == [list(SIZE[::-1])] * 4
    assert records.settings(data) == {"form": "videos"}


def test_frames_equal_those_of_file(folder):
    data = records.open_data(folder)
    found = data.frames(0, [39, 5, 5, 0], SIZE)
    assert found.dtype == np.uint8
    assert found[:, 0, 0, :2].tolist() == [[39, 2], [5, 2], [5, 2], [0, 2]]
    images = video_files.noise(40, seed=2)[[39, 5, 5, 0], 1:]
    np.testing.assert_array_equal(found[:, 1:], images)
    whole = np.stack(list(video.frames(folder / "run/c.avi", (30, 20))))
    np.testing.assert_array_equal(data.frames(0, [39, 5], (30, 20)), whole[[39, 5]])
    with pytest.raises(IndexError, match=r"frames of 'run/c' .*=\[40\]"):
        data.frames(0, [40], SIZE)


def test_files_are_measured_once(folder, measured, cache):
    first = records.open_data(folder)
    assert sorted(measured) == sorted(os.path.basename(name) for name in FRAMES)
    del measured[:]
    second = records.open_data(folder)
    assert not measured and second.lengths.tolist() == first.lengths.tolist()
    np.testing.assert_array_equal(second.frames(2, [7], SIZE), first.frames(2, [7], SIZE))
    video_files.write(folder / "walk/b.mkv", video_files.noise(22))
    video_files.write(folder / "walk/d.avi", video_files.noise(11))
    (folder / "run/c.avi").unlink()
    assert records.open_data(folder).lengths.tolist() == [24, 30, 22, 11]
    assert sorted(measured) == ["b.mkv", "d.avi"]
    assert {path.suffix for path in folder.rglob("*.*")} == {".avi", ".mkv"}
    (kept,) = cache.iterdir()
    assert kept == records.index_path(folder)
    text = kept.read_text()
    kept.write_text(text.replace(records.videos.FIELDS[-2], "seek", 1))  # of another version
    del measured[:]
    assert records.open_data(folder).lengths.tolist() == [24, 30, 22, 11] and len(measured) == 4
    assert kept.read_text() == text


def test_unwritable_cache_is_tolerated(folder, caplog, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(records.open_data(folder).videos) == 4
    assert "cannot be written, so nothing is cached" in caplog.text


# Files that cannot be read.


def test_unreadable_files_are_reported_and_have_no_frames(
    folder, caplog, cache, measured, monkeypatch
):
    """Errors of the file system are not cached: the next call may succeed."""
    reasons = {
        "run/text.avi": "not a video that the decoder can open",
        "run/empty.avi": "the file is empty",
        "run/c.avi": "truncated: ",
        "run/locked.avi": "Permission denied",
        "walk/gone.avi": "No such file or directory",
    }

    def opened(path, *args):  # root may read everything
        if str(path).endswith("locked.avi"):
            raise PermissionError(13, "Permission denied")
        return open(path, *args)

    monkeypatch.setattr(opening, "open", opened, raising=False)
    (folder / "run/locked.avi").write_text("no video")
    (folder / "run/text.avi").write_text("no video")
    (folder / "run/empty.avi").touch()
    video_files.cut(folder / "run/c.avi", 0.5)
    (folder / "walk/gone.avi").symlink_to("nowhere.avi")
    for _ in range(2):
        data = records.open_data(folder)
        lengths = dict(zip(data.videos, data.lengths.tolist(), strict=True))
        nothing = {"run/c": 0, "run/text": 0, "run/empty": 0, "run/locked": 0, "walk/gone": 0}
        assert lengths == {"run/ä": 24, "walk/a": 30, "walk/b": 20} | nothing
        assert data.failures.keys() == {str(folder / name) for name in reasons}
        for name, reason in reasons.items():
            assert f"{name}: {reason}" in caplog.text
            assert data.failures[str(folder / name)].startswith(reason)
        assert "5 of 8 video files cannot be read and are left out" in caplog.text
        caplog.clear()
    once = ["a.avi", "b.mkv", "c.avi", "ä.avi", "text.avi", "empty.avi"]
    assert sorted(measured) == sorted([*once, *["gone.avi", "locked.avi"] * 2])
    (kept,) = cache.iterdir()
    assert "truncated" in kept.read_text() and "locked" not in kept.read_text()
    named = [lists.Entry(name, label) for label, name in enumerate(IDS)]
    entries = lists.entries_of(named, "video", data.videos)  # a list may name them
    for how in ("anywhere", "consecutive", "uniform"):
        assert set(clips.examples(data, entries, 16, how).labels) == {1, 2, 3}
        assert (
            "1 of 4 list lines are too short for a clip of 16 frames, such as run/c" in caplog.text
        )


def test_names_that_are_not_utf8(folder, caplog):
    try:
        os.rename(folder / "run/c.avi", os.fsencode(folder) + b"/run/\xff.avi")
    except OSError:
        pytest.skip("this file system takes no such name")
    assert records.open_data(folder).lengths.tolist() == [24, 0, 30, 20]
    assert "its name is not UTF-8" in caplog.text


def test_rejects_folder_without_data_set(tmp_path):
    (tmp_path / "videos").mkdir()
    for name in "ab":
        (tmp_path / "videos" / f"{name}.mp4").write_text("no video")
    with pytest.raises(ValueError, match="decoded. Received: 2 undecodable, such as a.mp4: not a"):
        records.open_data(tmp_path / "videos")
    video_files.write(tmp_path / "v.avi", video_files.noise(20))
    with pytest.raises(
        ValueError, match="data must contain optical flow: .* which contains video files"
    ):
        records.open_data(tmp_path, flow=True)
    assert not records.index_path(tmp_path).exists(), "refused before files are measured"
    for text in ('{"name": "x"}', "[1]", "no json"):
        (tmp_path / "dataset.json").write_text(text)
        assert "v" in records.open_data(tmp_path).videos


def test_unusual_names_and_links_are_read(tmp_path, monkeypatch):
    """A link to a parent folder is not followed, and a colon is not a protocol."""
    (tmp_path / "a").mkdir()
    video_files.write(tmp_path / "a" / "v:w.avi", video_files.noise(20))
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "b").symlink_to(tmp_path / "a", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    data = records.open_data(".")
    assert sorted(data.videos) == ["a/v:w", "b/v:w"] and data.lengths.tolist() == [20, 20]


# Clips.


@dataclasses.dataclass
class Watch(Task):
    """A task that returns the clip unchanged."""

    frames: int = 8
    inputs: tuple = ("rgb",)

    def example(self, clip):
        return clip


def reader(data, geometry=None, how="anywhere", **options):
    geometry = geometry or clips.Geometry(SIZE, 32, random=False)
    return clips.Reader(data, clips.examples(data, None, 8, how), Watch(), geometry, **options)


def shown(batches):
    """(video, pixels, seed) of each example."""
    return [
        (name.decode(), rgb.tobytes(), *seed.tolist())
        for batch in batches
        for name, rgb, seed in zip(
            batch["video"].numpy(), batch["rgb"].numpy(), batch["seed"].numpy(), strict=True
        )
    ]


def test_clips_equal_those_of_prepared_data(tmp_path, monkeypatch):
    """The same draws, and the same pixels before JPEG's loss."""
    monkeypatch.setattr(workers, "Pool", video_files.Inline)
    size = (40, 28)
    for seed in range(4):
        images = video_files.moving(20, (1, 0), seed=seed)
        video_files.write(tmp_path / "videos" / f"{seed}.avi", images)
    options = {"size": size, "flow": "none", "quality": 100, "progress": False}
    prepare.prepare_videos(tmp_path / "videos", tmp_path / "data", **options)
    geometry = clips.Geometry(size, 24)
    videos, data = (
        reader(records.open_data(tmp_path / name), geometry, seed=4).batches(4, last_step=3)
        for name in ("videos", "data")
    )
    for batch, other in zip(videos, data, strict=True):
        for name in ("video", "label", "seed", "target"):
            np.testing.assert_array_equal(batch[name], other[name])
        difference = np.abs(batch["rgb"].numpy().astype(int) - other["rgb"].numpy())
        assert difference.max() <= 4 and difference.mean() < 1
        assert batch["rgb"].numpy().std() > 20


# Files that fail during a run.


def test_failing_clips_are_replaced(folder, caplog):
    data = records.open_data(folder)

    def run(**options):
        return shown(reader(data, seed=3).batches(4, last_step=6, **options))

    intact = run()
    video_files.cut(folder / "walk/a.avi", 0.1)
    found = run(threads=4)
    assert caplog.text.count("other clips replace walk/a: ") == 1
    assert run(threads=1) == found
    substitutes = [row for row, before in zip(found, intact, strict=True) if row != before]
    assert len(substitutes) == 6  # one in each of the six epochs of four examples
    for row, before in zip(found, intact, strict=True):
        assert row[0] != "walk/a" and (row == before or before[0] == "walk/a")
    assert len({row[2:] for row in found}) == 24 and len({row[0] for row in substitutes}) > 1
    assert shown(reader(data, seed=3).batches(4, 2, 6)) == found[8:]


def test_failing_substitutes_are_replaced(folder, caplog):
    data = records.open_data(folder)
    for name in FRAMES:
        if name != "walk/b.mkv":
            (folder / name).unlink()
    found = shown(reader(data, seed=3).batches(4, last_step=3))
    assert [row[0] for row in found] == ["walk/b"] * 12
    assert caplog.text.count("other clips replace") == 3
    (folder / "walk/b.mkv").unlink()
    with pytest.raises(
        ValueError, match="must contain videos that decode. Received: .*: No such fil"
    ):
        reader(data).load(0, 0)


def test_no_substitutes_in_test_mode(folder):
    data = records.open_data(folder)
    (folder / "walk/a.avi").unlink()
    found = reader(data, shuffle=False)
    with pytest.raises(
        ValueError, match="must contain videos that decode. Received: walk/a: No such"
    ):
        found.load(0, 2, substitute=False)
    with pytest.raises(tf.errors.OpError, match="Received: walk/a: No such file"):
        list(found.once(4))


def test_file_changed_while_open_is_reported(folder):
    data = records.open_data(folder)
    number = data.videos.index("run/c")
    assert len(data.frames(number, [0], SIZE)) == 1
    video_files.write(folder / "run/c.avi", video_files.noise(40, seed=9))
    with pytest.raises(video.VideoError, match="has changed since it was measured"):
        data.frames(number, [0], SIZE)
