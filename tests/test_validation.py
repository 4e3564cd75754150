"""The epoch that fine-tuning keeps: the best on validation videos, also after a kill."""

import json

import numpy as np
import pytest
import tensorflow as tf
from test_kept import Killed, values
from test_run_folder import flip
from test_training import metrics, train

import mas
from mas import files, lists, networks
from mas.cli import finetune as command
from mas.evaluate import report
from mas.settings import Plan
from mas.training import checkpoints, kept, validation

TOPS = {1: 0.2, 2: 0.5, 3: 0.5, 4: 0.4, 5: 0.3}


class Told(validation.Validation):
    """A validation with known accuracies, {epoch: top-1}."""

    def __init__(self, tops, epochs):
        self._tops, self._plan, self._videos, self._tested = tops, Plan(epochs), 8, 0

    def __call__(self, epoch):
        self._epoch = epoch
        return super().__call__(epoch)

    def _top1(self):
        return self._tops[self._epoch]


def chosen(folder, tops=TOPS, epochs=4, **options):
    """Trains; returns the chosen (epoch, weights)."""
    told, current = Told(tops, epochs), []

    def made(model, strategy, run):
        current.append(kept.Current(model, model, strategy, None))
        return [told.begin(*current, run)]

    train(folder, epochs=epochs, before_saving=made, **options)
    _, model, facts = told.chosen(folder, *current)
    return facts["validation"]["epoch"], values(model)


