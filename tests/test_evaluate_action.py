"""Classifiers on whole videos, with and without motion; pretext tasks on other videos."""

import json

import keras
import numpy as np
import pytest
from evaluating import CLIP, NETWORK, rows_of

import mas
from mas import cli, clips, features, lists, records
from mas.evaluate import Action, Pretext, pretext
from mas.training import export


def classifier(side=32, classes=6):
    """A network whose logits add the differences between frames to the colours of the first."""
    keras.utils.set_random_seed(0)
    shown = keras.Input((16, side, side, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 128, -1.0)(shown)
    x = keras.layers.AveragePooling3D((1, 8, 8))(x)
    logits = keras.layers.Dense(classes, name="logits")(keras.layers.Flatten()(x))
    return keras.Model(shown, {"logits": logits}, name="classifier")


def write_tuned(folder, names=True, **options):
    """Writes the parts of a fine-tuned run that the protocol reads."""
    model = classifier(**options)
    model.save(folder / "model.keras")
    (folder / "backbone.keras").touch()
    described = {"network": NETWORK, "clip": CLIP}
    classes = list("abcdefg")[: model.output["logits"].shape[-1]]
    (folder / "run.json").write_text(
        json.dumps(described | ({"classes": classes} if names else {}))
    )
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_tuned(tmp_path_factory.mktemp("tuned"))


def expected(run, folder, starts, static):
    """Mean probabilities of the test videos, clip by clip."""
    data = records.open_data(folder / "data")
    model = keras.models.load_model(run / "model.keras")
    task = features.Sampling().task(mas.Clip(**CLIP), "rgb")
    means = []
    for entry in lists.read(folder / "test.txt"):
        number = data.videos.index(entry.video)
        examples = clips.Examples([number] * len(starts), starts, [0] * len(starts))
        centre = clips.Geometry((44, 32), 32, random=False)
        reader = clips.Reader(data, examples, task, centre, shuffle=False)
        shares = []
        for place in range(len(starts)):
            clip = reader.clip(0, place)["rgb"].numpy()
            clip = np.repeat(clip[8:9], 16, 0) if static else clip
            logits = model(clip[None])["logits"].numpy()[0].astype(float)
            shares.append(np.exp(logits) / np.exp(logits).sum())
        means.append(np.mean(shares, 0))
    return np.array(means)


@pytest.mark.parametrize(("count", "starts"), [(2, [0, 2]), (0, [0])])
def test_videos_are_scored_with_and_without_motion(run, sample_data, tmp_path, count, starts):
    chosen = features.Sampling(clips=count)
    data, listed = sample_data / "data", sample_data / "test.txt"
    result = Action(static=True)(run, data, listed, sampling=chosen)
    folder = result.write(tmp_path / "out")
    told = json.loads((folder / "action.json").read_text())
    assert told["classes"] == list("abcdef") and told["facts"]["clips"] == [len(starts)] * 2
    scores = {}
    for kind, below in (("normal", folder), ("static", folder / "static")):
        means = expected(run, sample_data, starts, kind == "static")
        scores[kind] = np.array([row[3:] for row in rows_of(below / "scores.csv")[1:]], float)
        np.testing.assert_allclose(scores[kind], means, atol=2e-5)
        top1 = np.mean(means.argmax(1) == np.arange(6))
        assert told[kind]["top1"] == pytest.approx(top1)
        assert np.trace(told[kind]["confusion"]) == pytest.approx(6 * top1)
        assert (below / "confusion.png").is_file() and (below / "per_class.csv").is_file()
    assert not np.allclose(scores["normal"], scores["static"])
    assert result.accuracy == result.normal.top1 == result.top1 == told["normal"]["top1"]
    assert "Network: c3d, weights of" in result.text, "of run.json"
    assert "With the middle frame of each clip repeated: Top-1" in result.text
    assert result.text.count("top-5") == 2


def test_five_classes_have_no_top_5_and_names_come_from_list(sample_data, tmp_path):
    tuned = write_tuned(tmp_path, names=False, classes=5)
    (tmp_path / "five.txt").write_text("up/up_00 0\ndown/down_00 4\n")
    (tmp_path / "five_classes.txt").write_text("up\nleft\nright\nturn\ndown\n")
    chosen = features.Sampling(clips=1)
    result = Action()(tuned, sample_data / "data", tmp_path / "five.txt", sampling=chosen)
    assert "top-5" not in result.text and "repeated" not in result.text
    assert result.classes == ["up", "left", "right", "turn", "down"]
    with pytest.raises(AttributeError):
        result.static  # noqa: B018


def test_bad_input_is_reported_in_one_line(run, sample_data, tmp_path):
    for name, lines in (
        ("good", (sample_data / "test.txt").read_text()),
        ("high", "up/up_00 0\ndown/down_00 6\n"),
        ("plain", "up/up_00\n"),
    ):
        (tmp_path / f"{name}.txt").write_text(lines)
    shown = keras.Input((16, 32, 32, 3), dtype="uint8")
    keras.Model(shown, keras.layers.Rescaling(1.0)(shown)).save(tmp_path / "backbone.keras")
    for source, videos, options, words in (
        (tmp_path / "gone", "good", {}, "source.*gone"),
        (tmp_path / "backbone.keras", "good", {}, "source must be a classifier.*backbone.keras"),
        (run, "good", {"classes": list("abcde")}, "classes must be 6"),
        (run, "good", {"classes": list("abcdefg")}, "classes.*6"),
        (run, "high", {}, "high.txt:2: .*0..5.*Received: 6"),
        (run, "plain", {"columns": "video"}, "plain.txt:1: .*0..5.*none"),
        (run, "good", {"sampling": features.Sampling(resize=(30, 30))}, "size.*=32"),
        (run, "good", {"sampling": features.Sampling(frames=8)}, r"clips.*\(8, 32, 32, 3\)"),
        (run, "good", {"sampling": {"clips": 3}}, "sampling.*'clips': 3"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            Action()(source, sample_data / "data", tmp_path / f"{videos}.txt", **options)


# ---- pretext -------------------------------------------------------------------------------------


def test_pretext_test_equals_test_after_training(sample_data, tmp_path, monkeypatch):
    """The same videos give the same numbers: the settings are read from the run folder."""
    monkeypatch.setattr(export, "saved_model", lambda *arguments: arguments[-1].mkdir())
    run = mas.pretrain(
        sample_data / "data",
        mas.tasks.Pace(paces=(1, 2)),
        network=mas.Network("c3d", width=0.02, preset="rgb", initializer="he"),
        clip=mas.Clip(frames=8, size=16, resize=(44, 32)),
        plan=mas.Plan(epochs=1, batch=4),
        videos=sample_data / "train.txt",
        held_out=sample_data / "test.txt",
        run=tmp_path / "run",
    )
    result = Pretext()(run.path, sample_data / "data", sample_data / "test.txt")
    folder = result.write(tmp_path / "out")
    for name in ("test.csv", "confusion.csv", "per_class.csv"):
        assert (folder / name).read_text() == (run.path / name).read_text()
    assert result.accuracy == run.test.top1 and result.chance == 1 / 2
    assert "Accuracy of pace" in result.text


def test_task_of_earlier_version_is_restored(tmp_path):
    """Its settings are in flags.txt, some as --option; clip and network are in run.json."""
    described = {"task": "mas", "network": NETWORK, "clip": CLIP}
    (tmp_path / "run.json").write_text(json.dumps(described))
    lines = ["--task=mas", "--branches=motion", "--option=patterns=1,2", "--epochs=9"]
    (tmp_path / "flags.txt").write_text("\n".join(lines))
    texts = pretext.settings_of(tmp_path)
    task = pretext.task_of(mas.open_run(tmp_path), texts)
    assert (task.branches, task.patterns) == (("motion",), (1, 2))
    assert task.clip == mas.Clip(**CLIP) and task.network.width == 0.125
    assert mas.Plan.parsed(texts).epochs == 9


def test_module_named_in_run_is_imported_only_if_caller_asks(tmp_path, monkeypatch):
    """An untrusted run may name any module, and importing a module runs it."""
    (tmp_path / "theirs.py").write_text(
        "import pathlib, mas\npathlib.Path(__file__).with_suffix('.ran').touch()\n"
        "class Own(mas.tasks.Pace): name = 'own'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    described = {"task": "theirs:Own", "network": NETWORK, "clip": CLIP}
    (tmp_path / "run.json").write_text(json.dumps(described))
    run = mas.open_run(tmp_path)
    with pytest.raises(ValueError, match=f"{tmp_path} was .*'theirs:Own'. Received: task=None"):
        pretext.task_of(run, {})
    with pytest.raises(ValueError, match="task must be theirs:Own, as in the run .*task='pace'"):
        pretext.task_of(run, {}, "pace")
    assert not (tmp_path / "theirs.ran").exists()
    assert pretext.task_of(run, {}, "theirs:Own").name == "own"


def test_pretext_test_rejects_other_models(run, sample_data, tmp_path):
    with pytest.raises(FileNotFoundError, match="run.json"):
        Pretext()(tmp_path, sample_data / "data")
    (tmp_path / "run.json").write_text(json.dumps({"task": "classify"}))
    (tmp_path / "backbone.keras").touch()
    (tmp_path / "flags.txt").touch()
    with pytest.raises(ValueError, match="source.*a pre-trained run"):
        Pretext()(tmp_path, sample_data / "data")


def test_fusion_averages_scores(run, sample_data, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    write_tuned(other)
    model = keras.models.load_model(other / "model.keras")
    model.set_weights([-weights for weights in model.get_weights()])
    model.save(other / "model.keras")
    data, listed = sample_data / "data", sample_data / "test.txt"
    chosen = {"sampling": features.Sampling(clips=1)}
    alone = [Action()(source, data, listed, **chosen) for source in (run, other)]
    both = Action(static=True)([run, other], data, listed, **chosen)
    values = [
        np.array([row[3:] for row in result.tables["scores.csv"][1]], float)
        for result in (*alone, both)
    ]
    np.testing.assert_allclose(values[2], (values[0] + values[1]) / 2, atol=1e-5)
    assert list(both.alone.values()) == [result.accuracy for result in alone]
    shares = " and ".join(f"{result.accuracy:.1%}" for result in alone).replace(" and ", ", ")
    assert f"scores are averaged; alone, they reach {shares}." in both.text
    assert [fact["model"] for fact in both.facts] == [str(run), str(other)]
    five = tmp_path / "five"
    five.mkdir()
    write_tuned(five, classes=5)
    with pytest.raises(ValueError, match="source must be classifiers of the same 6 classes.*five"):
        Action()([run, five], data, listed, **chosen)
    with pytest.raises(ValueError, match="source must be one or more classifiers"):
        Action()([], data, listed)


def test_accepts_two_models(run, sample_data, tmp_path):
    given = [
        f"--model={run}",
        f"--data={sample_data / 'data'}",
        f"--list={sample_data / 'test.txt'}",
    ]
    output = tmp_path / "out"
    assert (
        cli.main("evaluate", "action", *given, f"--model={run}", "--clips=1", f"--output={output}")
        == 0
    )
    told = json.loads((output / "action.json").read_text())
    assert len(told["facts"]) == 2 and told["settings"]["model"] == [str(run)] * 2
    assert cli.main("evaluate", "features", *given, f"--model={run}", "--output=x.npz") == 2
