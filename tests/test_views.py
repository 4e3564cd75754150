"""Views of MoCo, VTDL and DSM: frames, augmentation and role of each."""

import collections

import numpy as np
import pytest
import tensorflow as tf

import mas
from mas import augment, clips, tasks
from mas.settings import Clip
from mas.tasks import views
from mas.training import engine, pretraining, testing

SIZE = 24


def rng(seed=0):
    return np.random.default_rng(seed)


def of(kind, frames=6, size=SIZE, **settings):
    return kind(**settings).bound(Clip(frames, size, (80, 80)))


def published(length, start, frames=16, stride=4):
    """The walk of VTDL's code, which counts from 1."""
    place, walk = start + 1, []
    for _ in range(frames):
        walk.append(place - 1)
        place = place + stride if place < length - stride + 1 else 1
    return walk


def published_pairs(length, window, min_offset=2):
    """{(start of anchor, start of negative): share}, counted from 0; VTDL's code counts from 1."""
    starts = range(1, max(length - window, 0) + 2)
    found = collections.Counter()
    for first in starts:
        for second in starts:
            if abs(second - first) < min_offset:
                second = (second + length // 3) % length or 1
            found[first - 1, second - 1] += 1 / len(starts) ** 2
    return found


# ---- which frames --------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [9, 16, 61, 64, 65, 130, 200])
@pytest.mark.parametrize("start", [0, 3, 8])
def test_frames_equal_published_walk(length, start):
    frames, target = tasks.VTDL().sample(length, start, rng())
    assert frames[0].tolist() == published(length, start)
    assert frames.shape == (2, 16) and target.size == 0


@pytest.mark.parametrize(
    ("length", "window"), [(130, 128), (133, 128), (100, 128), (70, 64), (67, 64), (8, 64)]
)
def test_starts_are_drawn_as_published(length, window):
    """4,000 draws contain every possible pair, as often as the formula says."""
    task, draw = of(tasks.VTDL, 2, stride=1, window=window), rng(1)
    counts = collections.Counter()
    for _ in range(4000):
        frames, _ = task.sample(length, None, draw)
        counts[int(frames[0, 0]), int(frames[1, 0])] += 1
    expected = published_pairs(length, window)
    assert counts.keys() == expected.keys()
    for pair, share in expected.items():
        assert counts[pair] / 4000 == pytest.approx(share, abs=0.045)


def test_published_window_is_32_strides_for_any_clip():
    """A video of 128 frames has one anchor, and one negative 42 frames later."""
    task = tasks.VTDL(window=128)
    for seed in range(20):
        frames, _ = task.sample(128, None, rng(seed))
        assert frames[:, 0].tolist() == [0, 42]
    assert {int(task.sample(131, None, rng(s))[0][0, 0]) for s in range(60)} == {0, 1, 2, 3}
    firsts = {int(tasks.VTDL().sample(66, None, rng(s))[0][0, 0]) for s in range(60)}
    assert firsts == {0, 1, 2}, "by default those of the clip: 16 * 4 = 64"


@pytest.mark.parametrize("places", range(4, 20))
def test_negative_keeps_minimum_distance(places):
    for anchor in range(places):
        for negative in range(places):
            moved = views.apart(anchor, negative, places, 2)
            assert 0 <= moved < places and abs(moved - anchor) >= 2
            if abs(negative - anchor) >= 2:
                assert moved == negative
    # Counted from 1, (7 + 3) mod 10 is 0, for which the code takes its first frame.
    assert views.apart(6, 6, 10, 2) == 0 and views.apart(4, 5, 12, 2) == 9
    anchor, negative = tasks.VTDL(min_offset=16).sample(90, None, rng(places))[0][:, 0].astype(int)
    assert abs(anchor - negative) >= 16


def test_shuffled_negative_permutes_frames_of_anchor():
    task, found = tasks.VTDL(negative="shuffled"), set()
    assert task.roles == ("anchor", "positive", "negative") and task.span == tasks.MoCo().span
    for seed in range(20):
        anchor, negative = task.sample(90, None, np.random.default_rng(seed))[0]
        assert sorted(negative) == sorted(anchor) and (negative != anchor).any()
        found.add(tuple(negative - anchor))
    assert len(found) == 20
    orders = {tuple(views.shuffled(2, np.random.default_rng(seed))) for seed in range(9)}
    assert orders == {(1, 0)}


def test_last_frame_can_be_unused():
    """DSM's code takes one frame less than there are."""
    seen = set()
    for seed in range(200):
        frames, _ = of(tasks.DSM, 4, unused=1, stride=3).sample(30, None, rng(seed))
        assert frames[0].tolist() == published(29, frames[0, 0], 4, 3)
        seen |= set(frames.ravel().tolist())
    assert max(seen) == 28


def test_restrict_keeps_clips_inside_video():
    task = of(tasks.VTDL, 4, loop="restrict", stride=3)
    assert task.span == task.least == 13 and not task.wraps
    seen = set()
    for seed in range(100):
        frames, _ = task.sample(13, None, rng(seed))
        for walk in frames:
            assert walk.tolist() == list(range(walk[0], walk[0] + 12, 3))
        seen.add((int(frames[0, 0]), int(frames[1, 0])))
    assert seen <= {(a, b) for a in range(4) for b in range(4) if abs(a - b) >= 2}
    assert tasks.VTDL().least == 4 and tasks.MoCo().least == 1
    for short, least in ((task, 13), (tasks.VTDL(), 4)):
        with pytest.raises(ValueError, match=f"{least} frames. Received: {least - 1}"):
            short.sample(least - 1, None, rng())


@pytest.mark.parametrize(
    ("task", "decoded", "roles"),
    [
        (tasks.MoCo(), 1, 2),
        (tasks.MoCo(negative="inter"), 2, 3),
        (tasks.VTDL(), 2, 3),
        (tasks.VTDL(negative="none"), 1, 2),
        (tasks.DSM(temporal="flow"), 1, 3),
        (tasks.DSM(temporal="frames"), 1, 3),
        (tasks.DSMTriplet(), 2, 3),
    ],
)
def test_equal_clips_are_decoded_once(task, decoded, roles):
    assert task.views == decoded == len(task.sample(90, None, rng())[0])
    assert task.roles == ("anchor", "positive", "negative")[:roles]


# ---- what becomes of them ------------------------------------------------------------------------


def clip_of(task, seed=0, shape=(30, 40)):
    draw = rng(seed)
    count = (task.views, task.frames)
    clip = {
        "rgb": draw.integers(0, 256, (*count, *shape, 3)).astype(np.uint8),
        "seed": np.array([seed, 1], np.int32),
        "batch_seed": np.array([9, 9], np.int32),
        "flow": draw.normal(0, 3, (task.views, task.frames - 1, *shape, 2)).astype(np.float32),
    }
    return {name: tf.constant(value) for name, value in clip.items()}


def plain(kind, size=SIZE, **settings):
    """Settings without rotation, colours and random crops."""
    return of(kind, 6, size, rotation=0.0, colours="none", **settings)


SQUARE = (SIZE, SIZE)


def test_roles_and_sources():
    """Anchor and positive show one clip, the negative the other."""
    task = plain(tasks.VTDL, mixup=0.0)
    clip = clip_of(task, shape=SQUARE)
    x, y = task.example(clip)
    first, second = clip["rgb"].numpy()
    np.testing.assert_array_equal(x, np.stack([first, first, second]))
    assert y == {}
    x, _ = of(tasks.VTDL, mixup=0.0).example(clip)
    assert x.shape == (3, 6, SIZE, SIZE, 3) and np.mean(x[0] != x[1]) > 0.5, "each for itself"


def test_tca_blends_frame_into_anchor_only():
    task = plain(tasks.VTDL, mixup=0.5)
    clip = clip_of(task, shape=SQUARE)
    x = task.example(clip)[0].numpy().astype(float)
    first, second = clip["rgb"].numpy().astype(float)
    np.testing.assert_array_equal(x[1:], [first, second])
    errors = []
    for frame in first:
        change, step = x[0] - first, frame - first
        weight = np.sum(change * step) / np.sum(step**2)
        errors.append((np.abs(change - weight * step).max(), weight))
    error, weight = min(errors)
    assert error <= 0.51 and 0 < weight < 0.5, "rounding apart"


@pytest.mark.parametrize("per_sample", [False, True])
def test_mixup_weight_per_batch_or_per_example(per_sample):
    task = plain(tasks.VTDL, mixup=0.5, per_sample=per_sample)
    still = np.zeros((2, 6, *SQUARE, 3), np.uint8)
    still[:, ::2] = 200  # every other frame: the change tells the weight
    found = set()
    for seed in range(6):
        clip = clip_of(task, seed, SQUARE) | {"rgb": tf.constant(still)}
        x = task.example(clip)[0].numpy()[0].astype(int)
        found.add(int(np.abs(x - still[0]).max()))
    assert (len(found) == 1) != per_sample


@pytest.mark.parametrize("spatial", ["push", "tps", "affine"])
@pytest.mark.parametrize("disturbed", ["anchor", "positive"])
def test_sld_changes_one_view(spatial, disturbed):
    task = plain(tasks.DSM, spatial=spatial, disturbed=disturbed, size=80)
    clip = clip_of(task, shape=(80, 80))
    x = task.example(clip)[0].numpy()
    first, second = clip["rgb"].numpy()
    changed = task.roles.index(disturbed)
    warp = {"push": augment.push_warp, "tps": augment.thin_plate_warp, "affine": augment.affine}
    expected = [first, first, second]
    expected[changed] = warp[spatial](clip["rgb"][0], task.seed(clip, 3)).numpy()
    assert np.any(expected[changed] != first)
    np.testing.assert_array_equal(x, expected)


def test_tld_breaks_motion_of_clip():
    task = plain(tasks.DSM, spatial="none", temporal="frames")
    clip = clip_of(task, shape=SQUARE)
    x = task.example(clip)[0].numpy()
    (first,) = clip["rgb"].numpy()
    np.testing.assert_array_equal(x[:2], [first, first])
    known = {frame.tobytes() for frame in first}
    assert {frame.tobytes() for frame in x[2]} <= known and np.any(x[2] != first)

    task = plain(tasks.DSM, spatial="none", temporal="flow", stride=1)
    x = task.example(clip)[0].numpy()
    assert task.inputs == ("rgb", "flow") and tasks.DSM().inputs == ("rgb",)
    shown = [task.sample(9, None, rng(seed))[0].max() for seed in range(60)]
    assert max(shown) == 7, "the last frame has no flow"
    expected = augment.flow_warp(clip["rgb"][0], clip["flow"][0], task.seed(clip, 2, False))
    np.testing.assert_array_equal(x[2], expected)
    np.testing.assert_array_equal(x[:2], [first, first])


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("vtdl", {"negative": "some"}, "negative.*negative='some'"),
        ("moco", {"key_momentum": 1.0}, "key_momentum.*below 1.*key_momentum=1.0"),
        ("dsm", {"temporal": "flow", "negative": "none"}, "temporal.*shift.*temporal='flow'"),
        ("dsm_triplet", {"negative": "none"}, "negative.*intra.*negative='none'"),
        ("dsm_triplet", {"intra_weight": 0.0, "inter_weight": 0.0}, "inter_weight.*above 0"),
    ],
)
def test_wrong_settings(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        tasks.task(kind, **settings)


@pytest.mark.parametrize(
    ("task", "batch", "message"),
    [
        (tasks.MoCo(queue=4), 5, "queue.*batch of 5.*queue=4"),
        (tasks.MoCo(queue=0), 1, "batch.*queue=0.*batch=1"),
        (tasks.DSM(negative="inter"), 1, "batch.*negative=inter.*batch=1"),
        (tasks.MoCo(key_norm="initial", key_momentum=0.0), 4, "key_momentum.*key_norm=initial"),
        (tasks.DSMTriplet(), 1, "batch.*inter_weight.*batch=1"),
    ],
)
def test_rejects_batches_without_contrast_early(task, batch, message):
    with pytest.raises(ValueError, match=message):
        task.check(batch)
    tasks.MoCo(queue=4).check(4)
    tasks.DSMTriplet(inter_weight=0.0).check(1)


def test_defaults_equal_released_code_and_test_has_no_queue():
    dsm, triplet, vtdl = tasks.DSM(), tasks.DSMTriplet(), tasks.VTDL(queue=5000)
    assert (dsm.spatial, dsm.disturbed, dsm.temporal, dsm.mixup) == ("push", "anchor", "shift", 0)
    assert (triplet.margin, triplet.intra_weight, triplet.inter_weight) == (0.5, 1, 1)
    assert list(triplet.losses()) == ["intra", "inter"]
    assert list(tasks.DSMTriplet(inter_weight=0.0).losses()) == ["intra"]
    assert (vtdl.temperature, vtdl.key_momentum, vtdl.mixup) == (0.07, 0.999, 0.1)
    assert (vtdl.negative, tasks.MoCo().negative) == ("intra", "none")
    tested = vtdl.testing()
    assert (tested.queue, tested.key_momentum, tested.mixup) == (0, 0.0, 0.1)


# ---- tests of what is compared in a batch --------------------------------------------------------


def examples_of(*counts):
    """Examples of each video, with starts 100 * video + example."""
    videos = np.repeat(np.arange(len(counts)), counts)
    starts = np.concatenate([100 * video + np.arange(n) for video, n in enumerate(counts)])
    return clips.Examples(videos, starts, np.full(len(videos), -1))


@pytest.mark.parametrize(("counts", "batch"), [([1] * 3, 8), ([1] * 13, 3), ([5, 1, 2], 2)])
def test_batches_of_test_have_distinct_videos(counts, batch):
    """Every batch is full, and every video is drawn ten times."""
    found, size = testing.drawn(tasks.MoCo(), examples_of(*counts), batch)
    assert size == min(batch, len(counts)) and len(found) % size == 0
    for videos in found.videos.reshape(-1, size):
        assert len(set(videos)) == size
    assert set(np.bincount(found.videos)) <= {10, 11}
    assert len(set(found.starts)) == sum(counts), "all examples of a video come in turn"


def test_task_without_contrast_is_tested_in_list_order():
    found, size = testing.drawn(tasks.Pace(), examples_of(2, 1), 8, draws=3)
    assert size == 8 and found.starts.tolist() == [0, 1, 100] * 3
    with pytest.raises(ValueError, match="held_out must be 2 videos or more.*vtdl.*held_out=1"):
        testing.drawn(tasks.VTDL(), examples_of(4), 8, name="held_out")


def test_queue_larger_than_data_set_warns():
    assert tasks.MoCo(queue=50).doubts(50, 50) == []
    (words,) = tasks.VTDL(queue=51).doubts(50, 50)
    assert "queue=51" in words and "50 videos" in words
    (words,) = tasks.DSMTriplet().doubts(50, 120)
    assert "120 examples come from 50 videos" in words
    assert tasks.Pace().doubts(1, 9) == []


def test_pretraining_warns_and_tests_whole_batches(sample_data, tmp_path, monkeypatch, caplog):
    """Four held-out videos and batches of six: the batches of the test have four."""
    read, tested = [], testing.PretextTest({"positive_first": 0.5})
    monkeypatch.setattr(engine, "train", lambda *arguments: (None, None))
    monkeypatch.setattr(pretraining, "Run", lambda path, *others: path)
    monkeypatch.setattr(testing, "pretext", lambda task, *others: read.append(task.queue) or tested)
    monkeypatch.setattr(
        clips.Reader, "once", lambda own, size, *_, **__: read.append((size, own.examples.videos))
    )
    lines = (sample_data / "test.txt").read_text().splitlines()[:4]
    (tmp_path / "four.txt").write_text("\n".join(lines))
    run = mas.pretrain(
        sample_data / "data",
        mas.tasks.MoCo(queue=30, stride=1, negative="inter"),
        clip=mas.Clip(frames=2, size=16, resize=(44, 32)),
        plan=mas.Plan(epochs=1, batch=6),
        videos=sample_data / "train.txt",
        held_out=tmp_path / "four.txt",
        run=tmp_path / "run",
    )
    (size, videos), queue = read
    assert (size, queue, len(videos)) == (4, 0, 40) and len(set(videos[3:7])) == 4
    assert (run / "test.csv").is_file()
    assert "queue=30 is more than the 6 videos" in caplog.text
