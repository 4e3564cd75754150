"""Preparation: every video that cannot be prepared is named, and holds no other up."""

import json
import os
import pathlib
import re
import sys

import preparing
import pytest
import video_files
from preparing import ROOT, failures, run

from mas import prepare, records, video
from mas.prepare import extract, workers


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return preparing.film(tmp_path_factory.mktemp("videos"))


@pytest.fixture
def inline(monkeypatch):
    monkeypatch.setattr(workers, "Pool", video_files.Inline)


REASONS = {
    "cut.avi": "truncated: .* of 40 declared frames can be decoded",
    "cut.mkv": "truncated: .* of 40 declared frames can be decoded",
    "cut.mp4": "truncated: .* bytes that the container declares are missing",
    "dangling.avi": "No such file or directory",
    "empty.avi": "the file is empty",
    "forbidden.avi": "Permission denied",
    "no_frames.avi": "holds no frame that can be decoded",
    "short.avi": "shorter than one clip: 4 frames, at least 5 needed",
    "text.avi": "not a video that the decoder can open",
}


def bad_videos(folder):
    for name in ("cut.avi", "cut.mkv", "cut.mp4"):
        video_files.cut(video_files.write(folder / name, video_files.noise(40), "mp4v"), 0.5)
    video_files.write(folder / "no_frames.avi", video_files.noise(0))
    video_files.write(folder / "short.avi", video_files.noise(4))
    video_files.write(folder / "forbidden.avi", video_files.noise(5))
    (folder / "dangling.avi").symlink_to("gone.avi")
    (folder / "empty.avi").touch()
    (folder / "text.avi").write_text("no video\n")


@pytest.mark.parametrize("form", ["shards", "folders"])
def test_every_bad_video_is_named_and_no_good_one_is_lost(tmp_path, inline, monkeypatch, form):
    bad_videos(tmp_path / "videos")
    for name in ("a.avi", "m.avi", "z.avi"):
        video_files.write(tmp_path / "videos" / name, video_files.noise(5))

    def opened(path, *args):  # root may read everything
        if pathlib.Path(path).name == "forbidden.avi":
            raise PermissionError(13, "Permission denied", path)
        return open(path, *args)

    monkeypatch.setattr(video, "open", opened, raising=False)
    found = run(tmp_path / "videos", tmp_path / "data", form=form)
    assert sorted(found) == [str(tmp_path / "videos" / name) for name in REASONS]
    for path, reason in found.items():
        assert re.fullmatch(REASONS[pathlib.Path(path).name], reason), (path, reason)
    header, *rows = failures(tmp_path / "data")
    assert header == ["path", "reason"] and dict(rows) == found and len(rows) == len(REASONS)
    data = records.open_data(tmp_path / "data")
    assert data.videos == ["a", "m", "z"]
    assert all(len(data.read(number, range(5))[0]) == 5 for number in range(3))
    stored = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert (stored["videos"], stored["frames"], stored["failures"]) == (3, 15, len(REASONS))


@pytest.mark.parametrize("form", ["shards", "folders"])
def test_a_data_set_of_failures_alone(tmp_path, inline, form):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "text.avi").write_text("no video\n")
    assert len(run(tmp_path / "videos", tmp_path / "data", form=form)) == 1
    assert len(records.open_data(tmp_path / "data").videos) == 0


def test_a_name_that_is_not_utf8(tmp_path, inline):
    video_files.write(tmp_path / "videos" / "good.avi", video_files.noise(5))
    path = os.fsencode(tmp_path / "videos") + b"/caf\xe9.avi"
    os.link(tmp_path / "videos" / "good.avi", path)
    found = run(tmp_path / "videos", tmp_path / "data")
    assert found == {os.fsdecode(path): "its name is not UTF-8"}
    assert path in (tmp_path / "data" / "failures.csv").read_bytes()
    assert records.open_data(tmp_path / "data").videos == ["good"]


def test_an_error_that_nobody_foresaw_is_one_videos_failure(videos, tmp_path, inline, monkeypatch):
    decode = video.frames

    def fail(path, size):
        if path.endswith("a.avi"):
            raise MemoryError("too\nlarge")
        return decode(path, size)

    monkeypatch.setattr(video, "frames", fail)
    found = run(videos, tmp_path / "data")
    assert found == {str(videos / "right" / "a.avi"): "MemoryError: too large"}
    assert records.open_data(tmp_path / "data").videos == ["down/c", "right/b"]


def test_a_video_that_no_shard_can_hold_is_refused_as_soon_as_it_is_too_large(tmp_path):
    """Counted are the JPEG files and, for each frame, the 12 bytes of its lengths."""
    path = video_files.write(tmp_path / "x.avi", video_files.moving(5, (1, 0)))
    storage = prepare.Storage(size=None, flow="dis", min_frames=2)
    whole = extract.extract(path, "x", storage)
    sizes = [len(file) for file in [*whole.rgb, *whole.u, *whole.v]]
    assert len(sizes) == 5 + 4 + 4
    exact = sum(sizes) + 5 * 12
    assert extract.extract(path, "x", storage, exact) == whole
    with pytest.raises(video.VideoError, match=f"too large: .* {exact - 1} bytes .* at frame 5;"):
        extract.extract(path, "x", storage, exact - 1)
    with pytest.raises(video.VideoError, match="too large: .* at frame 1;"):
        extract.extract(path, "x", storage, len(whole.rgb[0]) + 11)


def test_the_limit_is_a_mebibyte_below_what_a_protocol_buffer_can_be():
    assert extract.MOST_BYTES == 2 * 1024**3 - 1024**2


LIMITED = """
from mas.prepare import extract
extract.MOST_BYTES = 50_000
extract.main()
"""


def test_a_video_that_no_shard_can_hold_holds_no_other_up(tmp_path, monkeypatch):
    """In real workers; frame folders take it all the same."""
    for name, frames in (("a.avi", 5), ("b.avi", 30), ("c.avi", 5)):
        video_files.write(tmp_path / "videos" / name, video_files.noise(frames))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pool = workers.Pool
    monkeypatch.setattr(workers, "Pool", lambda count: pool(count, [sys.executable, "-c", LIMITED]))
    for _ in range(2):  # the second time, too
        ((path, reason),) = run(tmp_path / "videos", tmp_path / "data", size=None).items()
        assert path == str(tmp_path / "videos" / "b.avi")
        assert "50000 bytes" in reason and "form=folders" in reason
        assert failures(tmp_path / "data")[1:] == [[path, reason]]
        assert records.open_data(tmp_path / "data").videos == ["a", "c"]
    assert run(tmp_path / "videos", tmp_path / "folders", size=None, form="folders") == {}
    assert records.open_data(tmp_path / "folders").lengths.tolist() == [5, 30, 5]
