import re
import struct

import cv2
import numpy as np
import pytest
import video_files

from mas import lists, video

# Codecs that OpenCV writes into the containers, and into the others that are looked for.
CONTAINERS = {".avi": "mp4v", ".mp4": "mp4v", ".mkv": "mp4v", ".mov": "mp4v", ".webm": "VP80"}
OTHERS = {".m4v": "mp4v", ".mpg": "MPG1", ".mpeg": "MPG1", ".wmv": "WMV2", ".flv": "FLV1"}

# Frames that decode and frames per second, as OpenCV 5.0 and FFmpeg's own tools count them, and
# whether jumps lead to the right frame. Some run with --runslow.
QUICK = {
    "v_SoccerJuggling_g23_c01": (240, 29.97, True),
    "baseball": (167, 27.89, False),  # declares 183; a jump to 81 ends at 85
    "hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6": (83, 30.0, False),  # tells no times
    "realshort": (36, 30.02, None),
}
MIXED = QUICK | {
    "R6llTwEh07w": (303, 30.0, True),
    "RATRACE_wave_f_nm_np1_fr_goo_37": (72, 30.0, None),
    "SOX5yA1l24A": (332, 29.97, True),
    "SchoolRulesHowTheyHelpUs_wave_f_nm_np1_ba_med_0": (74, 30.0, None),
    "TrumanShow_wave_f_nm_np1_fr_med_26": (48, 30.0, None),
    "WUzgd7C1pWA": (327, 29.97, None),
    "basketball": (333, 29.97, None),
    "flipping_a_pancake": (310, 30.0, True),
    "v_SoccerJuggling_g24_c01": (251, 29.97, None),
}


def decode(path, size=None):
    return np.stack(list(video.frames(path, size)))


def reason(path):
    with pytest.raises(video.VideoError) as error:
        list(video.frames(path))
    return str(error.value)


# Decoding.


def test_frames_are_exact_in_order_and_r_g_b(tmp_path):
    images = video_files.noise(20)
    path = video_files.write(tmp_path / "x.avi", images)
    assert decode(path).dtype == np.uint8
    np.testing.assert_array_equal(decode(path), images)
    np.testing.assert_array_equal(decode(path, video_files.SIZE), images)


def test_every_container_that_is_looked_for_gives_back_colours_and_order(tmp_path):
    colours = [(20 + 9 * t, 220 - 8 * t, 100 + 5 * (t % 3)) for t in range(20)]
    images = np.stack([np.full((64, 96, 3), colour, np.uint8) for colour in colours])
    assert {*CONTAINERS, *OTHERS} == lists.VIDEO_EXTENSIONS
    for extension, codec in (CONTAINERS | OTHERS).items():
        found = decode(video_files.write(tmp_path / f"x{extension}", images, codec))
        assert found.shape == (20, 64, 96, 3), extension
        assert np.abs(found.mean((1, 2)) - colours).max() < 5, extension


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


def test_resizing_is_bilinear_and_takes_width_first(tmp_path):
    images, size = video_files.noise(2), (31, 40)
    found = decode(video_files.write(tmp_path / "x.avi", images), size)
    assert found.shape == (2, size[1], size[0], 3)
    expected = np.stack([resized(image.astype(float), size) for image in images])
    assert np.abs(found - expected).max() <= 1  # OpenCV counts in fixed point


@pytest.mark.parametrize("name", ["x.avi", "x.mp4"])
def test_what_write_writes_reads_back(tmp_path, name):
    images = video_files.moving(12, (1, 0), size=(96, 64))
    images[..., 0] //= 2  # so that the channels differ
    video.write(tmp_path / name, images, rate=20)
    assert video.frame_rate(tmp_path / name) == pytest.approx(20)
    difference = np.abs(decode(tmp_path / name).astype(float) - images)
    assert difference.mean() < 6
    path = video_files.write(tmp_path / "y.avi", images, rate=12.5)
    assert video.frame_rate(path) == pytest.approx(12.5)
    with pytest.raises(video.VideoError, match="cannot be written: .*absent"):
        video.write(tmp_path / "absent" / name, images)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in MIXED]
)
def test_mixed_clips(shared, name):
    """Whole, and 17 frames by jumps to the right frame or not at all."""
    assert {path.stem for path in (shared / "videos" / "mixed").iterdir()} == set(MIXED)
    count, rate, jumps = MIXED[name]
    (path,) = (shared / "videos" / "mixed").glob(f"{name}.*")
    whole = decode(path, (86, 64))
    assert whole.shape == (count, 64, 86, 3)
    assert round(video.frame_rate(path), 2) == rate
    if jumps is None:
        return
    facts = video.measure(path)
    assert facts.frames == count and bool(facts.jump) == jumps
    first = np.random.default_rng(0).integers(0, count - 16)
    indices = [*range(first, first + 16), count - 1]
    np.testing.assert_array_equal(video.pick(path, indices, (86, 64), facts.jump), whole[indices])


