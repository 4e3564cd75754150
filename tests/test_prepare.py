"""Preparation: what is stored, what is refused, which videos are found."""

import json
import subprocess
import sys

import cv2
import numpy as np
import preparing
import pytest
import video_files
from preparing import CLIPS, ENVIRONMENT, FRAMES, run

from mas import flow, prepare, records, video
from mas.prepare import workers


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


@pytest.mark.parametrize("form", ["shards", "folders"])
@pytest.mark.parametrize("size", [(48, 40), None])
def test_stored_frames_and_flow(videos, tmp_path, inline, form, size):
    """Flow is that of grey frames of the stored size; a frame's flow leads to the next frame."""
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


def test_stored_values_against_what_was_filmed(videos, tmp_path, inline):
    """From stored bytes back to the colours and the motion that the video was made of."""
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


def test_tvl1_is_the_default_and_what_opencv_computes(tmp_path, inline):
    path = tmp_path / "videos" / "x.avi"
    video_files.write(path, video_files.moving(3, (2, -1)))
    options = {"size": video_files.SIZE, "min_frames": 3, "progress": False}
    assert prepare.Storage().flow == "tvl1"
    prepare.prepare_videos(path.parent, tmp_path / "data", **options)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in video.frames(path)]
    expected = cv2.optflow.DualTVL1OpticalFlow_create().calc(grey[1], grey[2], None)
    _, [u], [v] = records.open_data(tmp_path / "data").read(0, [], [1])
    assert (u, v) == tuple(jpeg(flow.encode(expected)[..., part]) for part in (0, 1))


def test_defaults_are_the_papers():
    assert prepare.Storage() == prepare.Storage("shards", (171, 128), "tvl1", 95, 16)


@pytest.mark.parametrize("form", ["shards", "folders"])
def test_without_flow(videos, tmp_path, inline, form):
    run(videos, tmp_path / "data", form=form, flow="none")
    data = records.open_data(tmp_path / "data")
    assert not data.has_flow
    assert len(data.read(0, range(FRAMES))[0]) == FRAMES
    assert not (tmp_path / "data" / records.FLOW_FOLDER).exists()


def test_workers_give_what_one_process_gives(videos, tmp_path, monkeypatch):
    """Real worker processes, two, one; and the files that a finished data set consists of."""
    outputs = [tmp_path / name for name in ("one", "two", "inline")]
    for count, output in enumerate(outputs, 1):
        if output.name == "inline":
            monkeypatch.setattr(workers, "Pool", video_files.Inline)
        assert run(videos, output, count) == {}
    found = [video_files.tree(output) for output in outputs]
    assert found[0] == found[1] == found[2]
    files = {"dataset.json", "plan.json", "videos-00000.csv", "videos-00000.tfrecord"}
    assert set(found[0]) == files
    assert json.loads(found[0]["dataset.json"]) == {
        "form": "shards",
        "size": [64, 48],
        "method": "dis",
        "quality": 95,
        "min_frames": 5,
        "videos": 3,
        "frames": 3 * FRAMES,
        "failures": 0,
    }


# What is refused.


def test_other_settings_are_refused(videos, tmp_path, inline):
    run(videos, tmp_path / "data")
    before = video_files.tree(tmp_path / "data")
    for other in ({"size": None}, {"flow": "none"}, {"quality": 90}, {"form": "folders"}):
        with pytest.raises(ValueError, match="was begun with .* take another output folder"):
            run(videos, tmp_path / "data", **other)
    assert video_files.tree(tmp_path / "data") == before


def test_a_folder_of_something_else_is_refused(videos, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.tex").touch()
    for _ in range(2):
        with pytest.raises(ValueError, match="Received: .*data, which holds other files"):
            run(videos, tmp_path / "data")


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"form": "zip"}, r"form must be one of \['shards', 'folders'\]. Received: form='zip'"),
        ({"flow": "farneback"}, "flow must be one of .*'none'.*Received: flow='farneback'"),
        ({"quality": 0}, "quality must be .*quality=0"),
    ],
)
def test_settings_that_nobody_could_carry_out(setting, message):
    with pytest.raises(ValueError, match=message):
        prepare.Storage(**setting)


@pytest.mark.parametrize("text", ["", "171", "171x", "x128", "0x128", "-1x2", "171x128x3", "1.5x2"])
def test_sizes_that_are_none(text):
    with pytest.raises(ValueError, match=r"size must be WIDTHxHEIGHT in pixels, or keep. Rec"):
        prepare.parse_size(text)


def test_sizes():
    assert prepare.parse_size("340x256") == (340, 256)
    assert prepare.parse_size("keep") is None


# Finding videos.


def test_find_videos(tmp_path):
    for name in ("b/x.AVI", "a.mkv", "c.mp4", "c.avi", "d.e.webm", "readme.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = prepare.find_videos(tmp_path)
    names = {"a": "a.mkv", "b/x": "b/x.AVI", "c.avi": "c.avi", "c.mp4": "c.mp4", "d.e": "d.e.webm"}
    assert list(found.items()) == [(name, tmp_path / file) for name, file in names.items()]


def test_two_files_that_differ_only_in_extension_are_both_kept(tmp_path, inline):
    for seed, name in enumerate(("c.mkv", "c.avi")):
        video_files.write(tmp_path / "videos" / name, video_files.noise(5, seed))
    assert run(tmp_path / "videos", tmp_path / "data") == {}
    data = records.open_data(tmp_path / "data")
    assert data.videos == ["c.avi", "c.mkv"]
    assert data.read(0, [0])[0] != data.read(1, [0])[0]


def test_a_video_named_like_a_folder_of_others(tmp_path, inline):
    """In folders its frames and theirs would lie in one place, and one would be taken for done."""
    for name in ("walk.avi", "walk/x.avi"):
        video_files.write(tmp_path / "videos" / name, video_files.noise(5))
    with pytest.raises(ValueError, match="Received: 'walk' and 'walk/x'"):
        run(tmp_path / "videos", tmp_path / "folders", form="folders")
    assert run(tmp_path / "videos", tmp_path / "data") == {}
    assert records.open_data(tmp_path / "data").videos == ["walk", "walk/x"]


def test_lists_need_neither_opencv_nor_tensorflow():
    code = "import sys, mas.lists; sys.exit(bool({'cv2', 'tensorflow', 'numpy'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT).returncode == 0
