"""Features of videos: known maps of known clips, the file, the cache."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from evaluating import (
    LENGTHS,
    SIDE,
    entries,
    grey,
    mirror,
    of,
    sampling,
    store,
    write_run,
)

from mas import clips, features, lists, networks, records
from mas import video as films
from mas.evaluate import report
from mas.features import extraction
from mas.settings import Clip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return store(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mas" / "features"


def level(video, starts, frames=4):
    """Mean grey of clips."""
    return np.mean([grey(video, start + t) for start in starts for t in range(frames)])


# ---- the numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "batch", "starts"),
    [
        ({"clips": 2}, 1, {"a/x": (0, 5), "a/y": (0, 0), "b/z": (0, 8)}),
        ({"clips": 2}, 16, {"a/x": (0, 5), "a/y": (0, 0), "b/z": (0, 8)}),
        ({"clips": 0}, 3, {"a/x": (0, 4), "a/y": (0,), "b/z": (0, 4, 8)}),
        ({"how": "overlapping"}, 3, {"a/x": (0, 2, 4), "a/y": (0,), "b/z": (0, 2, 4, 6, 8)}),
    ],
)
def test_video_features_are_mean_over_clips(data, how, batch, starts):
    found = features.extract(mirror(), data, entries(), sampling(batch=batch, **how))
    assert found.videos == list(LENGTHS) and found.labels.tolist() == [0, 0, 1]
    assert found.values.dtype == np.float32 and found.values.shape == (3, 3)
    expected = [[level(video, starts[video])] * 3 for video in found.videos]
    np.testing.assert_allclose(found.values, expected, atol=0.5)
    counts = [len(part) for part in starts.values()]
    assert found.facts["clips"] == [min(counts), max(counts)] and found.facts["videos"] == 3


def test_clips_with_stride_or_repeated_middle_frame(data):
    """Frames 0, 3, 6, 9 and so on; a video that is too short restarts at frame 0."""
    found = features.extract(mirror(), data, None, sampling(stride=3, clips=1))
    shown = {"a/x": [0, 3, 6, 0], "a/y": [0, 3, 0, 3], "b/z": [0, 3, 6, 9]}
    expected = [np.mean([grey(video, t) for t in shown[video]]) for video in LENGTHS]
    np.testing.assert_allclose(found.values[:, 0], expected, atol=0.5)
    assert "4 frames of rgb, stride 3, centre crop" in report.describe(found.facts)
    found = features.extract(mirror(), data, None, sampling(static=True, clips=0))
    expected = [level(v, [s + 2 for s in range(0, LENGTHS[v] - 3, 4)], 1) for v in LENGTHS]
    np.testing.assert_allclose(found.values[:, 0], expected, atol=0.5)
    assert set(found.labels) == {-1}


def test_list_sets_order_clips_and_labels(data):
    lines = [lists.Entry("b/z", 4, 1), lists.Entry("a/x", 2, 5), lists.Entry("b/z", 4, 6)]
    found = features.extract(mirror(), data, lines, sampling())
    assert found.videos == ["b/z", "a/x"] and found.labels.tolist() == [4, 2]
    expected = [level("b/z", (1, 6)), level("a/x", (5,))]
    np.testing.assert_allclose(found.values[:, 0], expected, atol=0.5)
    with pytest.raises(ValueError, match="one label.* b/z with 4 and 5"):
        features.extract(mirror(), data, [lines[0], lists.Entry("b/z", 5, 6)], sampling())


@pytest.mark.parametrize("shape", [(2, 7, 7), (3, 1, 2)])
def test_pooling(shape):
    """Max: the windows of an adaptive pool; average: the mean over frames and space."""
    maps = np.random.default_rng(0).normal(size=(2, *shape, 3)).astype(np.float32)
    _, height, width = shape
    for number in range(2):
        expected = []
        for i in range(2):
            for j in range(2):
                rows = slice(i * height // 2, int(np.ceil((i + 1) * height / 2)))
                columns = slice(j * width // 2, int(np.ceil((j + 1) * width / 2)))
                expected += maps[number, :, rows, columns].max((0, 1, 2)).tolist()
        found = extraction.pooled(tf.constant(maps), "max")[number]
        np.testing.assert_array_equal(found, np.array(expected, np.float32))
    means = extraction.pooled(tf.constant(maps), "average")
    np.testing.assert_allclose(means, maps.reshape(2, -1, 3).mean(1), atol=1e-6)


def test_flow_networks_receive_flow(sample_data):
    shown = keras.Input((3, 32, 32, 2))
    network = keras.Model(shown, keras.layers.Rescaling(1.0)(shown))
    wanted = [lists.Entry("left/left_01"), lists.Entry("right/right_01")]
    chosen = features.Sampling(clips=0, resize=(44, 32))
    left, right = features.extract(network, sample_data / "data", wanted, chosen).values
    assert left[0] < 0 < right[0], "u points right"
    with pytest.raises(ValueError, match="modality.*'flow'"):
        features.extract(network, sample_data / "data", wanted, features.Sampling(static=True))


def test_run_sets_clip_shape(run, sample_data):
    """Uses the run's clips; for others, the network is rebuilt with its weights."""
    data = records.open_data(sample_data / "data")
    wanted = [lists.Entry("up/up_00")]
    found = features.extract(run, data, wanted, features.Sampling(clips=2))
    geometry = clips.Geometry((44, 32), 32, random=False)
    examples = clips.Examples([data.videos.index("up/up_00")] * 2, [0, 2], [0, 0])
    task = features.Sampling().task(*reversed(features.modality_of(run)))
    reader = clips.Reader(data, examples, task, geometry, shuffle=False)
    maps = networks.load(run / "backbone.keras")(
        np.stack([reader.clip(0, place)["rgb"] for place in range(2)])
    )
    np.testing.assert_allclose(found.values[0], np.mean(maps, (0, 1, 2, 3)), rtol=1e-4, atol=1e-6)
    other = features.Sampling(clips=1, frames=8, size=24, resize=(40, 30))
    facts = features.extract(run, data, wanted, other).facts
    assert (facts["frames"], facts["size"], facts["resize"]) == (8, 24, [40, 30])
    assert facts["network"] == "c3d" and facts["weights"] == "loaded"
    random = features.extract(run, data, wanted, other, random=True, seed=5).facts
    assert (random["weights"], random["seed"]) == ("random", 5)
    assert "at random initialisation, seed 5" in report.describe(random)


