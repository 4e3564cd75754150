"""Fine-tuning: the pre-trained weights go in whole or not at all, and videos are tested."""

import csv
import json
import os
import pathlib
import re
import subprocess
import sys

import cv2
import keras
import numpy as np
import pytest

from mas import backbones, clips, lists, records, sample, tasks, weights
from mas.tasks import views

ROOT = pathlib.Path(__file__).resolve().parents[1]
SHAPE = (16, 32, 32, 3)


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


@pytest.mark.parametrize("name", ["", "backbone.keras"])
def test_every_weight_is_copied_and_counted(saved, name, caplog):
    folder, expected = saved
    model = network(2, shape=(8, 48, 40, 3))  # another clip
    assert sum(same(values(model), expected)) == 4, "the biases of conv1, conv3 to conv5: 0 in both"
    weights.load(model, folder / name)
    assert all(same(values(model), expected))
    caplog.set_level("INFO", logger="absl")
    weights.load(model, folder / name)
    numbers = sum(value.size for value in expected.values())
    assert f"Loaded 10 of 10 variables ({numbers} numbers)" in caplog.text


@pytest.mark.parametrize("shape", [(16, 33, 33, 3), (15, 32, 32, 3), (17, 40, 40, 3)])
@pytest.mark.parametrize("name", ["i3d", "r3d_10", "s3d_g"])
def test_weights_fit_clips_of_another_size(tmp_path, name, shape):
    """Where the padding of the first convolution is a layer of its own, or is none."""
    saved = backbones.backbone(name, SHAPE, 0.05, "rgb", "he")
    saved.save(tmp_path / "a.keras")
    other = backbones.backbone(name, shape, 0.05, "rgb")
    weights.load(other, tmp_path / "a.keras")
    for value, expected in zip(other.get_weights(), saved.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)
    with pytest.raises(ValueError, match="begins with rgb, where the backbone begins with nothing"):
        weights.load(backbones.backbone(name, shape, 0.05), tmp_path / "a.keras")


@pytest.mark.parametrize("width", [0.25, 0.0625])
def test_a_misfit_lists_both_sides_and_changes_nothing(saved, width):
    model = network(2, width=width)
    before = values(model)
    with pytest.raises(ValueError) as error:
        weights.load(model, saved[0])
    channels = round(64 * width)
    assert f"{saved[0] / 'backbone.keras'} must fit the backbone." in str(error.value)
    assert "10 variables differ" in str(error.value)
    assert f"conv1/bias: (8,) there, ({channels},) here" in str(error.value)
    assert all(same(values(model), before))


@pytest.mark.parametrize(("preset", "words"), [("bgr255", "Cast, Flip"), ("identity", "nothing")])
def test_another_input_preset_is_refused(saved, preset, words):
    model = backbones.backbone("c3d", SHAPE, 0.125, preset, "he")
    before = values(model)
    with pytest.raises(ValueError, match=f"begins with rgb, where the backbone .* with {words}"):
        weights.load(model, saved[0])
    assert all(same(values(model), before))
    backbones.backbone("c3d", SHAPE, 0.125, preset).save(saved[0] / "other.keras")
    weights.load(model, saved[0] / "other.keras")


@pytest.mark.parametrize("preset", ["bgr255", "rgb", "standard", "identity"])
def test_a_keras_file_alone_says_what_it_is(tmp_path, preset):
    backbones.backbone("c3d", (16, 48, 48, 3), 0.125, preset).save(tmp_path / "some.keras")
    (tmp_path / "run.json").write_text("of another network")
    expected = {"backbone": "c3d", "modality": "rgb", "frames": 16, "size": 48}
    expected |= {} if preset == "identity" else {"preset": preset}
    assert weights.settings(tmp_path / "some.keras") == expected
    assert weights.settings(tmp_path / "none.keras") == {}


def test_a_flow_network_says_so(tmp_path):
    backbones.backbone("c3d", (15, 48, 48, 2), 0.125).save(tmp_path / "some.keras")
    found = weights.settings(tmp_path / "some.keras")
    assert found == {"backbone": "c3d", "modality": "flow", "frames": 16, "size": 48}


