"""Replays a training recorded from the authors' code, and compares every recorded number.

    python benchmarks/curves.py --golden=FILE [--nudge=1e-7]

FILE (JSON) is one of shared/golden/training; its README explains the keys. `inputs.py` (in the
folder above) makes the weights, `inputs_training.py` (next to FILE) the clips, targets and queue.
Files elsewhere use those of shared/golden.

The code under test is the product's: the settings are the flags of a recipe, overridden by those in
the file; task, heads, encoders, losses, optimiser and step are those of `mas train` and
`mas finetune`. Only clips, targets, initial weights and initial queue come from outside.

The difference between our number a and the recorded b is |a - b| / |b|. Running variances are not
compared: PyTorch keeps the unbiased one, Keras the biased one. The exit status is 0 if all
differences in `tolerance` are met, else 1; the other differences are only printed.

Arithmetic is float32, without TensorFloat-32 and XLA. If rounding moves an activation across 0, a
ReLU passes its gradient or not: `--nudge` changes the initial weights by that share, which shows
the effect of rounding alone.
"""

import dataclasses
import pathlib
import sys

import numpy as np
import tensorflow as tf
from absl import app, flags

from mas.convert import names

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import recorded  # noqa: E402


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """The numbers of a file that must agree, and how closely.

    Attributes:
        losses: largest relative difference of the first steps' losses, one by one; of all further
            ones the last, unless `chaotic`.
        chaotic: what follows those steps is chaos in float32, and so are weights and queue.
        kernels: of the change norms of kernels, those of the key network too.
        means: of those of running means, which see the order of the forward passes.
        queue: of the queue's numbers, over the largest one.
    """

    losses: tuple[float, ...]
    chaotic: bool = False
    kernels: float = np.inf
    means: float = np.inf
    queue: float = np.inf

    def passes(self, losses):
        """Whether the differences of a curve's losses meet the tolerance."""
        further = len(losses) - len(self.losses)
        allowed = [*self.losses, *[np.inf if self.chaotic else self.losses[-1]] * further]
        return bool((losses <= allowed[: len(losses)]).all())


def tolerance(golden):
    """Tolerances for a kind of file.

    The README of the golden files gives those of losses, and of the kernels of STS, pace and single
    steps of I3D. It gives none for the second step of chaotic R3D-18 files and for all others here:
    those are ours.
    """
    which = golden["which"]
    if which.endswith("_recipe_rate"):
        return Tolerance((2e-4,) if "i3d" in which else (2e-4, 5e-3), chaotic=True)
    if which.endswith("_onestep"):
        return Tolerance((2e-4,), kernels=1.5e-2, means=1e-4, queue=1e-3)
    if which.startswith("finetune"):
        return Tolerance((1e-5, 1e-5, 1.5e-2), kernels=1.5e-2, means=1.5e-2)
    if which.startswith(("sts", "pace")):
        return Tolerance((1e-3,), kernels=2e-3, means=1e-3)
    return Tolerance((2e-4,), kernels=1e-2, means=1e-4, queue=1e-3)


