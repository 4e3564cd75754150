"""Features of videos: known maps of known clips, the file and the cache, the command."""

import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl import app
from evaluating import (
    LENGTHS,
    SIDE,
    entries,
    evaluate,
    grey,
    mirror,
    sample_flags,
    settings,
    store,
    write_run,
)

from mas import clips, lists, records
from mas.evaluate import caching, extraction, features, networks, protocol


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
    ("how", "starts"),
    [
        ("uniform", {"a/x": (0, 5), "a/y": (0, 0), "b/z": (0, 8)}),
        ("consecutive", {"a/x": (0, 4), "a/y": (0,), "b/z": (0, 4, 8)}),
        ("overlapping", {"a/x": (0, 2, 4), "a/y": (0,), "b/z": (0, 2, 4, 6, 8)}),
    ],
)
@pytest.mark.parametrize("batch", [1, 3, 16])
def test_a_video_is_the_mean_of_its_clips(data, how, starts, batch):
    found = features.extract(mirror(), data, entries(), settings(how=how, batch=batch))
    assert found.videos == list(LENGTHS) and found.labels.tolist() == [0, 0, 1]
    assert found.values.dtype == np.float32 and found.values.shape == (3, 3)
    expected = [[level(video, starts[video])] * 3 for video in found.videos]
    np.testing.assert_allclose(found.values, expected, atol=0.5)
    counts = [len(part) for part in starts.values()]
    assert found.facts["clips"] == [min(counts), max(counts)] and found.facts["videos"] == 3


def test_clips_may_show_every_third_frame(data):
    """Frames 0, 3, 6, 9 and on; a video that is too short begins again."""
    found = features.extract(mirror(), data, None, settings(stride=3, clips=1))
    shown = {video: [3 * t % LENGTHS[video] for t in range(4)] for video in LENGTHS}
    expected = [np.mean([grey(video, t) for t in shown[video]]) for video in LENGTHS]
    np.testing.assert_allclose(found.values[:, 0], expected, atol=0.5)
    assert "4 frames of rgb, one of every 3, centre crop" in protocol.describe(
        {"network": "n", **found.facts}
    )
    with pytest.raises(ValueError, match="modality must be rgb with a stride"):
        features.Settings(stride=2, modality="flow")


def test_static_clips_repeat_their_middle_frame(data):
    found = features.extract(mirror(), data, None, settings(static=True, how="consecutive"))
    expected = [
        level(video, [s + 2 for s in range(0, LENGTHS[video] - 3, 4)], 1) for video in LENGTHS
    ]
    np.testing.assert_allclose(found.values[:, 0], expected, atol=0.5)
    assert set(found.labels) == {-1}
    task = extraction.Clips(5, "rgb", True)
    assert task.sample(9, 3, None)[0].tolist() == [5] * 5


def test_the_list_names_order_clips_and_labels(data):
    lines = [lists.Entry("b/z", 4, 1), lists.Entry("a/x", 2, 5), lists.Entry("b/z", 4, 6)]
    found = features.extract(mirror(), data, lines, settings())
    assert found.videos == ["b/z", "a/x"] and found.labels.tolist() == [4, 2]
    expected = [level("b/z", (1, 6)), level("a/x", (5,))]
    np.testing.assert_allclose(found.values[:, 0], expected, atol=0.5)
    with pytest.raises(ValueError, match="one label. Received: b/z with 4 and 5"):
        features.extract(mirror(), data, [lines[0], lists.Entry("b/z", 5, 6)], settings())


@pytest.mark.parametrize("shape", [(2, 7, 7), (1, 4, 5), (3, 1, 2), (2, 1, 1)])
def test_max_pooling_takes_the_windows_of_an_adaptive_pool(shape):
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


def test_average_pooling_is_the_mean_over_frames_and_space():
    maps = np.random.default_rng(0).normal(size=(2, 3, 4, 5, 6)).astype(np.float32)
    found = extraction.pooled(tf.constant(maps), "average")
    np.testing.assert_allclose(found, maps.reshape(2, 60, 6).mean(1), atol=1e-6)


