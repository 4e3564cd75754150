"""Complete and damaged video files, and complete files that look damaged."""

import random
import re
import struct

import pytest
import video_files
from video_files import coded, encode, film, numbers

from mas import video
from mas.video import containers

FRAMES = 40
KINDS = {
    "x.avi": ("mpeg4", None),
    "x.mp4": ("libx264", None),
    "x.mkv": ("libx264", None),
    "x.webm": ("libvpx", None),
    "x.flv": ("flv", None),
    "x.wmv": ("wmv2", None),
    "x.gif": ("gif", None),
    "x.ogv": ("libvpx", "ogg"),
    "x.mpg": ("mpeg2video", None),
    "x.ts": ("libx264", None),
    "x.m2ts": ("libx264", None),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """{name: bytes} of a file of each kind."""
    folder, files = tmp_path_factory.mktemp("whole"), {}
    noise = video_files.noise(FRAMES, size=(64, 48)) // 4
    for name, (codec, muxer) in KINDS.items():
        options = {"g": "12", "deadline": "realtime"} if codec == "libvpx" else {"g": "12"}
        pixels = "rgb8" if codec == "gif" else "yuv420p"
        stream = film(coded(FRAMES) + noise, codec, pixels, **options)
        files[name] = encode(folder / name, stream, muxer=muxer).read_bytes()
    return files


def read(path, **options):
    """Numbers of the frames, and the reason why there are no more."""
    found = []
    try:
        for image in video.frames(path, **options):
            found.append(image)
    except video.VideoError as error:
        return numbers(found) if found else [], str(error)
    return numbers(found) if found else [], ""


def taken(path):
    """Numbers of the frames that decode, and the reported damage."""
    reasons = []
    found, error = read(path, damaged=reasons.append)
    assert not (error and reasons) and len(reasons) < 2
    return found, error or "".join(reasons)


@pytest.mark.parametrize("name", KINDS)
def test_intact_files_are_complete(whole, name, tmp_path):
    (tmp_path / name).write_bytes(whole[name])
    assert read(tmp_path / name) == taken(tmp_path / name) == (list(range(FRAMES)), "")
    assert not containers.check(tmp_path / name)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("share", [0.002, 0.3, 0.6, 0.85, 0.9, 0.97])
def test_truncated_file_is_rejected_or_partly_decoded(whole, name, share, tmp_path):
    path, data = tmp_path / name, whole[name]
    end = int(len(data) * share) | 1  # no multiple of a packet
    path.write_bytes(data[:end])
    found, reason = read(path)
    if found == list(range(FRAMES)) and not reason:
        assert share == 0.97  # what was cut off are no pictures
        return
    assert reason.startswith(("truncated: ", "not a video")), reason
    found, told = taken(path)
    assert found == sorted(set(found)) and len(found) <= FRAMES
    assert told == reason
    if found:
        assert re.search(rf"\b{len(found)} (frame|of {FRAMES} declared)", reason), reason
    for function in (video.measure, lambda path: list(video.frames(path))):
        with pytest.raises(video.VideoError, match=re.escape(reason)):
            function(path)


# Within a packet of ASF or of a program stream, and in the images of a gif, nothing tells.
@pytest.mark.parametrize("name", sorted(KINDS.keys() - {"x.wmv", "x.mpg", "x.gif"}))
@pytest.mark.parametrize("damage", ["zeros", "gap"])
def test_file_damaged_inside_is_reported(whole, name, damage, tmp_path):
    """No frame is lost in silence."""
    rng, data = random.Random(f"{name} {damage}"), whole[name]
    for _ in range(6):
        start, length = int(len(data) * rng.uniform(0.2, 0.8)), rng.choice([300, 1500])
        filling = bytes(length) if damage == "zeros" else b""
        path = tmp_path / name
        path.write_bytes(data[:start] + filling + data[start + length :])
        found, reason = read(path)
        assert reason or len(found) == FRAMES
        assert not reason or reason.startswith(("damaged: ", "truncated: ", "not a", "contains no"))
        found, told = taken(path)
        assert told == reason and len(found) <= FRAMES


def mutated(data, rng):
    """Changes the bytes of a file at random."""
    data, length = bytearray(data), len(data)
    start, other = rng.randrange(length), rng.randrange(length)
    kind = rng.choice(["bits", "head", "zeros", "cut", "drop", "insert", "move"])
    if kind in ("bits", "head"):
        end = length if kind == "bits" else min(length, 700)
        for _ in range(rng.choice([1, 5, 50])):
            data[rng.randrange(end)] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
    elif kind == "zeros":
        data[start : start + 500] = bytes(len(data[start : start + 500]))
    elif kind == "insert":
        data[start:start] = rng.randbytes(rng.choice([1, 50, 2000]))
    elif kind == "move":
        data[start:start] = data[other : other + 500]
    else:
        del data[start : None if kind == "cut" else start + rng.choice([1, 100, 3000])]
    return bytes(data)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 20))]
)
def test_changed_files_are_complete_or_reported(whole, seed, tmp_path):
    """All frames or one line; no other error, and no endless loop."""
    rng = random.Random(seed)
    for name, data in whole.items():
        for _ in range(15):
            path = tmp_path / name
            path.write_bytes(mutated(data, rng))
            options = {"size": (32, 24), "fps": rng.choice([None, 10]), "deinterlace": True}
            for damaged in (None, str):
                try:
                    list(video.frames(path, damaged=damaged, **options))
                    video.measure(path)
                except video.VideoError as error:
                    assert 0 < len(str(error)) < 200 and "\n" not in str(error)