def test_a_network_with_its_heads_is_no_backbone(saved, tmp_path):
    backbone = network(1)
    tasks.Classify(2, width=0.01).model(backbone).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"logits/bias: \(2,\) there, none here"):
        weights.load(network(2), tmp_path / "model.keras")


def test_an_unfinished_run_is_refused(tmp_path):
    (tmp_path / "resume").mkdir()
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="must be a finished run folder or a .keras file"):
        weights.load(network(1), tmp_path)
    with pytest.raises(FileNotFoundError, match="Received: .*typo"):
        weights.load(network(1), tmp_path / "typo")


# ---- the task ------------------------------------------------------------------------------------


def test_basic_augmentation_of_whole_clips_in_training_alone(sample_data):
    """What `views.basic` makes of the clip that the pipeline did not crop."""
    data = records.open_data(sample_data / "data")
    task = tasks.Classify(6, size=24, augmentation="basic")
    examples = clips.Examples([0, 1], [0, 2], [3, 4])
    geometry = clips.Geometry((44, 32), 24, flip=False)
    reader = clips.Reader(data, examples, task, geometry, seed=7, shuffle=False)
    clip = reader.clip(0, 1)
    assert clip["rgb"].shape == (16, 32, 44, 3)
    x, y = task.example(clip)
    expected = views.basic(clip["rgb"], clip["seed"], 24)
    np.testing.assert_array_equal(x, expected)
    assert y["logits"] == 4
    (batch, _) = next(iter(reader.batches(2, last_step=1)))
    np.testing.assert_array_equal(batch[1], expected)
    tested = clips.Reader(data, examples, task.testing(), geometry, seed=7, shuffle=False)
    clip = tested.clip(0, 1)
    assert clip["rgb"].shape == (16, 24, 24, 3)
    np.testing.assert_array_equal(task.testing().example(clip)[0], clip["rgb"])


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"augmentation": "flip"}, r"must be one of \['crop', 'basic'\]. Rec.*='flip'"),
        ({"augmentation": "basic", "modality": "flow"}, "crop with jitter or flow. .*=flow"),
        ({"augmentation": "basic", "jitter": True}, "crop with jitter or flow. .*jitter=True"),
        ({"jitter": True, "modality": "flow"}, "modality must be rgb with jitter"),
    ],
)
def test_augmentations_that_do_not_fit_are_refused(choice, words):
    with pytest.raises(ValueError, match=words):
        tasks.Classify(6, **choice)


# ---- the script ----------------------------------------------------------------------------------


def lists_of(folder, **other):
    paths = {"data": folder / "data", "train_list": folder / "train.txt"}
    paths |= {"test_list": folder / "test.txt", "classes": folder / "classes.txt", **other}
    return [f"--{name}={value}" for name, value in paths.items() if value is not None]


NETWORK = {
    "backbone": "c3d",
    "modality": "rgb",
    "width": 0.125,
    "preset": "rgb",
    "initializer": "he",
}
CLIP = {"frames": 16, "size": 32, "resize": "44x32"}
SHORT = ["--batch=4", "--epochs=1", "--log_every=1"]


@pytest.fixture(scope="module")
def pretrained(script, sample_data, tmp_path_factory):
    """The run folder of a short train.py."""
    run = tmp_path_factory.mktemp("runs") / "mas"
    given = [f"--{name}={value}" for name, value in (NETWORK | CLIP).items()]
    arguments = [*given, *SHORT, f"--data={sample_data / 'data'}", f"--run={run}"]
    with script("train.py", *arguments) as module:
        assert module.main(["train.py"]) == 0
    return run


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def check_report(run, words):
    """What the run wrote tells the same accuracy as what it said; one video of each class."""
    header, *rows = table(run / "scores.csv")
    assert [row[0] for row in rows] == [f"{name}/{name}_00" for name in sorted(sample.MOTIONS)]
    assert [int(row[1]) for row in rows] == list(range(6))
    shares = np.array([row[3:] for row in rows], float)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-4)
    likeliest = shares.argmax(1)
    assert [int(row[2]) for row in rows] == likeliest.tolist()
    said = float(re.search(r"top-1 ([\d.]+), top-5 [\d.]+, .* 6 videos", words)[1])
    assert said == pytest.approx(np.mean(likeliest == np.arange(6)), abs=1e-4)
    confusion = np.array([row[1:] for row in table(run / "confusion.csv")[1:]], int)
    np.testing.assert_array_equal(confusion, np.eye(6, dtype=int)[likeliest])
    assert [row[0] for row in table(run / "per_class.csv")[1:]] == sorted(sample.MOTIONS)
    assert cv2.imread(str(run / "confusion.png")) is not None
    assert (run / "export" / "saved_model.pb").is_file() and (run / "model.keras").is_file()