def test_flow_networks_see_flow(sample_data):
    clips_in = keras.Input((3, 32, 32, 2))
    network = keras.Model(clips_in, keras.layers.Rescaling(1.0)(clips_in))
    chosen = features.Settings("consecutive", frames=4, size=32, resize=(44, 32), modality="flow")
    data = records.open_data(sample_data / "data")
    wanted = [lists.Entry("left/left_01"), lists.Entry("right/right_01")]
    left, right = features.extract(network, data, wanted, chosen).values
    assert left[0] < 0 < right[0], "u points right"


# ---- failures ------------------------------------------------------------------------------------


def damage(data, video, frame):
    path = data.data / records.RGB_FOLDER / video / records.FRAME_FILE.format(frame + 1)
    content = path.read_bytes()
    return path, content


@pytest.mark.parametrize("kind", ["cut off", "gone", "garbage inside"])
def test_a_video_that_fails_is_named_or_left_out(tmp_path, caplog, kind):
    data = store(tmp_path)
    path, content = damage(data, "a/x", 7)
    if kind == "gone":
        path.rename(path.with_suffix(".away"))
    else:
        middle = b"\xff\xd8" + b"\x00" * 50 + b"\xff\xd9"
        path.write_bytes(content[:100] if kind == "cut off" else middle)
    chosen = {"how": "consecutive", "batch": 2}
    with pytest.raises(ValueError, match=r"or --allow_failures\)\. Received: a/x: "):
        features.extract(mirror(), data, entries(), settings(**chosen))
    found = features.extract(mirror(), data, entries(), settings(**chosen, allow_failures=True))
    assert found.videos == ["a/y", "b/z"] and found.labels.tolist() == [0, 1]
    expected = [level("a/y", (0,)), level("b/z", (0, 4, 8))]
    np.testing.assert_allclose(found.values[:, 0], expected, atol=0.5)
    assert list(found.facts["failures"]) == ["a/x"] and found.facts["videos"] == 2
    assert "Left out a/x: " in caplog.text and "1 of 3 videos failed" in caplog.text


def test_a_video_without_a_clip_fails_as_well(data):
    chosen = {"how": "consecutive", "frames": 6}
    network = mirror(6)
    with pytest.raises(ValueError, match="Received: a/y: 4 frames leave no clip of 6"):
        features.extract(network, data, entries(), settings(**chosen))
    found = features.extract(network, data, entries(), settings(**chosen, allow_failures=True))
    assert found.videos == ["a/x", "b/z"]
    found = features.extract(network, data, entries(), settings(how="uniform", frames=6))
    assert found.videos == list(LENGTHS), "evenly spaced clips begin again"


def test_an_error_that_is_no_video_s_fault_is_not_swallowed(data, monkeypatch):
    def broken(self, batch, threads):
        raise ValueError("out of luck")

    monkeypatch.setattr(clips.Reader, "once", broken)
    with pytest.raises(ValueError, match="out of luck"):
        features.extract(mirror(), data, entries(), settings(allow_failures=True))


def test_a_file_that_cannot_be_decoded_is_called_so(sample_data, tmp_path):
    for name, content in (("a", (sample_data / "videos/up/up_00.avi").read_bytes()), ("b", b"x")):
        (tmp_path / f"{name}.avi").write_bytes(content)
    data = records.open_data(tmp_path)
    chosen = settings(frames=4, size=SIDE, allow_failures=True)
    found = features.extract(mirror(), data, None, chosen)
    assert found.videos == ["a"]
    assert found.facts["failures"] == {"b": "the file cannot be decoded"}


def test_no_video_left_is_an_error(tmp_path):
    data = store(tmp_path)
    for video in LENGTHS:
        damage(data, video, 0)[0].write_bytes(b"nothing")
    with pytest.raises(ValueError, match="a video that decodes. Received: none"):
        features.extract(mirror(), data, entries(), settings(allow_failures=True))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"how": "anywhere"}, "how must be one of .* Received: how='anywhere'"),
        ({"pooling": "sum"}, "pooling must be one of"),
        ({"clips": 0}, "clips, batch and stride must be 1 or more. Received: 0, 3"),
        ({"static": True, "modality": "flow"}, "modality must be rgb with static"),
    ],
)
def test_settings_out_of_range_are_refused(other, words):
    with pytest.raises(ValueError, match=words):
        settings(**other)


def test_other_clips_than_the_network_s_are_refused(data):
    words = r"clips must be \(4, 16, 16, 3\) .* Received: \(5, 16, 16, 3\)"
    with pytest.raises(ValueError, match=words):
        features.extract(mirror(), data, None, settings(frames=5))


