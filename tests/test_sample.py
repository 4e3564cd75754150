"""Generated videos: they move as their class says, and a seed determines them."""

import os
import re
import shutil

import cv2
import numpy as np
import pytest
import video_files

from mas import flow, lists, sample, video


def measure(motion, seed):
    """Mean motion of a clip's moving pixels, by DIS flow: u, v, growth, rotation per frame.

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
    return np.mean(found, 0)


# Least and most of u, v, growth, turn. Speeds are 1.5 pixels a frame, times 0.7 to 1.3, of which
# DIS finds less; 0.6 is what a turning rectangle's ends do.
SLOW, STILL, NO_TURN = (-0.2, 0.2), (-0.01, 0.01), (-0.015, 0.015)
EXPECTED = {
    "down": (SLOW, (0.6, 2.1), STILL, NO_TURN),
    "left": ((-2.1, -0.6), SLOW, STILL, NO_TURN),
    "right": ((0.6, 2.1), SLOW, STILL, NO_TURN),
    "up": (SLOW, (-2.1, -0.6), STILL, NO_TURN),
    "grow": ((-0.25, 0.25), (-0.25, 0.25), (0.005, 1), (-0.005, 0.005)),
    "turn": ((-0.6, 0.6), (-0.6, 0.6), (-0.015, 0.015), (-1, -0.02)),
}


@pytest.mark.parametrize("motion", sample.MOTIONS)
def test_shapes_move_as_their_class_says(motion):
    for seed in range(2):
        for value, (least, most) in zip(measure(motion, seed), EXPECTED[motion], strict=True):
            assert least < value < most


def test_clip_depends_only_on_motion_and_seed():
    first, again = sample.clip("up", 3), sample.clip("up", 3)
    assert first.shape == (32, 64, 85, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    for motion, seed in (("up", 4), ("down", 3)):
        assert np.abs(sample.clip(motion, seed)[0].astype(int) - first[0]).mean() > 20, "textures"
    with pytest.raises(ValueError, match="motion.*='sideways'"):
        sample.clip("sideways", 0)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Writes a few tiny videos into tmp_path; returns what `write` does."""
    monkeypatch.setattr(sample, "MOTIONS", {name: sample.MOTIONS[name] for name in ("up", "left")})
    return lambda **options: sample.write(
        tmp_path, **{"videos": 2, "test": 1, "frames": 4, **options}
    )


def test_repeated_call_repairs_only_damaged_files(small, tmp_path):
    digest, before = small(), video_files.tree(tmp_path)
    assert re.fullmatch("[0-9a-f]{8}", digest) and len(before) == 4 + 3
    whole = tmp_path / "videos" / "up" / "up_00.avi"
    os.utime(whole, ns=(1, 1))
    assert small() == digest and video_files.tree(tmp_path) == before
    assert whole.stat().st_mtime_ns == 1, "else prepared data would call it changed"
    video_files.cut(tmp_path / "videos" / "up" / "up_01.avi", 0.5)
    (tmp_path / "test.txt").unlink()
    assert small() == digest and video_files.tree(tmp_path) == before


def test_different_videos_have_different_digest(small, tmp_path, monkeypatch):
    """Videos of an earlier version have the same names; their prepared data are not reused."""
    digests, clip = [small()], sample.clip
    for options in ({"frames": 5}, {"size": (48, 32)}, {"videos": 3}):
        digests.append(small(**options))
        shutil.rmtree(tmp_path / "videos")
    monkeypatch.setattr(sample, "clip", lambda *args: clip(*args)[::-1])
    digests.append(small())
    assert len(set(digests)) == len(digests)


def test_killed_call_leaves_no_partial_video(small, tmp_path, monkeypatch):
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


def test_rejects_bad_arguments(small, tmp_path):
    small(videos=3)
    with pytest.raises(ValueError, match="Received: 2 other files, such as left/left_02.avi"):
        small(videos=2)
    assert (tmp_path / "videos" / "left" / "left_02.avi").is_file()
    with pytest.raises(ValueError, match="test.*=2"):
        small(test=2)


def test_files_contain_clips_and_lists_name_each_once(tmp_path):
    sample.write(tmp_path, videos=3, test=1, frames=20, size=(48, 32))
    found = np.stack(list(video.frames(tmp_path / "videos/left/left_02.avi"))).astype(int)
    clip, other = (sample.clip("left", seed, 20, (48, 32)) for seed in (2, 1))
    assert np.abs(found - clip).mean() < 10 < 20 < np.abs(found - other).mean(), "codec's losses"
    names = lists.class_names_beside(tmp_path / "train.txt")
    assert names == sorted(sample.MOTIONS)
    train, test = (lists.read(tmp_path / f"{part}.txt") for part in ("train", "test"))
    assert (len(train), len(test)) == (12, 6)
    videos = lists.find_videos(tmp_path / "videos")[0]
    assert sorted(entry.video for entry in train + test) == list(videos)
    assert all(entry.video.startswith(f"{names[entry.label]}/") for entry in train + test)
