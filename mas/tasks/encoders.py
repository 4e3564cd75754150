"""What of a task runs in a step: the model alone, or networks that train beside it."""

import tensorflow as tf


class Encoders:
    """The model alone.

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


class EachView(Encoders):
    """The model on one view after the other: each is a batch of its own to the batch norms.

    So the statistics of anchors do not depend on their negatives.
    """

    def __call__(self, x, training=False):
        """(N, views, T, H, W, C) -> {name: (N, views, ...)}."""
        outputs = [self.model(x[:, view], training=training) for view in range(x.shape[1])]
        return {name: tf.stack([each[name] for each in outputs], 1) for name in outputs[0]}
