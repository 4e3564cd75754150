"""Stored forms: written data read back equal, and data of other tools can be read."""

import json
import shutil

import numpy as np
import preparing
import pytest
import tensorflow as tf

from mas import records
from mas.records import sums

FRAMES = {"walk/a": 7, "walk/b c": 1, "run/ä": 12}


def prepared(name, flow=True):
    """A video of random bytes instead of JPEG files: storage must not inspect them."""
    count = FRAMES[name]
    rng = np.random.default_rng(list(name.encode()))
    files = [rng.bytes(int(rng.integers(1, 300))) for _ in range(3 * count)]
    rgb, u, v = files[:count], files[count : 2 * count - 1], files[2 * count : 3 * count - 1]
    return records.Prepared(name, 32, 48, 12.5, rgb, *((u, v) if flow else ([], [])))


def write(folder, form, flow=True, names=tuple(FRAMES)):
    """Writes the videos, in shards of two."""
    folder.mkdir()
    videos = [prepared(name, flow) for name in names]
    if form == "folders":
        for video in videos:
            preparing.store(folder, video)
    else:
        for number in range(0, len(videos), 2):
            write_shard(folder, number // 2, videos[number : number + 2])
    description = {"form": form, "method": "tvl1" if flow else "none"}
    records.write_description(folder, description)
    return records.open_data(folder)


def write_shard(folder, number, videos):
    staged = [folder.with_name(f"{folder.name}-{number}-{n}.npz") for n in range(len(videos))]
    for video, path in zip(videos, staged, strict=True):
        records.stage(video, path)
    records.write_shard(folder, number, staged)
    return staged


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path.with_name(f"{tmp_path.name}-cache")))


@pytest.fixture(params=["shards", "folders"])
def form(request):
    return request.param


def test_any_frames_read_back_as_they_were_written(tmp_path, form):
    data = write(tmp_path / "data", form)
    assert sorted(data.videos) == sorted(FRAMES)
    assert data.has_flow and data.failures == {}
    rng = np.random.default_rng(0)
    for number, name in enumerate(data.videos):
        video = prepared(name)
        assert data.lengths[number] == video.frames == FRAMES[name]
        everything = data.read(number, range(video.frames), range(video.frames - 1))
        assert everything == (video.rgb, video.u, video.v)
        for _ in range(20):
            frames = rng.integers(0, video.frames, rng.integers(0, 6))
            flows = rng.integers(0, max(1, video.frames - 1), rng.integers(0, 6))
            flows = flows[: 10 * (video.frames - 1)]  # a video of one frame has no flow
            if len(frames) + len(flows):
                rgb, u, v = data.read(number, frames, flows)
                assert rgb == [video.rgb[frame] for frame in frames]
                assert u == [video.u[frame] for frame in flows]
                assert v == [video.v[frame] for frame in flows]


@pytest.mark.parametrize(
    "frames, flows, message",
    [
        ([0, 7], [], r"frames of 'walk/a' .*=\[0, 7\]"),
        ([-1], [], r"frames of 'walk/a' .*=\[-1\]"),
        ([0], [6], r"flow_frames of 'walk/a' .*=\[6\]"),
    ],
)
def test_rejects_missing_frames(tmp_path, form, frames, flows, message):
    data = write(tmp_path / "data", form)
    with pytest.raises(IndexError, match=message):
        data.read(data.videos.index("walk/a"), frames, flows)


def test_data_without_flow(tmp_path, form):
    data = write(tmp_path / "data", form, flow=False)
    assert not data.has_flow
    number = data.videos.index("walk/a")
    assert data.read(number, [6, 0])[0] == [prepared("walk/a").rgb[6], prepared("walk/a").rgb[0]]
    with pytest.raises(IndexError, match="flow_frames"):
        data.read(number, [0], [0])
    with pytest.raises(ValueError, match="data must contain optical flow"):
        records.open_data(tmp_path / "data", flow=True)


def test_shard_has_documented_contents(tmp_path):
    """Reads the shard with TensorFlow's parser, as other programs would."""
    data = write(tmp_path / "data", "shards")
    assert data.sizes.tolist() == [[32, 48]] * 3 and data.rate(2) == 12.5
    features = {
        "video": tf.io.FixedLenFeature((), tf.string),
        "size": tf.io.FixedLenFeature((2,), tf.int64),
        "rate": tf.io.FixedLenFeature((), tf.float32),
        "images": tf.io.FixedLenFeature((), tf.string),
        "lengths": tf.io.FixedLenFeature((), tf.string),
    }
    shards = sorted(map(str, (tmp_path / "data").glob("*.tfrecord")))
    examples = [
        tf.io.parse_single_example(text, features) for text in tf.data.TFRecordDataset(shards)
    ]
    assert [example["video"].numpy().decode() for example in examples] == list(FRAMES)
    for name, example in zip(FRAMES, examples, strict=True):
        video = prepared(name)
        assert example["size"].numpy().tolist() == [32, 48]
        assert example["rate"].numpy() == 12.5
        parts = [video.rgb, [*video.u, b""], [*video.v, b""]]
        files = [part[frame] for frame in range(video.frames) for part in parts]
        assert example["images"].numpy() == b"".join(files)
        lengths = np.frombuffer(example["lengths"].numpy(), "<u4")
        assert lengths.tolist() == [len(file) for file in files]