def test_a_pretrained_network_is_fine_tuned_and_tested(pretrained, sample_data, tmp_path):
    """As a user types it: the flags on the network come from the run folder."""
    run = tmp_path / "run"
    arguments = [*lists_of(sample_data), *SHORT, f"--init={pretrained}", f"--run={run}"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "finetune.py"), *arguments, "--learning_rate=1e-30"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Loaded 10 of 10 variables" in done.stderr
    check_report(run, done.stderr)
    described = json.loads((run / "run.json").read_text())
    assert described["network"] == NETWORK and described["clip"] == CLIP
    assert described["init"] == str(pretrained) and described["task"] == "classify"
    before, after = (keras.models.load_model(r / "backbone.keras") for r in (pretrained, run))
    assert all(same(values(before), values(after))), "at this rate no number changes"


def finetune(script, *arguments):
    with script("finetune.py", *arguments) as module:
        return module.main(["finetune.py"])


def expected_scores(run, folder):
    """Mean over the clips from frames 0, 1 and 2 of each test video, cut from the centre."""
    data = records.open_data(folder / "data")
    model = keras.models.load_model(run / "model.keras")
    centre = clips.Geometry((44, 32), 32, random=False)
    means = []
    for name in sorted(sample.MOTIONS):
        number = data.videos.index(f"{name}/{name}_00")
        examples = clips.Examples([number] * 3, [0, 1, 2], [0] * 3)
        reader = clips.Reader(data, examples, tasks.Classify(6), centre, shuffle=False)
        images = [reader.clip(0, position)["rgb"].numpy() for position in range(3)]
        logits = model(np.stack(images))["logits"].numpy()
        means.append((np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).mean(0))
    return means


def test_without_init_it_starts_from_scratch(script, sample_data, tmp_path, caplog):
    run = tmp_path / "run"
    given = [f"--{name}={value}" for name, value in (NETWORK | CLIP).items()]
    more = ["--test_clips=3", "--decay_epochs=1", f"--run={run}"]
    more += ["--augmentation=basic", "--head=convolved"]  # tested on centre crops
    assert finetune(script, *lists_of(sample_data), *given, *SHORT, *more) == 0
    check_report(run, caplog.text)
    shares = np.array([row[3:] for row in table(run / "scores.csv")[1:]], float)
    np.testing.assert_allclose(shares, expected_scores(run, sample_data), atol=2e-5)
    assert "Loaded" not in caplog.text
    assert json.loads((run / "run.json").read_text())["init"] is None


def test_a_misfit_is_refused_and_the_folder_stays_free(
    script, pretrained, sample_data, tmp_path, caplog
):
    """A flag counts more than what the run says; afterwards the same folder takes other flags."""
    arguments = [*lists_of(sample_data), *SHORT, f"--run={tmp_path / 'run'}"]
    wide = [f"--init={pretrained}", "--width=0.25"]
    assert finetune(script, *arguments, *wide) == 2
    assert "conv1/bias: (8,) there, (16,) here" in caplog.text
    missing = [f"--init={tmp_path / 'gone'}", "--size=32", "--resize=44x32", "--width=0.01"]
    assert finetune(script, *arguments, *missing) == 2
    assert "must be a finished run folder" in caplog.text and "own flags" not in caplog.text