# ---- the network ---------------------------------------------------------------------------------


def weights_of(model):
    return [variable.numpy() for variable in model.variables]


def same(first, second):
    pairs = zip(weights_of(first), weights_of(second), strict=True)
    return [np.array_equal(one, other) for one, other in pairs]


def test_random_is_the_same_network_without_what_it_learned(run):
    loaded, again = (features.network(run) for _ in range(2))
    assert all(same(loaded, again))
    one, same_seed, other = (features.network(run, True, seed) for seed in (3, 3, 4))
    assert all(same(one, same_seed))
    kernels = [n for n, variable in enumerate(loaded.variables) if "kernel" in variable.path]
    assert kernels and not any(same(one, other)[n] or same(one, loaded)[n] for n in kernels)
    for ours, theirs in zip(weights_of(one), weights_of(loaded), strict=True):
        assert ours.shape == theirs.shape
    assert np.std(one.get_layer("conv3").kernel) == pytest.approx((2 / (27 * 16)) ** 0.5, rel=0.1)


def test_a_network_takes_clips_of_another_size(run):
    built = features.network(run, shape=(8, 24, 24, 3))
    assert built.input_shape == (None, 8, 24, 24, 3)
    assert all(same(built, features.network(run)))
    started = features.network(run, True, 2, (8, 24, 24, 3))
    assert not all(same(built, started))


def test_a_file_that_is_no_network_is_refused(tmp_path):
    mirror().save(tmp_path / "whole.keras")
    content = (tmp_path / "whole.keras").read_bytes()
    (tmp_path / "cut.keras").write_bytes(content[: len(content) // 2])
    (tmp_path / "list.txt").write_text("a/x 0\n")
    for name in ("cut.keras", "list.txt"):
        with pytest.raises(ValueError, match=f"model must be a .keras file .* Rec.*/{name}"):
            features.network(tmp_path / name)


def test_what_is_no_backbone_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="^model must be a finished run folder"):
        features.network(tmp_path)
    mirror().save(tmp_path / "mirror.keras")
    assert features.network(tmp_path / "mirror.keras").name == "mirror"
    with pytest.raises(ValueError, match="none of .* Received: .8, 16, 16, 3."):
        features.network(tmp_path / "mirror.keras", shape=(8, 16, 16, 3))
    clip = keras.Input((4, 8, 8, 3))
    heads = {"logits": keras.layers.Dense(2)(keras.layers.Flatten()(clip))}
    keras.Model(clip, heads).save(tmp_path / "heads.keras")
    with pytest.raises(ValueError, match="must be a backbone.* which has heads"):
        features.network(tmp_path / "heads.keras")


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
    with pytest.raises(ValueError, match=r"output must end in .npz or .npy"):
        features.save(tmp_path / "some.txt", kept)


@pytest.mark.parametrize(
    ("values", "videos", "labels", "words"),
    [
        ([[1, 2], [3, np.nan]], "ab", [0, 1], "finite. Received: NaN .* in 1 videos, such as b"),
        ([[np.inf, 2], [3, 1]], "ab", [0, 1], "such as a"),
        ([[1], [2]], "aa", [0, 1], "each video once. Received: 'a' twice"),
        ([[1], [2]], "abc", [0, 1], "values .2, 1., 3 ids, 2 labels"),
        ([1, 2], "ab", [0, 1], "values .2,., 2 ids"),
        (np.zeros((0, 4)), "", [], "values .0, 4."),
    ],
)
def test_features_that_do_not_belong_together_are_refused(values, videos, labels, words):
    with pytest.raises(ValueError, match=words):
        features.Features(np.array(values), list(videos), np.array(labels), {})


def test_other_files_are_refused_by_name(tmp_path):
    paths = [tmp_path / f"{name}.npz" for name in "abcd"]
    paths[0].write_text("no features")
    np.savez(paths[1], values=np.zeros(3))
    paths[2].write_bytes(b"")
    np.savez(paths[3], values=np.full((1, 2), np.nan), videos=["v"], labels=[0], facts="{}")
    for path in paths[:3]:
        with pytest.raises(ValueError, match=f"{path} must hold the arrays values, videos"):
            features.load(path)
    with pytest.raises(ValueError, match=f"{paths[3]}: features must be finite"):
        features.load(paths[3])
    with pytest.raises(FileNotFoundError):
        features.load(tmp_path / "gone.npz")


RIGHT = {"values": np.eye(2), "videos": ["a", "b"], "labels": [0, 1], "facts": "{}"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"labels": [[0], [1]]},  # would be compared with every other row
        {"labels": [0.5, 1.0]},
        {"labels": ["run", "walk"]},
        {"values": [["1", "2"], ["3", "4"]]},
        {"videos": [["a"], ["b"]]},
        {"videos": [1, 2]},
        {"facts": "[1]"},
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path, wrong):
    np.savez(tmp_path / "f.npz", **RIGHT)
    assert features.load(tmp_path / "f.npz").labels.tolist() == [0, 1]
    np.savez(tmp_path / "f.npz", **(RIGHT | wrong))
    with pytest.raises(ValueError, match=r"f.npz must hold the arrays values, videos"):
        features.load(tmp_path / "f.npz")


