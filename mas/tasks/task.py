"""The interface of a task, which pipeline, training and export rely on.

class Task:
inputs = ("rgb",)                       inputs to decode
def sample(self, length, start, rng)    selects the frames of an example, before decoding
def example(self, clip)                 converts a clip, after geometry, to (x, y)
def model(self, backbone)               builds the network with its heads
def losses(self), metrics(self)         return functions of (y, outputs)
"""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np

from mas import lazy
from mas.checks import Settings, refuse
from mas.settings import Clip, Network
from mas.tasks import walks

heads = lazy.module("mas.heads")
tf = lazy.module("tensorflow")


NO_TARGET = np.zeros(0, np.int32)


class Task(Settings):
    """Base class of pretext tasks and classification. Subclass it to define your own task.

    Subclasses are dataclasses whose fields are their settings. `bound` sets the clip and the
    network of the training: `self.clip.frames`, `self.network.width`.

    >>> from mas.settings import Clip
    >>> Task().bound(Clip(frames=8)).frames
    8

    Attributes:
        name: name of the task.
        inputs: inputs to decode: "rgb", "flow" or both.
        modalities: inputs that the network may take.
        views: number of clips to decode per example; None for a single clip without a leading axis.
        wraps: whether videos shorter than `span` are used.
        whole: whether the task crops clips itself, so they come uncropped.
        sampling: default clips in an epoch, as in the authors' code: "consecutive" or "anywhere".
        choice: (output, class names) of a classification output, for the confusion matrix at the
            end of a run, or None.
        negate_u: whether to negate u when a clip is mirrored.
        contrasts: whether the loss compares examples of a batch, which should then come from
            different videos.
        derived: settings that are derived from the data and have no flag.
        clip: the `mas.Clip` of the training.
        network: the `mas.Network` of the training, for the heads.
    """

    name: str = "task"
    inputs: Any = ("rgb",)
    modalities: Any = ("rgb",)
    views: Any = None
    wraps: Any = True
    whole: Any = False
    sampling: Any = "consecutive"
    choice: Any = None
    negate_u: Any = True
    contrasts: Any = False
    derived: Any = ()
    clip: Clip = Clip()
    network: Network = Network()

    def bound(self, clip: Clip | None = None, network: Network | None = None) -> Task:
        """Returns a copy of this task for the given clips and network.

        Args:
            clip: a `mas.Clip`; None keeps the current one.
            network: a `mas.Network`; None keeps the current one.
        """
        return self._copy(clip=clip or self.clip, network=network or self.network)

    def having(self, **settings: Any) -> Task:
        """Returns a copy of this task with changed settings, for the same clips and network.

        Raises:
            ValueError: If a value is not allowed.
        """
        task = self._copy(**settings)
        task.__post_init__()
        return task

    def _copy(self, **attributes):
        task = copy.copy(self)
        for name in [name for name in vars(task) if _is_cached(type(task), name)]:
            del task.__dict__[name]
        for name, value in attributes.items():
            object.__setattr__(task, name, value)
        return task

    @property
    def frames(self) -> int:
        """Clip length in frames."""
        return self.clip.frames

    @property
    def span(self) -> int:
        """Frames of a video that an example may need: those of a clip."""
        return self.frames

    @property
    def step(self) -> int:
        """Frames between the starts of consecutive clips."""
        return self.span

    @property
    def flows(self) -> int:
        """Number of flow fields in a clip: one between consecutive frames."""
        return self.frames - 1

    @property
    def least(self) -> int:
        """Minimum number of frames of a video."""
        return 1 if self.wraps else self.span

    def testing(self) -> Task:
        """Returns this task for testing: without randomness, except what the task itself needs."""
        return self

    def check(self, batch: int | None = None) -> None:
        """Checks that the task can use its clip, its network and the batch.

        Args:
            batch: batch size, or None if nothing is trained.

        Raises:
            ValueError: If the task cannot use clips of this size, this network or this batch.
        """
        for name in ("example", "model", "losses") if batch else ("example",):
            if getattr(type(self), name) is getattr(Task, name):
                refuse("task", f"a subclass of mas.tasks.Task that defines {name}", self.name)
        if self.network.modality not in self.modalities:
            allowed = " or ".join(self.modalities)
            refuse("modality", f"{allowed} for the task {self.name}", self.network.modality)

    def doubts(self, videos: int, examples: int) -> list[str]:
        """Returns warnings about training on this many videos, as sentences.

        Args:
            videos: number of different videos.
            examples: number of examples per epoch.
        """
        if not self.contrasts or examples <= videos:
            return []
        return [
            f"{examples} examples come from {videos} videos: in a batch, an example may have its "
            "own video as a negative. sampling=anywhere takes one example per video."
        ]

    def sample(self, length: int, start: int | None, rng: np.random.Generator) -> tuple:
        """Selects the frames of an example, before decoding.

        Args:
            length: number of frames of the video.
            start: first frame, or None to draw it.
            rng: numpy.random.Generator for this example and epoch.

        Returns:
            (frames, target): frame indices from 0, int (T,) or (views, T); and targets that depend
            on the selection (pace, order), int array, empty if there are none. Videos shorter than
            the clip are looped.
        """
        first = rng.integers(0, max(0, length - self.frames) + 1) if start is None else start
        return walks.indices(self.frames, 1, first, length, "wrap"), NO_TARGET

    def pairs(self, frames: np.ndarray) -> np.ndarray:
        """Returns, for frames from `sample`, the frames whose flow to the next frame is read."""
        return np.asarray(frames)[..., : self.flows].ravel()

    def example(self, clip: dict) -> tuple:
        """Converts a clip (see `mas.clips`), after geometry, to (x, y) tensors."""
        raise NotImplementedError

    def model(self, backbone: Any) -> Any:
        """Builds a keras.Model with this task's heads on a backbone; the outputs are a dict."""
        raise NotImplementedError

    def heads(self, backbone: Any, sizes: dict[str, int], dropout: float = 0.0) -> dict:
        """Attaches heads of the network's kind to a backbone: see `mas.heads.attach`."""
        network = self.network
        options = (network.head, network.width, dropout, network.initializer)
        return heads.attach(backbone, sizes, *options)

    def encoders(self, model: Any) -> Encoders:
        """Returns the `Encoders` that a step runs; called inside the strategy's scope."""
        return Encoders(model, self.views)

    def losses(self) -> dict:
        """Returns {part: (function of (y, outputs) that returns a loss per example, weight)}.

        The loss of a step is the weighted sum of their means.
        """
        raise NotImplementedError

    def metrics(self) -> dict:
        """Returns {name: function of (y, outputs) that returns a value per example}."""
        return {}