# ---- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["cut off", "gone", "garbage inside"])
def test_failing_video_is_reported_or_skipped(tmp_path, caplog, kind):
    data = store(tmp_path)
    path = data.data / records.RGB_FOLDER / "a/x" / records.FRAME_FILE.format(8)
    content = path.read_bytes()
    if kind == "gone":
        path.rename(path.with_suffix(".away"))
    else:
        middle = b"\xff\xd8" + b"\x00" * 50 + b"\xff\xd9"
        path.write_bytes(content[:100] if kind == "cut off" else middle)
    chosen = {"clips": 0, "batch": 2}
    with pytest.raises(ValueError, match=r"allow_failures.*Received: a/x: "):
        features.extract(mirror(), data, entries(), sampling(**chosen))
    found = features.extract(mirror(), data, entries(), sampling(**chosen, allow_failures=True))
    assert found.videos == ["a/y", "b/z"] and found.labels.tolist() == [0, 1]
    expected = [level("a/y", (0,)), level("b/z", (0, 4, 8))]
    np.testing.assert_allclose(found.values[:, 0], expected, atol=0.5)
    assert list(found.facts["failures"]) == ["a/x"] and found.facts["videos"] == 2
    assert "Skipping a/x: " in caplog.text and "1 of 3 videos failed" in caplog.text
    assert "Skipped: 1 unreadable video." in report.describe(found.facts)


def test_short_video_wraps(data):
    """Also with consecutive clips, and with a start near the end."""
    for how in ({}, {"clips": 0}, {"how": "overlapping"}):
        found = features.extract(mirror(6), data, entries(), sampling(frames=6, **how))
        assert found.videos == list(LENGTHS)
        shown = np.mean([grey("a/y", t) for t in (0, 1, 2, 3, 0, 1)])
        np.testing.assert_allclose(found.values[1], [shown] * 3, atol=0.5)
    found = features.extract(mirror(), data, [lists.Entry("a/y", 0, 2)], sampling())
    shown = np.mean([grey("a/y", t) for t in (2, 3, 0, 1)])
    np.testing.assert_allclose(found.values[0], [shown] * 3, atol=0.5)


