"""Settings for differences between code and paper (docs/fidelity.md) do what their help says."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from evaluating import write_run

from mas import (
    augment,
    backbones,
    clips,
    features,
    files,
    lists,
    records,
    statistics,
    tasks,
    training,
)
from mas.evaluate import report
from mas.evaluate.inputs import Inputs
from mas.features import extraction
from mas.settings import Clip, Network
from mas.statistics import regions

NAMES = statistics.motion_names() + statistics.appearance_names()


def bound(task, frames=16, size=32):
    return task.bound(Clip(frames, size, (44, 32)), Network(width=0.125))


# ---- labels of STS -------------------------------------------------------------------------------


def test_colours_by_mode_equal_the_journal_code_in_312_of_312(shared, golden_inputs):
    """The paper's octants differ on the clips that distinguish the two."""
    golden = json.loads((shared / "golden" / "labels.json").read_text())
    recorded = np.array([row["appearance_journal_code"] for row in golden])
    found = {
        colour: np.array(
            [
                statistics.appearance(golden_inputs.clip(row["seed"])[0], colour=colour)
                for row in golden
            ]
        )
        for colour in statistics.COLOURS
    }
    assert recorded.size == 312 == (found["mode"] == recorded).sum()
    clips_of = [golden_inputs.clip(row["seed"])[0] for row in golden[:6]]
    whole = [statistics.appearance(rgb, colour="mode", journal=True) for rgb in clips_of]
    np.testing.assert_array_equal(whole, recorded[:6])
    colours = ["colour" in name for name in statistics.appearance_names()]
    same = (found["octants"] == recorded).mean(0)
    assert (same[np.logical_not(colours)] == 1).all() and sum(colours) == 7
    assert 0.6 < same[colours].min() < same[colours].max() < 0.95  # 63 to 92 %


def test_largest_motion_uses_first_fields():
    flow = np.random.default_rng(0).normal(0, 1, (16, 16, 16, 2)).astype(np.float32)
    flow[15] *= 3
    everything, fifteen = statistics.motion(flow), statistics.motion(flow, fields=15)
    assert everything[12:].tolist() == [16, 16]
    np.testing.assert_array_equal(everything[:12], fifteen[:12])  # 16 are summed
    np.testing.assert_array_equal(fifteen[12:], statistics.motion(flow[:15])[12:])
    for wrong in (0, 17):
        with pytest.raises(ValueError, match=rf"fields must be in 1..16.*fields={wrong}"):
            statistics.motion(flow, fields=wrong)


@pytest.fixture(scope="module")
def data(sample_data):
    return records.open_data(sample_data / "data")


def reader(data, task, **geometry):
    examples = clips.examples(data, None, task.span, "consecutive", step=task.step)
    return clips.Reader(data, examples, task, clips.Geometry((44, 32), 32, **geometry))


def test_extra_flow_needs_one_more_frame(data):
    """Of 18 frames, clips of 8 start at 0 and 8; clips of 9 start at 0 only."""
    plain, task = (bound(tasks.Statistics(extra_flow=extra), 8) for extra in (False, True))
    assert (plain.flows, plain.span, task.flows, task.span, task.step) == (7, 8, 8, 9, 8)
    found, other = reader(data, task), reader(data, plain)
    assert set(found.examples.starts) == {0, 8} == set(other.examples.starts)
    clip, short = (each.clip(0, 0) for each in (found, other))
    assert clip["rgb"].shape == (8, 32, 32, 3) and clip["flow"].shape == (8, 32, 32, 2)
    np.testing.assert_array_equal(clip["flow"][:7], short["flow"])
    _, y = task.example(clip)
    np.testing.assert_array_equal(y["motion"], statistics.motion(clip["flow"].numpy(), fields=7))
    assert set(reader(data, bound(tasks.Statistics(extra_flow=True), 9)).examples.starts) == {0}
    drawn = {task.sample(10, None, np.random.default_rng(seed))[0][0] for seed in range(30)}
    assert drawn == {0, 1}
    with pytest.raises(ValueError, match="17 frames.*start=0 of 16"):
        bound(tasks.Statistics(extra_flow=True)).sample(16, 0, None)
    appearance = tasks.Statistics(extra_flow=True, branches=("appearance",))
    assert bound(appearance).span == 16  # no flow, no frame for it
    flow = dataclasses.replace(Network(width=0.125), modality="flow")
    assert task.bound(task.clip, flow).example(clip)[0].shape == (7, 32, 32, 2)


