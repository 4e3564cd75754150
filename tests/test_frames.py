"""Frames extracted by other tools: their names are recognised, and errors are named."""

import os
import re

import cv2
import numpy as np
import pytest

from mas import clips, records
from mas.clips import pixels
from mas.records.images import image_size
from mas.tasks.task import Task

SIZE, COUNT = (12, 16), 5


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def image(value, suffix=".png", size=SIZE):
    """A grey image; in a PNG file its pixels are exactly the value."""
    return cv2.imencode(suffix, np.full((*size, 3), value, np.uint8))[1].tobytes()


def fill(folder, name, first=1, count=COUNT, suffix=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        path = folder / (name.format(index + first) + suffix)
        path.write_bytes(image(10 * index, suffix.lower()))
    return folder


def told(data, number, frames):
    """The values of the frames' pixels."""
    files = data.read(number, frames)[0]
    found = pixels.decode(data, number, "rgb", frames, files)
    return np.round(found.mean((1, 2, 3)) / 10).astype(int).tolist()


NAMES = ["frame{:06d}", "frame_{:06d}", "img_{:05d}", "image_{:05d}", "{:05d}", "{:06d}", "{}"]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png", ".JPEG", ".PNG"])
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", [*NAMES, "78687_{:06d}", "v_1_{:06d}"])
def test_recognises_every_frame_name(tmp_path, name, first, suffix):
    fill(tmp_path / "jpegs_256" / "class" / "v_1", name, first, suffix=suffix)
    (tmp_path / "jpegs_256" / "class" / "v_1" / "._x.jpg").write_text("of a Mac")
    (tmp_path / "jpegs_256" / "class" / "v_1" / "Thumbs.db").write_text("of a window")
    data = records.open_data(tmp_path)
    assert data.videos == ["class/v_1"] and data.lengths.tolist() == [COUNT]
    assert not data.has_flow and not data.verified
    assert told(data, 0, [4, 0, 2]) == [4, 0, 2]


def test_videos_may_mix_naming_schemes(tmp_path):
    fill(tmp_path / "data" / "a", "img_{:05d}", 0)
    fill(tmp_path / "data" / "b", "{:06d}", 1, 3, ".jpg")
    data = records.open_data(tmp_path / "data")
    assert data.videos == ["a", "b"] and data.lengths.tolist() == [COUNT, 3]
    assert told(data, 0, [0, 4]) == [0, 4] and told(data, 1, [2]) == [2]


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("flows", [COUNT - 1, COUNT])
def test_flow_next_to_frames(tmp_path, first, flows):
    """As denseflow and TSN leave it: img_*, flow_x_* and flow_y_* in one folder."""
    folder = fill(tmp_path / "jpegs_256" / "v", "img_{:05d}", first, suffix=".jpg")
    fill(folder, "flow_x_{:05d}", first, flows, ".jpg")
    fill(folder, "flow_y_{:05d}", first, flows, ".jpg")
    data = records.open_data(tmp_path, flow=True)
    assert data.lengths.tolist() == [COUNT] and data.has_flow
    _, [u], [v] = data.read(0, [0], [3])
    assert u == (folder / f"flow_x_{3 + first:05d}.jpg").read_bytes()
    assert v == (folder / f"flow_y_{3 + first:05d}.jpg").read_bytes()
    (folder / f"flow_y_{first + 3:05d}.jpg").unlink()
    wrong = f"flow_y_{first + 3:05d}.jpg must exist" if flows == COUNT else "must contain flow of 4"
    with pytest.raises(ValueError, match=wrong):
        records.open_data(tmp_path, flow=True)


def break_gap(folder):
    (folder / "img_00003.png").unlink()
    return "img_00003.png must exist: the numbers imply 5 frames"


def break_first(folder):
    (folder / "img_00001.png").unlink()
    return "img_00001.png must exist: .* 5 frames"


def break_unknown(folder):
    (folder / "cover.jpg").write_bytes(image(0, ".jpg"))
    return "cover.jpg: frames must be named alike: frame000001, .* from 0 or 1 on"


def break_second(folder):
    (folder / "frame000001.png").write_bytes(image(0))
    return "frame000001.png: frames must be named alike"


def break_digits(folder):
    (folder / "img_00005.png").rename(folder / "img_5.png")
    return r"img_0000\d.png: frames must be named alike|img_5.png: frames must"


def break_size(folder):
    (folder / "img_00002.png").write_bytes(image(0, ".jpg", (8, 8)))
    return "img_00002.png must be of 16x12 pixels like the other frames. Received: 8x8"


def break_fifo(folder):
    (folder / "img_00003.png").unlink()
    os.mkfifo(folder / "img_00003.png")
    return "img_00003.png must exist: the numbers imply 5 frames"


def break_all(folder):
    for path in folder.iterdir():
        path.unlink()
    (folder / "notes.txt").write_text("")
    return "v must contain frames named frame000001.*Received: notes.txt"


def break_twice(folder):
    (folder / "img_00001.jpg").write_bytes(image(0, ".jpg"))
    return "img_00001.jpg: frames must be named alike"


@pytest.mark.parametrize("change", [f for n, f in sorted(globals().items()) if n[:6] == "break_"])
def test_bad_frames_are_reported_on_opening_or_skipped(tmp_path, change, caplog):
    folder = fill(tmp_path / "jpegs_256" / "v", "img_{:05d}")
    fill(tmp_path / "jpegs_256" / "w", "img_{:05d}")
    assert records.open_data(tmp_path).videos == ["v", "w"]
    words = change(folder)
    for _ in range(2):  # the second time sizes are known
        with pytest.raises(ValueError, match=words) as found:
            records.open_data(tmp_path)
        assert str(folder) in str(found.value) and "\n" not in str(found.value)
    data = records.open_data(tmp_path, allow_missing=True)
    assert data.videos == ["w"] and re.search(words, caplog.text)
    assert list(data.failures) == [str(folder)]


def test_link_to_parent_folder_is_not_followed(tmp_path):
    folder = fill(tmp_path / "jpegs_256" / "class" / "v", "img_{:05d}")
    (folder / "loop").symlink_to(tmp_path / "jpegs_256", target_is_directory=True)
    (tmp_path / "jpegs_256" / "w").symlink_to(folder, target_is_directory=True)
    assert records.open_data(tmp_path).videos == ["class/v", "w"]


def test_folder_without_frames_is_reported(tmp_path):
    (tmp_path / "jpegs_256").mkdir()
    with pytest.raises(
        ValueError, match="jpegs_256 must contain folders of frames. Received: none"
    ):
        records.open_data(tmp_path)


class Watch(Task):
    """A task that returns the clip unchanged."""

    name, inputs, frames, wraps = "watch", ("rgb",), 2, False

    def example(self, clip):
        return clip


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:2] + bytes(len(data) - 4) + data[-2:],
        lambda data: re.sub(rb"(\xff\xc0...)....", lambda m: m[1] + b"\xff" * 4, data, flags=re.S),
        lambda data: b"<html>not found</html>",
    ],
)
def test_undecodable_frame_is_reported_or_replaced(tmp_path, damage, caplog):
    """Training replaces the clip; a test ends with one line. Huge images are not decoded."""
    folder = fill(tmp_path / "jpegs_256" / "v", "img_{:05d}", suffix=".jpg")
    fill(tmp_path / "jpegs_256" / "w", "img_{:05d}", suffix=".jpg")
    data = records.open_data(tmp_path)
    path = folder / "img_00001.jpg"
    path.write_bytes(damage(path.read_bytes()))
    if image_size(path.read_bytes()) is None:
        assert records.open_data(tmp_path).videos == ["v", "w"]
        assert f"{path} is not a readable image" in caplog.text
    examples = clips.examples(data, None, 2, "consecutive")
    reader = clips.Reader(data, examples, Watch(), clips.Geometry((16, 12), 8), shuffle=False)
    assert next(iter(reader.batches(4, last_step=1)))["rgb"].shape == (4, 2, 8, 8, 3)
    words = f"{path}: frame 0 of v must be a whole JPEG file"
    assert words in caplog.text and "other clips replace" in caplog.text
    with pytest.raises(ValueError, match=re.escape(words)):
        reader.load(0, 0, substitute=False)


def test_pixels_equal_tensorflow(tmp_path):
    """Data without checksums are decoded by OpenCV: baseline, progressive, grey, with and without
    subsampling."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    noise = cv2.resize(rng.integers(0, 256, (9, 11, 3), dtype=np.uint8), (33, 27))
    for number, options in enumerate(
        ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111])
    ):
        for picture in (noise, noise[..., 0]):
            file = cv2.imencode(".jpg", picture, options)[1].tobytes()
            for channels in (1, 3):
                expected = tf.io.decode_jpeg(file, channels, dct_method="INTEGER_ACCURATE")
                np.testing.assert_array_equal(
                    records.decode(file, channels), expected, err_msg=f"{number}, {channels}"
                )
