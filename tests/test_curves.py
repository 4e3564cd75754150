"""Training curves of the authors' code, replayed with the recipes and the trainer."""

import importlib.util
import json
import pathlib

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
QUICK = {"pace_r3d": None, "moco_r3d18": 2}  # and how many of its steps
SLOW = (
    *("sts_c3d", "sts_r3d", "pace_c3d", "finetune_r3d18", "vtdl_r3d18", "vtdl_nce_r3d18"),
    *("dsm_r3d18", "dsm_triplet_r3d18", "dsm_triplet_batch3_r3d18", "moco_r3d18"),
    *("vtdl_i3d_onestep", "dsm_i3d_onestep", "moco_i3d_onestep", "vtdl_r3d18_recipe_rate"),
    *("dsm_i3d_recipe_rate", "dsm_triplet_r3d18_recipe_rate", "moco_i3d_recipe_rate"),
)


@pytest.fixture(scope="module")
def curves():
    path = ROOT / "benchmarks" / "curves.py"
    spec = importlib.util.spec_from_file_location("curves", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(shared):
    return shared / "golden" / "training"


@pytest.mark.parametrize(
    ("name", "steps"),
    [*QUICK.items(), *(pytest.param(name, None, marks=pytest.mark.slow) for name in SLOW)],
)
def test_replayed_curve_is_within_tolerance(name, steps, curves, folder, capsys):
    assert {path.stem for path in folder.glob("*.json")} == {f"{n}_seed0" for n in (*QUICK, *SLOW)}
    assert curves.compare(folder / f"{name}_seed0.json", steps) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert float(last.removeprefix("largest relative loss difference: ")) < 1e-3


def test_settings_of_file_override_recipe(curves, folder):
    """The flags of every file are valid; all others come from the recipe."""
    made = {
        path.stem.removesuffix("_seed0"): curves.recorded.settings(
            curves.recorded.read_golden(path)
        )
        for path in folder.glob("*.json")
    }
    (sts, rates, plan), (moco, moco_rates, _) = made["sts_c3d"], made["moco_r3d18"]
    assert (sts.motion_weight, sts.appearance_weight, plan.batch) == (1, 0.1, 2)
    assert (rates.bias_rate, rates.decay, rates.decay_epochs) == (2, "all", (2,))
    assert (moco.negative, moco.key_norm, moco.queue) == ("inter", "initial", 10)
    assert (moco_rates.decay_epochs, moco_rates.l2) == ((4, 6), 0.01)
    triplet, tuned = made["dsm_triplet_r3d18"][0], made["finetune_r3d18"][0]
    assert (triplet.order, triplet.margin) == ("reverse", 0.5)
    assert made["vtdl_nce_r3d18"][0].loss == "nce"
    assert (tuned.classes, tuned.dropout, tuned.network.head) == (5, 0, "convolved")


def test_rejects_setting_without_flag(curves, folder):
    golden = curves.recorded.read_golden(folder / "pace_r3d_seed0.json")
    golden["settings"]["nesterov"] = True
    with pytest.raises(ValueError, match="settings must be among .*nesterov"):
        curves.recorded.command(golden)


class Recorded:
    """Returns the recorded numbers instead of training."""

    def __init__(self, golden, path, nudge, spoil=()):
        """See the class."""
        del path, nudge
        self.golden, self.spoil = golden, dict(spoil)
        self.optimisation = type("", (), {"bias_rate": 1.0})

    def run(self):
        curve, spoil = self.golden["curve"], self.spoil
        rates = np.array(curve["learning_rates"])[:, 0]
        loss = np.array(curve["loss"]) * (1 + spoil.get("loss", 0))
        cosines = np.array(curve["logit"]) * self.golden["settings"]["temperature"]
        names = {"loss": loss, "positive_cosine": cosines, "learning_rate": rates}
        queue = np.zeros((self.golden["queue_rows"], 128))
        first = np.array(self.golden["queue_final"])
        queue[:, :4] = first + spoil.get("queue", 0)
        queue[:, 4] = np.sqrt((self.golden["queue_norm"] ** 2 - np.sum(first**2)) / len(queue))
        found = {"curve": names, "queue": queue}
        found["pointer"] = self.golden["pointer"] + spoil.get("pointer", 0)
        for key in ("change_norms", "final_norms", "key_change_norms"):
            found[key] = dict(self._norms(key))
        return found

    def _norms(self, key):
        target = self.curves.names.targets(self.golden["network"])
        for (name, _), value in zip(self.golden["state_dict"], self.golden[key], strict=True):
            place = target(name)
            if place is not None:
                spoiled = name == self.spoil.get("name") and key == self.spoil.get("key")
                yield place, value * (1.01 if spoiled and value else 1)


NORM = "layer1.0.conv1.weight"
MEAN = "layer1.0.bn1.running_mean"


@pytest.mark.parametrize(
    ("spoil", "status"),
    [
        ({}, 0),
        ({"loss": 3e-4}, 1),
        ({"queue": 1e-3}, 1),
        ({"pointer": 1}, 1),
        ({"name": MEAN, "key": "change_norms"}, 1),
        ({"name": MEAN, "key": "final_norms"}, 0),  # printed
        ({"name": NORM, "key": "key_change_norms"}, 1),
    ],
)
def test_exit_status_follows_tolerances(spoil, status, curves, folder, monkeypatch, capsys):
    monkeypatch.setattr(Recorded, "curves", curves, raising=False)
    monkeypatch.setattr(curves.recorded, "Replay", lambda *given: Recorded(*given, spoil))
    assert curves.compare(folder / "vtdl_r3d18_seed0.json") == status
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"largest relative loss difference: {spoil.get('loss', 0):.1e}"


def test_tolerances_by_kind_and_step(curves, folder):
    def of(name):
        return curves.tolerance(json.loads((folder / f"{name}_seed0.json").read_text()))

    chaotic = of("vtdl_r3d18_recipe_rate")
    assert chaotic.passes(np.array([1e-4, 1e-3, 9.0])) and not chaotic.passes(np.array([1e-3, 0]))
    assert of("dsm_i3d_recipe_rate").passes(np.array([1e-4, 9.0]))
    tuned = of("finetune_r3d18")
    assert tuned.passes(np.array([0, 5e-6, 1e-2, 1e-2]))
    assert not tuned.passes(np.array([0, 2e-5, 1e-2, 1e-2]))
    assert not tuned.passes(np.array([0, 2e-4, 0])) and not tuned.passes(np.array([0, 0, 0, 0.1]))
    assert curves.relative([1.0, 0.0, 2.0], [2.0, 0.0, 0.0]).tolist() == [0.5, 0.0, np.inf]
    assert np.isinf(curves.relative([np.nan], [1.0]))
