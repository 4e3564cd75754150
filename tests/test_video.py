"""Decoding of whole files in order, and of selected frames."""

import collections
import dataclasses
import sys

import cv2
import numpy as np
import pytest
import video_files
from video_files import coded, encode, film, numbers

from mas import lists, video
from mas.video import access
from mas.video import film as films

# Of each extension that is looked for a codec that is usual in it, and the container if the
# extension does not tell. AV1 is in `videos/wild`.
CONTAINERS = {
    ".avi": ("mpeg4", None),
    ".mp4": ("libx264", None),
    ".mkv": ("libx264", None),
    ".mov": ("mjpeg", None),
    ".webm": ("libvpx-vp9", None),
    ".m4v": ("libx264", "mp4"),
    ".mpg": ("mpeg1video", None),
    ".mpeg": ("mpeg2video", None),
    ".wmv": ("wmv2", None),
    ".flv": ("flv", None),
    ".gif": ("gif", None),
    ".3gp": ("libx264", None),
    ".ts": ("mpeg2video", None),
    ".mts": ("libx264", "mpegts"),
    ".m2ts": ("libx264", None),
    ".ogv": ("libvpx", "ogg"),
}
PIXELS = collections.defaultdict(lambda: "yuv420p", gif="rgb8", mjpeg="yuvj420p")

# Frames that decode and frames per second, as OpenCV 5.0 and FFmpeg's own tools count them, and
# whether jumps lead to the right frame. Some run with --runslow.
QUICK = {
    "v_SoccerJuggling_g23_c01": (240, 29.97, True),
    "baseball": (167, 27.89, True),  # its container holds 183, of which 16 are not shown
    "hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6": (83, 30.0, False),  # tells no times
    "realshort": (36, 30.02, True),
}
MIXED = QUICK | {
    "R6llTwEh07w": (303, 30.0, True),
    "RATRACE_wave_f_nm_np1_fr_goo_37": (72, 30.0, False),
    "SOX5yA1l24A": (332, 29.97, True),
    "SchoolRulesHowTheyHelpUs_wave_f_nm_np1_ba_med_0": (74, 30.0, False),
    "TrumanShow_wave_f_nm_np1_fr_med_26": (48, 30.0, False),
    "WUzgd7C1pWA": (327, 29.97, True),
    "basketball": (333, 29.97, True),
    "flipping_a_pancake": (310, 30.0, True),
    "v_SoccerJuggling_g24_c01": (251, 29.97, True),
}


def decode(path, size=None, **options):
    return np.stack(list(video.frames(path, size, **options)))


# Whole files.


def test_frames_are_exact_ordered_and_rgb(tmp_path):
    images = video_files.noise(20)
    path = video_files.write(tmp_path / "x.avi", images)
    assert decode(path).dtype == np.uint8
    np.testing.assert_array_equal(decode(path), images)
    np.testing.assert_array_equal(decode(path, video_files.SIZE), images)


def test_decodes_every_known_container(tmp_path):
    """Checks colours and order, of all frames and of a selection."""
    images = coded(40) // np.array([1, 2, 4], np.uint8)
    assert set(CONTAINERS) == lists.VIDEO_EXTENSIONS
    for extension, (codec, muxer) in CONTAINERS.items():
        stream = film(images, codec, PIXELS[codec], g="12", b="400k")
        path = encode(tmp_path / f"x{extension}", stream, muxer=muxer)
        found = decode(path)
        assert numbers(found[..., :1]) == list(range(40)), extension
        worst = 40 if extension == ".gif" else 12  # of 256 colours
        assert np.abs(found.mean((1, 2)) - images.mean((1, 2))).max() < worst, extension
        assert video.frame_rate(path) == pytest.approx(25, rel=0.01), extension
        facts = video.measure(path)
        assert (facts.frames, facts.height, facts.width) == (40, 48, 64)
        assert facts.times or extension == ".avi", extension
        np.testing.assert_array_equal(
            video.pick(path, [39, 3, 20], None, facts), found[[39, 3, 20]]
        )


