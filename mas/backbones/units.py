"""The layers that every family is made of, with what each author fixed once for all of them."""

import dataclasses
import math

import keras

from mas.backbones import initial, norm, padding, pool


@dataclasses.dataclass(frozen=True)
class Author:
    """What the layers of one author's network have in common.

    Attributes:
        start: of the weights, one of `initial.STARTS`.
        convolutions: their padding, one of `padding.RULES`.
        pools: their padding, one of `padding.RULES`.
        epsilon: of batch norm.
        momentum: of batch norm as Keras counts it, the share of the old: 1 - PyTorch's.
    """

    start: str
    convolutions: str = "symmetric"
    pools: str = "symmetric"
    epsilon: float = 1e-5
    momentum: float = 0.9


class Units:
    """Makes the layers of one network.

    Args:
        author: an `Author`.
        initializer: one of `INITIALIZERS`.
    """

    def __init__(self, author, initializer):
        """See the class."""
        self.author, self.initializer = author, initializer

    def convolution(self, x, channels, kernel, strides, name, bias=False, activation=None):
        """A 3D convolution called `name`; (frames, height, width) of kernel and strides."""
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
        """Batch norm called `{name}_bn`, over all replicas.

        Keras synchronises replicas on TensorFlow alone and refuses it elsewhere: a file that
        TensorFlow saved is read there by building the network and `load_weights`.
        PyTorch keeps the unbiased variance for inference, Keras the biased one.
        """
        return norm.BatchNormalization(
            momentum=self.author.momentum,
            epsilon=self.author.epsilon,
            gamma_initializer=initial.scale(self.initializer, self.author.start),
            synchronized=keras.backend.backend() == "tensorflow",
            name=f"{name}_bn",
        )(x)

    def unit(self, x, channels, kernel, strides, name, bias=False):
        """Convolution, batch norm, ReLU."""
        x = self.convolution(x, channels, kernel, strides, name, bias)
        return keras.layers.ReLU(name=f"{name}_relu")(self.norm(x, name))

    def gate(self, x, name):
        """Weighs channels: x * sigmoid(W mean(x) + b), the mean over frames and space.

        W and b are the layer `{name}_gate`.
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
        """Max pooling; see `pool.max_pool`."""
        return pool.max_pool(x, size, strides, self.author.pools, name)
