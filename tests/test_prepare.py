"""Preparation: stored data, refusals, videos that cannot be prepared, the command."""

import json
import os
import pathlib
import re

import cv2
import numpy as np
import preparing
import pytest
import video_files
from preparing import CLIPS, FRAMES, failures, run

from mas import cli, flow, lists, prepare, records, video
from mas.prepare import extract, workers
from mas.video import opening


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return preparing.film(tmp_path_factory.mktemp("videos"))


@pytest.fixture
def inline(monkeypatch):
    monkeypatch.setattr(workers, "Pool", video_files.Inline)


def jpeg(image):
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def pixels(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


# What is stored.


@pytest.mark.parametrize("form, size", [("shards", None), ("folders", (48, 40))])
def test_stored_frames_and_flow(videos, tmp_path, inline, form, size):
    """Flow is computed on grey frames of the stored size, from each frame to the next."""
    assert run(videos, tmp_path / "data", form=form, size=size) == {}
    data = records.open_data(tmp_path / "data")
    assert data.videos == ["down/c", "right/a", "right/b"]
    assert data.lengths.tolist() == [FRAMES] * 3 and data.has_flow
    estimate = flow.estimator("dis")
    for number, name in enumerate(data.videos):
        path = next(videos.glob(f"{name}.*"))
        images = list(video.frames(path, size))
        grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
        flows = [flow.encode(estimate(*pair)) for pair in zip(grey, grey[1:], strict=False)]
        rgb, u, v = data.read(number, range(FRAMES), range(FRAMES - 1))
        assert rgb == [jpeg(cv2.cvtColor(image, cv2.COLOR_RGB2BGR)) for image in images]
        assert u == [jpeg(code[..., 0]) for code in flows]
        assert v == [jpeg(code[..., 1]) for code in flows]


def test_stored_values_match_filmed_motion(videos, tmp_path, inline):
    """Recovers the video's known colours and motion from the stored bytes."""
    run(videos, tmp_path / "data")
    data = records.open_data(tmp_path / "data")
    assert data.sizes.tolist() == [[48, 64]] * 3
    for name, shift in CLIPS.items():
        images = video_files.moving(FRAMES, shift, size=(64, 48), seed=len(name))
        images[..., 2] //= 2
        number = data.videos.index(name.split(".")[0])
        rgb, u, v = data.read(number, range(FRAMES), range(FRAMES - 1))
        for file, image in zip(rgb, images, strict=True):
            assert np.abs(pixels(file)[..., ::-1].astype(float) - image).mean() < 4
        for files, expected in ((u, shift[0]), (v, shift[1])):
            for file in files:
                code = pixels(file)
                assert code.shape == (48, 64)
                assert np.median(flow.decode(code)[8:-8, 8:-8]) == pytest.approx(expected, abs=0.3)


def test_tvl1_is_default_and_equals_opencv(tmp_path, inline):
    assert prepare.Storage() == prepare.Storage("shards", (171, 128), "tvl1", 95, 16)
    path = tmp_path / "videos" / "x.avi"
    video_files.write(path, video_files.moving(3, (2, -1)))
    options = {"size": video_files.SIZE, "flow_size": "stored", "min_frames": 3}
    options["progress"] = False
    data = prepare.prepare_videos(path.parent, tmp_path / "data", **options)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in video.frames(path)]
    expected = cv2.optflow.DualTVL1OpticalFlow_create().calc(grey[1], grey[2], None)
    _, [u], [v] = data.read(0, [], [1])
    assert (u, v) == tuple(jpeg(flow.encode(expected)[..., part]) for part in (0, 1))


@pytest.mark.parametrize("form", ["shards", "folders"])
def test_without_flow(videos, tmp_path, inline, form):
    run(videos, tmp_path / "data", form=form, flow="none")
    data = records.open_data(tmp_path / "data")
    assert not data.has_flow and len(data.read(0, range(FRAMES))[0]) == FRAMES
    assert not (tmp_path / "data" / records.FLOW_FOLDER).exists()
    with pytest.raises(
        ValueError, match="data must contain optical flow.*data, which was prepared"
    ):
        records.open_data(tmp_path / "data", flow=True)


def test_workers_give_same_files_as_one_process(videos, tmp_path, monkeypatch):
    """Uses two and one real workers; also checks the files of a finished data set."""
    assert run(videos, tmp_path / "two", progress=True) == run(videos, tmp_path / "one", 1) == {}
    monkeypatch.setattr(workers, "Pool", video_files.Inline)
    assert run(videos, tmp_path / "inline") == {}
    found = [video_files.tree(tmp_path / name) for name in ("one", "two", "inline")]
    assert found[0] == found[1] == found[2]
    files = {"dataset.json", "plan.json", "plan.copy.json", "sources.csv"}
    assert set(found[0]) == files | {"videos-00000.csv", "videos-00000.tfrecord"}
    settings = {"form": "shards", "size": [64, 48], "method": "dis", "quality": 95, "min_frames": 5}
    counts = {"videos": 3, "frames": 3 * FRAMES, "failures": 0}
    described = records.described(tmp_path / "one")
    assert {name: described[name] for name in settings | counts} == settings | counts
    assert json.loads(found[0]["plan.json"])["settings"] == settings