def resized(image, size):
    """Reference bilinear resizing: pixel centres at half integers, edges repeated."""
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
def test_written_video_reads_back_equal(tmp_path, name):
    images = video_files.moving(12, (1, 0), size=(96, 64))
    images[..., 0] //= 2  # so that the channels differ
    video.write(tmp_path / name, images, rate=20)
    assert video.frame_rate(tmp_path / name) == pytest.approx(20)
    assert video.declared_frames(tmp_path / name) == 12
    assert video.declared_frames(tmp_path / name, fps=5) == 3
    difference = np.abs(decode(tmp_path / name).astype(float) - images)
    assert difference.mean() < 6
    with pytest.raises(video.VideoError, match="cannot be written: .*absent"):
        video.write(tmp_path / "absent" / name, images)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in MIXED]
)
def test_mixed_clips(shared, name):
    """Decodes all frames, and 17 by seeking to exactly the right frame."""
    assert {path.stem for path in (shared / "videos" / "mixed").iterdir()} == set(MIXED)
    count, rate, jumps = MIXED[name]
    (path,) = (shared / "videos" / "mixed").glob(f"{name}.*")
    whole = decode(path, (86, 64))
    assert whole.shape == (count, 64, 86, 3)
    assert round(video.frame_rate(path), 2) == rate
    facts = video.measure(path)
    assert facts.frames == count and bool(facts.times) == jumps
    first = np.random.default_rng(0).integers(0, count - 16)
    indices = [*range(first, first + 16), count - 1]
    np.testing.assert_array_equal(video.pick(path, indices, (86, 64), facts), whole[indices])


def opencv(path):
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    while (read := capture.read())[0]:
        yield cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)


@pytest.mark.parametrize(
    "pattern",
    [
        "mixed/[hr]*",
        "mixed/*g23*",
        "weizmann/run/*",
        pytest.param("mixed/*", marks=pytest.mark.slow),
        pytest.param("weizmann/*/*", marks=pytest.mark.slow),
    ],
)
def test_frames_equal_opencv(shared, pattern):
    """OpenCV was the earlier decoder. With OpenCV 5.0, all values are equal."""
    paths = sorted(path for path in (shared / "videos").glob(pattern) if path.suffix != ".md")
    assert paths
    for path in paths:
        for ours, theirs in zip(video.frames(path), opencv(path), strict=True):
            difference = cv2.absdiff(ours, theirs).max()
            assert difference <= (0 if cv2.__version__ >= "4.13" else 2), path.name


# Some frames of a file.


INDICES = [150, 3, 199, 3, 60, 61, 0, 152]


@pytest.fixture
def decoded(monkeypatch):
    """Records the number of decoded frames of every file opened afterwards."""
    counts, opened = [], films.Film._decoded

    def counted(self):
        counts.append(0)
        for frame in opened(self):
            counts[-1] += 1
            yield frame

    monkeypatch.setattr(films.Film, "_decoded", counted)
    return counts


@pytest.mark.parametrize(
    "name, codec, options",
    [
        ("x.avi", "ffv1", {"g": "1"}),
        ("x.mp4", "libx264", {"g": "30"}),
        ("x.webm", "libvpx", {"g": "200", "deadline": "realtime"}),
        ("x.ts", "libx264", {"g": "30"}),
    ],
)
def test_selected_frames_equal_those_of_full_decode(tmp_path, name, codec, options):
    path = encode(tmp_path / name, film(coded(200), codec, **options))
    facts = video.measure(path)
    assert (facts.frames, facts.height, facts.width) == (200, 48, 64) and facts.times
    whole = decode(path)
    for known in (None, facts):
        found = video.pick(path, INDICES, None, known)
        assert found.dtype == np.uint8 and numbers(found) == INDICES
        np.testing.assert_array_equal(found, whole[INDICES])
    np.testing.assert_array_equal(
        video.pick(path, INDICES, (30, 20), facts), decode(path, (30, 20))[INDICES]
    )


