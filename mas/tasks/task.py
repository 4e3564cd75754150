"""What every task says of itself, so that pipeline, training and export know none of them.

class Task:
inputs = ("rgb",)                       what is decoded
def sample(self, length, start, rng)    frames of an example, before anything is decoded
def example(self, clip)                 one clip, after geometry -> (x, y)
def model(self, backbone)               the network with its heads
def losses(self), metrics(self)         functions of (y, outputs)
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
    """A pretext task, or classification. A task of your own is a subclass.

    Its own settings are fields of a dataclass. Clip and network are those of the training, which
    `bound` sets: `self.clip.frames`, `self.network.width`.

    >>> from mas.settings import Clip
    >>> Task().bound(Clip(frames=8)).frames
    8

    Attributes:
        name: of the task.
        inputs: what is decoded: "rgb", "flow" or both.
        modalities: what its network may see.
        views: clips an example that are decoded, or None for one without a leading axis.
        wraps: whether a video shorter than `span` will do.
        whole: whether clips come uncropped, because the task crops for itself.
        sampling: examples of an epoch as its authors have it: "consecutive" or "anywhere".
        choice: (output, class names) of an output that chooses one of several classes, for the
            confusion matrix at the end of a run; None without one.
        negate_u: whether the flow of a mirrored clip is mirrored motion: u with the other sign.
        contrasts: whether examples of a batch are compared, so that each should show a video of its
            own.
        derived: settings that follow from the data, and no flag says.
        clip: the `mas.Clip` that it is bound to.
        network: the `mas.Network` that it is bound to, for its heads.
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
        """A copy of this task for certain clips and a certain network.

        Args:
            clip: a `mas.Clip`; None keeps what it is bound to.
            network: a `mas.Network`, likewise.
        """
        return self._copy(clip=clip or self.clip, network=network or self.network)

    def having(self, **settings: Any) -> Task:
        """A copy of this task with other settings, for the same clips and network.

        Raises:
            ValueError: a value is not allowed.
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
        """Length of a clip."""
        return self.clip.frames

    @property
    def span(self) -> int:
        """Frames of a video that one example may need: those of a clip."""
        return self.frames

    @property
    def step(self) -> int:
        """Frames from the start of one consecutive clip to that of the next."""
        return self.span

    @property
    def flows(self) -> int:
        """Flow fields of a clip: one between each two frames."""
        return self.frames - 1

    @property
    def least(self) -> int:
        """Frames that a video must have to give an example anywhere."""
        return 1 if self.wraps else self.span

    def testing(self) -> Task:
        """This task as it is tested: with nothing random but what its question needs."""
        return self

    def check(self, batch: int | None = None) -> None:
        """Refuses a clip, a network or a batch that the task can do nothing with.

        Args:
            batch: examples in a step; None where nothing is trained.

        Raises:
            ValueError: it is one.
        """
        for name in ("example", "model", "losses") if batch else ("example",):
            if getattr(type(self), name) is getattr(Task, name):
                refuse("task", f"a subclass of mas.tasks.Task that defines {name}", self.name)
        if self.network.modality not in self.modalities:
            allowed = " or ".join(self.modalities)
            refuse("modality", f"{allowed} for the task {self.name}", self.network.modality)

    def doubts(self, videos: int, examples: int) -> list[str]:
        """What speaks against training on so many videos, in sentences.

        Args:
            videos: different ones.
            examples: of an epoch.
        """
        if not self.contrasts or examples <= videos:
            return []
        return [
            f"{examples} examples show {videos} videos: in a batch, one may have its own video as "
            "a negative. sampling=anywhere takes one example a video."
        ]

    def sample(self, length: int, start: int | None, rng: np.random.Generator) -> tuple:
        """Chooses the frames of one example, before anything is decoded.

        Args:
            length: frames of the video.
            start: first frame, or None to draw it.
            rng: numpy.random.Generator of this example and epoch.

        Returns:
            (frames, target): indices int (T,) or (views, T), counted from 0; and the targets that
            follow from the choice (pace, order), int array, empty if none. A video shorter than the
            clip begins again at its first frame.
        """
        first = rng.integers(0, max(0, length - self.frames) + 1) if start is None else start
        return walks.indices(self.frames, 1, first, length, "wrap"), NO_TARGET

    def pairs(self, frames: np.ndarray) -> np.ndarray:
        """Frames whose flow to the next frame of the video is read, for the frames of `sample`."""
        return np.asarray(frames)[..., : self.flows].ravel()

    def example(self, clip: dict) -> tuple:
        """One clip (the contract of `mas.clips`), after geometry -> (x, y) tensors."""
        raise NotImplementedError

    def model(self, backbone: Any) -> Any:
        """A keras.Model with this task's heads on a backbone; its outputs are a dict by name."""
        raise NotImplementedError

    def heads(self, backbone: Any, sizes: dict[str, int], dropout: float = 0.0) -> dict:
        """Outputs on a backbone through heads of the network's kind: see `mas.heads.attach`."""
        network = self.network
        options = (network.head, network.width, dropout, network.initializer)
        return heads.attach(backbone, sizes, *options)

    def encoders(self, model: Any) -> Encoders:
        """What runs in a step, an `Encoders`; made inside the strategy's scope."""
        return Encoders(model, self.views)

    def losses(self) -> dict:
        """{part: (function of (y, outputs) that returns one loss for each example, weight)}.

        The loss of a step is the weighted sum of the means.
        """
        raise NotImplementedError

    def metrics(self) -> dict:
        """{name: function of (y, outputs) that returns one value for each example}."""
        return {}


def _is_cached(kind, name):
    return isinstance(getattr(kind, name, None), functools.cached_property)


class Encoders:
    """What of a task runs in a step: here the model alone.

    Args:
        model: a network of single clips; its outputs are a dict.
        views: clips of an example; None for examples without that axis.

    Attributes:
        variables: list of tf.Variable; what training changes beside the model, and a checkpoint
            keeps.
    """

    def __init__(self, model, views=None):
        """See the class."""
        self.model, self.views, self.variables = model, views, []

    def __call__(self, x, training=False):
        """Outputs on a batch of examples.

        Args:
            x: (N, T, H, W, C), or (N, views, T, H, W, C) of examples that are several clips each;
                those are all one batch to the network, and to its batch norms.
            training: passed on; in training the encoders may change their variables.

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
        """What follows the optimiser's step, on every replica alike."""
        return None


class EachView(Encoders):
    """The model on one view after the other: each is a batch of its own to the batch norms.

    So the statistics of anchors do not depend on their negatives.

    Args:
        model: a network of single clips; its outputs are a dict.
        passes: numbers of the views, in the order in which the model sees them; None: their own.
    """

    def __init__(self, model, passes=None):
        """See the class."""
        super().__init__(model)
        self.passes = passes

    def __call__(self, x, training=False):
        """(N, views, T, H, W, C) -> {name: (N, views, ...)}."""
        passes = range(x.shape[1]) if self.passes is None else self.passes
        outputs = {view: self.model(x[:, view], training=training) for view in passes}
        views = [outputs[view] for view in sorted(outputs)]
        return {name: tf.stack([view[name] for view in views], 1) for name in views[0]}
