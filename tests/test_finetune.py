"""Fine-tuning copies all pre-trained weights or none, and tests on videos."""

import csv
import json
import os

import cv2
import keras
import numpy as np
import pytest

import mas
from mas import augment, backbones, clips, lists, networks, records, sample, tasks
from mas.settings import Clip, Network, Plan

SHAPE = (16, 32, 32, 3)
NETWORK = Network("c3d", width=0.02, preset="rgb", initializer="he")
CLIP = Clip(16, 32, (44, 32))
PLAN = Plan(epochs=1, batch=4)
STILL = mas.Optimisation(learning_rate=1e-30)  # at which no number changes


def network(seed, shape=SHAPE, width=0.125):
    keras.utils.set_random_seed(seed)
    return backbones.backbone("c3d", shape, width, "rgb", "he")


def values(model):
    return {variable.path: variable.numpy() for variable in model.variables}


def same(first, second):
    assert first.keys() == second.keys()
    return [bool(np.array_equal(first[path], second[path])) for path in first]


# ---- the weights ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run folder's backbone, and its values."""
    folder = tmp_path_factory.mktemp("runs") / "pretrained"
    folder.mkdir()
    model = network(1)
    model.get_layer("conv2").bias.assign(np.arange(16.0))
    model.save(folder / "backbone.keras")
    return folder, values(model)


def test_every_weight_is_copied_and_counted(saved, caplog):
    folder, expected = saved
    model = network(2, shape=(8, 48, 40, 3))  # another clip
    assert sum(same(values(model), expected)) == 4, "the biases of conv1, conv3 to conv5: 0 in both"
    caplog.set_level("INFO", logger="absl")
    networks.copy_weights(folder, model)
    assert all(same(values(model), expected))
    numbers = sum(value.size for value in expected.values())
    assert f"Loaded 10 of 10 variables ({numbers} numbers)" in caplog.text


@pytest.mark.parametrize("name", ["i3d", "r3d_10", pytest.param("s3d_g", marks=pytest.mark.slow)])
def test_weights_fit_clips_of_another_size(tmp_path, name):
    """The padding of the first convolution may be a separate layer or none."""
    saved = backbones.backbone(name, SHAPE, 0.05, "rgb", "he")
    saved.save(tmp_path / "a.keras")
    for shape in ((16, 33, 33, 3), (17, 40, 40, 3)):
        other = backbones.backbone(name, shape, 0.05, "rgb")
        networks.copy_weights(tmp_path / "a.keras", other)
        for value, expected in zip(other.get_weights(), saved.get_weights(), strict=True):
            np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize(
    ("width", "preset", "words"),
    [
        (0.25, "rgb", r"10 variables differ: .*conv1/bias: \(8,\) saved, \(16,\) here"),
        (0.125, "bgr255", "starts with rgb, but the backbone starts with Cast, Flip"),
        (0.125, "identity", "starts with rgb, but the backbone starts with nothing"),
    ],
)
def test_mismatch_names_both_sides_and_changes_nothing(saved, width, preset, words):
    model = backbones.backbone("c3d", SHAPE, width, preset, "he")
    before = values(model)
    with pytest.raises(ValueError, match=f"{saved[0] / 'backbone.keras'} must .*{words}"):
        networks.copy_weights(saved[0], model)
    assert all(same(values(model), before))


def test_rejects_unfinished_backbone(saved, tmp_path):
    tasks.Classify(2).bound(CLIP, NETWORK).model(network(1)).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"logits/bias: \(2,\) saved, none here"):
        networks.copy_weights(tmp_path / "model.keras", network(2))
    (tmp_path / "run.json").write_text("{}")
    for path in (tmp_path, tmp_path / "typo"):
        with pytest.raises(FileNotFoundError, match=f"finished run folder or a .keras.*'{path}'"):
            networks.copy_weights(path, network(1))
    (tmp_path / "cut.keras").write_bytes((saved[0] / "backbone.keras").read_bytes()[:500])
    with pytest.raises(ValueError, match="cut.keras must be a .keras file, whole"):
        networks.copy_weights(tmp_path / "cut.keras", network(1))