def test_damaged_frames_are_counted(tmp_path):
    """Damages three frames of a file that has only key frames."""
    path = encode(tmp_path / "x.avi", film(coded(FRAMES), "png", "rgb24"))
    data = path.read_bytes()
    places = [match.start() for match in re.finditer(b"00dc", data)][1:]  # the first in its header
    for number in (7, 8, 30):
        middle = places[number] + 8 + int.from_bytes(data[places[number] + 4 :][:4], "little") // 2
        data = data[:middle] + bytes(60) + data[middle + 60 :]
    path.write_bytes(data)
    found, reason = read(path)
    assert found == list(range(7))
    assert reason == "damaged: 3 of 40 frames cannot be decoded, the first is frame 7"
    rest = [number for number in range(FRAMES) if number not in (7, 8, 30)]
    assert taken(path) == (rest, reason)
    start = places[20]
    path.write_bytes(data[:start] + b"XXXX" + data[start + 4 :])
    assert read(path)[1] == "damaged: 4 of 40 frames cannot be decoded, the first is frame 7"


def test_long_sound_and_missing_rate_are_not_loss(tmp_path):
    for name, codec in (("x.mkv", "libx264"), ("x.flv", "flv"), ("x.mp4", "libx264")):
        path = encode(tmp_path / name, film(coded(FRAMES), codec), sound=4)
        assert read(path) == (list(range(FRAMES)), ""), name
    times = [*range(0, 400, 40), *range(1000, 7000, 200)]
    path = encode(tmp_path / "pause.webm", film(coded(FRAMES), "libvpx-vp9", times=times))
    assert read(path) == (list(range(FRAMES)), "")


def test_data_after_last_picture_may_be_missing(tmp_path):
    """The index of an avi, the cues of a Matroska, boxes after the frames, sound at the end."""
    for name, codec, mark, options in (
        ("x.avi", "mpeg4", b"idx1", {}),
        ("x.mkv", "libx264", b"\x1c\x53\xbb\x6b", {}),
        ("x.mp4", "libx264", b"free", {"movflags": "faststart"}),
    ):
        path = encode(tmp_path / name, film(coded(FRAMES), codec), **options)
        if name == "x.mp4":
            path.write_bytes(path.read_bytes() + struct.pack(">I4s", 1000, b"free") + bytes(500))
        data = path.read_bytes()
        for end in (data.rindex(mark) + 20, data.rindex(mark) + 8):
            path.write_bytes(data[:end])
            assert read(path) == (list(range(FRAMES)), ""), name
    path = encode(tmp_path / "x.mp4", film(coded(10)), sound=20, movflags="faststart")
    assert read(video_files.cut(path, path.stat().st_size - 5)) == (list(range(10)), "")


