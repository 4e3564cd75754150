"""The Python API from end to end, with plain arguments and errors that name their setting."""

import dataclasses
import gc
import json
import os
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import mas
from mas import lists, records, tasks
from mas.checks import option

CLIP = mas.Clip(frames=8, size=32, resize=(44, 32))
PLAN = mas.Plan(epochs=1, batch=4)
SMALL = {
    "network": mas.Network("c3d", width=0.02, preset="rgb", initializer="he"),
    "clip": CLIP,
    "optimisation": mas.Optimisation(l2=0.0),
    "plan": PLAN,
}


@dataclasses.dataclass(frozen=True)
class Brightness(tasks.Task):
    """A custom task: how bright is the clip?"""

    scale: float = option(1.0, "Of the answers.", above=0)
    batches: int = 0  # a plain field

    name = "brightness"

    def example(self, clip):
        rgb = clip["rgb"]
        return rgb, {"bright": tf.reduce_mean(tf.cast(rgb, tf.float32))[None] * self.scale / 255}

    def model(self, backbone):
        return keras.Model(backbone.input, self.heads(backbone, {"bright": 1}))

    def losses(self):
        square = mas.losses.squared_error
        return {"bright": (lambda y, outputs: square(y["bright"], outputs["bright"]), 1.0)}


def own(size=32, channels=3, filters=4):
    """A custom network."""
    inputs = keras.Input((8 - (channels == 2), size, size, channels))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    return keras.Model(inputs, keras.layers.Conv3D(filters, 3, 4, activation="relu")(x))


@pytest.fixture(scope="module")
def data(sample_data):
    return mas.open_data(sample_data / "data")


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return mas.pretrain(data, "mas", **SMALL, run=tmp_path_factory.mktemp("runs") / "mas")


def weights(run):
    return np.concatenate([value.ravel() for value in run.model.get_weights()])


# ---- the public functions ----------------------------------------------------------------------


def times(folder):
    """Modification times of a run's files, except the lock."""
    return {p: p.stat().st_mtime_ns for p in folder.iterdir() if p.name != ".lock"}


def test_import_mas_imports_no_heavy_library():
    heavy = {"numpy", "tensorflow", "keras", "cv2", "absl", "matplotlib"}
    code = f"import mas, sys; dir(mas); sys.exit(bool({heavy} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert all(getattr(mas, name) is not None for name in mas.__all__)
    assert {"pretrain", "finetune", "open_run", "Network", "evaluate"} <= set(dir(mas))
    with pytest.raises(AttributeError, match="no attribute 'pretrian'"):
        mas.pretrian  # noqa: B018


# ---- a run ---------------------------------------------------------------------------------------


def test_run_exposes_its_contents(run, data):
    assert run.path.name == "mas" and os.fspath(run) == str(run.path) and run.finished
    assert (run.task, run.network, run.clip, run.test) == ("mas", SMALL["network"], CLIP, None)
    assert run.backbone.input_shape == (None, 8, 32, 32, 3) and len(run.backbone.output_shape) == 5
    assert set(run.model.output) == {"motion", "appearance"}
    assert run.metrics["epoch"] == [1] and np.isfinite(run.metrics["loss"]).all()
    again = mas.open_run(run.path)
    assert again.metrics == run.metrics and repr(again) == repr(run)
    np.testing.assert_array_equal(weights(again), weights(run))
    described = json.loads((run.path / "run.json").read_text())
    for name in ("network", "clip", "optimisation", "plan"):
        assert type(SMALL[name])(**described[name]) == SMALL[name]
    assert described["options"]["patterns"] == [1, 2, 3]
    loaded = tf.saved_model.load(run.path / "export").signatures["serving_default"]
    found = loaded(clips=tf.zeros((3, 8, 32, 32, 3), tf.uint8))
    assert found["features"].shape == (3, run.backbone.output_shape[-1])


def test_rejects_folder_that_is_not_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="run.*run.json.*nowhere'"):
        mas.open_run(tmp_path / "nowhere")
    (tmp_path / "run.json").write_text('{"task": "mas", "finished_epochs": 0}')
    unfinished = mas.open_run(tmp_path)
    assert not unfinished.finished and unfinished.metrics == {} and "unfinished" in repr(unfinished)
    with pytest.raises(FileNotFoundError, match="run.*finished.*unfinished run"):
        _ = unfinished.model
    (tmp_path / "metrics.csv").write_text("epoch,loss\n1,none\n")
    with pytest.raises(ValueError, match="metrics.csv must"):
        _ = unfinished.metrics


