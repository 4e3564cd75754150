"""What every task says of itself, so that pipeline, training and export know none of them."""

import numpy as np

from mas.tasks.encoders import Encoders


class Task:
    """A pretext task, or classification.

    Attributes:
        name: of the task.
        inputs: what is decoded: "rgb", "flow" or both.
        frames: length of a clip, T.
        views: clips an example that are decoded, or None for one without a leading axis.
        wraps: whether a video shorter than `span` will do.
        whole: whether clips come uncropped, as the task crops for itself.
        clips: examples of an epoch where nothing else is asked for, as its authors have it:
            "consecutive" or "anywhere".
        choice: (output, class names) of an output that chooses one of several classes, for the
            confusion matrix at the end of a run; None without one.
    """

    name = "task"
    inputs = ("rgb",)
    frames = 16
    views = None
    wraps = True
    whole = False
    clips = "consecutive"
    choice = None

    @property
    def span(self):
        """Frames of a video that one example may need: those of a clip."""
        return self.frames

    @property
    def least(self):
        """Frames that a video must have to give an example anywhere."""
        return 1 if self.wraps else self.span

    def testing(self):
        """This task as it is tested: with nothing random but what its question needs."""
        return self

    def check(self, size, batch=None):
        """Refuses clips of `size` x `size` pixels, or a `batch`, that the task can do nothing with.

        Args:
            size: in pixels.
            batch: examples in a step; None where nothing is trained.

        Raises:
            ValueError: it is one.
        """

    def sample(self, length, start, rng):
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
        if start is None:
            start = rng.integers(0, max(0, length - self.frames) + 1)
        return (start + np.arange(self.frames)) % length, np.zeros(0, np.int32)

    def example(self, clip):
        """One clip (the contract of `mas.clips`), after geometry -> (x, y) tensors."""
        raise NotImplementedError

    def model(self, backbone):
        """A keras.Model with this task's heads on a backbone; its outputs are a dict by name."""
        raise NotImplementedError

    def encoders(self, model):
        """What runs in a step, an `Encoders`; made inside the strategy's scope."""
        return Encoders(model, self.views)

    def losses(self):
        """{part: (function of (y, outputs) that returns one loss for each example, weight)}.

        The loss of a step is the weighted sum of the means.
        """
        raise NotImplementedError

    def metrics(self):
        """{name: function of (y, outputs) that returns one value for each example}."""
        return {}
