"""Decoding of unusual files: streams, orientation, colours, interlacing, rates, no video."""

import itertools
import os
import socket
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
import video_files
from video_files import coded, encode, film, numbers

from mas import video
from mas.video import opening, pictures, reading

CORNERS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255,) * 3}
WILD = ["inter.mp4", "mixed.mpg", "audiolong.mkv", "frag_audiolong.mp4", "halfrate.mkv"]
WILD += ["av1.mp4", "two_streams.mkv"]


def decode(path, **options):
    return np.stack(list(video.frames(path, **options)))


def refused(path):
    with pytest.raises(video.VideoError) as error:
        list(video.frames(path))
    return str(error.value)


def bars(images):
    """Reads the frame numbers in `videos/wild`: eight squares, the lowest bit first."""
    squares = images[:, 54:66, 16:144].reshape(len(images), 12, 8, 16, 3)[:, :, :, 2:14]
    return ((squares.mean((1, 3, 4)) > 125) @ (1 << np.arange(8))).tolist()


@pytest.mark.parametrize("name", WILD)
def test_wild_files_decode_correctly(shared, name):
    path = shared / "videos" / "wild" / name
    whole = decode(path)
    assert bars(whole) == list(range(48))
    facts = video.measure(path)
    assert facts.frames == 48
    np.testing.assert_array_equal(video.pick(path, [47, 3, 25], None, facts), whole[[47, 3, 25]])
    assert bars(decode(path, deinterlace=True)) == list(range(48))


# Streams.


def test_default_stream_else_largest_is_decoded(tmp_path):
    """As in players; stream ids, sound and cover pictures do not matter."""
    small, large = coded(10, (32, 24)), coded(20)
    cover = film(coded(1), "mjpeg", "yuvj420p", disposition=opening.ATTACHED)
    for number, (flags, count) in enumerate([((1, 0), 10), ((0, 1), 20), ((0, 0), 20)]):
        streams = [film(i, disposition=f) for i, f in zip((small, large), flags, strict=True)]
        for order in (streams, streams[::-1]):
            path = encode(tmp_path / f"{number}.mkv", *order)
            assert len(decode(path)) == count, flags
    path = encode(tmp_path / "x.mp4", film(small), cover, sound=1)
    assert len(decode(path)) == 10


def test_rejects_files_without_video(tmp_path):
    cover = film(coded(1), "mjpeg", "yuvj420p", disposition=opening.ATTACHED)
    path = encode(tmp_path / "cover.m4v", cover, muxer="mp4", sound=2)
    assert refused(path) == "contains a cover picture but no video"
    assert refused(encode(tmp_path / "sound.mp4", sound=1)) == "contains sound but no video"
    text, empty, none = (tmp_path / name for name in ("text.avi", "empty.avi", "none.avi"))
    text.write_text("no video\n" * 100)
    empty.touch()
    video_files.write(none, video_files.noise(0), "mp4v")
    assert none.stat().st_size > 0
    assert refused(text) == "not a video that the decoder can open"
    assert refused(empty) == "the file is empty"
    assert refused(none) == "contains no frame that can be decoded"
    for function in (video.frame_rate, video.measure, lambda path: video.pick(path, [0])):
        with pytest.raises(video.VideoError, match="the file is empty"):
            function(empty)