def test_seeking_skips_frames_between(tmp_path, decoded):
    path = encode(tmp_path / "x.avi", film(coded(200), g="12", sc_threshold="1000000000"))
    facts = video.measure(path)
    assert facts.times == "0 1" and facts.keys == "0,12*16"
    for indices, known, expected in (
        ([150], None, [151]),
        ([150], facts, [0, 7]),  # from key frame 144 on
        ([3, 150, 151], facts, [4, 8]),
        ([3, 11, 12, 13], facts, [14]),
        ([144], facts, [0, 1]),
        ([11], facts, [12]),
        ([12], facts, [0, 1]),
    ):
        del decoded[:]
        assert numbers(video.pick(path, indices, None, known)) == indices
        assert [count for count in decoded if count] == [count for count in expected if count]


@pytest.mark.parametrize(
    "times, text",
    [
        ([*range(0, 400, 40), *range(400, 4000, 90)], "0,40*10,90*39"),
        ([(2002 * n + 30) // 60 for n in range(50)], "0 1001/30"),
    ],
)
def test_seeking_uses_timestamps_at_variable_rate(tmp_path, times, text, decoded):
    stream = film(
        coded(50), "libx264", rate=30 if "/" in text else 25, times=times, g="10", sc_threshold="0"
    )
    path = encode(tmp_path / "x.mkv", stream)
    facts = video.measure(path)
    assert facts.keys == "0,10*4"
    if "/" not in text:
        assert facts.times == text
    del decoded[:]
    assert numbers(video.pick(path, [33, 34, 2], None, facts)) == [33, 34, 2]
    assert sum(decoded) < 20
    assert access._write_times(times, access.Fraction(1001, 30)) == text
    assert access._read_times(text, 50).tolist() == times


def test_inexact_seek_is_corrected(tmp_path, decoded, monkeypatch):
    path = encode(tmp_path / "x.avi", film(coded(200), g="12", sc_threshold="1000000000"))
    facts = video.measure(path)
    for change in ({"times": "0 2"}, {"lead": -13}):
        del decoded[:]
        wrong = dataclasses.replace(facts, **change)
        assert numbers(video.pick(path, [5, 150, 190], None, wrong)) == [5, 150, 190]
        assert decoded[-1] == 191, change
    wrong = dataclasses.replace(facts, keys="0,11*17")
    assert numbers(video.pick(path, [5, 150, 190], None, wrong)) == [5, 150, 190]
    seek = films.Film.seek
    with monkeypatch.context() as patch:
        patch.setattr(films.Film, "seek", lambda film, time: False)
        assert numbers(video.pick(path, [150, 5], None, facts)) == [150, 5]
        assert video.measure(path).times == ""
    monkeypatch.setattr(films.Film, "seek", lambda film, time: seek(film, time + 90))
    assert video.measure(path).times == ""


def test_seek_to_wrong_pixels_is_detected(tmp_path, monkeypatch):
    path = encode(tmp_path / "x.avi", film(coded(100), g="12"))
    prints = iter(range(200))
    monkeypatch.setattr(access, "_fingerprint", lambda frame: next(prints))
    assert video.measure(path) == video.Facts(100, 48, 64)


def test_unselectable_frames_are_explained(tmp_path):
    path = video_files.write(tmp_path / "x.avi", video_files.noise(30))

    def says(message, function, *arguments):
        with pytest.raises(video.VideoError, match=message):
            function(path, *arguments)

    says("frame 30 cannot be decoded", video.pick, [3, 30])
    video_files.cut(path, 0.5)
    assert video.pick(path, [3]).shape == (1, 32, 48, 3)
    says("frame 29 cannot be decoded", video.pick, [3, 29])
    says("truncated: 1. of 30 declared frames", video.measure)
    path.write_text("no video")
    says("not a video that the decoder can open", video.measure)
    says("not a video that the decoder can open", video.pick, [0])


def test_decoder_is_imported_lazily():
    import subprocess

    code = "import sys, mas.video; print({'av', 'cv2', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
    assert video.decoder().startswith("PyAV ")