def test_a_keras_file_brings_the_flags_of_its_run(script, pretrained, sample_data, tmp_path):
    arguments = [*lists_of(sample_data), f"--init={pretrained / 'backbone.keras'}"]
    with script("finetune.py", *arguments) as module:
        module._inherit()
        found = {name: module.cli.FLAGS[name].value for name in NETWORK | CLIP}
    assert found == NETWORK | CLIP


def test_the_run_may_not_replace_what_it_starts_from(script, pretrained, sample_data, caplog):
    arguments = [*lists_of(sample_data), f"--init={pretrained}", f"--run={pretrained}"]
    assert finetune(script, *arguments, "--restart") == 2
    assert "run must not hold --init" in caplog.text
    assert (pretrained / "backbone.keras").exists()


def test_other_weights_at_the_same_path_are_another_start(
    script, pretrained, sample_data, tmp_path, caplog
):
    init = tmp_path / "init.keras"
    init.write_bytes((pretrained / "backbone.keras").read_bytes())
    given = [f"--{name}={value}" for name, value in (NETWORK | CLIP).items()]
    arguments = [
        *lists_of(sample_data),
        *given,
        *SHORT,
        f"--init={init}",
        f"--run={tmp_path / 'r'}",
    ]
    assert finetune(script, *arguments) == 0
    network(3).save(init)
    assert finetune(script, *arguments) == 2
    assert "its own data. Received: init_sha256=" in caplog.text


def test_fine_tuning_on_flow_leaves_short_videos_out(script, sample_data, tmp_path, caplog):
    """The sample's have 18 frames."""
    shape = ["--modality=flow", "--size=32", "--resize=44x32", "--width=0.05", *SHORT]
    arguments = [*lists_of(sample_data), *shape, "--clips=anywhere", f"--run={tmp_path / 'r'}"]
    assert finetune(script, *arguments, "--frames=24") == 2
    assert "must hold a clip of 24 frames" in caplog.text
    assert finetune(script, *arguments, "--test_clips=2") == 0
    assert weights.settings(tmp_path / "r")["modality"] == "flow"


@pytest.mark.parametrize(
    ("other", "flags", "words"),
    [
        ({"classes": "two.txt"}, [], "labels must be below 2, the lines of {}/two.txt"),
        ({"classes": "twice.txt"}, [], "twice.txt:3: expected each class name once"),
        ({"classes": "gone.txt"}, [], "gone.txt"),
        ({"train_list": "plain.txt"}, [], "plain.txt:1: expected"),
        ({"train_list": "plain.txt", "test_list": "plain.txt"}, ["--columns=video"], "a label"),
        ({"test_list": "strange.txt"}, [], "strange.txt: expected each video to match exactly"),
        ({}, ["--batch=7"], "batch must be in 1..6, the number of examples. Received: batch=7"),
        ({}, ["--size=64"], "size must be in 1..32"),
        ({"data": None}, [], "data must be a folder that mas.prepare wrote"),
    ],
)
def test_wrong_lists_are_named_before_work_starts(
    script, sample_data, tmp_path, caplog, other, flags, words
):
    (tmp_path / "two.txt").write_text("up\ndown\n")
    (tmp_path / "twice.txt").write_text("up\ndown\nup\n")
    (tmp_path / "plain.txt").write_text("up/up_00\ndown/down_00\n")
    (tmp_path / "strange.txt").write_text("up/up_77 5\n")
    other = {name: value and tmp_path / value for name, value in other.items()}
    run = tmp_path / "run"
    more = ["--resize=44x32", "--size=32", "--width=0.125", "--batch=4", f"--run={run}", *flags]
    assert finetune(script, *lists_of(sample_data, **other), *more) == 2
    assert words.format(tmp_path) in caplog.text
    assert not run.exists()


def test_without_class_names_they_are_numbers(script, sample_data):
    entries = lists.read(sample_data / "test.txt")
    with script("finetune.py", *lists_of(sample_data, classes=None)) as module:
        assert module._class_names(entries[:3]) == ["0", "1", "2"]


@pytest.mark.parametrize("text", ["{}", "{", '{"network": 3, "clip": {}}'])
def test_a_run_json_of_something_else_is_named(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"run\.json must be that of a run\. Received: "):
        weights.settings(tmp_path)