def test_a_damaged_archive_is_refused_by_name(tmp_path):
    """Wherever a byte is damaged, the answer is one line, or the features unharmed."""
    np.savez_compressed(tmp_path / "f.npz", **RIGHT)
    content = (tmp_path / "f.npz").read_bytes()
    refused = 0
    for place in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        (tmp_path / "g.npz").write_bytes(damaged)
        try:
            features.load(tmp_path / "g.npz")
        except ValueError as error:
            assert str(error).startswith(f"{tmp_path / 'g.npz'} must hold the arrays")
            refused += 1
    assert refused > len(content) / 6


# ---- the cache -----------------------------------------------------------------------------------


def forbid(monkeypatch):
    def decoding(*_, **__):
        raise AssertionError("decodes")

    monkeypatch.setattr(clips, "Reader", decoding)
    monkeypatch.setattr(keras.models, "load_model", decoding)


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "mirror.keras"
    mirror().save(path)
    return path


def test_the_second_time_nothing_is_decoded(data, tiny, cache, monkeypatch):
    first = features.cached(tiny, data, entries(), settings())
    assert len(list(cache.iterdir())) == 1
    forbid(monkeypatch)
    again = features.cached(tiny, data, entries(), settings(batch=7, threads=1))
    np.testing.assert_array_equal(again.values, first.values)
    assert again.videos == first.videos and again.facts == first.facts
    assert again.labels.tolist() == [0, 0, 1]


@pytest.mark.parametrize("what", ["clips", "pooling", "seed", "labels", "fewer", "file", "video"])
def test_what_changes_features_makes_them_anew(data, tiny, cache, what, tmp_path, monkeypatch):
    data = store(tmp_path / "own") if what == "video" else data
    arguments = {"settings": settings(), "entries": entries(), "random": True, "seed": 1}
    made = []
    monkeypatch.setattr(caching, "fresh", lambda *args: made.append(args) or kept)
    kept = features.Features(np.ones((1, 2)), ["v"], np.array([0]), {"failures": {}})
    for _ in range(2):
        features.cached(tiny, data, **arguments)
    assert len(made) == 1
    if what in ("clips", "pooling"):
        arguments["settings"] = settings(
            **{"clips": {"clips": 3}, "pooling": {"pooling": "max"}}[what]
        )
    arguments["seed"] += what == "seed"
    if what in ("labels", "fewer"):
        other = [lists.Entry("a/x", 1), *entries()[1:]]
        arguments["entries"] = other if what == "labels" else entries()[:2]
    if what == "file":
        mirror().save(tiny)
        tiny.write_bytes(tiny.read_bytes() + b"\0")
    if what == "video":
        (data.data / records.RGB_FOLDER / "b/z" / "new.txt").touch()
    features.cached(tiny, data, **arguments)
    assert len(made) == 2 and len(list(cache.iterdir())) == 2


def test_features_that_lack_a_video_are_not_kept(data, cache, tmp_path):
    mirror(6).save(tmp_path / "six.keras")
    chosen = settings(how="consecutive", frames=6, allow_failures=True)
    assert len(features.cached(tmp_path / "six.keras", data, None, chosen).videos) == 2
    assert not cache.exists()


def test_a_damaged_copy_is_made_anew(data, tiny, cache, caplog):
    first = features.cached(tiny, data, None, settings())
    (copy,) = cache.iterdir()
    copy.write_bytes(copy.read_bytes()[:100])
    again = features.cached(tiny, data, None, settings())
    np.testing.assert_array_equal(first.values, again.values)
    assert "They are made anew" in caplog.text
    np.testing.assert_array_equal(features.load(copy).values, first.values)