def test_mirrored_u_keeps_sign_as_in_journal_code(data, monkeypatch):
    monkeypatch.setattr(clips.Geometry, "draw", lambda self, rng: np.array([0, 3, 1], np.int32))
    negated, kept = (
        reader(data, bound(tasks.Statistics(negate_u=negate), 8)).clip(0, 0)["flow"]
        for negate in (True, False)
    )
    assert np.abs(kept[..., 0]).max() > 0.05  # so that signs differ
    np.testing.assert_array_equal(negated, kept * [-1.0, 1.0])


@pytest.mark.parametrize("frames", [16, 64])
def test_labels_in_other_scales(frames):
    """First, last and no field: 1, 15 and 0 with `sixteen`; x / bins with `bins`."""
    labels = np.array([16, 8, 1, 2, 4, 8, 1, 1, 8, 8, 0, 0, frames - 1, 1], np.int32)
    task = {
        scale: bound(tasks.Statistics(scale=scale), frames)
        for scale in ("numbers", "sixteen", "bins")
    }
    found = {scale: each.scaled("motion", labels) for scale, each in task.items()}
    assert all(values.dtype == np.float32 for values in found.values())
    np.testing.assert_array_equal(found["numbers"], labels)
    np.testing.assert_array_equal(found["sixteen"], [*labels[:12], 15, 1])
    bins = [16, 8, 16, 8, 4, 8, 4, 8, 8, 8, 8, 8, frames - 1, frames - 1]
    np.testing.assert_allclose(found["bins"], labels / np.array(bins), rtol=1e-6)
    appearance = np.array([16, 8, 1, 1, 4, 8, 1, 1, 8, 8, 1, 1, 8], np.int32)
    found = task["bins"].scaled("appearance", appearance)
    bins = [16, 8, 16, 8, 4, 8, 4, 8, 8, 8, 8, 8, 8]
    np.testing.assert_allclose(found, appearance / np.array(bins), rtol=1e-6)
    np.testing.assert_array_equal(task["sixteen"].scaled("appearance", appearance), appearance)


def test_targets_are_scaled():
    task = bound(tasks.Statistics(scale="bins"), 5, 16)
    flow = np.random.default_rng(0).normal(0, 1, (4, 16, 16, 2)).astype(np.float32)
    rgb = np.random.default_rng(1).integers(0, 256, (5, 16, 16, 3)).astype(np.uint8)
    _, y = task.example({"rgb": tf.constant(rgb), "flow": tf.constant(flow)})
    labels = [statistics.motion(flow), statistics.appearance(rgb)]
    largest = statistics.largest(NAMES, 4)
    both = np.concatenate([y["motion"], y["appearance"]])
    np.testing.assert_allclose(both, np.concatenate(labels) / largest, rtol=1e-6)


def test_second_ring_as_in_journal_code():
    """By hand: all strips but the bottom one, and the first frames whole, with black centres."""
    rng = np.random.default_rng(0)
    rgb = np.full((16, 32, 32, 3), 200, np.uint8)
    second = regions.masks(2, 32)[1]
    rgb[:, second] = rng.integers(150, 160, (16, second.sum(), 3))  # the one that changes
    plain = statistics.appearance(rgb, colour="mode")
    odd = statistics.appearance(rgb, colour="mode", journal=True)
    assert plain[4] == odd[4] == 2 and (plain[5], odd[5]) == (4, 5)  # white, black
    np.testing.assert_array_equal(np.delete(plain, 5), np.delete(odd, 5))
    rgb[:, 8:12, 8:24] = (250, 0, 0)  # the strip at the top: 64 red pixels of 16 frames
    rgb[0, 8:12, 8:24] = (0, 0, 250)  # so that the ring still changes most
    counts = {7: 15 * 64 + 1 * 64, 5: 2 * 64, 1: 2 * 64}  # and frame 1 of the first two again
    assert max(counts, key=counts.get) == 7
    assert statistics.appearance(rgb, (2,), False, "mode", True)[:2].tolist() == [2, 7]
    rgb[:, 8:12, 8:24] = rgb[:, 12:16, 8:12].repeat(4, 2)
    rgb[:, 20:24, 8:24] = (250, 0, 0)  # the strip at the bottom, which it sees in two frames alone
    rgb[3, 20:24, 8:24] = (0, 0, 250)
    assert statistics.appearance(rgb, (2,), False, "mode")[:2].tolist() == [2, 7]
    assert statistics.appearance(rgb, (2,), False, "mode", True)[:2].tolist() == [2, 5]
    with pytest.raises(ValueError, match="colour must be 'mode' with journal.*'octants'"):
        statistics.appearance(rgb, journal=True)
    with pytest.raises(ValueError, match="colour must be mode with journal.*'octants'"):
        tasks.Statistics(journal=True)


