"""The kind `action`: a classifier on whole videos, and on clips without motion."""

import csv
import json

import keras
import numpy as np
import pytest
from evaluating import CLIP, NETWORK, evaluate

from mas import clips, lists, records
from mas.evaluate import extraction


def classifier(frames=16, side=32, classes=6):
    """The logits are sums of what moves between the frames, and of the first frame's colours."""
    keras.utils.set_random_seed(0)
    shown = keras.Input((frames, side, side, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 128, -1.0)(shown)
    x = keras.layers.AveragePooling3D((1, 8, 8))(x)
    logits = keras.layers.Dense(classes, name="logits")(keras.layers.Flatten()(x))
    return keras.Model(shown, {"logits": logits}, name="classifier")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of finetune.py, as far as this reads it."""
    folder = tmp_path_factory.mktemp("runs") / "tuned"
    folder.mkdir()
    classifier().save(folder / "model.keras")
    (folder / "backbone.keras").touch()
    described = {"network": NETWORK, "clip": CLIP, "classes": list("abcdef")}
    (folder / "run.json").write_text(json.dumps(described))
    return folder


def flags_of(run, folder, output, *more):
    flags = [f"--model={run}", f"--data={folder / 'data'}", f"--list={folder / 'test.txt'}"]
    return [*flags, f"--output={output}", *more]


def expected(run, folder, starts, static):
    """Mean probabilities of the test videos, clip by clip."""
    data = records.open_data(folder / "data")
    model = keras.models.load_model(run / "model.keras")
    means = []
    for entry in lists.read(folder / "test.txt"):
        number = data.videos.index(entry.video)
        examples = clips.Examples([number] * len(starts), starts, [0] * len(starts))
        centre = clips.Geometry((44, 32), 32, random=False)
        reader = clips.Reader(data, examples, extraction.Clips(), centre, shuffle=False)
        shares = []
        for place in range(len(starts)):
            clip = reader.clip(0, place)["rgb"].numpy()
            clip = np.repeat(clip[8:9], 16, 0) if static else clip
            logits = model(clip[None])["logits"].numpy()[0].astype(float)
            shares.append(np.exp(logits) / np.exp(logits).sum())
        means.append(np.mean(shares, 0))
    return np.array(means)


def scores_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return np.array([row[3:] for row in list(csv.reader(file))[1:]], float)


@pytest.mark.parametrize(("count", "starts"), [(2, [0, 2]), (0, [0])])
def test_videos_are_scored_with_and_without_motion(
    script, run, sample_data, tmp_path, caplog, count, starts
):
    out = tmp_path / "out"
    flags = flags_of(run, sample_data, out, f"--clips={count}", "--static")
    assert evaluate(script, "action", *flags) == 0
    told = json.loads((out / "action.json").read_text())
    assert told["classes"] == list("abcdef") and told["facts"]["clips"] == [len(starts)] * 2
    for kind, folder in (("normal", out), ("static", out / "static")):
        means = expected(run, sample_data, starts, kind == "static")
        np.testing.assert_allclose(scores_of(folder / "scores.csv"), means, atol=2e-5)
        top1 = np.mean(means.argmax(1) == np.arange(6))
        assert told[kind]["top1"] == pytest.approx(top1)
        assert np.trace(told[kind]["confusion"]) == pytest.approx(6 * top1)
        assert (folder / "confusion.png").is_file() and (folder / "per_class.csv").is_file()
    assert "Network: c3d, weights of" in told["paragraph"], "of run.json"
    words = "With the middle frame of each clip repeated: Top-1"
    assert words in told["paragraph"] and told["paragraph"] in caplog.text
    assert not np.allclose(scores_of(out / "scores.csv"), scores_of(out / "static/scores.csv"))


def test_without_static_there_is_one_test(script, run, sample_data, tmp_path):
    out = tmp_path / "out"
    assert evaluate(script, "action", *flags_of(run, sample_data, out, "--clips=1")) == 0
    told = json.loads((out / "action.json").read_text())
    assert "static" not in told and not (out / "static").exists()
    assert "repeated" not in told["paragraph"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--model={}/gone"], "model must be a finished run folder or a .keras file"),
        (["--model={}/backbone.keras"], "model must be a classifier, as finetune.py writes it"),
        (["--classes={}/five.txt"], "labels must be below 5"),
        (["--classes={}/seven.txt"], "classes must be 6, the outputs of"),
        (
            ["--list={}/high.txt"],
            "high.txt:2: expected a label in 0..5, the network's classes. Rec",
        ),
        (["--list={}/plain.txt", "--columns=video"], "plain.txt:1: expected a label in 0..5"),
        (["--resize=30x30"], "size must be in 1..30"),
    ],
)
def test_bad_input_is_one_clear_line(script, run, sample_data, tmp_path, caplog, more, words):
    for count, name in ((5, "five"), (7, "seven")):
        (tmp_path / f"{name}.txt").write_text("".join(f"{n}\n" for n in range(count)))
    (tmp_path / "high.txt").write_text("up/up_00 0\ndown/down_00 6\n")
    (tmp_path / "plain.txt").write_text("up/up_00\n")
    shown = keras.Input((16, 32, 32, 3), dtype="uint8")
    keras.Model(shown, keras.layers.Rescaling(1.0)(shown)).save(tmp_path / "backbone.keras")
    more = [text.format(tmp_path) for text in more]
    assert evaluate(script, "action", *flags_of(run, sample_data, tmp_path / "out", *more)) == 2
    assert words in caplog.text and not (tmp_path / "out").exists()


def test_a_network_of_other_clips_is_refused(script, sample_data, tmp_path, caplog):
    classifier(16, 24).save(tmp_path / "model.keras")
    (tmp_path / "run.json").write_text(json.dumps({"network": NETWORK, "clip": CLIP}))
    flags = flags_of(tmp_path / "model.keras", sample_data, tmp_path / "out")
    assert evaluate(script, "action", *flags) == 2
    assert "clips must be (16, 24, 24, 3)" in caplog.text
