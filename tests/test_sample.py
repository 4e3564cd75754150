"""The generated data set: what moves moves as its class says, and the same seed gives the same."""

import re
import shutil

import cv2
import numpy as np
import pytest
import video_files

from mas import flow, lists, prepare, sample, video

TRANSLATIONS = {"down": (0, 1), "left": (-1, 0), "right": (1, 0), "up": (0, -1)}


def measure(motion, seed):
    """Means over a clip of what moves in it, by DIS flow: (u, v), growth, turn a frame.

    Growth and turn are the flow's parts along and across the way from the shape's middle, for each
    pixel of distance; x right and y down, so that a turn against the clock is negative.
    """
    images = sample.clip(motion, seed)[8:24]
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
    estimate = flow.estimator("dis")
    found = []
    for before, after in zip(grey, grey[1:], strict=False):
        field = estimate(before, after)
        speed = np.linalg.norm(field, axis=-1)
        moving = speed > np.percentile(speed, 98) / 2
        u, v = field[moving].T
        y, x = (place - place.mean() for place in np.nonzero(moving))
        square = np.mean(x**2 + y**2)
        along, across = np.mean(x * u + y * v), np.mean(x * v - y * u)
        found.append((u.mean(), v.mean(), along / square, across / square))
    u, v, growth, turn = np.mean(found, 0)
    return np.array([u, v]), growth, turn


def test_every_motion_is_measured_here():
    assert set(sample.MOTIONS) == {*TRANSLATIONS, "grow", "turn"}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("motion", TRANSLATIONS)
def test_shapes_go_where_their_class_says(motion, seed):
    velocity, growth, turn = measure(motion, seed)
    along = np.array(TRANSLATIONS[motion])
    assert 0.6 < velocity @ along < 2.1, "1.5 pixels a frame, times 0.7 to 1.3; DIS finds less"
    assert abs(velocity @ along[::-1]) < 0.2
    assert abs(growth) < 0.01 and abs(turn) < 0.015


@pytest.mark.parametrize("seed", range(3))
def test_growing_and_turning_shapes_stay_in_place(seed):
    velocity, growth, turn = measure("grow", seed)
    assert np.abs(velocity).max() < 0.25
    assert growth > 0.005 and abs(turn) < 0.005
    velocity, growth, turn = measure("turn", seed)
    assert np.abs(velocity).max() < 0.6, "what a turning rectangle's ends do"
    assert turn < -0.02 and abs(growth) < 0.015


def test_a_clip_follows_from_motion_and_seed():
    first, again = sample.clip("up", 3), sample.clip("up", 3)
    assert first.shape == (32, 64, 85, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    for motion, seed in (("up", 4), ("down", 3)):
        assert np.abs(sample.clip(motion, seed)[0].astype(int) - first[0]).mean() > 20, "textures"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    sample.write(folder, videos=3, test=1, frames=20, size=(48, 32))
    return folder


def test_the_same_call_writes_the_same_bytes(written, tmp_path):
    sample.write(tmp_path, videos=3, test=1, frames=20, size=(48, 32))
    files = [path.relative_to(written) for path in written.rglob("*") if path.is_file()]
    assert len(files) == 18 + 3
    for name in files:
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes(), name


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Writes a few tiny videos into tmp_path; returns what `write` does."""
    monkeypatch.setattr(sample, "MOTIONS", {name: sample.MOTIONS[name] for name in ("up", "left")})
    return lambda **options: sample.write(
        tmp_path, **{"videos": 2, "test": 1, "frames": 4, **options}
    )


def test_a_repeated_call_mends_what_is_there_and_says_the_same(small, tmp_path):
    digest, before = small(), video_files.tree(tmp_path)
    assert re.fullmatch("[0-9a-f]{8}", digest)
    assert small() == digest and video_files.tree(tmp_path) == before
    video_files.cut(tmp_path / "videos" / "up" / "up_01.avi", 0.5)
    (tmp_path / "test.txt").unlink()
    assert small() == digest and video_files.tree(tmp_path) == before


def test_other_videos_have_another_digest(small, tmp_path, monkeypatch):
    """An earlier version's, under the same names: what was prepared from them is not used."""
    digests, clip = [small()], sample.clip
    for options in ({"frames": 5}, {"size": (48, 32)}, {"videos": 3}):
        digests.append(small(**options))
        shutil.rmtree(tmp_path / "videos")
    monkeypatch.setattr(sample, "clip", lambda *args: clip(*args)[::-1])
    digests.append(small())
    assert len(set(digests)) == len(digests)


def test_a_killed_call_leaves_no_half_video(small, tmp_path, monkeypatch):
    digest, before = small(), video_files.tree(tmp_path)
    shutil.rmtree(tmp_path / "videos")
    left, write = [2], video.write

    def killed(path, images):
        write(path, images)
        left[0] -= 1
        if not left[0]:
            video_files.cut(path, 0.5)
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(video, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            small()
    (only,) = (tmp_path / "videos").rglob("*.avi")
    assert only.read_bytes() == before[only.relative_to(tmp_path).as_posix()]
    assert small() == digest and video_files.tree(tmp_path) == before


def test_other_files_among_the_videos_are_refused_and_kept(small, tmp_path):
    small(videos=3)
    with pytest.raises(
        ValueError, match="alone. Received: 2 other files, such as left/left_02.avi"
    ):
        small(videos=2)
    assert (tmp_path / "videos" / "left" / "left_02.avi").is_file()


def test_files_hold_the_clips(written):
    found = np.stack(list(video.frames(written / "videos" / "left" / "left_02.avi"))).astype(int)
    clip, other = (sample.clip("left", seed, 20, (48, 32)) for seed in (2, 1))
    assert found.shape == clip.shape
    assert np.abs(found - clip).mean() < 10 < 20 < np.abs(found - other).mean(), "but for losses"


def test_lists_name_every_video_once(written):
    names = lists.class_names(written / "classes.txt")
    assert names == sorted(sample.MOTIONS)
    videos = prepare.find_videos(written / "videos")
    parts = {
        part: lists.resolve(lists.read(written / part), videos, part)
        for part in ("train.txt", "test.txt")
    }
    assert {part: len(entries) for part, entries in parts.items()} == {
        "train.txt": 12,
        "test.txt": 6,
    }
    entries = parts["train.txt"] + parts["test.txt"]
    assert sorted(entry.video for entry in entries) == sorted(videos)
    assert all(entry.video.startswith(f"{names[entry.label]}/") for entry in entries)