@pytest.mark.parametrize(
    ("shape", "preset", "expected"),
    [
        ((16, 48, 48, 3), "bgr255", Network(width=0.125)),
        ((16, 48, 48, 3), "rgb", Network(width=0.125, preset="rgb")),
        ((16, 48, 48, 3), "standard", Network(width=0.125, preset="standard")),
        ((15, 48, 48, 2), "flow", Network(width=0.125, modality="flow")),
    ],
)
def test_keras_file_describes_itself(tmp_path, shape, preset, expected):
    backbones.backbone("c3d", shape, 0.125, preset).save(tmp_path / "some.keras")
    (tmp_path / "run.json").write_text("of another network")
    found = networks.described(tmp_path / "some.keras")
    assert found == (expected, Clip(16, 48, (73, 54)), expected.modality)
    again = networks.network(tmp_path / "some.keras", shape=(8, 32, 32, shape[-1]))
    assert again.input_shape[1:] == (8, 32, 32, shape[-1])


@pytest.mark.parametrize("text", ["{}", "{", '{"network": 3, "clip": {}}'])
def test_foreign_run_json_is_reported(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"run\.json must .*Received: "):
        networks.described(tmp_path)


# ---- the task ------------------------------------------------------------------------------------


def test_basic_augmentation_applies_only_in_training(sample_data):
    data = records.open_data(sample_data / "data")
    task = tasks.Classify(6, augmentation="basic").bound(Clip(16, 24, (44, 32)))
    examples = clips.Examples([0, 1], [0, 2], [3, 4])
    geometry = clips.Geometry((44, 32), 24, flip=False)
    reader = clips.Reader(data, examples, task, geometry, seed=7, shuffle=False)
    clip = reader.clip(0, 1)
    assert clip["rgb"].shape == (16, 32, 44, 3)
    x, y = next(iter(reader.batches(2, last_step=1)))
    np.testing.assert_array_equal(x[1], augment.basic(clip["rgb"], clip["seed"], 24))
    assert y["logits"][1] == 4
    clip = clips.Reader(data, examples, task.testing(), geometry, seed=7).clip(0, 1)
    assert clip["rgb"].shape == (16, 24, 24, 3)
    np.testing.assert_array_equal(task.testing().example(clip)[0], clip["rgb"])
    with pytest.raises(ValueError, match="augmentation.*jitter.*'basic'"):
        tasks.Classify(6, augmentation="basic", jitter=True)


# ---- training and test ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def settings(sample_data):
    lists = {"train": sample_data / "train.txt", "test": sample_data / "test.txt"}
    return {"data": sample_data / "data", **lists, "plan": PLAN}


@pytest.fixture(scope="module")
def pretrained(sample_data, tmp_path_factory):
    """A run of `mas.pretrain`."""
    run = tmp_path_factory.mktemp("runs") / "mas"
    small = {"network": NETWORK, "clip": CLIP, "plan": PLAN}
    return mas.pretrain(sample_data / "data", "mas", **small, run=run)


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def check_report(run):
    """The written accuracy equals the returned one; there is one video per class."""
    _, *rows = table(run.path / "scores.csv")
    assert [row[0] for row in rows] == [f"{name}/{name}_00" for name in sorted(sample.MOTIONS)]
    assert [int(row[1]) for row in rows] == list(range(6))
    shares = np.array([row[3:] for row in rows], float)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-4)
    likeliest = shares.argmax(1)
    assert [int(row[2]) for row in rows] == likeliest.tolist()
    assert run.test.top1 == pytest.approx(np.mean(likeliest == np.arange(6)), abs=1e-4)
    np.testing.assert_array_equal(run.test.confusion, np.eye(6, dtype=int)[likeliest])
    confusion = np.array([row[1:] for row in table(run.path / "confusion.csv")[1:]], int)
    np.testing.assert_array_equal(confusion, run.test.confusion)
    assert [row[0] for row in table(run.path / "per_class.csv")[1:]] == sorted(sample.MOTIONS)
    assert cv2.imread(str(run.path / "confusion.png")) is not None
    assert (run.path / "export" / "saved_model.pb").is_file()