def test_missing_bytes_are_counted(whole, tmp_path):
    for name in ("x.mkv", "x.webm", "x.wmv", "x.flv", "x.mpg", "x.ogv"):
        data = whole[name]
        middle = len(data) // 2 + 51
        (tmp_path / name).write_bytes(data[:middle])
        missing = video.missing_bytes(tmp_path / name)
        assert 0 < missing <= len(data) - middle, name
        if name in ("x.mkv", "x.webm"):
            assert missing == len(data) - middle


def test_every_encoding_of_declared_length(tmp_path):
    """64 bits, two bytes; no length at all; several chunks of RIFF."""
    ftyp, box = b"\0\0\0\x10ftyp" + bytes(8), struct.Struct(">I4sQ")
    ebml, segment = b"\x1a\x45\xdf\xa3\x80", b"\x18\x53\x80\x67"
    movi = b"LIST" + struct.pack("<I", 4) + b"movi"
    riff = b"RIFF" + struct.pack("<I", 4 + len(movi)) + b"AVI " + movi
    cut = b"RIFF" + struct.pack("<I", 116) + b"AVIXLIST" + struct.pack("<I", 104) + b"movi"
    for data, missing in (
        (ftyp + box.pack(1, b"mdat", 1000), 1000 - 16),
        (ftyp + box.pack(0, b"moov", 1000), 0),
        (ebml + segment + b"\x42\x00", 512),
        (ebml + segment + b"\x01" + b"\xff" * 7, 0),
        (riff, 0),
        (riff + cut, 100),
    ):
        (tmp_path / "x").write_bytes(data)
        assert video.missing_bytes(tmp_path / "x") == missing
    (tmp_path / "x").write_bytes(ftyp)
    assert containers.check(tmp_path / "x").place == 16  # where its index should begin


def test_container_walks_terminate_without_errors(whole, tmp_path):
    """For any bytes, the walks end with an answer."""
    rng = random.Random(0)
    for name, data in whole.items():
        for _ in range(40):
            changed = bytearray(data[: rng.randrange(1, len(data))])
            for _ in range(rng.choice([1, 5, 50])):
                changed[rng.randrange(min(len(changed), 600))] = rng.choice([0, 1, 127, 128, 255])
            (tmp_path / "x").write_bytes(changed)
            assert containers.check(tmp_path / "x").missing >= 0, name


def test_lost_mp4_fragment_is_reported(tmp_path):
    """Its name or header is damaged; only the gap in the fragment numbers reveals it."""
    path = encode(tmp_path / "x.mp4", film(coded(FRAMES), g="10"), movflags="frag_keyframe")
    assert read(path) == (list(range(FRAMES)), "")
    data = path.read_bytes()
    heads = [match.start() for match in re.finditer(b"moof", data)]
    assert len(heads) == 4
    for place in heads[1:]:
        path.write_bytes(data[:place] + b"mooF" + data[place + 4 :])
        found, reason = read(path)
        assert "no part of the container begins" in reason and len(found) < FRAMES
        path.write_bytes(data[: place - 4] + bytes(512) + data[place + 508 :])
        assert "no part of the container begins" in read(path)[1]
    end = int.from_bytes(data[heads[1] - 4 : heads[1]], "big") + heads[1] - 4
    length = int.from_bytes(data[end : end + 4], "big")
    path.write_bytes(data[: heads[1] - 4] + data[end + length :])
    assert "no part of the container begins" in read(path)[1]