def test_a_cache_that_cannot_be_written_is_only_a_warning(data, tiny, cache, caplog):
    cache.parent.parent.mkdir()
    cache.parent.write_text("a file where the folder would be")
    assert len(features.cached(tiny, data, None, settings()).videos) == 3
    assert "cannot be written, so nothing is kept" in caplog.text


def test_shards_and_video_files_are_cached_by_their_files(sample_data, tmp_path):
    stamps = [
        caching._stamps(records.open_data(sample_data / name), ["up/up_00", "down/down_01"])
        for name in ("data", "videos")
    ]
    assert {name.split(".")[1] for name, *_ in stamps[0][1:]} == {"tfrecord", "csv"}
    assert [name for name, *_ in stamps[1][1:]] == ["up_00.avi", "down_01.avi"]


# ---- the command ---------------------------------------------------------------------------------


def test_features_of_a_list_are_written_with_how_they_were_made(
    script, run, sample_data, tmp_path, caplog
):
    flags = sample_flags(sample_data, run, "list")
    output = tmp_path / "out" / "some.npz"
    assert evaluate(script, "features", *flags, "--clips=2", f"--output={output}") == 0
    found = features.load(output)
    assert found.values.shape == (6, 32) and found.labels.tolist() == list(range(6))
    data = records.open_data(sample_data / "data")
    model = keras.models.load_model(run / "backbone.keras")
    number = data.videos.index(found.videos[0])
    reader = clips.Reader(
        data,
        clips.Examples([number] * 2, [0, 2], [0, 0]),
        extraction.Clips(16, "rgb", False),
        clips.Geometry((44, 32), 32, random=False),
        shuffle=False,
    )
    maps = model(np.stack([reader.clip(0, place)["rgb"] for place in range(2)])).numpy()
    np.testing.assert_allclose(found.values[0], maps.mean((0, 1, 2, 3)), rtol=1e-4, atol=1e-6)
    told = json.loads((tmp_path / "out" / "some.npz.json").read_text())
    assert told["videos"] == found.videos and told["facts"] == found.facts
    text = (tmp_path / "out" / "some.npz.txt").read_text()
    assert told["paragraph"] + "\n" == text and told["paragraph"] in caplog.text
    words = (
        "c3d, weights of .*small .sha256 [0-9a-f]{12}.*Clips: 2 of each video, evenly spaced, 16 "
    )
    words += "frames of rgb, centre crop 32 x 32 of 44 x 32"
    assert re.search(words, text)


def test_the_list_beside_features_of_its_name_stays(script, run, sample_data, tmp_path):
    listed = (sample_data / "test.txt").read_text()
    (tmp_path / "test.txt").write_text(listed)
    flags = [*sample_flags(sample_data, run), "--clips=1", f"--list={tmp_path / 'test.txt'}"]
    for name in ("test.npz", "test.npy"):
        assert evaluate(script, "features", *flags, f"--output={tmp_path / name}") == 0
    assert (tmp_path / "test.txt").read_text() == listed
    told = json.loads((tmp_path / "test.npy.json").read_text())
    assert len(told["videos"]) == len(np.load(tmp_path / "test.npy")) == 6
    assert told["labels"] == list(range(6))


def test_random_features_say_so_and_differ(script, run, sample_data, tmp_path):
    flags = [*sample_flags(sample_data, run, "list"), "--clips=1"]
    for name, more in (
        ("a", []),
        ("b", ["--random", "--seed=5"]),
        ("c", ["--random", "--nocache"]),
    ):
        assert evaluate(script, "features", *flags, *more, f"--output={tmp_path}/{name}.npz") == 0
    loaded, random, other = (features.load(tmp_path / f"{name}.npz") for name in "abc")
    assert not np.allclose(loaded.values, random.values)
    assert not np.allclose(other.values, random.values)
    assert (random.facts["weights"], random.facts["seed"]) == ("random", 5)
    assert "at random initialisation, seed 5" in (tmp_path / "b.npz.txt").read_text()