def test_video_without_clip_fails(data):
    behind = [lists.Entry("a/x", 0), lists.Entry("a/y", 0, 4)]
    with pytest.raises(ValueError, match="Received: a/y: its 4 frames give no clip of 4"):
        features.extract(mirror(), data, behind, sampling())
    allowed = sampling(allow_failures=True)
    assert features.extract(mirror(), data, behind, allowed).videos == ["a/x"]


def test_undecodable_files_are_reported(sample_data, tmp_path, monkeypatch):
    good = (sample_data / "videos/up/up_00.avi").read_bytes()
    for name, content in (("a", good), ("b", b"x")):
        (tmp_path / f"{name}.avi").write_bytes(content)
    found = features.extract(mirror(), tmp_path, None, sampling(allow_failures=True))
    assert found.videos == ["a"]
    assert found.facts["failures"] == {"b": "the file cannot be decoded"}
    data = store(tmp_path / "all")

    def broken(*_):
        raise ValueError("no video's fault")

    with monkeypatch.context() as patch, pytest.raises(ValueError, match="no video's fault"):
        patch.setattr(clips.Reader, "once", broken)
        features.extract(mirror(), data, entries(), sampling(allow_failures=True))
    for video in LENGTHS:
        frame = records.FRAME_FILE.format(1)
        (data.data / records.RGB_FOLDER / video / frame).write_bytes(b"nothing")
    with pytest.raises(ValueError, match="a video that decodes. Received: none"):
        features.extract(mirror(), data, entries(), sampling(allow_failures=True))


def test_rejects_impossible_clips(data):
    for other, words in (
        ({"how": "anywhere"}, "how.*'anywhere'"),
        ({"pooling": "sum"}, "pooling.*'sum'"),
        ({"clips": -1}, "clips.*=-1"),
        ({"size": 64}, "size.*=64"),
        ({"frames": 5}, r"clips.*\(4, 16, 16, 3\).*\(5, 16, 16, 3\)"),
    ):
        with pytest.raises(ValueError, match=words):
            features.extract(mirror(), data, None, sampling(**other))


def test_clips_are_drawn_as_in_training(data, tiny, tmp_path):
    """Unless flags change them; the report states both."""
    clip = {"frames": 4, "size": SIDE, "resize": [SIDE, SIDE]}
    said = {"task": "vtdl", "options": {"stride": 3}, "clip": clip}
    said["network"] = {"backbone": "c3d", "preset": "standard"}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "backbone.keras").write_bytes(tiny.read_bytes())

    def extracted(**chosen):
        (tmp_path / "run" / "run.json").write_text(json.dumps(said))
        return features.extract(tmp_path / "run", data, None, features.Sampling(**chosen))

    found = extracted()
    assert (found.facts["stride"], found.facts["size"]) == (3, SIDE)
    strided = features.extract(mirror(), data, None, sampling(stride=3))
    np.testing.assert_array_equal(found.values, strided.values)
    words = "Frames, stride, size and colours (preset standard) are those of the training."
    assert words in report.describe(found.facts)
    assert "training" not in report.describe(strided.facts), "nothing is known of it"
    other = extracted(stride=1)
    assert other.facts["stride"] == 1
    words = "Different from training: stride 1 (training: 3); the same colours (preset standard)."
    assert words in report.describe(other.facts)
    for options in ({}, None, {"paces": ["1", "2"]}):
        said["options"] = options
        assert extracted().facts["stride"] == 1
    said |= {"task": "mine:Task", "options": {"stride": "x"}}  # may mean anything
    assert extracted().facts["stride"] == 1
    said |= {"task": "vtdl"}
    with pytest.raises(ValueError, match="run.json must be that of a run: stride must be"):
        extracted()


# ---- the network ---------------------------------------------------------------------------------


def same(first, second):
    pairs = zip(first.variables, second.variables, strict=True)
    return [np.array_equal(one.numpy(), other.numpy()) for one, other in pairs]