# What cannot be read.


@pytest.mark.parametrize(
    "extension, share, expected",
    [
        (".avi", 0.05, "truncated: {missing} bytes that the container declares are missing"),
        (".avi", 0.8, r"truncated: \d+ of 40 declared frames can be decoded"),
        (".mp4", 0.9, "truncated: {missing} bytes that the container declares are missing"),
        (".mkv", 0.01, "truncated: {missing} bytes that the container declares are missing"),
        (".mkv", 0.95, r"truncated: 3\d of 40 declared frames can be decoded"),
        (".webm", 0.1, "truncated: 0 of 40 declared frames can be decoded"),
    ],
)
def test_truncated_files(tmp_path, extension, share, expected):
    path = tmp_path / f"x{extension}"
    video_files.write(path, video_files.noise(40), CONTAINERS[extension])
    assert video.missing_bytes(path) == 0
    whole = path.stat().st_size
    video_files.cut(path, share)
    missing = video.missing_bytes(path)
    assert 0 < missing <= whole - path.stat().st_size  # of mp4, up to the index that is gone
    found = reason(path)
    assert re.fullmatch(expected.format(missing=missing), found), found


@pytest.mark.parametrize("extension", CONTAINERS)
def test_missing_bytes_are_counted(tmp_path, extension):
    path = tmp_path / f"x{extension}"
    video_files.write(path, video_files.noise(20), CONTAINERS[extension])
    whole = path.stat().st_size
    for lost in (0, 1, 60):
        video_files.cut(path, whole - lost)
        assert video.missing_bytes(path) == lost
    if extension == ".avi":  # which lost its index alone
        assert len(decode(path)) == 20


def test_every_form_of_a_declared_length(tmp_path):
    """64 bits, two bytes; and no length at all."""
    ftyp, box = b"\0\0\0\x10ftyp" + bytes(8), struct.Struct(">I4sQ")
    ebml, segment = b"\x1a\x45\xdf\xa3\x80", b"\x18\x53\x80\x67"
    for data, missing in (
        (ftyp + box.pack(1, b"mdat", 1000), 1000 - 16),
        (ftyp + box.pack(0, b"mdat", 1000), 0),
        (ebml + segment + b"\x42\x00", 512),
        (ebml + segment + b"\x01" + b"\xff" * 7, 0),
    ):
        (tmp_path / "x").write_bytes(data)
        assert video.missing_bytes(tmp_path / "x") == missing


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

    def forbidden(*_):
        raise PermissionError

    monkeypatch.setattr(video, "open", forbidden, raising=False)  # root may read everything
    with pytest.raises(PermissionError):
        list(video.frames(path))


class Capture:
    """A capture that counts what it decodes, and declares another number than it holds."""

    def __init__(self, capture, declared=None, shows=True):
        self._capture, self._declared, self._shows, self.grabbed = capture, declared, shows, 0

    def __getattr__(self, name):
        return getattr(self._capture, name)

    def get(self, what):
        declared = what == cv2.CAP_PROP_FRAME_COUNT and self._declared
        return declared or self._capture.get(what)

    def grab(self):
        self.grabbed += 1
        return self._capture.grab()

    def retrieve(self):
        return self._capture.retrieve() if self._shows else (False, None)


@pytest.fixture
def opened(monkeypatch):
    """A function: what captures are from now on, and the list of those that are opened."""

    def so(opened=video._open, **changes):
        captures = []
        monkeypatch.setattr(
            video,
            "_open",
            lambda *a: captures.append(Capture(opened(*a), **changes)) or captures[-1],
        )
        return captures

    return so