def test_clips_without_motion_as_in_journal_code():
    flow = np.zeros((15, 16, 16, 2), np.float32)
    assert statistics.motion(flow).tolist() == [0] * 14
    expected = [0, 0, 0, 0] + [1] * 10
    assert statistics.motion(flow, journal=True).tolist() == expected
    flow[..., 0] = np.arange(16) ** 2  # u alone
    found, plain = statistics.motion(flow, journal=True), statistics.motion(flow)
    np.testing.assert_array_equal(found[plain > 0], plain[plain > 0])
    assert found[[2, 3, 6, 7, 10, 11, 13]].tolist() == [0, 0, 1, 1, 1, 1, 1]


# ---- colours of pace prediction ------------------------------------------------------------------


@pytest.mark.parametrize("kind", [tasks.Pace, tasks.PaceContrast])
def test_jitter_can_swap_red_and_blue(kind):
    """Equals colour_jitter on the reversed channels, reversed again; grey stays grey."""
    views = () if kind is tasks.Pace else (2,)
    rgb = np.random.default_rng(0).integers(0, 256, (*views, 3, 8, 8, 3)).astype(np.uint8)
    clip = {"rgb": tf.constant(rgb), "seed": tf.constant([3, 4], tf.int32), "video": b"x"}
    clip["target"] = tf.zeros(views, tf.int32)
    plain, odd = (kind(jitter_bgr=odd).example(clip)[0].numpy() for odd in (False, True))
    np.testing.assert_array_equal(plain, augment.colour_jitter(rgb, clip["seed"]))
    backwards = augment.colour_jitter(rgb[..., ::-1], clip["seed"]).numpy()
    np.testing.assert_array_equal(odd, backwards[..., ::-1])
    assert (plain != odd).any()


# ---- frames of MoCo, VTDL and DSM ----------------------------------------------------------------


def starts_of(task, length, draws=400):
    rng = np.random.default_rng(0)
    return {tuple(task.sample(length, None, rng)[0][:, 0].tolist()) for _ in range(draws)}


@pytest.mark.parametrize("kind", [tasks.MoCo, tasks.DSM])
def test_inter_negative_starts_where_anchor_may(kind):
    """With 100 frames, always at the first, as in DSM's code; with 103, at any of four."""
    inter = kind(negative="inter", window=100, unused=1)
    assert starts_of(inter, 100) == {(0, 0)}
    assert starts_of(inter, 104) == {(a, b) for a in range(4) for b in range(4)}
    assert inter.least == 2 and inter.span == 15 * 4 + 1 + 1
    assert starts_of(kind(negative="intra", window=100, unused=1), 100) == {(0, 33)}
    inside = kind(negative="inter", loop="restrict")
    assert inside.least == inside.span == 61 and starts_of(inside, 61) == {(0, 0)}


def test_fine_tuning_can_leave_out_the_last_frame():
    """DSM's code counts one frame less, in training and test."""
    task = bound(tasks.Classify(3, unused=1), 6)
    seen, rng = set(), np.random.default_rng(0)
    for _ in range(200):
        seen.add(tuple(task.sample(10, None, rng)[0].tolist()))
    assert seen == {tuple(range(start, start + 6)) for start in range(4)}  # 9 frames
    assert task.sample(10, 4, rng)[0].tolist() == [3, 4, 5, 6, 7, 8]
    assert task.sample(6, 0, rng)[0].tolist() == [0, 1, 2, 3, 4, 0]  # 5 frames, and again
    assert (task.least, task.span, task.step) == (2, 7, 6)
    flow = task.bound(task.clip, Network(modality="flow"))
    with pytest.raises(ValueError, match="unused.*0 with modality=flow.*unused=1"):
        flow.check(2)