def test_flags_count_more_than_the_run(script, run, sample_data, tmp_path):
    flags = sample_flags(sample_data, run)
    with script("mas/evaluate/__main__.py", *flags) as module:
        found = networks.settings(module.flags.FLAGS)
    assert (found.frames, found.size, found.resize) == (16, 32, (44, 32))
    assert (found.how, found.clips, found.modality) == ("uniform", 10, "rgb")
    more = ["--frames=8", "--size=24", "--resize=40x30", "--clips=0"]
    with script("mas/evaluate/__main__.py", *flags, *more) as module:
        found = networks.settings(module.flags.FLAGS)
    assert (found.frames, found.size, found.resize, found.how) == (8, 24, (40, 30), "consecutive")
    (tmp_path / "run.json").write_text((run / "run.json").read_text())
    (tmp_path / "model.keras").touch()
    with script("mas/evaluate/__main__.py", f"--model={tmp_path / 'model.keras'}") as module:
        assert networks.settings(module.flags.FLAGS).resize == (44, 32)


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        ("walk", [], "KIND must be one of"),
        ("features", ["--model=x", "--data=y"], "features needs --model, --data, --output"),
        ("features", ["--model=x", "--data=y", "--output=z.npz", "--k=3"], "Received: --data, --k"),
        ("retrieval", ["--gallery=x"], "retrieval needs --gallery, --queries"),
        ("similarity", ["--aslan=x", "--columns=video"], "similarity needs --aslan"),
        ("action", ["--model=x", "--data=y", "--list=z", "--pooling=max"], "action needs --model"),
    ],
)
def test_wrong_flags_are_refused_before_work_starts(script, kind, arguments, words):
    with pytest.raises(app.UsageError, match=words):
        evaluate(script, kind, *arguments)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (["--model=gone"], "model must be a finished run folder or a .keras file. Received: gone"),
        (["--data=gone"], "data must be a folder that mas.prepare wrote"),
        (["--list=gone.txt"], "gone.txt"),
        (["--size=64"], "size must be in 1..32"),
        (["--resize=keep"], "resize must be WIDTHxHEIGHT. Received: resize=keep"),
        (["--output=some.mat"], "output must end in .npz or .npy"),
        (["--list=some.npz"], "list must be a list of videos. Received: list=some.npz"),
        ([f"--output={__file__}/f.npz"], "output must be a folder that can be written to"),
    ],
)
def test_wrong_values_are_named(script, run, sample_data, tmp_path, caplog, other, words):
    flags = [*sample_flags(sample_data, run, "list"), f"--output={tmp_path / 'some.npz'}"]
    assert evaluate(script, "features", *flags, *other) == 2
    assert words in caplog.text and not list(tmp_path.glob("some.*"))


# ---- what all kinds leave behind -----------------------------------------------------------------


def test_numbers_are_written_as_json_can_hold_them(tmp_path):
    numbers = {"a": np.float32(0.5), "b": np.array([1.0, np.nan]), 3: (np.int64(1), "x"), "n": None}
    protocol.write(tmp_path / "new", "some", "What was done.", numbers)
    told = json.loads((tmp_path / "new" / "some.json").read_text())
    expected = {"kind": "some", "paragraph": "What was done.", "a": 0.5, "b": [1.0, None]}
    assert told == expected | {"3": [1, "x"], "n": None}
    assert (tmp_path / "new" / "some.txt").read_text() == "What was done.\n"
    assert len(list((tmp_path / "new").iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--output=here"], "here"),
        (["--model=runs/mas_c3d"], "runs/evaluate_probe_mas_c3d"),
        (["--model=runs/mas_c3d/backbone.keras", "--random"], "runs/evaluate_probe_mas_c3d_random"),
        (["--model=other.keras"], "runs/evaluate_probe_other"),
        (["--queries=some/test.npz"], "runs/evaluate_probe_test"),
    ],
)
def test_each_result_has_a_folder_of_its_own(script, monkeypatch, tmp_path, arguments, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mas_c3d").mkdir(parents=True)
    with script("mas/evaluate/__main__.py", *arguments) as module:
        assert protocol.folder(module.flags.FLAGS, "probe").as_posix() == expected


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match="output must be a folder that can be written to. Rec"):
            protocol.writable(path)
    assert protocol.writable(tmp_path / "new" / "below") == tmp_path / "new" / "below"
    assert not (tmp_path / "new").exists()


def test_unknown_facts_are_said_to_be():
    assert protocol.describe({}) == "How the features were made is not known."
