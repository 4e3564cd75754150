"""Batch norm over all replicas whose variance keeps its digits, saved as Keras's own layer."""

import importlib

import keras


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's batch norm, with two passes for the variance: the mean, then the deviations from it.

    Keras has two passes in the layer that sees one replica alone. Its synchronised layer has
    E[x^2] - E[x]^2, on a single device too, where float32 loses the digits of inputs far from 0:
    at a mean of 100 deviations its outputs are off by 2.6e-2, here by 5.5e-5.

    One replica: the arithmetic of Keras's plain layer. Several: the mean over all, then the mean of
    the squared deviations from it. Replicas may hold parts of different sizes.

    A file names Keras's own class, so that it loads with Keras alone, there with Keras's variance.
    """

    __module__ = "keras.layers"

    def _moments(self, inputs, mask):
        """Mean and variance of each channel, over the batch of all replicas."""
        if not self.synchronized or mask is not None:
            return super()._moments(inputs, mask)
        tf = importlib.import_module(keras.backend.backend())  # no other one synchronises
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return keras.ops.moments(inputs, self._reduction_axes)

        def total(values):
            return context.all_reduce(tf.distribute.ReduceOp.SUM, values)

        channels = inputs.shape[self.axis]
        count = tf.cast(tf.size(inputs, tf.int64) // channels, inputs.dtype)
        sums = tf.reduce_sum(inputs, self._reduction_axes)
        sums = total(tf.concat([sums, count[None]], 0))
        count, mean = sums[-1], sums[:-1] / sums[-1]
        shape = [1] * len(inputs.shape)
        shape[self.axis] = channels
        # As in `tf.nn.moments`: the variance has no slope along the mean.
        centre = tf.reshape(tf.stop_gradient(mean), shape)
        squares = tf.math.squared_difference(inputs, centre)
        return mean, total(tf.reduce_sum(squares, self._reduction_axes)) / count


def copied(layer):
    """A copy of a layer for `keras.models.clone_model`: synchronised batch norms keep their digits.

    >>> copied(keras.layers.BatchNormalization(synchronized=True)).__class__ is BatchNormalization
    True
    """
    plain = isinstance(layer, keras.layers.BatchNormalization) and layer.synchronized
    return (BatchNormalization if plain else type(layer)).from_config(layer.get_config())