def test_an_estimate_may_be_a_fifth_too_large(tmp_path, opened):
    path = video_files.write(tmp_path / "x.avi", video_files.noise(20))
    for declared in (25, 20, -1e18):
        opened(declared=declared)
        assert len(list(video.frames(path))) == 20
    opened(declared=26)
    assert reason(path) == "truncated: 20 of 26 declared frames can be decoded"


# Some frames of a file.


def coded(frames, size=(64, 48)):
    """Images that tell their number: bit k is the brightness of the k-th column of blocks."""
    bits = (np.arange(frames)[:, None] >> np.arange(8)) & 1
    columns = np.repeat(40 + 170 * bits, size[0] // 8, axis=1).astype(np.uint8)
    return np.broadcast_to(columns[:, None, :, None], (frames, size[1], size[0], 3))


def numbers(images):
    """The numbers that `coded` images tell, however they were compressed or resized."""
    bright = np.stack(np.array_split(images.mean((1, 3)), 8, axis=1)).mean(2) > 125
    return (bright.T @ (1 << np.arange(8))).tolist()


INDICES = [150, 3, 199, 3, 60, 61, 0, 152]


@pytest.mark.parametrize(
    ("extension", "codec"), [("avi", "FFV1"), ("mp4", "mp4v"), ("webm", "VP80")]
)
def test_any_frames_are_those_of_the_whole(tmp_path, extension, codec):
    path = video_files.write(tmp_path / f"x.{extension}", coded(200), codec)
    facts = video.measure(path)
    assert (facts.frames, facts.height, facts.width) == (200, 48, 64)
    assert facts.jump == 0 or 16 < facts.jump <= 216
    whole = decode(path)
    for jump in {0, facts.jump}:
        found = video.pick(path, INDICES, None, jump)
        assert found.dtype == np.uint8 and numbers(found) == INDICES
        np.testing.assert_array_equal(found, whole[INDICES])
    np.testing.assert_array_equal(
        video.pick(path, INDICES, (30, 20), facts.jump), decode(path, (30, 20))[INDICES]
    )


def test_a_jump_leaves_out_what_lies_between(tmp_path, opened):
    path = video_files.write(tmp_path / "x.avi", coded(200), "mp4v")
    jump = video.measure(path).jump
    assert 16 < jump < 40  # a key frame in every 12
    for indices, jumps, expected in (
        ([150], 0, 151),
        ([150], jump, 1),
        ([3, 150, 151], jump, 4 + 2),
        ([150, 152], jump, 1 + 2),
        ([jump - 1], jump, jump),
        ([jump], jump, 1),
    ):
        captures = opened()
        assert numbers(video.pick(path, indices, None, jumps)) == indices
        assert captures[0].grabbed == expected


def test_a_jump_that_ends_elsewhere_is_made_good(tmp_path, opened, monkeypatch):
    path = video_files.write(tmp_path / "x.avi", coded(200), "mp4v")
    monkeypatch.setattr(video, "_is_at", lambda capture, index: False)
    captures = opened()
    assert numbers(video.pick(path, [5, 150, 190], None, 30)) == [5, 150, 190]
    assert [capture.grabbed for capture in captures] == [6 + 1, 191]
    assert video.measure(path).jump == 0


def test_a_jump_to_other_pixels_counts_as_wrong(tmp_path, monkeypatch):
    path = video_files.write(tmp_path / "x.avi", coded(200), "mp4v")
    jump = video._jump
    monkeypatch.setattr(video, "_jump", lambda path, index: jump(path, index - (index > 150)))
    assert video.measure(path).jump == 0


def test_what_cannot_be_picked_says_why(tmp_path, opened):
    path = video_files.write(tmp_path / "x.avi", video_files.noise(30))

    def says(message, function, *arguments):
        with pytest.raises(video.VideoError, match=message):
            function(path, *arguments)

    says("frame 30 cannot be decoded", video.pick, [3, 30])
    video_files.cut(path, 0.5)
    assert video.pick(path, [3]).shape == (1, 32, 48, 3)
    says("frame 29 cannot be decoded", video.pick, [3, 29])
    says("truncated: 1. of 30 declared frames", video.measure)
    opened(shows=False)
    says("frame 0 cannot be decoded", video.measure)
    says("frame 0 cannot be decoded", video.pick, [0])
    path.write_text("no video")
    says("not a video that the decoder can open", video.measure)
    says("not a video that the decoder can open", video.pick, [0])
