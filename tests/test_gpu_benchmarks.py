"""Benchmarks for a GPU: what runs without one."""

import argparse
import math

import numpy as np
import pytest

import mas


def recorded(script, sample_data, folder, *flags):
    """Records two epochs of the sample; returns (module, stored frames, examples)."""
    paths = [str(folder / name) for name in ("frames.npz", "examples.npz")]
    known = (f"--data={sample_data}/data", "--frames=16", "--size=24", "--resize=40x30")
    plan = ("--sampling=anywhere", "--batch=5", "--epochs=2", "--seed=3", "--backbone=c3d_bn")
    with script("benchmarks/replay.py") as replay:
        replay.record([*paths, *known, *plan, *flags])
        return replay, *map(np.load, paths)


def test_replay_records_the_clips_and_targets_of_a_training(script, sample_data, tmp_path):
    replay, stored, known = recorded(script, sample_data, tmp_path)
    frames = replay._decoded(stored, (40, 30))
    clip, options = mas.Clip(16, 24, (40, 30)), {"sampling": "anywhere", "seed": 3, "epochs": 2}
    batches = mas.dataset(str(sample_data / "data"), "mas", clip, batch=5, **options)
    found = [(x.numpy(), {k: v.numpy() for k, v in y.items()}) for x, y in batches]
    clips = np.concatenate([x for x, _ in found])
    assert len(known["frames"]) == len(clips) == 20  # two epochs of two batches of twelve videos
    assert len(np.unique(known["places"], axis=0)) > 10
    for expected, numbers, (top, left, flip) in zip(
        clips, known["frames"], known["places"], strict=True
    ):
        cut = frames[numbers][:, top : top + 24, left : left + 24]
        np.testing.assert_array_equal(cut[:, :, ::-1] if flip else cut, expected)
    for name in ("motion", "appearance"):
        expected = np.concatenate([y[name] for _, y in found])
        np.testing.assert_array_equal(known[f"y_{name}"], expected)


def test_replay_tests_ten_centre_clips_of_each_video(script, sample_data, tmp_path):
    _, _, known = recorded(script, sample_data, tmp_path)
    assert known["test_frames"].shape == (120, 16)
    assert np.bincount(known["test_videos"]).tolist() == [10] * 12
    assert known["test_places"].tolist() == [[3, 8, 0]] * 120
    first = known["test_frames"][10:20, 0] - 18  # the second video's, each of 18 frames
    assert first.tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]


def test_replay_chooses_targets(script):
    known = {"frames": 0, "y_motion": np.arange(28).reshape(2, 14), "y_appearance": 1}
    with script("benchmarks/replay.py") as replay:
        given = replay._options(["f", "e", "--branches=motion", "--columns=4,5"])
        chosen = replay._chosen(known, given)
        assert set(replay._chosen(known, replay._options(["f", "e"]))) == set(known)
    assert set(chosen) == {"frames", "y_motion"}
    assert chosen["y_motion"].tolist() == [[4, 5], [18, 19]]


def test_operations_of_a_step(script):
    """C3D by hand: (outputs, products of each), of the five convolutions and the two heads."""
    sizes = [(16 * 112 * 112 * 64, 27 * 3), (16 * 56 * 56 * 128, 27 * 64)]
    sizes += [(8 * 28 * 28 * 256, 27 * 128), (4 * 14 * 14 * 256, 27 * 256)]
    sizes += [(2 * 7 * 7 * 256, 27 * 256)]
    sizes += [(2048, 4096), (2048, 2048), (14, 2048), (2048, 4096), (2048, 2048), (13, 2048)]
    forward = 2 * sum(math.prod(size) for size in sizes)
    with script("benchmarks/step_gpu.py") as step:
        model, operations = step.build("c3d", "float32", 112)
    assert [*model.output] == ["motion", "appearance"]
    assert operations == 3 * forward - 2 * math.prod(sizes[0])
    assert forward / 1e9 == pytest.approx(38.5, abs=0.1)  # as in recipes/mas_ucf101_c3d.flags


def test_sides_of_a_step(script):
    given = argparse.Namespace(
        backbones="c3d,r3d_10", precisions="float32", modes="eager,native", batches="2", size=32
    )
    with script("benchmarks/step_gpu.py") as step:
        texts = [text for text, *_ in step.sides(given, "torch")]
        given.modes = "jit"
        assert len(list(step.sides(given, "jax"))) == 2
    assert texts == [
        "torch c3d float32 eager, batch 2",
        "torch c3d float32 native, batch 2, contiguous",
        "torch c3d float32 native, batch 2, channels_last",
        "torch r3d_10 float32 eager, batch 2",
    ]
