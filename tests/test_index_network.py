"""`mas index` and `mas search`, from video files to a page; the network's map is the clip."""

import keras
import numpy as np
import pytest
from evaluating import SIDE, mirror

from mas import Index, cli, features, locks, records, video

FRAMES = 4  # of a clip
LENGTHS = {"a/x": 13, "a/y": 3, "b/z": 8}


def film(folder, name, length):
    """Writes a video file whose frames have one colour each: red rises, green falls."""
    path = folder / f"{name}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(length)
    colours = np.stack([20 + 12 * times, 220 - 12 * times, 30 * ord(name[0]) % 251 + 0 * times], 1)
    frames = np.broadcast_to(colours[:, None, None], (length, SIDE, SIDE, 3))
    video.write(path, frames.astype(np.uint8), 10.0)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "mirror.keras"
    mirror(FRAMES).save(path)
    return path


@pytest.fixture
def videos(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, length in LENGTHS.items():
        film(tmp_path / "videos", name, length)
    return tmp_path / "videos"


SAMPLING = features.Sampling(clips=0, resize=(SIDE, SIDE), batch=3)
FLAGS = [f"--resize={SIDE}x{SIDE}", "--batch=3", "--whiten=0"]


def test_index_contains_clips_and_features_of_videos(tmp_path, model, videos):
    index = Index.build(tmp_path / "i", model, videos, SAMPLING, whiten=0)
    assert [(v.video, v.frames, v.clips) for v in index.videos] == [
        ("a/x", 13, 3), ("a/y", 3, 1), ("b/z", 8, 2),
    ]  # fmt: skip
    assert index.clips["first"].tolist() == [0, 4, 8, 0, 0, 4]
    np.testing.assert_allclose(index.seconds, index.clips["first"] / 10)
    data = records.open_data(videos)
    for row, first in enumerate(index.clips["first"].tolist()):
        number = data.videos.index(index.video(row))
        frames = (first + np.arange(FRAMES)) % data.lengths[number]  # a short one begins again
        mean = data.frames(number, frames, (SIDE, SIDE)).mean((0, 1, 2))
        np.testing.assert_allclose(index.features([row])[0], mean, atol=0.2)


def test_same_command_adds_later_videos(tmp_path, model, videos, caplog):
    def build(root):
        return cli.main("index", f"--model={model}", f"--data={videos}", f"--output={root}", *FLAGS)

    assert build(tmp_path / "i") == 0
    before = np.array(Index.open(tmp_path / "i").unit)
    film(videos, "c/new", 9)
    (videos / "c" / "broken.mp4").write_bytes(b"no video")
    assert build(tmp_path / "i") == 1
    assert "c/broken: no readable frames" in caplog.text
    added = Index.open(tmp_path / "i")
    assert [v.video for v in added.videos] == [*LENGTHS, "c/new"] and len(added) == 8
    np.testing.assert_array_equal(added.unit[:6], before)
    (videos / "c" / "broken.mp4").unlink()
    assert build(tmp_path / "i") == 0 and len(Index.open(tmp_path / "i")) == 8
    assert build(tmp_path / "whole") == 0
    whole = Index.open(tmp_path / "whole")
    np.testing.assert_allclose(whole.unit, added.unit, atol=1e-3)


def test_file_finds_itself(tmp_path, model, videos, caplog):
    index = Index.build(tmp_path / "i", model, videos, SAMPLING, whiten=0)
    query = index.query(videos / "a" / "x.mp4", start=0.4)
    np.testing.assert_allclose(query.vector, index.unit[1], atol=2e-3)
    mean = index.query(videos / "a" / "x.mp4").vector
    rows = index.whitening(index.features([0, 1, 2]).mean(0, keepdims=True))
    np.testing.assert_allclose(mean, rows[0], atol=2e-3)
    clip = index.query(query.frames)
    np.testing.assert_allclose(clip.vector, query.vector, atol=1e-6)
    arguments = [f"--index={tmp_path / 'i'}", f"--output={tmp_path / 'out'}"]
    assert cli.main("search", *arguments, f"--query={videos / 'b' / 'z.mp4'}", "--start=0.4") == 0
    lines = (tmp_path / "out" / "found.csv").read_text().splitlines()
    assert lines[0].startswith("rank,video,start,end") and len(lines) > 1
    page = (tmp_path / "out" / "found.html").read_text()
    assert page.count('class="loop"') == len(lines) and "whose training is unknown" in page
    assert "No thumbnails" not in caplog.text


def test_rejects_mismatched_queries_and_networks(tmp_path, model, videos, caplog):
    index = Index.build(tmp_path / "i", model, videos, SAMPLING, whiten=0)
    short = film(tmp_path, "short", 3)
    with pytest.raises(ValueError, match="at least 4 frames, like a clip.*short.mp4, which has 3"):
        index.search(short)
    with pytest.raises(ValueError, match="at least 4 frames from 1 s,.*which has 3"):
        index.search(videos / "a" / "x.mp4", start=1.0)
    with pytest.raises(ValueError, match="which has 0"):
        index.search(videos / "a" / "x.mp4", start=9.0)
    (tmp_path / "none.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match="a video file that decodes. Received: .*none.mp4"):
        index.search(tmp_path / "none.mp4")
    other = tmp_path / "other.keras"
    clips = keras.Input((FRAMES, SIDE, SIDE, 3), dtype="uint8")
    keras.Model(clips, keras.layers.Rescaling(2.0)(clips), name="mirror").save(other)
    moved = Index.open(tmp_path / "i", model=other)
    with pytest.raises(ValueError, match="model must be the network that the index was made with"):
        moved.search(videos / "a" / "x.mp4")
    with pytest.raises(ValueError, match="same network, with digest="):
        Index.build(tmp_path / "i", other, videos, SAMPLING)
    with pytest.raises(ValueError, match="same network, with weights=loaded"):
        Index.build(tmp_path / "i", model, videos, SAMPLING, random=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises((ValueError, FileNotFoundError), match="empty"):
        Index.build(tmp_path / "new", model, empty, SAMPLING)
    assert not (tmp_path / "new").exists()
    held = locks.lock(index.path, "mas index")
    with held, pytest.raises(RuntimeError, match="Another mas index is running in"):
        index.add(videos)