def test_pretrain_without_run_uses_temporary_folder(data):
    found = mas.pretrain(data, "mas", **SMALL)
    path = found.path
    assert (path / "backbone.keras").is_file()
    del found
    gc.collect()
    assert not path.exists()


def test_pretrain_resumes_and_leaves_finished_run_unchanged(data, run, tmp_path):
    """Two epochs at once, and one after the other from a folder that was moved in between."""
    longer = {**SMALL, "plan": mas.Plan(epochs=2, batch=4)}
    whole = mas.pretrain(data, "mas", **longer, run=tmp_path / "whole")
    shutil.copytree(run.path, tmp_path / "parts")
    parts = mas.pretrain(data.data, "mas", **longer, run=tmp_path / "parts")
    np.testing.assert_array_equal(weights(parts), weights(whole))
    assert parts.metrics["loss"] == whole.metrics["loss"] and len(parts.metrics["loss"]) == 2
    assert parts.description["resumed"][0]["step"] == 6
    files = times(parts.path)
    again = mas.pretrain(data, "mas", **longer, run=parts.path)
    assert times(parts.path) == files
    np.testing.assert_array_equal(weights(again), weights(whole))


def test_damaged_network_of_finished_run_is_rewritten(data, run, tmp_path, caplog):
    copy = shutil.copytree(run.path, tmp_path / "run")
    (copy / "model.keras").write_bytes((copy / "model.keras").read_bytes()[:-100])
    again = mas.pretrain(data.data, "mas", **SMALL, run=copy)
    assert f"{copy}/model.keras must be a .keras file" in caplog.text
    for found in (again, mas.open_run(copy)):
        np.testing.assert_array_equal(weights(found), weights(run))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": tasks.Statistics(colour="mode")}, r"colour=mode \(was octants\)"),
        ({"network": own()}, r"network_sha256=.*\(was None\)"),
        ({"videos": [lists.Entry("up/up_00"), lists.Entry("up/up_01")]}, "list_sha256"),
    ],
)
def test_rejects_folder_of_different_run(data, run, changes, words):
    before = times(run.path)
    with pytest.raises(ValueError, match=f"{words}.*another run folder, or restart"):
        mas.pretrain(data, **{"task": "mas", **SMALL, "run": run.path, **changes})
    assert times(run.path) == before


# ---- tasks and networks of one's own -------------------------------------------------------------

EASY = {
    "pace": {"paces": ("1", "2")},
    "pace_contrast": {"paces": ("1", "2")},
    "moco": {"queue": 8, "stride": 1},
    "vtdl": {"queue": 8, "stride": 1},
    "dsm": {"queue": 8, "stride": 1},
    "dsm_triplet": {"stride": 1},
}


@pytest.mark.parametrize("name", tasks.TASKS)
def test_every_task_accepts_custom_network(data, name):
    """Clip length and size come from the network."""
    task = tasks.task(name, **EASY[name]) if name in EASY else name
    network = keras.Sequential(own().layers) if name in ("moco", "mas") else own()
    found = mas.pretrain(data, task, network=network, plan=PLAN)
    assert np.isfinite(found.metrics["loss"]).all()
    assert found.clip == mas.Clip(8, 32, (48, 36)) and found.network is None
    assert (found.test is not None) == name.startswith("pace")


def test_custom_network_trains_on_flow_and_resumes(data, tmp_path):
    for epochs in (1, 2):  # made again, under other names, as in another process
        plan = mas.Plan(epochs=epochs, batch=4)
        found = mas.pretrain(data, network=own(channels=2), plan=plan, run=tmp_path)
    assert len(found.metrics["loss"]) == 2
    assert found.backbone.input_shape == (None, 7, 32, 32, 2)
    with pytest.raises(ValueError, match="network_sha256"):
        mas.pretrain(data, network=own(channels=2, filters=5), plan=plan, run=tmp_path)


