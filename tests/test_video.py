import builtins
import os
import re

import cv2
import numpy as np
import pytest
import video_files

from mas import lists, video

# Containers of the issue with the codec that OpenCV writes into them, and the other extensions
# that are looked for.
CONTAINERS = {".avi": "mp4v", ".mp4": "mp4v", ".mkv": "mp4v", ".mov": "mp4v", ".webm": "VP80"}
OTHERS = {".m4v": "mp4v", ".mpg": "MPG1", ".mpeg": "MPG1", ".wmv": "WMV2", ".flv": "FLV1"}

# Frames that decode and frames per second, as OpenCV 5.0 and FFmpeg's own tools count them.
MIXED = {
    "R6llTwEh07w": (303, 30.0),
    "RATRACE_wave_f_nm_np1_fr_goo_37": (72, 30.0),
    "SOX5yA1l24A": (332, 29.97),
    "SchoolRulesHowTheyHelpUs_wave_f_nm_np1_ba_med_0": (74, 30.0),
    "TrumanShow_wave_f_nm_np1_fr_med_26": (48, 30.0),
    "WUzgd7C1pWA": (327, 29.97),
    "baseball": (167, 27.89),  # declares 183
    "basketball": (333, 29.97),
    "flipping_a_pancake": (310, 30.0),
    "hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6": (83, 30.0),
    "realshort": (36, 30.02),
    "v_SoccerJuggling_g23_c01": (240, 29.97),
    "v_SoccerJuggling_g24_c01": (251, 29.97),
}


def decode(path, size=None):
    return np.stack(list(video.frames(path, size)))


def reason(path):
    with pytest.raises(video.VideoError) as error:
        list(video.frames(path))
    return str(error.value)


# Decoding.


@pytest.mark.parametrize("extension", [".avi", ".mkv"])
def test_frames_are_exact_in_order_and_r_g_b(tmp_path, extension):
    images = video_files.noise(20)
    path = video_files.write(tmp_path / f"x{extension}", images)
    assert decode(path).dtype == np.uint8
    np.testing.assert_array_equal(decode(path), images)
    np.testing.assert_array_equal(decode(path, video_files.SIZE), images)


@pytest.mark.parametrize("extension", [*CONTAINERS, *OTHERS])
def test_every_container_gives_back_colours_and_order(tmp_path, extension):
    colours = [(20 + 9 * t, 220 - 8 * t, 100 + 5 * (t % 3)) for t in range(20)]
    images = np.stack([np.full((64, 96, 3), colour, np.uint8) for colour in colours])
    codec = {**CONTAINERS, **OTHERS}[extension]
    images = decode(video_files.write(tmp_path / f"x{extension}", images, codec))
    assert images.shape == (20, 64, 96, 3)
    assert np.abs(images.mean((1, 2)) - colours).max() < 5


def test_every_extension_that_is_looked_for_is_tested():
    assert {*CONTAINERS, *OTHERS} == lists.VIDEO_EXTENSIONS


def resized(image, size):
    """Bilinear, by the book: pixel centres at half integers, edges repeated."""
    height, width = image.shape[:2]
    result = np.zeros((size[1], size[0], 3))
    for row in range(size[1]):
        for column in range(size[0]):
            y = min(max((row + 0.5) * height / size[1] - 0.5, 0), height - 1)
            x = min(max((column + 0.5) * width / size[0] - 0.5, 0), width - 1)
            top, left = min(int(y), height - 2), min(int(x), width - 2)
            y, x = y - top, x - left
            upper = image[top, left] * (1 - x) + image[top, left + 1] * x
            lower = image[top + 1, left] * (1 - x) + image[top + 1, left + 1] * x
            result[row, column] = upper * (1 - y) + lower * y
    return result


@pytest.mark.parametrize("size", [(24, 16), (31, 40), (96, 64)])
def test_resizing_is_bilinear_and_takes_width_first(tmp_path, size):
    images = video_files.noise(2)
    found = decode(video_files.write(tmp_path / "x.avi", images), size)
    assert found.shape == (2, size[1], size[0], 3)
    expected = np.stack([resized(image.astype(float), size) for image in images])
    assert np.abs(found - expected).max() <= 1  # OpenCV counts in fixed point


@pytest.mark.parametrize("rate", [12.5, 25.0, 30.0])
def test_frame_rate(tmp_path, rate):
    path = video_files.write(tmp_path / "x.avi", video_files.noise(5), rate=rate)
    assert video.frame_rate(path) == pytest.approx(rate)


@pytest.mark.parametrize("name", ["x.avi", "x.mp4"])
def test_what_write_writes_reads_back(tmp_path, name):
    images = video_files.moving(12, (1, 0), size=(96, 64))
    images[..., 0] //= 2  # so that the channels differ
    video.write(tmp_path / name, images, rate=20)
    assert video.frame_rate(tmp_path / name) == pytest.approx(20)
    difference = np.abs(decode(tmp_path / name).astype(float) - images)
    assert difference.mean() < 6
    with pytest.raises(video.VideoError, match="cannot be written: .*absent"):
        video.write(tmp_path / "absent" / name, images)