def test_random_reinitialises_same_network(run):
    loaded, again = (networks.network(run) for _ in range(2))
    assert all(same(loaded, again))
    one, same_seed, other = (networks.network(run, True, seed) for seed in (3, 3, 4))
    assert all(same(one, same_seed))
    kernels = [n for n, variable in enumerate(loaded.variables) if "kernel" in variable.path]
    assert kernels and not any(same(one, other)[n] or same(one, loaded)[n] for n in kernels)
    assert np.std(one.get_layer("conv3").kernel) == pytest.approx((2 / (27 * 16)) ** 0.5, rel=0.1)
    built = networks.network(run, shape=(8, 24, 24, 3))
    assert built.input_shape == (None, 8, 24, 24, 3) and all(same(built, loaded))
    assert not all(same(built, networks.network(run, True, 2, (8, 24, 24, 3))))


def test_rejects_files_that_are_not_backbones(tmp_path):
    mirror().save(tmp_path / "mirror.keras")
    content = (tmp_path / "mirror.keras").read_bytes()
    (tmp_path / "cut.keras").write_bytes(content[: len(content) // 2])
    for source in (tmp_path, tmp_path / "gone.keras"):
        with pytest.raises(FileNotFoundError, match="a finished run folder or a .keras file"):
            networks.network(source)
    with pytest.raises(ValueError, match="cut.keras must be a .keras file, whole"):
        networks.network(tmp_path / "cut.keras")
    assert networks.network(tmp_path / "mirror.keras").name == "mirror"
    with pytest.raises(ValueError, match="one of .* Received: .8, 16, 16, 3."):
        networks.network(tmp_path / "mirror.keras", shape=(8, 16, 16, 3))
    clip = keras.Input((4, 8, 8, 3))
    heads = {"logits": keras.layers.Dense(2)(keras.layers.Flatten()(clip))}
    keras.Model(clip, heads).save(tmp_path / "heads.keras")
    with pytest.raises(ValueError, match="must be a backbone.* which has heads"):
        networks.network(tmp_path / "heads.keras")


# ---- the file ------------------------------------------------------------------------------------


def test_features_read_back_equal(tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    kept = features.Features(values, ["ü/1", "b c", "d"], np.array([2, -1, 0]), {"clips": [1, 2]})
    features.save(tmp_path / "new" / "some.npz", kept)
    found = features.load(tmp_path / "new" / "some.npz")
    np.testing.assert_array_equal(found.values, values)
    assert found.values.dtype == np.float32 and found.videos == kept.videos
    assert found.labels.tolist() == [2, -1, 0] and found.facts == kept.facts
    features.save(tmp_path / "some.npy", kept)
    np.testing.assert_array_equal(np.load(tmp_path / "some.npy"), values)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["some.npz"]
    with pytest.raises(ValueError, match=r"output.*some.txt"):
        features.save(tmp_path / "some.txt", kept)


def test_rejects_inconsistent_features():
    for values, videos, labels, words in (
        ([[1, 2], [3, np.nan]], "ab", [0, 1], "finite.* 1 videos, such as b"),
        ([[1], [2]], "aa", [0, 1], "each video once. Received: 'a' twice"),
        ([[1], [2]], "abc", [0, 1], "values .2, 1., 3 ids, 2 labels"),
        ([1, 2], "ab", [0, 1], "values .2,., 2 ids"),
        (np.zeros((0, 4)), "", [], "values .0, 4."),
        ([[1], [2]], "ab", [0.5, 1], "labels.*float64"),
    ):
        with pytest.raises(ValueError, match=words):
            features.Features(values, list(videos), labels)


def test_rejects_other_files_by_name(tmp_path):
    """Rejects other arrays; a damaged byte is reported, unless the features are intact."""
    right = {"values": np.eye(2), "videos": ["a", "b"], "labels": [0, 1], "facts": "{}"}
    for wrong, words in (
        ({"labels": [[0], [1]]}, "arrays values, videos"),  # would be compared with all other rows
        ({"labels": ["run", "walk"]}, "arrays values, videos"),
        ({"values": [["1", "2"], ["3", "4"]]}, "arrays values, videos"),
        ({"videos": [1, 2]}, "arrays values, videos"),
        ({"facts": "[1]"}, "arrays values, videos"),
        ({"values": np.full((2, 2), np.nan)}, "features must be finite"),
    ):
        np.savez(tmp_path / "f.npz", **(right | wrong))
        with pytest.raises(ValueError, match=f"f.npz.*{words}"):
            features.load(tmp_path / "f.npz")
    np.savez_compressed(tmp_path / "f.npz", **right)
    content = (tmp_path / "f.npz").read_bytes()
    refused = 0
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        (tmp_path / "g.npz").write_bytes(damaged)
        try:
            features.load(tmp_path / "g.npz")
        except ValueError as error:
            assert str(error).startswith(f"{tmp_path / 'g.npz'} must contain the arrays")
            refused += 1
    assert refused > len(content) / 14


# ---- the cache -----------------------------------------------------------------------------------


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "mirror.keras"
    mirror().save(path)
    return path


def test_second_call_decodes_nothing(data, tiny, cache, monkeypatch):
    first = features.extract(tiny, data, entries(), sampling())
    assert len(list(cache.iterdir())) == 1

    def decoding(*_, **__):
        raise AssertionError("decodes")

    monkeypatch.setattr(clips, "Reader", decoding)
    monkeypatch.setattr(keras.saving, "deserialize_keras_object", decoding)
    again = features.extract(tiny, data, entries(), sampling(batch=7, threads=1))
    np.testing.assert_array_equal(again.values, first.values)
    assert again.videos == first.videos and again.facts == first.facts
    assert again.labels.tolist() == [0, 0, 1]
    with pytest.raises(ValueError, match="decodes"):
        features.extract(tiny, data, entries(), sampling(), cache=False)


@pytest.mark.parametrize("what", ["clips", "pooling", "seed", "labels", "fewer", "file", "video"])
def test_changed_settings_recompute_features(data, tiny, cache, what, tmp_path, monkeypatch):
    data = store(tmp_path / "own") if what == "video" else data
    arguments = {"sampling": sampling(), "videos": entries(), "random": True, "seed": 1}
    made = []
    kept = of([[1, 2]], [0], failures={})
    monkeypatch.setattr(extraction, "_extract", lambda *args: made.append(args) or kept)
    for _ in range(2):
        features.extract(tiny, data, **arguments)
    assert len(made) == 1
    if what in ("clips", "pooling"):
        arguments["sampling"] = sampling(**{what: {"clips": 3, "pooling": "max"}[what]})
    arguments["seed"] += what == "seed"
    if what in ("labels", "fewer"):
        other = [lists.Entry("a/x", 1), *entries()[1:]]
        arguments["videos"] = other if what == "labels" else entries()[:2]
    if what == "file":
        tiny.write_bytes(tiny.read_bytes() + b"\0")
    if what == "video":
        (data.data / records.RGB_FOLDER / "b/z" / "new.txt").touch()
    features.extract(tiny, data, **arguments)
    assert len(made) == 2 and len(list(cache.iterdir())) == 2


def test_damaged_or_unwritable_cache_is_tolerated(data, tiny, cache, caplog, tmp_path, monkeypatch):
    first = features.extract(tiny, data, None, sampling())
    (copy,) = cache.iterdir()
    copy.write_bytes(copy.read_bytes()[:100])
    again = features.extract(tiny, data, None, sampling())
    np.testing.assert_array_equal(first.values, again.values)
    assert "Extracting the features again" in caplog.text
    np.testing.assert_array_equal(features.load(copy).values, first.values)
    behind = [lists.Entry("a/x", 0), lists.Entry("a/y", 0, 4)]
    lacking = sampling(allow_failures=True)
    assert features.extract(tiny, data, behind, lacking).videos == ["a/x"]
    assert list(cache.iterdir()) == [copy], "features that lack a video are not kept"
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(features.extract(tiny, data, None, sampling()).videos) == 3
    assert "cannot be written; not caching" in caplog.text


def test_shards_and_video_files_are_cached_by_their_files(sample_data):
    stamps = [
        extraction._stamps(records.open_data(sample_data / name), ["up/up_00", "down/down_01"])
        for name in ("data", "videos")
    ]
    assert {name.split(".")[1] for name, *_ in stamps[0][1:]} == {"tfrecord", "csv"}
    assert [name for name, *_ in stamps[1][1:]] == ["up_00.avi", "down_01.avi"]


def test_digest_covers_all_that_affects_features(data, tiny, monkeypatch):
    """A change requires a new version, and recomputes every user's features."""
    seen, dumps = [], extraction.json.dumps
    monkeypatch.setattr(
        extraction.json, "dumps", lambda parts, **how: seen.append(parts) or dumps(parts, **how)
    )
    chosen = sampling(clips=0, pooling="max")
    extraction._digest(
        tiny, data, None, chosen, chosen.task(networks.described(tiny).clip, "rgb"), 3
    )
    known = {"how": "consecutive", "clips": 1, "pooling": "max", "static": False, "frames": 4}
    known |= {"stride": 1, "size": SIDE, "resize": (SIDE, SIDE), "modality": "rgb", "crops": 1}
    version, (_, random, _), _, lengths, rows, settings = seen[-1]
    assert (version, random, lengths, rows) == (3, 3, [9, 4, 12], None)
    assert list(settings.items()) == list(known.items())


# ---- whitening -----------------------------------------------------------------------------------


def test_whitened_features_have_unit_variance_and_no_covariance():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(30, 5)) @ rng.normal(size=(5, 5)) + 100
    found = features.whitened(of(values, [0] * 30), 3)
    np.testing.assert_allclose(found.values.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(np.cov(found.values.T), np.eye(3), atol=1e-5)
    assert found.facts["whitened"] == 3
    # The first direction is that of the largest eigenvalue.
    _, directions = np.linalg.eigh(np.cov(values.T))
    along = (values - values.mean(0)) @ directions[:, -1]
    assert abs(np.corrcoef(along, found.values[:, 0])[0, 1]) == pytest.approx(1, abs=1e-6)


def test_whitening_keeps_at_most_rank_dimensions():
    flat = np.random.default_rng(0).normal(size=(9, 2)) @ np.ones((2, 4))
    for count, allowed in ((2, "at most 1, the rank"), (5, "at most 4"), (9, "below 9")):
        with pytest.raises(ValueError, match=rf"whiten must be {allowed}.*whiten={count}"):
            features.whitened(of(flat, [0] * 9), count)


# ---- crops ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resize", "crops", "places"),
    [
        ((85, 64), 1, [(4, 14)]),
        ((85, 64), 3, [(4, 0), (4, 14), (4, 29)]),
        ((64, 85), 3, [(0, 4), (14, 4), (29, 4)]),
        ((85, 64), 5, [(4, 14), (0, 0), (0, 29), (8, 0), (8, 29)]),
    ],
)
def test_crop_positions(resize, crops, places):
    task = features.Sampling(crops=crops).task(Clip(8, 56, resize), "rgb")
    assert task.places == places


def test_features_are_mean_over_crops(tmp_path):
    """For an image whose columns rise from left to right: the mean of the crops' means."""
    ramp = np.tile((np.arange(48) ** 2 // 10).astype(np.uint8)[None, :, None], (24, 1, 3))
    path = tmp_path / "videos" / "a" / "x.avi"
    path.parent.mkdir(parents=True)
    films.write(path, np.repeat(ramp[None], 4, 0))
    data = records.open_data(tmp_path / "videos")
    shown = {}
    for crops in (1, 3, 5):
        chosen = features.Sampling(
            crops=crops, resize=(48, 24), size=16, clips=1, pooling="average"
        )
        found = features.extract(mirror(4, 16), data, None, chosen)
        shown[crops] = found.values[0, 0]
        assert found.facts["crops"] == crops
    column = ramp[0, :, 0].astype(float)
    means = {left: column[left : left + 16].mean() for left in (0, 16, 32)}
    expected = {1: means[16], 3: np.mean([*means.values()])}
    expected[5] = (means[16] + 2 * means[0] + 2 * means[32]) / 5
    for crops, value in expected.items():
        assert shown[crops] == pytest.approx(value, abs=4), crops
    assert "three crops along the longer side 16 x 16 of 48 x 24" in report.describe(
        found.facts | {"crops": 3}
    )
