"""MAS: regression of motion and appearance statistics (CVPR 2019).

Loss = motion_weight * MSE(motion) + appearance_weight * MSE(appearance), section 3.4, averaged over
batch and labels. The targets are the label numbers themselves unless `scale` says otherwise. With
longer clips, the frames of largest motion then make up more of the loss.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from mas import lazy, losses
from mas.checks import option, refuse
from mas.tasks import walks
from mas.tasks.task import NO_TARGET, Task

keras = lazy.module("keras")
statistics = lazy.module("mas.statistics")
tf = lazy.module("tensorflow")

BRANCHES = ("motion", "appearance")
SCALES = ("numbers", "sixteen", "bins")
FIELDS = 15  # in the papers' clips of 16 frames


@dataclasses.dataclass(frozen=True)
class Statistics(Task):
    """Regresses 14 motion and 13 appearance statistics of a clip, or some of them.

    >>> Statistics(branches=("motion",), patterns=(2,)).labels["motion"]
    ('p2_u_location', 'p2_u_direction', 'p2_v_location', 'p2_v_direction', 'u_frame', 'v_frame')
    """

    branches: tuple[str, ...] = option(
        BRANCHES, "Statistics to predict (Table 3 of the paper).", choices=BRANCHES
    )
    patterns: tuple[int, ...] = option(
        (1, 2, 3), "Partition patterns of the frame (Table 1).", choices=(1, 2, 3)
    )
    global_labels: bool = option(
        True, "Also predict global labels: frame of largest motion, and colour (Table 2)."
    )
    motion_weight: float = option(1.0, "Weight of the motion loss.", least=0)
    appearance_weight: float = option(
        1.0, "Weight of the appearance loss; 0.1 in the journal version.", least=0
    )
    colour: str = option(
        "octants",
        "Definition of the dominant colour: octants (the paper) or mode (the journal's code).",
        choices=("octants", "mode"),
    )
    scale: str = option(
        "numbers",
        "Scale of the targets: numbers keeps the label numbers (the authors); sixteen rescales "
        "frame labels to 1..15, as in clips of 16 frames; bins divides each label by its number of "
        "bins, which gives (0, 1].",
        choices=SCALES,
    )
    stride: int = option(
        1,
        "Frame step within a clip. Flow between consecutive frames of a clip is the sum of the "
        "fields between them.",
        least=1,
    )
    extra_flow: bool = option(
        False,
        "Sum the motion boundaries of an extra flow field, as in the journal's code: 16 fields for "
        "16 frames. Frame labels do not use the extra field.",
        advanced=True,
    )
    negate_u: bool = option(
        True,
        "Negate u in mirrored clips, which is correct; the journal's code does not.",
        advanced=True,
    )
    journal: bool = option(
        False,
        "Reproduce other quirks of the journal's code: the colour of the second ring is computed "
        "from wrong, mostly black pixels, and labels are 1 instead of 0 without motion. Requires "
        "colour=mode.",
        advanced=True,
    )

    name = "mas"
    modalities = ("rgb", "flow")
    wraps = False  # a jump back to the first frame would be false motion

    def __post_init__(self):
        """Checks that at least one label is left, and no choice is repeated."""
        super().__post_init__()
        for name in ("branches", "patterns"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                refuse(name, "distinct", getattr(self, name))
        if self.journal and self.colour != "mode":
            refuse("colour", "mode with journal", self.colour)
        if self.stride > 1 and self.extra_flow:
            refuse("stride", "1 with extra_flow", self.stride)
        if not self.branches:
            refuse("branches", f"one or both of {list(BRANCHES)}", self.branches)
        if not (self.patterns or self.global_labels):
            refuse("patterns", "one or more without global_labels", self.patterns)

    @functools.cached_property
    def labels(self):
        """{branch: names of its labels}."""
        chosen = (self.patterns, self.global_labels)
        return {
            "motion": statistics.motion_names(*chosen),
            "appearance": statistics.appearance_names(*chosen),
        }

    @property
    def inputs(self):
        """Inputs to decode, for the labels and the network."""
        needs = {"rgb": "appearance" in self.branches, "flow": "motion" in self.branches}
        return tuple(kind for kind, use in needs.items() if use or kind == self.network.modality)

    @property
    def flows(self):
        """Number of flow fields between the first and the last frame of a clip."""
        return super().flows * self.stride + self.extra_flow

    @property
    def span(self):
        """Frames of a video needed for a clip, including one for an extra flow field."""
        inside = (self.frames - 1) * self.stride + 1
        return inside + (self.extra_flow and "flow" in self.inputs)

    @property
    def step(self):
        """Frames between the starts of consecutive clips, which do not overlap."""
        return self.frames * self.stride

    def check(self, batch=None):
        """Rejects sizes that the patterns do not divide, and strides for a flow network."""
        super().check(batch)
        statistics.regions.check_size(self.clip.size)
        if self.stride > 1 and self.network.modality == "flow":
            refuse("stride", "1 with modality=flow", self.stride)

    def sample(self, length, start, rng):
        """Returns frames inside the video; a jump back to its first frame would be false motion."""
        last = length - self.span
        if (start or 0) > last:
            raise ValueError(
                f"a clip of {self.span} frames must fit into its video. "
                f"Received: start={start or 0} of {length} frames."
            )
        first = rng.integers(0, last + 1) if start is None else start
        return walks.indices(self.frames, self.stride, first, length, "restrict"), NO_TARGET

    def pairs(self, frames):
        """Returns every frame from the first to the second to last: see `stride`."""
        return np.arange(frames[0], frames[0] + self.flows)

    def example(self, clip):
        """Returns (rgb or flow, {"motion": float32 (14,), "appearance": float32 (13,)})."""
        targets = {}
        for branch in self.branches:
            source = self._summed(clip["flow"]) if branch == "motion" else clip["rgb"]
            labels = tf.py_function(getattr(self, f"_{branch}"), [source], tf.float32)
            targets[branch] = tf.ensure_shape(labels, (len(self.labels[branch]),))
        x = clip[self.network.modality]
        return x if self.network.modality == "rgb" else x[: self.frames - 1], targets

    def _summed(self, flow):
        """Sums the fields between consecutive frames of a clip."""
        if self.stride == 1:
            return flow
        return tf.reduce_sum(tf.reshape(flow, (-1, self.stride, *flow.shape[1:])), 1)

    def _motion(self, flow):
        choice = (self.patterns, self.global_labels, self.frames - 1, self.journal)
        return self.scaled("motion", statistics.motion(flow.numpy(), *choice))

    def _appearance(self, rgb):
        choice = (self.patterns, self.global_labels, self.colour, self.journal)
        labels = statistics.appearance(rgb.numpy(), *choice)
        return self.scaled("appearance", labels)

    def scaled(self, branch, labels):
        """Returns the regression targets, float32; 0 (no motion) remains 0."""
        labels = labels.astype(np.float32)
        if self.scale == "bins":
            return labels / np.float32(statistics.largest(self.labels[branch], self.frames - 1))
        if self.scale == "sixteen" and self.frames > 2:
            frames = np.array([name.endswith("_frame") for name in self.labels[branch]])
            stretch = np.float32((FIELDS - 1) / (self.frames - 2))  # the first is 1, the last 15
            brought = np.where(labels > 0, 1 + (labels - 1) * stretch, 0)
            labels = np.where(frames, brought, labels).astype(np.float32)
        return labels

    def model(self, backbone):
        """Builds a network with one output per branch."""
        sizes = {branch: len(self.labels[branch]) for branch in self.branches}
        return keras.Model(backbone.input, self.heads(backbone, sizes), name="mas")

    def losses(self):
        """Returns the mean squared error of each branch."""
        weights = {"motion": self.motion_weight, "appearance": self.appearance_weight}
        return {
            branch: (_of(branch, losses.squared_error), weights[branch]) for branch in self.branches
        }

    def metrics(self):
        """Returns the mean absolute error of each branch and of each label."""
        means = {f"{branch}_error": _of(branch, _mean_error) for branch in self.branches}
        return means | {
            f"{branch}/{label}": _of(branch, functools.partial(_absolute_error, column))
            for branch in self.branches
            for column, label in enumerate(self.labels[branch])
        }


def _of(branch, function):
    """Returns a function of (y, outputs) from a function of a branch's (targets, outputs)."""
    return lambda y, outputs: function(y[branch], outputs[branch])


def _mean_error(targets, outputs):
    return keras.ops.mean(keras.ops.abs(outputs - targets), axis=-1)


def _absolute_error(column, targets, outputs):
    return keras.ops.abs(outputs[:, column] - targets[:, column])
