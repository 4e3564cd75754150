"""Tasks on optical flow: which fields they get, how these rotate, what is refused."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from test_clips import HEIGHT, LENGTHS, WIDTH, store

import mas
from mas import augment, clips, networks, tasks
from mas import flow as flow_code
from mas.augment import sampling, spatial, warps
from mas.settings import Clip, Network

CLIP = Clip(4, 16, (WIDTH, HEIGHT))
FLOW = Network("c3d_bn", modality="flow", width=0.05, initializer="he")
SEED = tf.constant([3, 5])
FIELDS = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 2)).astype(np.float32)
# The same numbers as the first two channels of a clip.
CLIP_OF = np.concatenate([FIELDS, 0 * FIELDS[..., :1]], -1).astype(np.uint8)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """v of frame t has code 200 - t, u of frame t code t + column: see test_clips."""
    return store(tmp_path_factory.mktemp("data"))


def bound(task):
    return task.bound(CLIP, FLOW)


def reader(data, task, how="anywhere", flip=False, random=True):
    found = clips.examples(data, None, task.span, how, least=task.least)
    geometry = clips.Geometry((WIDTH, HEIGHT), 16, random=random, flip=flip)
    return clips.Reader(data, found, task, geometry, shuffle=False)


def frames_of(fields):
    """The frame where each field starts, from v's code; checks that all pixels agree."""
    codes = np.asarray((fields[..., 1] + flow_code.BOUND) * 255 / (2 * flow_code.BOUND))
    assert np.ptp(codes, (-2, -1)).max() < 2, "JPEG's rounding"
    return np.rint(200 - codes.mean((-2, -1))).astype(int)