def relative(ours, theirs):
    """|a - b| / |b| of each number; infinite if it is not a number."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if ours.shape != theirs.shape:
        raise ValueError(f"compared values must be {theirs.shape}. Received: {ours.shape}.")
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(ours == theirs, 0.0, np.abs(ours - theirs) / np.abs(theirs))
    return np.where(np.isnan(found), np.inf, found)


def curve_differences(found, golden, optimisation):
    """{item: difference at each step} for losses, metrics and learning rates."""
    theirs, ours = golden["curve"], found["curve"]
    settings = golden["settings"]
    known = {  # recorded as: what it is here
        "loss": lambda: ours["loss"],
        "motion_loss": lambda: ours["motion"],
        "weighted_appearance_loss": lambda: settings["appearance_weight"] * ours["appearance"],
        "accuracy": lambda: ours["pace_accuracy"],
        "top1": lambda: ours["accuracy"],
        "logit": lambda: ours["positive_cosine"] / settings["temperature"],
        "learning_rates": lambda: np.transpose(rates)[:, : len(theirs["learning_rates"][0])],
    }
    rates = ours["learning_rate"], ours["learning_rate"] * optimisation.bias_rate
    names = [name for name in theirs if settings.get("softmax", True) or name != "logit"]
    each = {name: relative(known[name](), theirs[name]) for name in names}
    return {name: value.reshape(len(value), -1).max(1) for name, value in each.items()}


def norm_differences(found, golden):
    """{item: ((layer, weight), difference)}: the largest for each kind of variable."""
    target, rows = names.targets(golden["network"]), {}
    for key in ("change_norms", "final_norms", "key_change_norms"):
        for (name, _), norm in zip(golden["state_dict"], golden.get(key, ()), strict=False):
            place = target(name)
            place = place and recorded.place_of(*place)
            if place is None or place[1] == "moving_variance":
                continue
            kind = {"kernel": "kernels", "moving_mean": "means"}.get(place[1], "others")
            each = place, float(relative(found[key][place], norm))
            rows[key, kind] = max(rows.get((key, kind), each), each, key=lambda row: row[1])
    return rows


def compare(path, most=None, nudge=0.0):
    """Replays a file and prints every difference.

    Args:
        path: of the file.
        most: steps to replay, of which the losses alone are compared; None for all steps.
        nudge: relative change of the weights at the start.

    Returns:
        The exit status.
    """
    golden = recorded.read_golden(path)
    whole = most is None or most >= golden["steps"]
    if not whole:
        golden["steps"] = most
        golden["curve"] = {name: rows[:most] for name, rows in golden["curve"].items()}
    name = "finetune" if recorded.method(golden) == "finetune" else "train"
    print(f"mas {name} {' '.join(recorded.command(golden))}", flush=True)
    allowed, replay = tolerance(golden), recorded.Replay(golden, path, nudge)
    found = replay.run()
    curves = curve_differences(found, golden, replay.optimisation)
    for item, each in curves.items():
        print(f"{item:26}", *(f"{value:.1e}" for value in each))
    if "float64" in golden:
        each = relative(golden["curve"]["loss"], golden["float64"]["loss"][: golden["steps"]])
        print(f"{'recorded, from float64':26}", *(f"{value:.1e}" for value in each))
    good = allowed.passes(curves["loss"]) and curves["learning_rates"].max() < 1e-6
    if whole:
        good &= compare_end(found, golden, allowed)
    counted = curves["loss"][: len(allowed.losses) if allowed.chaotic else None]
    print(f"{'within':26} {allowed}: {'yes' if good else 'no'}")
    if len(counted) < len(curves["loss"]):
        print(f"Chaos in float32 after step {len(counted)}; of the steps before it:")
    print(f"largest relative loss difference: {counted.max():.1e}")
    return 0 if good else 1


def compare_end(found, golden, allowed):
    """Prints the differences after the last step; returns whether they meet the tolerance."""
    good = True
    for (key, kind), (place, value) in norm_differences(found, golden).items():
        print(f"{key + ', ' + kind:26} {value:.1e} {'/'.join(place)}")
        bound = getattr(allowed, kind, np.inf) if "change" in key else np.inf
        good &= allowed.chaotic or value <= bound
    if "queue" in found:
        first = np.asarray(golden["queue_final"])
        value = np.abs(found["queue"][:, : first.shape[1]] - first).max() / np.abs(first).max()
        norm = relative(np.linalg.norm(found["queue"].astype(np.float64)), golden["queue_norm"])
        print(f"{'queue':26} {value:.1e}")
        print(f"{'queue_norm':26} {norm:.1e}")
        print(f"{'pointer':26} {found['pointer']}, recorded {golden['pointer']}")
        good &= allowed.chaotic or value <= allowed.queue
        good &= found["pointer"] == golden["pointer"]
    return bool(good)


def main(_):
    """Compares; the exit status."""
    tf.config.experimental.enable_tensor_float_32_execution(False)
    return compare(flags.FLAGS.golden, nudge=flags.FLAGS.nudge)


if __name__ == "__main__":
    flags.DEFINE_string("golden", None, "Recorded training (JSON).", required=True)
    flags.DEFINE_float("nudge", 0.0, "Relative change of the weights at the start.")
    app.run(main)