def test_custom_task_trains(data, tmp_path):
    first = mas.pretrain(data, Brightness(scale=2), **SMALL, run=tmp_path / "a")
    named = mas.pretrain(data, "test_api:Brightness", **SMALL, run=tmp_path / "b")
    assert first.task == named.task == "test_api:Brightness"
    assert first.description["options"] == {"scale": 2.0, "batches": 0}
    again = mas.pretrain(data, Brightness(scale=2), **SMALL, run=tmp_path / "a")
    assert again.metrics == first.metrics
    tested = mas.evaluate.Pretext(draws=1)(first, data)
    assert tested.accuracy == tested.means["bright"]  # without metrics, its loss
    with pytest.raises(ValueError, match=r"scale=3 \(was 2\)"):
        mas.pretrain(data, Brightness(scale=3), **SMALL, run=tmp_path / "a")


def test_held_out_videos_are_tested(data, sample_data, tmp_path):
    """Ten draws of each video; a task without classes has only means."""
    task = tasks.Pace(paces=("1/2", "1", "2"), jitter=False)
    sides = {"videos": sample_data / "train.txt", "held_out": sample_data / "test.txt"}
    found = mas.pretrain(data, task, **SMALL, **sides, run=tmp_path / "pace")
    assert found.test.confusion.sum() == 60 and (found.test.confusion.sum(1) > 5).all()
    name, mean = (found.path / "test.csv").read_text().splitlines()[1].split(",")
    assert name == "pace_accuracy" and float(mean) == pytest.approx(found.test.top1, abs=1e-5)
    assert (found.path / "confusion.png").is_file()
    files = [found.path / name for name in ("test.csv", "confusion.csv")]
    before = [file.read_bytes() for file in files]
    mas.pretrain(data, task, **SMALL, **sides, run=tmp_path / "pace")
    assert [file.read_bytes() for file in files] == before
    found = mas.pretrain(data, "mas", **SMALL, **sides, run=tmp_path / "mas")
    assert found.test is None and "appearance_error" in (found.path / "test.csv").read_text()


def test_callbacks_see_every_epoch(data, tmp_path):
    calls = []

    def made(reader, backbone, folder, plan):
        assert (len(reader.examples), plan.epochs, folder.path) == (24, 2, tmp_path)
        return lambda *epoch_and_step: calls.append(epoch_and_step)

    plan = mas.Plan(epochs=2, batch=12)
    mas.pretrain(data, "mas", **SMALL | {"plan": plan}, run=tmp_path, callbacks=[made])
    assert calls == [(1, 2), (2, 4)]


# ---- the parts -----------------------------------------------------------------------------------


def test_dataset_for_custom_training_loop(data):
    examples = mas.dataset(data, "mas", CLIP, batch=5, seed=3, epochs=2)
    assert int(examples.cardinality()) == 2 * 4
    x, y = next(iter(examples))
    assert x.shape == (5, 8, 32, 32, 3) and y["motion"].shape == (5, 14)
    again = next(iter(mas.dataset(str(data.data), "mas", CLIP, batch=5, seed=3)))
    np.testing.assert_array_equal(again[0], x)
    task = tasks.Statistics(branches=("motion",)).bound(CLIP, SMALL["network"])
    model = task.model(mas.backbones.backbone("c3d", CLIP.shape(), 0.02, "rgb", "he"))
    model.compile("sgd", {"motion": "mse"})
    history = model.fit(mas.dataset(data, task, CLIP, batch=5), epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


# ---- bad input -----------------------------------------------------------------------------------


def flat():
    inputs = keras.Input((8, 32, 32, 3))
    return keras.Model(inputs, keras.layers.Flatten()(inputs))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": 3}, "task.*task=3"),
        ({"task": tasks.Statistics}, "task.*Statistics"),
        ({"task": tasks.Classify(3)}, "task.*mas.finetune.*task='classify'"),
        ({"task": tasks.VTDL(queue=2)}, "queue.*batch of 4.*queue=2"),
        ({"task": tasks.Pace(paces=("1", "9"))}, "clip of 64 frames.*none"),
        ({"network": "c3d"}, "network.*mas.Network.*network='c3d'"),
        ({"network": flat()}, "network.*map.*24576"),
        ({"network": own(40)}, r"clip.*40, 40.*size=32"),
        ({"network": own(channels=2), "task": Brightness()}, "modality.*rgb.*modality='flow'"),
        ({"clip": mas.Clip(8, 36, (48, 36))}, "size.*8.*size=36"),
        ({"clip": 16}, "clip.*mas.Clip.*clip=16"),
        ({"plan": {"epochs": 3}}, "plan.*mas.Plan.*plan=.*epochs"),
        ({"plan": mas.Plan(precision="mixed_bfloat16")}, "precision.*float32.*mixed_bfloat16"),
        ({"videos": [lists.Entry("up/up_77")]}, "up/up_77"),
        ({"seed": -1}, "seed.*seed=-1"),
        ({"data": 3}, "data.*data=3"),
        ({"run": __file__}, "run.*test_api.py"),
        ({"run": 3}, "run.*path.*run=3"),
        ({"seed": 1.5}, "seed.*whole number.*seed=1.5"),
        ({"seed": 2**32}, "seed.*at most.*seed=4294967296"),
        ({"restart": "no"}, "restart.*true or false.*restart='no'"),
        ({"callbacks": [3]}, r"callbacks.*functions.*callbacks=\[3\]"),
        ({"videos": 3}, "videos.*list.*videos=3"),
        ({"held_out": 3}, "held_out.*list.*held_out=3"),
        ({"columns": "video,group"}, "columns.*columns='video,group'"),
    ],
)
def test_mismatches_are_reported_before_first_step(data, tmp_path, changes, words):
    settings = {"data": data, "task": "mas", **SMALL, "run": tmp_path / "run"}
    with pytest.raises(ValueError, match=words) as found:
        mas.pretrain(**settings | changes)
    assert "--" not in str(found.value) and not (tmp_path / "run").exists()