@pytest.mark.parametrize("name", list(MIXED))
def test_mixed_clips(shared, name):
    path = next((shared / "videos" / "mixed").glob(f"{name}.*"))
    images = list(video.frames(path, (171, 128)))
    assert {image.shape for image in images} == {(128, 171, 3)}
    assert (len(images), round(video.frame_rate(path), 2)) == MIXED[name]


def test_mixed_holds_no_other_clips(shared):
    assert {path.stem for path in (shared / "videos" / "mixed").iterdir()} == set(MIXED)


# What cannot be read.


@pytest.mark.parametrize(
    "extension, share, expected",
    [
        (".avi", 0.05, "truncated: {missing} bytes that the container declares are missing"),
        (".avi", 0.5, r"truncated: \d+ of 40 declared frames can be decoded"),
        (".avi", 0.8, r"truncated: \d+ of 40 declared frames can be decoded"),
        (".mp4", 0.05, "truncated: {missing} bytes that the container declares are missing"),
        (".mp4", 0.9, "truncated: {missing} bytes that the container declares are missing"),
        (".mov", 0.5, "truncated: {missing} bytes that the container declares are missing"),
        (".mkv", 0.01, "truncated: {missing} bytes that the container declares are missing"),
        (".mkv", 0.5, r"truncated: \d+ of 40 declared frames can be decoded"),
        (".mkv", 0.95, r"truncated: 3\d of 40 declared frames can be decoded"),
        (".webm", 0.1, "truncated: 0 of 40 declared frames can be decoded"),
        (".webm", 0.95, r"truncated: 3\d of 40 declared frames can be decoded"),
    ],
)
def test_truncated_files(tmp_path, extension, share, expected):
    path = tmp_path / f"x{extension}"
    video_files.write(path, video_files.noise(40), CONTAINERS[extension])
    assert video.missing_bytes(path) == 0
    whole = path.stat().st_size
    video_files.cut(path, share)
    missing = video.missing_bytes(path)
    assert (
        0 < missing <= whole - path.stat().st_size
    )  # of mp4 and mov, up to the index that is gone
    found = reason(path)
    assert re.fullmatch(expected.format(missing=missing), found), found


@pytest.mark.parametrize("extension", CONTAINERS)
@pytest.mark.parametrize("lost", [1, 60])
def test_missing_bytes_are_counted(tmp_path, extension, lost):
    path = tmp_path / f"x{extension}"
    video_files.write(path, video_files.noise(20), CONTAINERS[extension])
    video_files.cut(path, path.stat().st_size - lost)
    assert video.missing_bytes(path) == lost


def test_a_file_that_lost_only_its_index_is_whole(tmp_path):
    path = video_files.write(tmp_path / "x.avi", video_files.noise(40), "mp4v")
    video_files.cut(path, path.stat().st_size - 60)
    assert len(decode(path)) == 40


def test_files_that_are_no_videos(tmp_path):
    text, empty, none = (tmp_path / name for name in ("text.avi", "empty.avi", "none.avi"))
    text.write_text("no video\n" * 100)
    empty.touch()
    video_files.write(none, video_files.noise(0), "mp4v")
    assert none.stat().st_size > 0
    assert reason(text) == "not a video that the decoder can open"
    assert reason(empty) == "the file is empty"
    assert reason(none) == "holds no frame that can be decoded"
    with pytest.raises(video.VideoError, match="the file is empty"):
        video.frame_rate(empty)


def test_absent_and_forbidden_files_say_so_themselves(tmp_path, monkeypatch):
    path = video_files.write(tmp_path / "x.avi", video_files.noise(5))
    (tmp_path / "dangling.avi").symlink_to(tmp_path / "gone.avi")
    with pytest.raises(FileNotFoundError):
        list(video.frames(tmp_path / "dangling.avi"))

    def forbidden(name, *args):
        if str(name) == str(path):
            raise PermissionError(13, "Permission denied", str(name))
        return builtins.open(name, *args)

    monkeypatch.setattr(video, "open", forbidden, raising=False)
    with pytest.raises(PermissionError):
        list(video.frames(path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path):
    path = video_files.write(tmp_path / "x.avi", video_files.noise(5))
    path.chmod(0)
    with pytest.raises(PermissionError):
        list(video.frames(path))


class Declaring:
    """A capture that declares another number of frames than it holds."""

    def __init__(self, capture, declared):
        self.capture, self.declared = capture, declared

    def get(self, what):
        return self.declared if what == cv2.CAP_PROP_FRAME_COUNT else self.capture.get(what)

    def __getattr__(self, name):
        return getattr(self.capture, name)


@pytest.mark.parametrize("declared, good", [(25, True), (26, False), (20, True), (-1e18, True)])
def test_an_estimate_may_be_a_fifth_too_large(tmp_path, monkeypatch, declared, good):
    path = video_files.write(tmp_path / "x.avi", video_files.noise(20))
    opened = video._open
    monkeypatch.setattr(video, "_open", lambda path: Declaring(opened(path), declared))
    if good:
        assert len(list(video.frames(path))) == 20
    else:
        assert reason(path) == "truncated: 20 of 26 declared frames can be decoded"