@pytest.mark.parametrize("kind", ["run", "path", "file"])
def test_finetunes_and_tests_pretrained_network(pretrained, settings, tmp_path, kind):
    """Network and clip come from the source, class names from the file next to the list."""
    sources = {"run": pretrained, "path": str(pretrained.path)}
    source = sources.get(kind, pretrained.path / "backbone.keras")
    tuned = mas.finetune(source, **settings, optimisation=STILL, run=tmp_path / "run")
    assert (tuned.network, tuned.clip) == (NETWORK, CLIP)
    assert all(same(values(pretrained.backbone), values(tuned.backbone)))
    assert tuned.description["init"] == os.fspath(source) and tuned.task == "classify"
    if kind == "run":
        check_report(tuned)
        again = mas.open_run(tuned.path)
        assert again.test.top5 == tuned.test.top5 and again.metrics == tuned.metrics
        assert all(same(values(again.backbone), values(tuned.backbone)))


def expected_scores(run, data):
    """Mean over the clips from frames 0, 1 and 2 of each test video, cut from the centre."""
    data, means = records.open_data(data), []
    centre = clips.Geometry((44, 32), 32, random=False)
    for name in sorted(sample.MOTIONS):
        number = data.videos.index(f"{name}/{name}_00")
        examples = clips.Examples([number] * 3, [0, 1, 2], [0] * 3)
        reader = clips.Reader(data, examples, tasks.Classify(6), centre, shuffle=False)
        images = [reader.clip(0, position)["rgb"].numpy() for position in range(3)]
        logits = run.model(np.stack(images))["logits"].numpy()
        means.append((np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).mean(0))
    return means


def test_from_scratch_with_three_clips_a_video(settings, tmp_path):
    """The test uses centre crops, regardless of the training."""
    head = Network("c3d", width=0.02, preset="rgb", initializer="he", head="convolved")
    task = tasks.Classify(augmentation="basic")
    more = {"task": task, "network": head, "clip": CLIP, "test_clips": 3}
    tuned = mas.finetune(None, **settings, **more, run=tmp_path / "run")
    check_report(tuned)
    shares = np.array([row[3:] for row in table(tuned.path / "scores.csv")[1:]], float)
    np.testing.assert_allclose(shares, expected_scores(tuned, settings["data"]), atol=2e-5)
    assert tuned.description["init"] is None