def held(folder):
    return sorted(path.name for path in (folder / "best").iterdir())


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The weights after two epochs of training alone."""
    return train(tmp_path_factory.mktemp("runs") / "two", epochs=2)


def check(found, epoch, weights):
    assert found[0] == epoch
    np.testing.assert_array_equal(found[1][: len(weights)], weights)


def test_first_best_epoch_is_chosen(tmp_path, two):
    """Training is the same as without validation."""
    check(chosen(tmp_path), 2, two)
    assert [row["validation_top1"] for row in metrics(tmp_path)] == [0.2, 0.5, 0.5, 0.4]
    assert held(tmp_path) == ["002"]
    known = json.loads((tmp_path / "best" / "002" / "run.json").read_text())
    assert known["validation"] == {"epoch": 2, "top1": 0.5, "videos": 8, "tested": 0}
    assert known["finished_epochs"] == 2 and "validation" not in _described(tmp_path)
    check(chosen(tmp_path, epochs=5), 2, two)
    assert chosen(tmp_path, TOPS | {6: 0.51}, epochs=6)[0] == 6


def _described(folder):
    return json.loads((folder / "run.json").read_text())


@pytest.mark.parametrize("stop", [2, 6, 7, 9])
def test_resumed_run_chooses_same_epoch(tmp_path, two, stop):
    train(tmp_path, epochs=4, stop=stop, every=2, before_saving=_begun(tmp_path))
    check(chosen(tmp_path, every=2), 2, two)


def _begun(folder, tops=TOPS):
    def made(model, strategy, run):
        return [Told(tops, 4).begin(kept.Current(model, model, strategy, None), run)]

    return made


@pytest.mark.parametrize("damaged", [False, True])
def test_best_epoch_beyond_checkpoint_is_forgotten(tmp_path, two, monkeypatch, damaged):
    """The third epoch was the best, but its checkpoint was never saved or is damaged."""
    real = checkpoints.Checkpoints.save

    def save(self, step):
        if step == 9 and not damaged:
            raise Killed
        real(self, step)
        if step == 9:
            raise Killed

    monkeypatch.setattr(checkpoints.Checkpoints, "save", save)
    with pytest.raises(Killed):
        train(tmp_path, epochs=4, before_saving=_begun(tmp_path, TOPS | {3: 0.9}))
    monkeypatch.setattr(checkpoints.Checkpoints, "save", real)
    assert held(tmp_path) == ["001", "002", "003"]
    if damaged:
        flip(tmp_path / "resume" / "ckpt-9.data-00000-of-00001")
    check(chosen(tmp_path), 2, two)


def test_missing_or_damaged_best_network_is_reported(tmp_path):
    train(tmp_path, epochs=4, stop=7, before_saving=_begun(tmp_path))
    file = tmp_path / "best" / "002" / networks.MODEL
    whole = file.read_bytes()
    file.write_bytes(whole[:1000])
    with pytest.raises(ValueError, match=r"best/002/model.keras must .* whole.*or restart\."):
        chosen(tmp_path)
    file.write_bytes(whole)
    (file.parent / "run.json").write_text('{"validation": {"epoch": 2}}')
    words = r'best/002/run.json must have .*Received: validation=\{"epoch": 2\}\. Use another'
    with pytest.raises(ValueError, match=words):
        chosen(tmp_path)
    for folder in (tmp_path / "best").iterdir():
        folder.rename(tmp_path / f"elsewhere_{folder.name}")
    with pytest.raises(ValueError, match="best must contain the best network.*Received: none"):
        chosen(tmp_path)


# ---- the whole way -------------------------------------------------------------------------------


@pytest.fixture
def tune(sample_data):
    """`tune(run, **changes)`: fine-tunes a tiny network from scratch for three epochs."""
    sides = {"train": sample_data / "train.txt", "test": sample_data / "test.txt"}
    small = {
        "network": mas.Network("c3d", width=0.02, preset="rgb", initializer="he"),
        "clip": mas.Clip(frames=8, size=32, resize=(44, 32)),
        "optimisation": mas.Optimisation(learning_rate=0.05),
        "plan": mas.Plan(epochs=3, batch=6, keep_every=1),
    }
    data = mas.open_data(sample_data / "data")
    return lambda run, **changes: mas.finetune(None, data, **sides, **small | changes, run=run)


def test_best_epoch_is_tested_saved_and_logged(tune, sample_data, tmp_path, caplog, monkeypatch):
    """Validates on the test videos, so the test accuracy is the best of the column."""
    plain, said, text = tune(tmp_path / "plain"), [], validation.text
    monkeypatch.setattr(validation, "text", lambda *known: said.append(text(*known)))
    run = tune(tmp_path / "run", validation=sample_data / "test.txt")
    assert plain.validation is None and "validation_top1" not in plain.metrics
    assert run.metrics["loss"] == plain.metrics["loss"], "training is the same"
    column = run.metrics["validation_top1"]
    known = run.validation
    assert known == {
        "epoch": 1 + int(np.argmax(column)),
        "top1": run.test.top1,
        "videos": 6,
        "tested": 6,
    }
    assert run.test.top1 == pytest.approx(max(column), abs=1e-7)
    best = networks.load(plain.path / "epochs" / f"{known['epoch']:03d}" / networks.MODEL)
    for found in (run.model, mas.open_run(run.path).model):
        np.testing.assert_array_equal(values(found), values(best))
    backbone = values(mas.open_run(run.path).backbone)
    np.testing.assert_array_equal(backbone, values(run.backbone))
    exported = tf.saved_model.load(run.path / "export").signatures["serving_default"]
    clip = np.random.default_rng(0).integers(0, 256, (1, 8, 32, 32, 3), np.uint8)
    np.testing.assert_allclose(
        exported(clips=tf.constant(clip))["logits"], best(clip)["logits"], rtol=1e-4, atol=1e-6
    )
    assert run.description["validation_list"] == str(sample_data / "test.txt")
    assert said == [
        f"The network is that of epoch {known['epoch']} of 3, the best on 6 validation videos, 6 "
        f"of which are also tested (top-1 {run.test.top1:.4f})."
    ]
    assert (
        "6 validation videos of 6, such as down/down_00: since they choose the epoch" in caplog.text
    )
    digest = files.digest(run.path / "backbone.keras")
    facts = {"model": str(run.path), "digest": digest, "weights": "loaded"}
    chosen = f", of epoch {known['epoch']}, the best on 6 validation videos, 6 of them also test"
    assert chosen in report.weights(facts)
    assert "validation" not in report.weights(facts | {"digest": "0" * 64}), "another network now"
    assert f"--validation_list={sample_data}/test.txt\n" in (run.path / "flags.txt").read_text()
    with pytest.raises(
        ValueError, match=r"other data. Received: validation_list_sha256=None \(was"
    ):
        tune(run.path)


def test_rejects_mismatched_lists(tune, sample_data, tmp_path, caplog):
    train_list = (sample_data / "train.txt").read_text().splitlines()
    (tmp_path / "own.txt").write_text(f"{train_list[0]}\n")
    for videos, words in (
        ("gone.txt", "validation.*gone.txt"),
        ([lists.Entry("up/up_00")], "validation.*label.*up/up_00"),
        ([lists.Entry("up/up_00", 7)], r"validation.*label in 0\.\.5.*7"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            tune(tmp_path / "run", validation=videos)
    plan = mas.Plan(epochs=1, batch=12)
    run = tune(tmp_path / "run", validation=tmp_path / "own.txt", plan=plan)
    assert "The training list contains 1 validation video, such as" in caplog.text
    assert "choose the epoch" not in caplog.text and run.validation["videos"] == 1


def test_validation_list_flag(tmp_path):
    given = command.flags()
    given.parse(["--validation_list=own.txt"])
    assert given.validation_list == "own.txt"
