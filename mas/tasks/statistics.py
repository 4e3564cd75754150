"""MAS: regression of motion and appearance statistics (CVPR 2019).

Loss = motion_weight * MSE(motion) + appearance_weight * MSE(appearance), section 3.4; each mean
runs over batch and labels. The targets are the raw label numbers.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from mas import heads, statistics
from mas.tasks.task import Task


@dataclasses.dataclass
class Statistics(Task):
    """Regresses 14 motion and 13 appearance statistics of a clip, or a choice of them.

    Attributes:
        frames: length of a clip.
        branches: "motion", "appearance" or both: the paper's Table 3.
        patterns: partition patterns among 1, 2, 3: Table 1.
        global_labels: whether the frame of largest motion and the clip's colour are asked: Table 2.
        motion_weight: of the motion branch's loss.
        appearance_weight: of the appearance branch's loss (the journal takes 0.1).
        colour: "octants" as the paper, "mode" as the journal's code.
        modality: "rgb" or "flow": what the network sees; the labels stay the same.
        head: one of `heads.HEADS`.
        width: factor on the units of fc6 and fc7.
        initializer: of fc6 and fc7, one of `backbones.initial.NAMES`.
    """

    frames: int = 16
    branches: tuple = ("motion", "appearance")
    patterns: tuple = (1, 2, 3)
    global_labels: bool = True
    motion_weight: float = 1.0
    appearance_weight: float = 1.0
    colour: str = "octants"
    modality: str = "rgb"
    head: str = "auto"
    width: float = 1.0
    initializer: str = "published"

    name = "mas"
    wraps = False  # a jump back to the first frame would be a false motion

    def __post_init__(self):
        """Checks the choice.

        Raises:
            ValueError: an unknown branch, pattern or colour, or no label left.
        """
        known = ("motion", "appearance")
        if not self.branches or not set(self.branches) <= set(known):
            raise ValueError(
                f"branches must be one or both of {known}. Received: branches={self.branches}."
            )
        needs = {"rgb": "appearance" in self.branches, "flow": "motion" in self.branches}
        self.inputs = tuple(kind for kind, use in needs.items() if use or kind == self.modality)
        self.labels = {
            "motion": statistics.motion_names(self.patterns, self.global_labels),
            "appearance": statistics.appearance_names(self.patterns, self.global_labels),
        }
        if not self.labels["motion"]:
            raise ValueError("patterns and global_labels must leave a label. Received: neither.")
        for name in ("motion_weight", "appearance_weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(
                    f"{name} must be a number of 0 or more. Received: {getattr(self, name)}."
                )
        if self.colour not in statistics.COLOURS:
            raise ValueError(
                f"colour must be one of {list(statistics.COLOURS)}. Received: {self.colour!r}."
            )

    def check(self, size, batch=None):
        """Refuses a size that the partition patterns do not divide."""
        del batch
        statistics.regions.check_size(size)

    def sample(self, length, start, rng):
        """Sixteen frames in a row: a jump back to the first frame would be a false motion."""
        if (start or 0) + self.frames > length:
            raise ValueError(
                f"a clip of {self.frames} frames must lie inside its video. "
                f"Received: start={start or 0} of {length} frames."
            )
        return super().sample(length, start, rng)

    def example(self, clip):
        """(rgb or flow, {"motion": float32 (14,), "appearance": float32 (13,)})."""
        targets = {}
        for branch in self.branches:
            source = clip["flow"] if branch == "motion" else clip["rgb"]
            labels = tf.py_function(getattr(self, f"_{branch}"), [source], tf.float32)
            targets[branch] = tf.ensure_shape(labels, (len(self.labels[branch]),))
        return clip[self.modality], targets

    def _motion(self, flow):
        labels = statistics.motion(flow.numpy(), self.patterns, self.global_labels)
        return labels.astype(np.float32)

    def _appearance(self, rgb):
        labels = statistics.appearance(
            rgb.numpy(), self.patterns, self.global_labels, colour=self.colour
        )
        return labels.astype(np.float32)

    def model(self, backbone):
        """One output for each kind of statistics."""
        sizes = {branch: len(self.labels[branch]) for branch in self.branches}
        options = {"width": self.width, "initializer": self.initializer}
        outputs = heads.attach(backbone, sizes, self.head, **options)
        return keras.Model(backbone.input, outputs, name="mas")

    def losses(self):
        """Mean squared error of each branch."""
        weights = {"motion": self.motion_weight, "appearance": self.appearance_weight}
        return {branch: (_squared_error(branch), weights[branch]) for branch in self.branches}

    def metrics(self):
        """Mean absolute error of each branch's labels, and of every single one."""
        means = {f"{branch}_error": _mean_error(branch) for branch in self.branches}
        return means | {
            f"{branch}/{label}": _absolute_error(branch, column)
            for branch in self.branches
            for column, label in enumerate(self.labels[branch])
        }


def _squared_error(branch):
    def error(y, outputs):
        return keras.ops.mean(keras.ops.square(outputs[branch] - y[branch]), axis=-1)

    return error


def _mean_error(branch):
    def error(y, outputs):
        return keras.ops.mean(keras.ops.abs(outputs[branch] - y[branch]), axis=-1)

    return error


def _absolute_error(branch, column):
    def error(y, outputs):
        return keras.ops.abs(outputs[branch][:, column] - y[branch][:, column])

    return error