@pytest.mark.parametrize("part", ["lengths_at", "images_at"])
def test_truncated_shard_is_reported(tmp_path, part):
    data = write(tmp_path / "data", "shards")
    start = records.read_index(tmp_path / "data" / "videos-00001.csv")[0][
        records.INDEX_FIELDS.index(part)
    ]
    shard = tmp_path / "data" / "videos-00001.tfrecord"
    shard.write_bytes(shard.read_bytes()[: start + 7])
    with pytest.raises(
        ValueError, match=r"00001.tfrecord must contain \d+ bytes .*Received: \d+\."
    ):
        data.read(data.videos.index("run/ä"), range(12))


# Folders.


def test_folders_have_feichtenhofer_layout(tmp_path):
    write(tmp_path / "data", "folders")
    found = {p.relative_to(tmp_path / "data") for p in (tmp_path / "data").rglob("*.*")}
    expected = {"dataset.json"}
    for name, frames in FRAMES.items():
        expected |= {f"jpegs_256/{name}/frame{n:06d}.jpg" for n in range(1, frames + 1)}
        for part in "uv":
            expected |= {f"tvl1_flow/{part}/{name}/frame{n:06d}.jpg" for n in range(1, frames)}
    assert {path.as_posix() for path in found} == expected
    first = tmp_path / "data" / "tvl1_flow" / "v" / "walk" / "a" / "frame000001.jpg"
    assert first.read_bytes() == prepared("walk/a").v[0]


def test_folders_store_frame_rate_except_in_earlier_versions(tmp_path):
    folder = tmp_path / "data"
    data = write(folder, "folders")
    assert [data.rate(n) for n in range(len(data.videos))] == [12.5] * len(FRAMES)
    path = folder / "checksums" / data.videos[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:-12] + sums._end(data.videos[0], whole[:-12]))  # as before the rate
    earlier = records.open_data(folder, flow=True)
    assert earlier.rate(0) == 0.0 and len(earlier.read(0, [0, 1], [0])[0]) == 2
    assert records.check_data(folder).faults == ()
    for other in (whole[:-5] + b"x" + whole[-4:], whole[:-12]):
        path.write_bytes(other)
        with pytest.raises(ValueError, match=f"checksums/{data.videos[0]}"):
            records.open_data(folder).rate(0)


@pytest.mark.parametrize("nested", [False, True])
def test_reads_folders_of_other_tools(tmp_path, nested):
    """Without dataset.json; flow in one flat folder, RGB next to it or in class folders."""
    video = prepared("run/ä")
    rgb = tmp_path / "jpegs_256" / ("run/ä" if nested else "ä")
    folders = {rgb: video.rgb}
    folders |= {tmp_path / "tvl1_flow" / part / "ä": getattr(video, part) for part in "uv"}
    for folder, files in folders.items():
        folder.mkdir(parents=True)
        for number, file in enumerate(files, 1):
            (folder / f"frame{number:06d}.jpg").write_bytes(file)
    data = records.open_data(tmp_path)
    assert data.videos == ["run/ä" if nested else "ä"] and data.rate(0) == 0.0
    assert data.lengths.tolist() == [12] and data.has_flow and data.sizes is None
    found = data.read(0, [0, 11], [10])
    assert found == ([video.rgb[0], video.rgb[11]], [video.u[10]], [video.v[10]])
    shutil.rmtree(tmp_path / "tvl1_flow")
    assert not records.open_data(tmp_path).has_flow


@pytest.mark.parametrize("name", ["{:05d}.jpg", "img_{:05d}.jpg", "image_{:05d}.jpg"])
def test_reads_frame_names_of_other_tools(tmp_path, name):
    """Original folders, behind one link; flow only in Feichtenhofer's naming."""
    for video, files in {"100218": [b"1", b"2", b"3"], "24413": [b"4"]}.items():
        (tmp_path / "20bn-something-something-v1" / video).mkdir(parents=True)
        for number, file in enumerate(files, 1):
            path = tmp_path / "20bn-something-something-v1" / video / name.format(number)
            path.write_bytes(file)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "jpegs_256").symlink_to("../20bn-something-something-v1")
    data = records.open_data(tmp_path / "data")
    assert dict(zip(data.videos, data.lengths, strict=True)) == {"100218": 3, "24413": 1}
    assert data.read(0, [2, 0]) == ([b"3", b"1"], [], [])
    assert data.read(1, [0]) == ([b"4"], [], []) and not data.has_flow


def test_unusual_names_are_read(tmp_path):
    """A folder named like a file, a hidden one, and one with the longest possible name."""
    names = ("walk/a.jpg", ".hidden/b", "walk/" + 255 * "x")
    for name in names:
        preparing.store(tmp_path, records.Prepared(name, 1, 1, 0, [b"frame"], [], []))
    data = records.open_data(tmp_path)
    assert dict(zip(data.videos, data.lengths, strict=True)) == dict.fromkeys(names, 1)


# Opening.


def test_rejects_unfinished_data_set(tmp_path, form):
    for folder, more in ((tmp_path / "absent", ", which is not a folder"), (tmp_path, "")):
        with pytest.raises(FileNotFoundError, match=f"data must .*Received: {folder}{more}."):
            records.open_data(folder)
    write(tmp_path / "data", form)
    (tmp_path / "data" / "plan.json").write_text(json.dumps({}))
    records.open_data(tmp_path / "data")
    (tmp_path / "data" / "dataset.json").unlink()
    with pytest.raises(ValueError, match="data must be a finished.*interrupted"):
        records.open_data(tmp_path / "data")
    (tmp_path / "videos-00000.csv").write_text("video,frames\n")
    with pytest.raises(ValueError, match="videos-00000.csv:1: expected the columns video,frames,h"):
        records.read_index(tmp_path / "videos-00000.csv")
