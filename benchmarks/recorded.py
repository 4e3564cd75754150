"""Replays a recorded training of the authors with the product's own code: see `curves.py`.

The settings are the flags of a recipe, overridden by those in the file; task, heads, encoders,
losses, optimiser and step are those of `mas train` and `mas finetune`. Only clips, targets, initial
weights and initial queue come from outside.
"""

import importlib.util
import json
import pathlib
import sys

import numpy as np
import tensorflow as tf

from mas import backbones, tasks
from mas.cli import finetune, recipes, train
from mas.convert import names
from mas.settings import Clip, Network, Optimisation, Plan
from mas.training import Trainer, distribution, engine, optimizers

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import parity  # noqa: E402

# Recipes by the beginning of `which`: the first name plus the file's network, if there is such a
# recipe, else the default network.
RECIPES = {
    "sts": ("sts_ucf101", "r3d_10"),
    "pace": ("pace_ucf101", "r3d_10"),
    "vtdl": ("vtdl_ucf101", "i3d"),
    "dsm_triplet": ("dsm_triplet_ucf101", "r3d_18"),
    "dsm": ("dsm_ucf101", "i3d"),
    "moco": ("moco_ucf101", "i3d"),
    "finetune": ("finetune_ucf101_dsm", ""),
}
# Flags of the settings that a file has.
FLAGS = {
    "lr": "learning_rate",
    "gamma": "decay_factor",
    "weight_decay": "l2",
    **{name: name for name in ("momentum", "temperature", "key_momentum", "margin")},
    **{name: name for name in ("intra_weight", "inter_weight", "motion_weight")},
    "appearance_weight": "appearance_weight",
}
NAMES = ("which", "seed", "network", "batch", "frames", "size", "steps", "settings", "curve")
NORMS = ("state_dict", "change_norms", "final_norms")


def read_golden(path):
    """The recorded training in the JSON file `path`; ValueError names what it lacks."""
    golden = json.loads(pathlib.Path(path).read_text())
    missing = [key for key in NAMES + NORMS if key not in golden]
    if missing:
        raise ValueError(f"{path}: must have {list(NAMES + NORMS)}. Missing: {missing}.")
    return golden


def load(name, golden_path):
    """A module of seeded inputs: next to the golden file, above it, or in shared/golden."""
    folder = pathlib.Path(golden_path).resolve().parent
    shared = pathlib.Path(__file__).resolve().parents[2] / "shared" / "golden"
    places = [place / name for place in (folder, folder.parent, shared, shared / "training")]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"{name} must be one of {list(map(str, places))}. None of them exists."
        )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def method(golden):
    """The key of `RECIPES` that a file belongs to."""
    found = [name for name in RECIPES if golden["which"].startswith(name)]
    if not found:
        raise ValueError(f"which must start with one of {[*RECIPES]}. Received: {golden['which']}.")
    return found[0]


def recipe(golden):
    """The recipe for a file's method and network, or else for its method."""
    stem, other = RECIPES[method(golden)]
    found = f"{stem}_{names.NETWORKS[golden['network']].backbone}"
    if (recipes.folder() / f"{found}.flags").is_file():
        return found
    return f"{stem}_{other}".rstrip("_")


def command(golden):
    """The command line of `mas train` or `mas finetune` for a recorded training."""
    left, size = dict(golden["settings"]), golden["size"]
    words = {
        **{"recipe": recipe(golden), "backbone": names.NETWORKS[golden["network"]].backbone},
        **{"frames": golden["frames"], "size": size, "resize": f"{size}x{size}"},
        "batch": golden["batch"],
    }
    if "queue_rows" in golden:
        words["queue"] = golden["queue_rows"]
    if method(golden) == "finetune":
        words["dropout"] = 0  # as recorded
    for name in [name for name in left if name in FLAGS]:
        words[FLAGS[name]] = left.pop(name)
    if "lr_bias" in left:
        words["bias_rate"] = left.pop("lr_bias") / words["learning_rate"]
    if "softmax" in left:
        words["loss"] = "softmax" if left.pop("softmax") else "nce"
    decays = [left.pop("step_epochs")] if "step_epochs" in left else None
    words["decay_epochs"] = ",".join(map(str, decays or left.pop("decay_after_steps")))
    if left.pop("other", "batch reversed") != "batch reversed":
        raise ValueError(f"other must be 'batch reversed'. Received: {golden['settings']}.")
    left.pop("n_data", None)  # cancels: see `mas.losses.nce`
    if left:
        raise ValueError(f"settings must be among {[*FLAGS]}. Received: {left}.")
    return [f"--{name}={value}" for name, value in words.items()]


