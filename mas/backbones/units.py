"""Layers shared by all families, configured per author."""

import dataclasses
import math

import keras

from mas.backbones import initial, norm, padding, pool


@dataclasses.dataclass(frozen=True)
class Author:
    """Properties shared by all layers of an author's network.

    Attributes:
        start: weight initialisation, one of `initial.STARTS`.
        convolutions: padding of convolutions, one of `padding.RULES`.
        pools: padding of pools, one of `padding.RULES`.
        epsilon: epsilon of batch norm.
        momentum: momentum of batch norm as in Keras, which is 1 - PyTorch's.
    """

    start: str
    convolutions: str = "symmetric"
    pools: str = "symmetric"
    epsilon: float = 1e-5
    momentum: float = 0.9


class Units:
    """Builds the layers of one network.

    Args:
        author: an `Author`.
        initializer: one of `INITIALIZERS`.
    """

    def __init__(self, author, initializer):
        """See the class."""
        self.author, self.initializer = author, initializer

    def convolution(self, x, channels, kernel, strides, name, bias=False, activation=None):
        """Applies a 3D convolution; kernel and strides are (frames, height, width)."""
        inputs = math.prod(kernel) * x.shape[-1]
        rule, start = self.author.convolutions, self.author.start
        x, own = padding.applied(x, 3, kernel, strides, rule, f"{name}_pad")
        return keras.layers.Conv3D(
            channels,
            kernel,
            strides,
            padding=own,
            use_bias=bias,
            activation=activation,
            kernel_initializer=initial.kernel(self.initializer, start),
            bias_initializer=initial.bias(self.initializer, start, inputs),
            name=name,
        )(x)

    def norm(self, x, name):
        """Applies batch norm over all replicas; the layer is called `{name}_bn`.

        Keras supports synchronisation only on TensorFlow. To read a file saved with TensorFlow on
        another backend, build the network and call `load_weights`. For inference, PyTorch keeps
        the unbiased variance, Keras the biased one.
        """
        return norm.BatchNormalization(
            momentum=self.author.momentum,
            epsilon=self.author.epsilon,
            gamma_initializer=initial.scale(self.initializer, self.author.start),
            synchronized=keras.backend.backend() == "tensorflow",
            name=f"{name}_bn",
        )(x)

    def unit(self, x, channels, kernel, strides, name, bias=False):
        """Applies a convolution, batch norm and ReLU."""
        x = self.convolution(x, channels, kernel, strides, name, bias)
        return keras.layers.ReLU(name=f"{name}_relu")(self.norm(x, name))

    def gate(self, x, name):
        """Scales channels by sigmoid(W mean(x) + b), where the mean is over time and space.

        W and b belong to the layer `{name}_gate`.
        """
        channels, start = x.shape[-1], self.author.start
        mean = keras.layers.GlobalAveragePooling3D(keepdims=True, name=f"{name}_mean")(x)
        gate = keras.layers.Dense(
            channels,
            activation="sigmoid",
            kernel_initializer=initial.kernel(self.initializer, start),
            bias_initializer=initial.bias(self.initializer, start, channels),
            name=f"{name}_gate",
        )(mean)
        return keras.layers.Multiply(name=f"{name}_gated")([x, gate])

    def pool(self, x, size, strides, name):
        """Applies max pooling; see `pool.max_pool`."""
        return pool.max_pool(x, size, strides, self.author.pools, name)