def test_missing_flow_is_reported(sample_data):
    with pytest.raises(ValueError, match="flow.*tvl1 or dis") as found:
        mas.pretrain(sample_data / "videos", "mas", **SMALL)
    assert "--" not in str(found.value)
    videos = mas.open_data(sample_data / "videos")
    assert mas.pretrain(videos, Brightness(), **SMALL).metrics["loss"]


def test_damaged_image_is_reported_in_one_line(sample_data, tmp_path):
    shutil.copytree(sample_data / "data", tmp_path / "data")
    for shard in (tmp_path / "data").glob("*.tfrecord"):
        shard.write_bytes(shard.read_bytes().replace(b"\xff\xd8\xff", b"\x00\x00\x00"))
    with pytest.raises(ValueError, match="frame .* must be a whole JPEG file") as found:
        mas.pretrain(tmp_path / "data", Brightness(), **SMALL)
    assert "\n" not in str(found.value) and "node" not in str(found.value)


def test_rejects_resuming_on_differently_prepared_videos(data, run, tmp_path):
    shutil.copytree(data.data, tmp_path / "data")
    description = tmp_path / "data" / "dataset.json"
    known = records.read_sealed(description)
    description.write_text(json.dumps(records.seal(known | {"method": "tvl1"})))
    with pytest.raises(ValueError, match="data={.*'tvl1'.*'dis'"):
        mas.pretrain(tmp_path / "data", "mas", **SMALL, run=run.path)


# ---- what the first version wrote ----------------------------------------------------------------


@pytest.fixture
def earlier(tmp_path, monkeypatch):
    """The working folder of version 0.1."""
    archive = pathlib.Path(__file__).parent / "data" / "version_0_1.tar.xz"
    shutil.unpack_archive(archive, tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


EARLIER = {
    "clip": mas.Clip(16, 32, (44, 32)),
    "optimisation": mas.Optimisation(learning_rate=0.01),
    "plan": mas.Plan(epochs=2, batch=4, threads=1),
}


def test_run_of_version_0_1_resumes(earlier):
    more = {"network": SMALL["network"], "videos": "data/train.txt", "run": "runs/mas"}
    found = mas.pretrain("data/shards", "mas", **EARLIER, **more)
    assert found.metrics["loss"] == pytest.approx([58.435005, 38.468086], rel=1e-5)


def test_classifier_and_features_of_version_0_1_open(earlier):
    tuned = mas.open_run("runs/tuned")
    assert tuned.test.confusion[:, 3].tolist() == [1] * 6 and tuned.test.top1 == 1 / 6
    assert tuned.clip == EARLIER["clip"] and tuned.network.backbone == "c3d"
    assert tuned.model.output["logits"].shape == (None, 6)
    known, sampling = mas.features.load("features.npz"), mas.features.Sampling(clips=2)
    found = mas.features.extract("runs/mas", "data/shards", "data/test.txt", sampling)
    np.testing.assert_allclose(found.values, known.values, rtol=1e-4, atol=1e-5)
    assert list(found.videos) == list(known.videos)
    assert found.facts == {**known.facts, "crops": 1}  # which were not told then