def settings(golden):
    """(task, optimisation, plan) that the command makes from a command line."""
    words = command(golden)
    given, kind = finetune.flags(), tasks.Classify
    if method(golden) != "finetune":
        given, kind = train.flags(words)
    given.parse(words)
    classes = {"classes": golden["classes"]} if kind is tasks.Classify else {}
    task = given.make(kind, **classes).bound(given.make(Clip), given.make(Network))
    plan = given.make(Plan)
    task.check(plan.batch)
    return task, given.make(Optimisation), plan


def build(task, golden):
    """Builds the model to train."""
    own = None
    if method(golden) not in ("sts", "pace"):  # float clips, taken as they are
        own = backbones.backbone(task.network.backbone, task.clip.shape())
    _, model = engine.Experiment(task, Optimisation(), Plan(), model=own).build()
    return model


def batches(golden, inputs):
    """(x, y) of each step."""
    seed, batch, shape = golden["seed"], golden["batch"], (golden["frames"], golden["size"])
    kind = method(golden)
    for step in range(golden["steps"]):
        several = kind not in ("sts", "pace", "finetune")
        x, y = inputs.clips(seed, step, batch, 3 if several else 1, *shape), {}
        if not several:
            x = x[:, 0]
        if kind in ("sts", "pace"):
            x = inputs.bytes_of(x)[..., ::-1].astype(np.uint8)
        if kind == "sts":
            rows = (("motion", seed, 14), ("appearance", seed + 1000, 13))
            y = {name: inputs.labels(own, step, batch, n, 1, 9) for name, own, n in rows}
            y = {name: values.astype(np.float32) for name, values in y.items()}
        elif kind in ("pace", "finetune"):
            output, classes = ("pace", 4) if kind == "pace" else ("logits", golden["classes"])
            y = {output: inputs.labels(seed, step, batch, 1, 0, classes)[:, 0].astype(np.int32)}
        yield tf.constant(x), {name: tf.constant(values) for name, values in y.items()}


class Replay:
    """The training of one file, from its weights to the recorded numbers.

    Args:
        golden: of `read_golden`.
        path: of the file.
        nudge: relative change of the weights at the start.
    """

    def __init__(self, golden, path, nudge=0.0):
        """Builds what trains, and sets it to the recorded start."""
        self.golden = golden
        self.inputs = load("inputs_training.py", path)
        task, self.optimisation, _ = settings(golden)
        model = build(task, golden)
        entries = parity.entries(golden, load("inputs.py", path))
        weights, _ = names.arranged(golden["network"], entries)
        parity.assign(model, {place_of(*place): value for place, value in weights.items()})
        rng = np.random.default_rng(golden["seed"])
        for variable in model.trainable_variables if nudge else ():
            change = 1 + nudge * rng.standard_normal(variable.shape)
            variable.assign(variable.numpy() * change.astype(np.float32))
        optimizer = optimizers.build(self.optimisation, golden.get("steps_per_epoch", 1))
        self.trainer = Trainer(task, model, optimizer, distribution.strategy("none"))
        self.models = {"": model}
        if "queue_rows" in golden:
            encoders = self.trainer._encoders
            encoders.queue.assign(self.inputs.queue(golden["seed"], golden["queue_rows"]))
            self.models["key_"] = encoders.key_model
            for (_, weight), variable in variables(encoders.key_model).items():
                if weight.startswith("moving"):  # as initialised: the authors copy only parameters
                    variable.assign(np.full(variable.shape, float(weight == "moving_variance")))
        self.start = {side: values(model) for side, model in self.models.items()}

    def run(self):
        """Trains; what the file records, under its keys, and the norms by place."""
        step, rows, names = self.trainer.step_function(), [], self.trainer.names
        for number, (x, y) in enumerate(batches(self.golden, self.inputs)):
            rows.append(step(x, y).numpy().astype(np.float64))
            steps = f"{number + 1} of {self.golden['steps']}"
            print(f"step {steps}: loss {rows[-1][0]:.6f}", flush=True)
        found = {"curve": dict(zip(names, np.transpose(rows), strict=True))}
        for side, model in self.models.items():
            end, start = values(model), self.start[side]
            norms = {place: np.linalg.norm(value - start[place]) for place, value in end.items()}
            found[f"{side}change_norms"] = norms
        found["final_norms"] = {p: np.linalg.norm(v) for p, v in values(self.models[""]).items()}
        if "queue_rows" in self.golden:
            encoders = self.trainer._encoders
            found |= {"queue": encoders.queue.numpy(), "pointer": int(encoders.pointer)}
        return found


def variables(model):
    """{(layer, weight): variable}."""
    return {(lay.name, v.name): v for lay in model.layers for v in lay.variables}


def values(model):
    """{(layer, weight): float64 array}."""
    return {place: v.numpy().astype(np.float64) for place, v in variables(model).items()}


def place_of(layer, weight):
    """Maps an entry to its variable; the authors' head for fine-tuning is called `cp`."""
    return ("logits" if layer == "cp" else layer), weight