# What is refused.


@pytest.mark.parametrize(
    "options, old, new",
    [
        ({"size": None}, r"size=\(64, 48\)", "size=keep"),
        ({"flow": "none"}, "flow=dis", "flow=none"),
        ({"form": "folders", "quality": 90}, "form=shards, quality=95", "form=folders, quality=90"),
    ],
)
def test_rejects_other_settings(videos, tmp_path, inline, options, old, new):
    run(videos, tmp_path / "data")
    before = video_files.tree(tmp_path / "data")
    with pytest.raises(ValueError, match=f"data was started with {old}: .*Received: {new}."):
        run(videos, tmp_path / "data", **options)
    assert video_files.tree(tmp_path / "data") == before


def test_rejects_folder_with_other_files(videos, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.tex").touch()
    for _ in range(2):
        with pytest.raises(ValueError, match="output must be .*Received: .*data, which contains"):
            run(videos, tmp_path / "data")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"form": "zip"}, "form .*='zip'"),
        ({"flow": "farneback"}, "flow .*'none'.*='farneback'"),
        ({"quality": 0}, "quality .*=0"),
        ({"workers": 0}, "workers .*=0"),
        *(({"size": s}, "size .*=") for s in ("171", "0x128", (1, 2, 3), "1.5x2", (0, 1), 5)),
    ],
)
def test_rejects_impossible_settings(videos, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        run(videos, tmp_path / "data", **options)
    assert not (tmp_path / "data").exists()


def test_sizes():
    for size in ("340x256", [340, 256], np.array([340, 256])):
        assert prepare.Storage(size=size).size == (340, 256)
    assert prepare.Storage(size="keep").size is None


def test_rejects_video_named_like_folder(tmp_path, inline):
    """In folders, both would store frames in one place, and one would count as done."""
    for name in ("walk.avi", "walk/x.avi"):
        video_files.write(tmp_path / "videos" / name, video_files.noise(5))
    with pytest.raises(ValueError, match="form=folders .*Received: 'walk' and 'walk/x'"):
        run(tmp_path / "videos", tmp_path / "folders", form="folders")
    assert run(tmp_path / "videos", tmp_path / "data") == {}
    assert records.open_data(tmp_path / "data").videos == ["walk", "walk/x"]


# Every video that cannot be prepared is named, and holds no other up.

REASONS = {
    "cut.avi": "truncated: .* of 40 declared frames can be decoded, .* bytes are missing",
    "cut.mkv": "truncated: .* frames can be decoded, .* bytes are missing",
    "cut.mp4": "truncated: .* bytes that the container declares are missing",
    "dangling.avi": "No such file or directory",
    "empty.avi": "the file is empty",
    "forbidden.avi": "Permission denied",
    "no_frames.avi": "contains no frame that can be decoded",
    "short.avi": "shorter than one clip: 4 frames, at least 5 needed",
    "text.avi": "not a video that the decoder can open",
    "unforeseen.avi": "MemoryError: too large",
}


def bad_videos(folder):
    for name in ("cut.avi", "cut.mkv", "cut.mp4"):
        video_files.cut(video_files.write(folder / name, video_files.noise(40), "mp4v"), 0.5)
    video_files.write(folder / "no_frames.avi", video_files.noise(0))
    video_files.write(folder / "short.avi", video_files.noise(4))
    for name in ("forbidden.avi", "unforeseen.avi"):
        video_files.write(folder / name, video_files.noise(5))
    (folder / "dangling.avi").symlink_to("gone.avi")
    (folder / "empty.avi").touch()
    (folder / "text.avi").write_text("no video\n")


def test_bad_videos_are_reported_and_good_ones_kept(tmp_path, inline, monkeypatch):
    bad_videos(tmp_path / "videos")
    for name in ("a.avi", "m.avi", "z.avi"):
        video_files.write(tmp_path / "videos" / name, video_files.noise(5))
    errors = {
        "forbidden.avi": PermissionError(13, "Permission denied"),  # root may read everything
        "unforeseen.avi": MemoryError("too\nlarge"),
    }

    def opened(path, *args):
        if pathlib.Path(path).name in errors:
            raise errors[pathlib.Path(path).name]
        return open(path, *args)

    monkeypatch.setattr(opening, "open", opened, raising=False)
    found = run(tmp_path / "videos", tmp_path / "data", progress=True)
    assert sorted(found) == [str(tmp_path / "videos" / name) for name in REASONS]
    for path, reason in found.items():
        assert re.fullmatch(REASONS[pathlib.Path(path).name], reason), (path, reason)
    header, *rows = failures(tmp_path / "data")
    assert header == ["path", "reason"] and dict(rows) == found and len(rows) == len(REASONS)
    data = records.open_data(tmp_path / "data")
    assert data.videos == ["a", "m", "z"] and data.failures == found
    assert all(len(data.read(number, range(5))[0]) == 5 for number in range(3))
    stored = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert (stored["videos"], stored["frames"], stored["failures"]) == (3, 15, len(REASONS))


@pytest.mark.parametrize("form", ["shards", "folders"])
def test_data_set_may_consist_of_failures_only(tmp_path, inline, form):
    preparing.write_text(tmp_path / "videos", "a")
    assert len(run(tmp_path / "videos", tmp_path / "data", form=form)) == 1
    assert len(records.open_data(tmp_path / "data").videos) == 0


def test_non_utf8_name_is_reported(tmp_path, inline):
    video_files.write(tmp_path / "videos" / "good.avi", video_files.noise(5))
    path = os.fsencode(tmp_path / "videos") + b"/caf\xe9.avi"
    os.link(tmp_path / "videos" / "good.avi", path)
    found = run(tmp_path / "videos", tmp_path / "data")
    assert found == {os.fsdecode(path): "its name is not UTF-8"}
    assert path in (tmp_path / "data" / "failures.csv").read_bytes()
    assert records.open_data(tmp_path / "data").failures == found


def test_too_large_video_is_rejected_early(tmp_path, inline, monkeypatch):
    """The limit counts the JPEG files and 12 bytes of lengths per frame."""
    path = video_files.write(tmp_path / "videos" / "x.avi", video_files.moving(5, (1, 0)))
    storage = prepare.Storage(size=None, flow="dis", min_frames=2)
    whole = extract.extract(path, "x", storage)
    sizes = [len(file) for file in [*whole.rgb, *whole.u, *whole.v]]
    exact = sum(sizes) + 5 * 12
    assert len(sizes) == 5 + 4 + 4 and extract.extract(path, "x", storage, exact) == whole
    for limit, frame in ((exact - 1, 5), (len(whole.rgb[0]) + 11, 1)):
        with pytest.raises(video.VideoError, match=f"too large: .* {limit} .* at frame {frame};"):
            extract.extract(path, "x", storage, limit)
    assert extract.MOST_BYTES == 2 * 1024**3 - 1024**2  # a mebibyte below a protocol buffer's most
    monkeypatch.setattr(extract, "MOST_BYTES", exact - 1)
    assert "too large" in run(path.parent, tmp_path / "data", size=None)[str(path)]
    assert run(path.parent, tmp_path / "folders", size=None, form="folders") == {}


# The command.


def command(*arguments):
    return cli.main("prepare", "--flow=dis", "--size=64x48", *map(str, arguments))


def test_command_exit_status(videos, tmp_path, inline, caplog):
    base = (f"--videos={videos}", f"--output={tmp_path / 'data'}", "--form=folders")
    assert command(*base) == 1  # FRAMES is less than the default of 16
    for name in CLIPS:
        assert f"{videos / name}: shorter than one clip: 6 frames, at least 16" in caplog.text
    assert f"3 videos failed; see {tmp_path / 'data' / 'failures.csv'}." in caplog.text
    assert "contains 0 videos, 0 frames." in caplog.text and "Next:" not in caplog.text
    assert command(*base, "--allow_failures") == 0
    assert command(*base, "--min_frames=6") == cli.FAILED
    assert "data was started with min_frames=16: " in caplog.text


def test_command_prepares_list(videos, tmp_path, inline, caplog):
    (tmp_path / "list.txt").write_text("b 0\nright/a 0\n")
    base = (f"--videos={videos}", f"--output={tmp_path / 'data'}", "--min_frames=6", "--flow=none")
    assert command(*base, f"--list={tmp_path / 'list.txt'}") == 0
    assert f"{tmp_path / 'data'} contains 2 videos, 12 frames." in caplog.text
    next_line = rf"Next: mas train --recipe=pace_small --data={tmp_path / 'data'}$"
    assert re.search(next_line, caplog.text, re.MULTILINE)
    assert records.open_data(tmp_path / "data").videos == ["right/b", "right/a"]
    with pytest.raises(ValueError, match="line 1: 'right/absent' matches none"):
        run(videos, tmp_path / "data", list=[lists.Entry("right/absent")])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--size=171"], "size .*Received: size='171'."),
        (["--videos=absent"], "videos must be an existing folder. Received: 'absent'."),
        (["more"], "mas prepare takes flags only. Received: more."),
        (["--flow=farneback"], "flow must be one of .*Received: flow='farneback'"),
    ],
)
def test_command_reports_errors(videos, tmp_path, caplog, arguments, message):
    found = command(f"--videos={videos}", f"--output={tmp_path / 'data'}", *arguments)
    assert found == cli.FAILED and re.search(message, caplog.text), caplog.text
    assert not (tmp_path / "data").exists()