# ---- which fields --------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", ["restrict", "wrap"])
def test_clip_at_pace_p_has_every_pth_field(data, loop):
    task = bound(tasks.Pace(paces=("1/2", 1, 2, 3), loop=loop))
    own, seen = reader(data, task), set()
    for epoch in range(12):
        for place in range(len(own.examples)):
            x, y = task.example(own.clip(epoch, place))
            assert x.shape == (3, 16, 16, 2) and x.dtype == tf.float32
            length = LENGTHS[own.examples.videos[place]] - 1  # the last frame has no flow
            found, label = frames_of(x), int(y["pace"])
            seen.add(label)
            assert found.max() < length
            walk = [n // 2 if not label else n * label for n in range(3)]
            if loop == "restrict":
                np.testing.assert_array_equal(found - found[0], walk)
            else:
                known = tasks.walks.indices(3, task._paces[label], found[0], length, "wrap")
                np.testing.assert_array_equal(found, known)
    assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize("kind", [tasks.MoCo, tasks.VTDL, tasks.DSM, tasks.DSMTriplet])
def test_views_have_fields_of_their_frames(data, kind):
    """Anchor and positive share fields; without augmentation, they are the stored ones."""
    options = {"mixup": 0} if hasattr(kind, "mixup") else {}
    options |= {"spatial": "none"} if hasattr(kind, "spatial") else {}
    task = bound(kind(stride=2, rotation=0, loop="restrict", **options))
    own = reader(data, task)
    for place in range(len(own.examples)):
        x, _ = task.example(own.clip(0, place))
        assert x.shape == (len(task.roles), 3, 16, 16, 2)
        starts = [frames_of(view) for view in x.numpy()]
        np.testing.assert_array_equal(starts[0], starts[1])
        for start in starts:
            np.testing.assert_array_equal(start - start[0], [0, 2, 4])
        if len(starts) == 3:
            assert abs(starts[2][0] - starts[0][0]) >= 2


def test_mirrored_view_negates_u(data):
    task = bound(tasks.MoCo(stride=1, rotation=0))
    own = reader(data, task, "consecutive", flip=True)
    flipped = [place for place in range(len(own.examples)) if own.load(0, place)[3][2] == 1]
    assert flipped
    fields = own.clip(0, flipped[0])["flow"][0]
    columns = np.asarray(fields[0, 0, :, 0])
    # u's code is t + column; mirrored, the last column comes first, with the other sign.
    start = frames_of(fields[:1])[0]
    expected = -flow_code.decode(np.float32(start + np.arange(WIDTH)))[::-1]
    np.testing.assert_allclose(columns, expected, atol=0.35)


def test_evaluation_uses_stride_for_flow(data):
    task = mas.features.Sampling(stride=3, clips=0).task(CLIP, "flow")
    own = reader(data, task, "consecutive", random=False)
    x, _ = task.example(own.clip(0, 0))
    np.testing.assert_array_equal(frames_of(x), [0, 3, 6])


# ---- what happens to them ------------------------------------------------------------------------


@pytest.mark.parametrize("turns", [1, 2, -1])
def test_vectors_rotate_with_frames(turns):
    found = spatial.apply_rotation(FIELDS, np.float32(90 * turns), 0, 0, 64).numpy()
    u, v = np.moveaxis(np.rot90(FIELDS, turns, (1, 2)), -1, 0)
    expected = {1: (v, -u), 2: (-u, -v), -1: (-v, u)}[turns]  # counter-clockwise, v down
    np.testing.assert_allclose(found, np.stack(expected, -1), atol=1e-4)


def test_rotation_turns_right_into_up_right():
    right = np.tile(np.float32([2, 0]), (1, 41, 41, 1))
    found = spatial.apply_rotation(right, np.float32(30), 10, 10, 21)
    expected = np.tile(np.float32([3**0.5, -1]), (1, 21, 21, 1))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_flow_is_rotated_and_cropped_like_rgb():
    """For the same seed, so each vector still belongs to its pixel."""
    one = augment.basic(CLIP_OF, SEED, 12, 40, "none").numpy()[..., :2]
    two = augment.basic(FIELDS, SEED, 12, 40).numpy()
    angle = np.deg2rad(spatial.draw_rotation(augment.fold(SEED, 0), (64, 64), 12, 40)[0])
    back = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(two @ back.T, one, atol=1e-3)


@pytest.mark.parametrize("name", ["push_warp", "thin_plate_warp", "affine"])
def test_warps_move_flow_like_rgb(name):
    function = getattr(augment, name)
    one, two = function(CLIP_OF, SEED).numpy()[..., :2], function(FIELDS, SEED).numpy()
    assert two.dtype == np.float32 and not np.array_equal(two, FIELDS)
    np.testing.assert_allclose(two, one, atol=0 if name == "push_warp" else 0.501)


def test_one_field_is_mixed_into_all():
    frame, weight = augment.temporal.draw_mixup(SEED, SEED, 3, 0.5)
    found = augment.intra_mixup(FIELDS, SEED, SEED, 0.5)
    expected = (1 - weight) * FIELDS + weight * FIELDS[frame]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_rgb_only_options_reject_flow():
    for function in (augment.swap_frames, augment.insert_frames, augment.break_frames):
        with pytest.raises(ValueError, match="clip must be uint8"):
            function(FIELDS, SEED)
    with pytest.raises(ValueError, match="clip must be uint8"):
        sampling.check_clip(FIELDS)
    assert warps.push_warp(FIELDS, SEED).dtype == tf.float32


# ---- the whole task ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(tasks.TASKS))
def test_every_task_accepts_flow(data, name):
    options = {"queue": 4} if hasattr(tasks.TASKS[name], "queue") else {}
    options |= {"loop": "wrap"} if hasattr(tasks.TASKS[name], "loop") else {}
    task = tasks.task(name, **options)
    task = task.bound(dataclasses.replace(CLIP, frames=9), FLOW)
    task.check(2)
    own = reader(data, task, "anywhere" if name != "mas" else "consecutive")
    x, y = next(iter(own.batches(2, last_step=1)))
    assert x.shape[-4:] == (8, 16, 16, 2)
    model = task.model(networks.build(FLOW, task.clip.shape("flow")))
    outputs = task.encoders(model)(x, training=True)
    for function, _ in task.losses().values():
        assert np.all(np.isfinite(function(y, outputs)))


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (tasks.Pace(loop="bounce"), "loop must be wrap or restrict with modality=flow.*bounce"),
        (tasks.VTDL(loop="bounce"), "loop must be wrap or restrict with modality=flow.*bounce"),
        (tasks.DSM(temporal="frames"), "temporal must be shift with modality=flow.*frames"),
        (tasks.DSMTriplet(temporal="flow"), "temporal must be shift with modality=flow.*'flow'"),
    ],
)
def test_rejects_meaningless_options_on_flow(task, words):
    with pytest.raises(ValueError, match=words):
        bound(task).check()
    task.bound(CLIP, Network()).check()


def test_flow_run_is_evaluated_as_trained(sample_data, tmp_path, monkeypatch):
    """With its stride and flow, without flags."""
    monkeypatch.setattr(mas.training.export, "saved_model", lambda *a: a[-1].mkdir())
    small = {"network": FLOW, "clip": Clip(9, 24, (44, 32)), "plan": mas.Plan(1, batch=12)}
    run = mas.pretrain(
        sample_data / "data", tasks.VTDL(stride=2, queue=12), **small, run=tmp_path / "run"
    )
    assert np.isfinite(run.metrics["loss"]).all() and run.network == FLOW
    videos = mas.lists.folders(mas.open_data(sample_data / "data").videos)
    found = mas.evaluate.Probe("knn", groups=r"_(\d+)")(run, sample_data / "data", videos)
    assert found.accuracy >= 0 and "stride" in found.text