def _is_cached(kind, name):
    return isinstance(getattr(kind, name, None), functools.cached_property)


class Encoders:
    """The part of a task that runs in each step: here only the model.

    Args:
        model: network for single clips, whose outputs are a dict.
        views: number of clips per example; None for examples without that axis.

    Attributes:
        variables: list of tf.Variable that training changes in addition to the model and
            checkpoints include.
    """

    def __init__(self, model, views=None):
        """See the class."""
        self.model, self.views, self.variables = model, views, []

    def __call__(self, x, training=False):
        """Computes the outputs for a batch of examples.

        Args:
            x: (N, T, H, W, C), or (N, views, T, H, W, C) for examples of several clips, which the
                network and its batch norms process as a single batch.
            training: passed to the model; when training, the encoders may change their variables.

        Returns:
            {name: (N, ...)}, or {name: (N, views, ...)}.
        """
        if self.views is None:
            return self.model(x, training=training)
        outputs = self.model(tf.reshape(x, (-1, *x.shape[2:])), training=training)
        return {
            name: tf.reshape(value, (-1, self.views, *value.shape[1:]))
            for name, value in outputs.items()
        }

    def update(self):
        """Runs after the optimiser's step, the same on every replica."""
        return None


class EachView(Encoders):
    """Applies the model to one view after another; batch norms see each view as a batch of its own.

    This keeps the statistics of anchors independent of their negatives.

    Args:
        model: network for single clips, whose outputs are a dict.
        passes: order in which the model processes the views; None means ascending.
    """

    def __init__(self, model, passes=None):
        """See the class."""
        super().__init__(model)
        self.passes = passes

    def __call__(self, x, training=False):
        """Computes {name: (N, views, ...)} from (N, views, T, H, W, C)."""
        passes = range(x.shape[1]) if self.passes is None else self.passes
        outputs = {view: self.model(x[:, view], training=training) for view in passes}
        views = [outputs[view] for view in sorted(outputs)]
        return {name: tf.stack([view[name] for view in views], 1) for name in views[0]}
