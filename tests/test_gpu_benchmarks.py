"""Benchmarks for a GPU: what runs without one."""

import argparse
import importlib.util
import json
import math
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import mas
from mas.training import optimizers

ROOT = pathlib.Path(__file__).resolve().parents[1]


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


def test_replay_reduces_the_batch_as_training_does(script, sample_data, tmp_path):
    _, _, known = recorded(script, sample_data, tmp_path, "--batch=16")
    assert len(known["frames"]) == 24
    assert json.loads(str(known["settings"]))["batch"] == 12


@pytest.mark.parametrize("flag", ["--task=pace", "--modality=flow", "--last_batch=keep"])
def test_replay_refuses_what_it_cannot_train(script, sample_data, tmp_path, flag):
    with pytest.raises(SystemExit, match="trains only"):
        recorded(script, sample_data, tmp_path, flag)


def test_replay_refuses_frames_of_other_videos(script, sample_data, tmp_path):
    np.savez(tmp_path / "frames.npz", videos=["another"])
    with pytest.raises(SystemExit, match="other videos than"):
        recorded(script, sample_data, tmp_path)


def test_replay_has_the_optimiser_of_training(script):
    settings = mas.Optimisation(decay_epochs=(2, 3), learning_rate=0.01, l2=0.0005, decay="all")
    with script("benchmarks/replay.py") as replay:
        known = {"optimisation": settings.values(), "steps_per_epoch": 5}
        found = replay._optimizer(json.loads(json.dumps(known)))
    assert found.get_config() == optimizers.build(settings, 5).get_config()


def test_replay_measures_features(script, tmp_path, capsys):
    names = [f"{folder}/{actor}_x" for folder in ("run", "walk", "jump") for actor in range(14)]
    rng = np.random.default_rng(0)
    random = rng.normal(size=(42, 40))
    trained = np.eye(3, 40).repeat(14, 0) + random / 1000
    path = tmp_path / "x.npz"
    np.savez(path, trained=trained, random=random, videos=names)
    with script("benchmarks/replay.py") as replay:
        replay.measure([str(path)])
    first, second = capsys.readouterr().out.splitlines()
    rows = mas.features.Features(trained.astype(np.float32), names, np.arange(3).repeat(14))
    probe = mas.evaluate.Probe("knn", groups=r"/(\w+?)_", whiten=32)
    whitened = 100 * probe(videos=rows).accuracy
    assert first.startswith(f"{path} trained nearest 100.0 whitened {whitened:.1f} linear 9")
    assert second.startswith(f"{path} random nearest ") and "100.0" not in second


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="needs JAX")
def test_replay_trains_in_jax(script, sample_data, tmp_path):
    recorded(script, sample_data, tmp_path, "--width=0.125", "--epochs=4", "--preset=standard")
    command = [sys.executable, ROOT / "benchmarks/replay.py", "train", "frames.npz"]
    command += ["examples.npz", "--branches=motion", "--columns=0,1", "--name=_p"]
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
    }
    subprocess.run(command, check=True, cwd=tmp_path, env=environment)
    found = np.load(tmp_path / "examples_p.features.npz")
    assert found["trained"].shape == found["random"].shape == (12, 64)
    assert len(found["losses"]) == 8 and np.isfinite(found["losses"]).all()
    assert found["losses"][-2:].mean() < 0.8 * found["losses"][:2].mean()
    assert np.abs(found["trained"] - found["random"]).max() > 0.01


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
        with pytest.raises(SystemExit):  # TensorFlow, the backend of the tests, has no mode
            step.main([])
    assert texts == [
        "torch c3d float32 eager, batch 2",
        "torch c3d float32 native, batch 2, contiguous",
        "torch c3d float32 native, batch 2, channels_last",
        "torch r3d_10 float32 eager, batch 2",
    ]