# ---- initial weights -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["c3d_bn", "r2plus1d_10"])
def test_initial_values_follow_chosen_authors(name):
    """VTDL and DSM: Xavier uniform with gain sqrt(2), batch norm N(1, 0.02). STS, pace: PyTorch."""
    keras.utils.set_random_seed(0)
    for initializer in ("published", "xavier"):
        network = backbones.backbone(name, (8, 16, 16, 3), 0.25, initializer=initializer)
        scales = np.concatenate([v.numpy() for v in network.variables if v.name == "gamma"])
        kernel = network.get_layer("conv2" if name == "c3d_bn" else "conv2_1_conv1").kernel.numpy()
        window, inputs, outputs = kernel.shape[:3], *kernel.shape[3:]
        size = np.prod(window)
        limit = (12 / (size * (inputs + outputs))) ** 0.5
        if initializer == "published":
            limit, deviation = (size * inputs) ** -0.5, 0
        else:
            deviation = 0.02
        assert np.abs(kernel).max() == pytest.approx(limit, rel=0.02)
        assert kernel.std() == pytest.approx(limit / 3**0.5, rel=0.05)
        assert scales.mean() == pytest.approx(1, abs=0.005)
        assert scales.std() == pytest.approx(deviation, rel=0.15)


# ---- an epoch's last batch -----------------------------------------------------------------------


def seen(batches):
    """[(red of each clip's first pixel, ...) per batch], which identifies clips and order."""
    return [tuple(x[:, 0, 0, 0, 0].numpy().tolist()) for x, _ in batches]


def test_last_batch_can_be_kept(data):
    """12 clips in batches of 5, 5 and 2; each epoch has all of them, also after resuming."""
    task = bound(tasks.Classify(3), 8)
    plain = reader(data, task)
    kept = clips.Reader(data, plain.examples, task, plain.geometry, keep_last=True)
    assert (len(plain.examples), plain.steps(5), kept.steps(5), kept.steps(4)) == (24, 4, 5, 6)
    found = seen(kept.batches(5, 0, 10, threads=2))
    assert [len(batch) for batch in found] == [5, 5, 5, 5, 4] * 2
    orders = [np.concatenate(found[:5]), np.concatenate(found[5:])]
    assert sorted(orders[0]) == pytest.approx(sorted(orders[1]), abs=40)  # other crops
    assert seen(kept.batches(5, 0, 4)) == seen(plain.batches(5, 0, 4)) == found[:4]
    for first in (1, 4, 5, 7, 9):
        assert seen(kept.batches(5, first, 10)) == found[first:]
    assert seen(kept.batches(4, 3, 7)) == seen(plain.batches(4, 3, 7))  # nothing is left over
    for split in ({"parts": 5}, {"share": (0, 5)}):
        with pytest.raises(ValueError, match="last_batch must be drop on 5 replicas"):
            kept.batches(5, 0, 4, **split)


