"""Networks kept during training, usable wherever a run folder is."""

import errno
import os

import keras
import numpy as np
import pytest
from test_training import Regress, model_of, same_runs, train

import mas
from mas import lists, networks
from mas.cli import evaluate as command
from mas.training import checkpoints, export, kept


class Killed(BaseException):
    """An exception that no code catches."""


def keeping(every):
    """An argument of `train` that keeps a network every few epochs."""

    def made(model, strategy, run):
        another = lambda: (model_of(Regress()),) * 2  # noqa: E731
        return [kept.Keeper(kept.Current(model, model, strategy, another), run, every)]

    return {"before_saving": made}


def values(model):
    return np.concatenate([value.ravel() for value in model.get_weights()])


def found(run):
    """{name: values} of the networks that a run kept."""
    folders = sorted((run / "epochs").iterdir()) if (run / "epochs").exists() else []
    return {path.name: values(networks.load(path / networks.MODEL)) for path in folders}


def same(some, others):
    assert list(some) == list(others)
    for name, value in others.items():
        np.testing.assert_array_equal(some[name], value, err_msg=name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of five epochs of three steps that keeps every second, and its last weights."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    return run, train(run, epochs=5, **keeping(2))


@pytest.mark.parametrize("replicas", [1, 2])
def test_kept_network_equals_shorter_run(tmp_path, two_replicas, replicas):
    strategy = two_replicas if replicas == 2 else None
    last = train(tmp_path / "run", strategy, epochs=2, **keeping(1))
    first = train(tmp_path / "first", strategy, epochs=1)
    some = found(tmp_path / "run")
    assert list(some) == ["001", "002"] and not (tmp_path / "first" / "epochs").exists()
    np.testing.assert_array_equal(some["001"][: len(first)], first)
    np.testing.assert_array_equal(some["002"][: len(last)], last)
    assert not np.array_equal(first, last)


@pytest.mark.parametrize("stop", [4, 6])
def test_interrupted_run_keeps_same_networks(whole, tmp_path, stop):
    train(tmp_path, epochs=5, stop=stop, **keeping(2))
    weights = train(tmp_path, epochs=5, **keeping(2))
    same_runs(tmp_path, whole[0], (weights, whole[1]))
    same(found(tmp_path), found(whole[0]))


def test_kept_network_is_written_before_checkpoint(whole, tmp_path, monkeypatch):
    """After a kill between the two, the epoch is trained and its network written again."""
    real = checkpoints.Checkpoints.save

    def save(self, step):
        if step == 6:
            raise Killed
        real(self, step)

    monkeypatch.setattr(checkpoints.Checkpoints, "save", save)
    with pytest.raises(Killed):
        train(tmp_path, epochs=5, **keeping(2))
    same(found(tmp_path), {"002": found(whole[0])["002"]})
    monkeypatch.setattr(checkpoints.Checkpoints, "save", real)
    train(tmp_path, epochs=5, **keeping(2))
    same(found(tmp_path), found(whole[0]))


def test_full_disk_leaves_no_partial_network(whole, tmp_path, monkeypatch):
    real = keras.Model.save

    def full(model, path, *arguments, **options):
        real(model, path, *arguments, **options)
        if path.name == networks.MODEL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(keras.Model, "save", full)
    words = f"{tmp_path}/epochs/002 cannot be written: No space left.*It needs .* are available"
    with pytest.raises(OSError, match=words):
        train(tmp_path, epochs=5, **keeping(2))
    assert not found(tmp_path) and not [*tmp_path.glob("unfinished*")]
    monkeypatch.setattr(keras.Model, "save", real)
    train(tmp_path, epochs=5, **keeping(2))
    same(found(tmp_path), found(whole[0]))


def test_kept_network_is_accepted_as_run(sample_data, tmp_path, monkeypatch):
    """In fine-tuning, as an object, in evaluations; a restart removes it."""
    monkeypatch.setattr(export, "saved_model", lambda backbone, model, path: path.mkdir())
    data = mas.open_data(sample_data / "data")
    small = {
        "network": mas.Network("c3d", width=0.02, preset="rgb", initializer="he"),
        "clip": mas.Clip(frames=8, size=32, resize=(44, 32)),
    }
    plan = mas.Plan(epochs=2, batch=12, keep_every=1)
    run = mas.pretrain(data, "mas", **small, plan=plan, run=tmp_path / "run")
    assert [*found(run.path)] == ["001", "002"]
    np.testing.assert_array_equal(found(run.path)["002"], values(run.model))
    middle = mas.open_run(run.path / "epochs" / "001")
    assert (middle.network, middle.clip, middle.finished) == (*small.values(), True)
    assert middle.description["finished_epochs"] == 1
    sides = {"train": sample_data / "train.txt", "test": sample_data / "test.txt"}
    still = {"plan": mas.Plan(epochs=1, batch=12), "optimisation": mas.Optimisation(1e-30)}
    tuned = mas.finetune(middle, data, **sides, **still)
    for other in (tuned.backbone, networks.network(middle.path / "backbone.keras")):
        np.testing.assert_array_equal(values(other), values(middle.backbone))
    with pytest.raises(ValueError, match="run must be a folder that does not contain the source"):
        mas.finetune(middle, data, **sides, run=run.path)
    videos = lists.folders(data.videos)
    assert mas.evaluate.Probe("knn", groups=r"_(\d+)")(middle, data, videos).accuracy >= 0
    assert mas.evaluate.Pretext(draws=1)(middle, data).accuracy > 0
    given = command.flags("action")
    given.parse([f"--model={middle.path}"])
    assert command._folder("action", given) == "runs/evaluate_action_run_epoch_001"
    plan = mas.Plan(epochs=1, batch=12)
    mas.pretrain(data, "mas", **small, plan=plan, run=run.path, restart=True)
    assert not found(run.path) and not run.path.with_name("run.earlier").exists()


def test_keep_every_may_change_on_resume(tmp_path):
    train(tmp_path, epochs=3, **keeping(2))
    train(tmp_path, epochs=6, **keeping(5))
    assert [*found(tmp_path)] == ["002", "005"]
    assert mas.Plan.options()["keep_every"].free
    with pytest.raises(ValueError, match="keep_every must be.*at least 0.*keep_every=-1"):
        mas.Plan(keep_every=-1)