@pytest.mark.parametrize(
    "name, codec, known, unknown, called",
    [
        ("x.mp4", "libx264", b"avc1", b"zzzz", "zzzz"),
        ("x.avi", "mpeg4", b"FMP4", b"ZZZZ", "ZZZZ"),
        ("x.mkv", "libx264", b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XYZ", "V_MPEG4/ISO/XYZ"),
    ],
)
def test_unsupported_codec_is_named(tmp_path, name, codec, known, unknown, called):
    path = encode(tmp_path / name, film(coded(5), codec))
    path.write_bytes(path.read_bytes().replace(known, unknown))
    assert refused(path).startswith(f"its codec, {called}")


def test_special_files_are_not_opened(tmp_path):
    """Opening a FIFO without a writer would block."""
    os.mkfifo(tmp_path / "fifo.avi")
    (tmp_path / "device.avi").symlink_to("/dev/zero")
    (tmp_path / "folder.avi").mkdir()
    server = socket.socket(socket.AF_UNIX)
    server.bind(os.path.relpath(tmp_path / "socket.avi"))
    for name, kind in (("fifo", "FIFO"), ("device", "device"), ("folder", "folder")):
        assert refused(tmp_path / f"{name}.avi") == f"is a {kind}, not a video file"
    assert refused(tmp_path / "socket.avi") == "is a socket, not a video file"
    server.close()


def test_non_utf8_metadata_is_ignored(tmp_path):
    path = encode(tmp_path / "x.avi", film(coded(3)))
    content = path.read_bytes()
    assert b"Lavf" in content  # the name of the program that wrote it
    path.write_bytes(content.replace(b"Lavf", b"Lav\xe9"))
    assert numbers(decode(path)) == [0, 1, 2]


def test_rejects_playlists(tmp_path):
    video_files.write(tmp_path / "other.avi", video_files.noise(5))
    lists = {"a.mp4": "ffconcat version 1.0\nfile other.avi\n", "b.ts": "#EXTM3U\nother.avi\n"}
    lists["c.mkv"] = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.avi\n#EXT-X-ENDLIST\n"
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        assert refused(tmp_path / name) == "not a video that the decoder can open"


def test_rejects_huge_pictures(tmp_path, monkeypatch):
    path = encode(tmp_path / "x.mp4", film(coded(5)))
    monkeypatch.setattr(opening, "MOST_PIXELS", 1000)
    assert "codec mpeg4, 5 lost" in refused(path)


# Orientation.


MATRICES = [(a, 0, 0, d) for a, d in itertools.product((1, -1), repeat=2)]
MATRICES += [(0, b, c, 0) for b, c in itertools.product((1, -1), repeat=2)]


def shown(image, matrix):
    """Reference, pixel by pixel: (x, y) maps to (a x + c y, b x + d y)."""
    a, b, c, d = matrix
    height, width = image.shape[:2]
    places = {
        (b * x + d * y, a * x + c * y): image[y, x] for y in range(height) for x in range(width)
    }
    top, left = (min(place[axis] for place in places) for axis in (0, 1))
    rows, columns = (width, height) if b else (height, width)
    return np.array([[places[top + y, left + x] for x in range(columns)] for y in range(rows)])


@pytest.mark.parametrize("matrix", MATRICES)
def test_all_eight_display_matrices(tmp_path, matrix):
    """The matrix is in the track header: nine numbers after time, duration and layer."""
    images = video_files.moving(3, (1, 0), size=(32, 16))
    path = encode(tmp_path / "x.mp4", film(images, "libx264rgb", "rgb24", qp="0"))
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 44
    a, b, c, d = (number << 16 for number in matrix)
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    expected = np.stack([shown(image, matrix) for image in images])
    np.testing.assert_array_equal(decode(path), expected)
    size = (expected.shape[2] // 2, expected.shape[1] // 2)
    assert decode(path, size=size).shape == (3, size[1], size[0], 3)
    facts = video.measure(path)
    assert (facts.height, facts.width) == expected.shape[1:3]
    np.testing.assert_array_equal(video.pick(path, [2, 0], None, facts), expected[[2, 0]])


def test_mirrored_wild_file_is_oriented(shared):
    first = decode(shared / "videos" / "wild" / "hflip.mp4")[0].astype(int)
    for (y, x), colour in zip(
        itertools.product((4, -4), repeat=2), ("green", "red", "white", "blue"), strict=True
    ):
        assert np.abs(first[y, x] - CORNERS[colour]).max() < 40, (y, x)


def test_odd_display_matrix_and_unknown_side_data():
    image = np.arange(24).reshape(4, 6)
    slight = np.array([[65000, 3000, 0], [-3000, 65000, 0], [0, 0, 1 << 30]])
    assert pictures.oriented(image, slight).tolist() == image.tolist()

    class Unknown:
        rotation = 90

        @property
        def side_data(self):
            raise ValueError("30 is not a valid Type")

    found = pictures.oriented(image, pictures.display_matrix(Unknown()))
    assert found.tolist() == np.rot90(image).tolist()  # against the clock


# Colours.


def converted(yuv, red, blue, full):
    """R G B of a colour by ITU-T H.273, table 4: the matrix by its weights of red and blue."""
    y, u, v = (np.array(yuv) - (0, 128, 128)) / 255
    if not full:
        y, u, v = (y - 16 / 255) * 255 / 219, u * 255 / 224, v * 255 / 224
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    return np.clip(255 * np.array([r, (y - red * r - blue * b) / (1 - red - blue), b]), 0, 255)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    "matrix, red, blue",
    [(1, 0.2126, 0.0722), (6, 0.299, 0.114), (2, 0.299, 0.114), (9, 0.2627, 0.0593)],
)
def test_colours_follow_matrix_and_range_of_file(tmp_path, matrix, red, blue, full):
    """BT.709, BT.601 and BT.2020; BT.601 if the file names none."""
    colours = [(90, 100, 170), (150, 60, 120), (200, 128, 128), (60, 160, 90)]
    images = [np.full((48, 16), 0, np.uint8) for _ in colours]
    for image, (y, u, v) in zip(images, colours, strict=True):
        image[:32], image[32:40], image[40:] = y, u, v  # 32 x 16 in 4:2:0, plane by plane
    for name, codec in (("x.mkv", "ffv1"), ("x.mp4", "libx264")):
        colours_of_it = (matrix, 2 if full else 1)
        path = encode(tmp_path / name, film(images, codec, size=(16, 32), colours=colours_of_it))
        found = decode(path).mean((1, 2))
        for colour, rgb in zip(colours, found, strict=True):
            assert np.abs(rgb - converted(colour, red, blue, full)).max() < 3, (name, colour)


# Interlaced frames.


def woven(frames):
    """Weaves frames: even lines from one time, odd lines from the next."""
    fields = video_files.moving(2 * frames, (2, 0), size=(64, 48))
    images = fields[::2].copy()
    images[:, 1::2] = fields[1::2, 1::2]
    return images


def combed(images):
    """Amount of combing: how far lines differ from the mean of their neighbours."""
    grey = images[..., 0].astype(float)
    return np.abs(grey[:, 1:-1] - (grey[:, :-2] + grey[:, 2:]) / 2).mean()


@pytest.mark.parametrize(
    "name, codec", [("x.mp4", "libx264"), ("x.mpg", "mpeg2video"), ("x.avi", "mpeg4")]
)
def test_interlaced_frames_are_kept_or_deinterlaced(tmp_path, name, codec):
    images = woven(12)
    options = {"flags": "+ilme+ildct", "b": "4M"}
    path = encode(tmp_path / name, film(images, codec, **options))
    found = decode(path)
    assert np.abs(found.astype(int) - images).mean() < 6
    apart = decode(path, deinterlace=True)
    assert apart.shape == found.shape
    assert combed(found) > 10 > 3 * combed(apart[1:-1])


def test_progressive_frames_of_mixed_file_are_not_filtered(shared):
    path = shared / "videos" / "wild" / "mixed.mpg"
    plain, filtered = decode(path), decode(path, deinterlace=True)
    np.testing.assert_array_equal(filtered[:24], plain[:24])
    assert (filtered[24:] != plain[24:]).any((1, 2, 3)).all()


def test_undeinterlaceable_file_is_reported(tmp_path):
    path = encode(tmp_path / "x.mkv", film(np.zeros((3, 2, 2, 3), np.uint8), "ffv1", "yuv444p"))
    with pytest.raises(video.VideoError, match="cannot be deinterlaced: Invalid argument"):
        decode(path, deinterlace=True)


# Rates.


def resampled_by_ffmpeg(path, fps):
    """Numbers of the frames that FFmpeg's filter `fps` returns."""
    with av.open(str(path)) as container:
        stream, graph = container.streams.video[0], av.filter.Graph()
        source = graph.add_buffer(template=stream, time_base=stream.time_base)
        graph.link_nodes(source, graph.add("fps", str(fps)), graph.add("buffersink")).configure()
        images = []
        for frame in itertools.chain(container.decode(stream), [None]):
            graph.push(frame)
            while True:
                try:
                    images.append(graph.vpull().to_ndarray(format="rgb24"))
                except (av.error.BlockingIOError, av.error.EOFError):
                    break
    return numbers(images)


TIMES = {
    "constant": [40 * n for n in range(40)],
    "half": [*range(0, 800, 40), *range(800, 2400, 80)],
    "pause": [*range(0, 400, 40), *range(1400, 2600, 40)],
}


@pytest.mark.parametrize("fps", [25, 12.5, 10, 50, 29.97])
@pytest.mark.parametrize("times", TIMES)
def test_constant_rate_by_timestamps(tmp_path, times, fps):
    path = encode(tmp_path / "x.mkv", film(coded(40), "libx264", times=TIMES[times]))
    assert numbers(decode(path)) == list(range(40))
    found = numbers(decode(path, fps=fps))
    assert found == resampled_by_ffmpeg(path, fps)
    if times == "half" and fps == 25:
        assert found[:-1] == [*range(20), *np.repeat(range(20, 40), 2)][: len(found) - 1]
    facts = video.measure(path)
    assert numbers(video.pick(path, [39, 22, 3], None, facts)) == [39, 22, 3] and facts.times


def test_rejects_jumping_timestamps_at_constant_rate(tmp_path):
    shots = [video_shot(time) for time in (0, 40, 4_000_000)]
    with pytest.raises(video.VideoError, match="its times jump by 4000 seconds"):
        list(reading.resampled(shots, 25, Fraction(1, 1000), 40))


def video_shot(time):
    from mas.video.film import Shot

    return Shot(time, 0, None)


def test_avi_times_come_from_packets(tmp_path):
    """In avi, B frames have no presentation times."""
    path = encode(tmp_path / "x.avi", film(coded(40), bf="2"))
    assert numbers(decode(path, fps=25)) == list(range(40))
    assert numbers(decode(path, fps=12.5)) == list(range(0, 40, 2))