# ---- features of the last convolution ------------------------------------------------------------


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, data):
    """Writes a run folder of a small C3D with the two heads of MAS."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "small")
    backbone = keras.models.load_model(folder / "backbone.keras")
    task = tasks.Statistics().bound(Clip(16, 32, (44, 32)), Network("c3d", width=0.125))
    task.model(backbone).save(folder / "model.keras")
    return folder


def test_pool5_and_fc6_features_equal_layers(tuned, data):
    """Uses one clip per video, so that its features are the clip's; fc6 has 2 x 256 units."""
    video, model = [lists.Entry("left/left_01")], keras.models.load_model(tuned / "model.keras")
    one = {"clips": 1, "resize": (44, 32)}
    found = {
        pooling: features.extract(
            tuned, data, video, features.Sampling(pooling=pooling, **one), cache=False
        )
        for pooling in ("pool5", "fc6", "average", None)
    }
    flat = found["pool5"].values
    assert flat.shape == (1, 1 * 1 * 1 * 32) and found["average"].values.shape == (1, 32)
    heads = ("appearance_fc6", "motion_fc6")
    behind = [np.asarray(model.get_layer(name)(flat)) for name in heads]
    np.testing.assert_allclose(found["fc6"].values, np.concatenate(behind, 1), rtol=1e-4, atol=1e-5)
    assert found["fc6"].values.min() >= 0
    np.testing.assert_array_equal(found[None].values, found["average"].values)
    assert found[None].facts["pooling"] == "average"
    digests = {name: found[name].facts["digest"] for name in ("pool5", "fc6")}
    assert digests["fc6"] == files.digest(tuned / "model.keras") != digests["pool5"]
    said = {name: report.describe(found[name].facts) for name in ("pool5", "fc6")}
    assert "after 2 x 2 x 2 max pooling (pool5), flattened" in said["pool5"]
    assert "the first fully connected layer of the heads (fc6)" in said["fc6"]
    other = features.extract(
        tuned, data, video, features.Sampling(pooling="fc6", **one), random=True, seed=3
    )
    assert other.values.shape == (1, 512) and not np.allclose(other.values, found["fc6"].values)


def test_pool5_keeps_partial_windows():
    maps = np.random.default_rng(0).normal(size=(2, 3, 5, 4, 2)).astype(np.float32)
    padded = np.full((2, 4, 6, 4, 2), -np.inf, np.float32)
    padded[:, :3, :5] = maps
    expected = padded.reshape(2, 2, 2, 3, 2, 2, 2, 2).max((2, 4, 6)).reshape(2, -1)
    found = extraction.pooled(tf.constant(maps), "pool5")
    np.testing.assert_array_equal(found, expected)


def test_rejects_fc6_of_network_without_it(tuned, data, tmp_path):
    wanted = features.Sampling(pooling="fc6", resize=(44, 32))
    shutil.copy(tuned / "backbone.keras", tmp_path / "other.keras")
    with pytest.raises(ValueError, match="pooling.*without fc6.*other.keras"):
        features.extract(tmp_path / "other.keras", data, None, wanted)
    with pytest.raises(ValueError, match="pooling.*without heads.*pooling='fc6'"):
        features.extract(keras.models.load_model(tuned / "backbone.keras"), data, None, wanted)
    bare = write_run(tmp_path / "bare")
    with pytest.raises(FileNotFoundError, match="model.keras.*no such file"):
        features.extract(bare, data, None, wanted)


def test_similarity_and_scenes_default_to_pool5(tuned):
    """The other protocols default to the mean over frames and space; flags apply to all."""
    for overlapping, pooling in ((True, "pool5"), (False, "average")):
        made = Inputs(tuned, None, overlapping=overlapping)
        assert made.settings(features.Sampling())["sampling"]["pooling"] == pooling
        told = Inputs(tuned, None, features.Sampling(pooling="fc6"), overlapping=overlapping)
        assert told.sampling.pooling == "fc6"


# ---- the released tests --------------------------------------------------------------------------


def test_windows_equal_released_tests(data):
    """VTDL: two windows, 10 frames apart, if they fit. DSM: one, anywhere; here from a seed."""
    two = clips.examples(data, [lists.Entry("left/left_01", 0)], 8, "first", 2)
    assert two.starts.tolist() == [0, 10]  # of 18 frames
    assert clips.examples(data, [lists.Entry("left/left_01", 0)], 9, "first", 2).starts == [0]
    assert clips.examples(data, [lists.Entry("left/left_01", 0)], 20, "first", 2).starts == [0]
    drawn = clips.examples(data, None, 8, "drawn", 3)
    assert set(drawn.starts) == {clips.ANYWHERE} and len(drawn) == 3 * len(data.videos)
    task = bound(tasks.Classify(3, unused=1), 8).testing()
    geometry = clips.Geometry((44, 32), 32, random=False)
    found = [clips.Reader(data, drawn, task, geometry, s, shuffle=False) for s in (0, 0, 1)]
    first, again, other = (seen(each.once(12)) for each in found)
    assert first == again != other
    with pytest.raises(ValueError, match="test_windows.*even with test_clips=0.*'first'"):
        training.Test(0, "first")