def test_finetunes_custom_network(settings, tmp_path):
    """Trains from scratch, then from that run, with clips resized in the same way."""
    inputs = keras.Input((8, 24, 24, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    own = keras.Model(inputs, keras.layers.Conv3D(3, 3, 2, name="first")(x), name="own")
    clip = Clip(8, 24, (40, 28))
    first = mas.finetune(None, **settings, network=own, clip=clip, run=tmp_path / "a")
    assert first.network is None and first.model.output["logits"].shape == (None, 6)
    second = mas.finetune(first, **settings, optimisation=STILL, run=tmp_path / "b")
    assert second.clip == clip and all(same(values(first.backbone), values(second.backbone)))


def test_every_listed_video_is_tested(settings, tmp_path):
    """Videos of 18 frames with clips of 24, which restart at the first frame."""
    clip = Clip(24, 32, (44, 32))
    plan = Plan(epochs=1, batch=4, sampling="anywhere")
    tuned = mas.finetune(
        None, **settings | {"plan": plan}, network=NETWORK, clip=clip, run=tmp_path
    )
    check_report(tuned)
    data, centre = records.open_data(settings["data"]), clips.Geometry((44, 32), 32, random=False)
    number = data.videos.index(table(tuned.path / "scores.csv")[1][0])
    first, again = (
        clips.Reader(data, clips.Examples([number], [0], [0]), task, centre, shuffle=False)
        for task in (tasks.Classify(6).bound(Clip(length, 32, (44, 32))) for length in (18, 6))
    )
    x = np.concatenate([part.clip(0, 0)["rgb"].numpy() for part in (first, again)])
    logits = tuned.model(x[None])["logits"].numpy()[0]
    row = [float(value) for value in table(tuned.path / "scores.csv")[1][3:]]
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(), row, atol=2e-5)


def test_missing_test_clip_stops_command(settings, tmp_path):
    """Before anything is trained."""
    behind = [lists.Entry("up/up_00", 0), lists.Entry("down/down_00", 1, start=18)]
    with pytest.raises(
        ValueError, match="test: every video .* 1 video without a clip, such as down/down_00"
    ):
        mas.finetune(
            None, **settings | {"test": behind}, network=NETWORK, clip=CLIP, run=tmp_path / "run"
        )
    assert not (tmp_path / "run").exists()


def test_fine_tuning_on_flow_leaves_short_videos_out(settings, tmp_path):
    """The sample's have 18 frames."""
    more = {"network": Network("c3d", "flow", 0.02, head="pooled"), "test_clips": 2}
    with pytest.raises(ValueError, match="clip of 24 frames"):
        mas.finetune(None, **settings, **more, clip=Clip(24, 32, (44, 32)))
    plan = {"plan": Plan(epochs=1, batch=4, sampling="anywhere")}
    tuned = mas.finetune(None, **settings | plan, **more, clip=CLIP, run=tmp_path)
    assert networks.described(tmp_path).network == more["network"] == tuned.network


def test_rejects_changed_weights_at_same_path(pretrained, settings, tmp_path):
    init = tmp_path / "init.keras"
    init.write_bytes((pretrained.path / "backbone.keras").read_bytes())
    more = {"network": NETWORK, "clip": CLIP, "run": tmp_path / "run"}
    tuned = mas.finetune(init, **settings, **more)
    description = json.loads((tuned.path / "run.json").read_text())
    network(3, width=0.02).save(init)
    with pytest.raises(ValueError, match="other data. Received: init_sha256="):
        mas.finetune(init, **settings, **more)
    assert json.loads((tuned.path / "run.json").read_text()) == description


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        (
            {"classes": ["up", "down"]},
            ValueError,
            r"train\.txt:3: expected a label in 0\.\.1, .* 2\.",
        ),
        ({"classes": [0, 1, 2, 3, 4, 5]}, ValueError, "classes.*names.*classes="),
        ({"classes": "gone.txt"}, FileNotFoundError, "gone.txt"),
        ({"test": [lists.Entry("up/up_00")]}, ValueError, "label.*up/up_00"),
        ({"train": "gone.txt"}, FileNotFoundError, "train.*list.*gone.txt"),
        ({"source": 3}, ValueError, "source.*run folder.*source=3"),
        ({"test": None}, ValueError, "test.*list.*None"),
        ({"source": "gone"}, FileNotFoundError, "source.*finished run folder.*gone'"),
        ({"source": None, "clip": Clip(16, 56, (85, 64)), "network": 3}, ValueError, "network=3"),
        ({"network": Network(width=0.25)}, ValueError, r"conv1/bias.*\(16,\) here"),
        ({"run": "source"}, ValueError, "run.*does not contain the source.*run="),
        ({"data": "gone"}, FileNotFoundError, "data.*gone"),
        ({"test_clips": -1}, ValueError, "test_clips.*at least 0.*test_clips=-1"),
    ],
)
def test_mismatches_are_reported_before_work_starts(
    pretrained, settings, tmp_path, monkeypatch, changes, error, words
):
    monkeypatch.chdir(tmp_path)
    run = pretrained.path if changes.get("run") else tmp_path / "run"
    with pytest.raises(error, match=words) as found:
        mas.finetune(**{"source": pretrained, **settings, **changes, "run": run})
    assert "--" not in str(found.value)
    assert (pretrained.path / "backbone.keras").exists()
    assert not (run / "metrics.csv").exists() or run == pretrained.path
