"""The optimiser of MAS and STS, and their learning rate schedules."""

from __future__ import annotations

import keras

from mas.settings import Optimisation

# Variables selected by `decay`. MAS decays fully connected weights only (authors' code); STS
# decays weights, including batch-norm gammas, and biases.
DECAYS = {
    "fc": lambda variable: not _is_bias(variable) and len(variable.shape) == 2,
    "weights": lambda variable: not _is_bias(variable),
    "all": lambda variable: True,
}


def _is_bias(variable):
    """Whether a variable is a layer's bias or a batch norm's beta, which PyTorch calls "bias"."""
    return variable.name in ("bias", "beta")


@keras.saving.register_keras_serializable("mas")
class Momentum(keras.optimizers.Optimizer):
    """SGD with TensorFlow 1's momentum, a rate multiplier for biases, and selective L2 decay.

        g <- gradient + l2 * w                    if `decay` selects the variable
        a <- momentum * a + g
        w <- w - learning_rate * a                biases: bias_multiplier * learning_rate

    `keras.optimizers.SGD` includes the learning rate in the velocity. Both are equal while the
    rate is constant; after a decay of the rate, here the whole step shrinks at once.

    The decay is the gradient of the loss l2 * sum(w^2) / 2, which `decay_loss` returns for
    reports. It is not part of the loss: it is added once for any number of replicas, after loss
    scaling and clipping. It equals weight_decay=l2 in PyTorch's SGD (STS).

    Source: MAS, CVPR 2019, authors' code: momentum 0.9, l2 0.005 on the fully connected weights,
    twice the rate for biases. Their code has two optimisers, for weights and for biases, and a
    race between them; here all gradients are computed first, as was intended.

    Args:
        learning_rate: float, schedule or callable.
        momentum: momentum in [0, 1).
        bias_multiplier: factor on the learning rate of biases and batch-norm betas, at least 0.
        l2: strength of the decay, at least 0.
        decay: "fc", kernels of rank 2; "weights", kernels and batch-norm gammas; "all", every
            variable.
        name: name of the optimiser.
        **kwargs: arguments of `keras.optimizers.Optimizer`, such as `gradient_accumulation_steps`.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        learning_rate=0.001,
        momentum=0.9,
        bias_multiplier=2.0,
        l2=0.005,
        decay="fc",
        name="momentum",
        **kwargs,
    ):
        """Checks and stores the arguments; see the class."""
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be in [0, 1). Received: momentum={momentum}.")
        if not bias_multiplier >= 0:
            raise ValueError(
                f"bias_multiplier must be 0 or more. Received: bias_multiplier={bias_multiplier}."
            )
        if not l2 >= 0:
            raise ValueError(f"l2 must be 0 or more. Received: l2={l2}.")
        if decay not in DECAYS:
            raise ValueError(f"decay must be one of {list(DECAYS)}. Received: decay={decay!r}.")
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum = momentum
        self.bias_multiplier = bias_multiplier
        self.l2 = l2
        self.decay = decay

    def build(self, variables):
        """Creates an accumulator per variable and sets each variable's rate and decay.

        Args:
            variables: Keras variables to train, with their layers' names (`update_step` gets
                TensorFlow variables, which have other names).
        """
        if self.built:
            return
        super().build(variables)
        self._accumulators = self.add_optimizer_variables(variables, "accumulator")
        self._multipliers = [self.bias_multiplier if _is_bias(v) else 1.0 for v in variables]
        self._strengths = [self.l2 if DECAYS[self.decay](v) else 0.0 for v in variables]

    def update_step(self, gradient, variable, learning_rate):
        """Updates one variable; under a strategy, `gradient` is the sum over replicas."""
        index = self._get_variable_index(variable)
        accumulator = self._accumulators[index]
        rate = keras.ops.cast(learning_rate, variable.dtype) * self._multipliers[index]
        gradient = keras.ops.cast(gradient, variable.dtype)
        if self._strengths[index]:
            gradient = keras.ops.add(gradient, keras.ops.multiply(variable, self._strengths[index]))
        accumulated = keras.ops.add(keras.ops.multiply(accumulator, self.momentum), gradient)
        self.assign(accumulator, accumulated)
        self.assign_sub(variable, keras.ops.multiply(accumulated, rate))

    def decay_loss(self, variables):
        """The loss whose gradient is the decay: l2 * sum(w^2) / 2 over selected variables.

        Args:
            variables: Keras variables of a model.

        Returns:
            float32 scalar; 0 without decay.
        """
        squares = [
            keras.ops.sum(keras.ops.square(keras.ops.cast(variable, "float32")))
            for variable in variables
            if DECAYS[self.decay](variable)
        ]
        return keras.ops.cast(self.l2 / 2 * sum(squares), "float32")

    def get_config(self):
        """Returns the arguments, for saving."""
        own = ("momentum", "bias_multiplier", "l2", "decay")
        return super().get_config() | {key: getattr(self, key) for key in own}


def staircase(learning_rate, decay_steps, factor=0.1):
    """Schedule that multiplies the learning rate by `factor` every `decay_steps` steps.

    Steps count from 0: steps 0 .. decay_steps - 1 use `learning_rate`, the next ones
    `learning_rate * factor`, and so on, like TensorFlow 1's exponential_decay(staircase=True) in
    the authors' code (x 0.1 every 20,000 steps).

    Args:
        learning_rate: initial learning rate, above 0.
        decay_steps: steps between decays, at least 1.
        factor: factor of each decay, above 0.

    Returns:
        A `keras.optimizers.schedules.ExponentialDecay`.

    Raises:
        ValueError: If a number is out of range.
    """
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be above 0. Received: learning_rate={learning_rate}.")
    if not decay_steps >= 1:
        raise ValueError(f"decay_steps must be 1 or more. Received: decay_steps={decay_steps}.")
    if not factor > 0:
        raise ValueError(f"factor must be above 0. Received: factor={factor}.")
    return keras.optimizers.schedules.ExponentialDecay(
        float(learning_rate), decay_steps, factor, staircase=True
    )


def stairs(learning_rate, steps, factor=0.1):
    """Schedule that multiplies the learning rate by `factor` at given steps.

    Args:
        learning_rate: initial learning rate, above 0.
        steps: ascending step numbers above 0, counted from 0; each is the first at a lower rate.
        factor: factor of each decay, above 0.

    Returns:
        A `keras.optimizers.schedules.PiecewiseConstantDecay`.

    Raises:
        ValueError: If a number is out of range, or the steps do not ascend.
    """
    staircase(learning_rate, 1, factor)  # for its checks
    if not steps or sorted({0, *steps}) != [0, *steps]:
        raise ValueError(f"steps must ascend from 1. Received: steps={list(steps)}.")
    rates = [learning_rate * factor**stair for stair in range(len(steps) + 1)]
    boundaries = [step - 1 for step in steps]  # Keras wants the last step of each rate
    return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, rates)


def build(
    optimisation: Optimisation, steps_per_epoch: int, precision: str = "float32"
) -> keras.optimizers.Optimizer:
    """Builds the optimiser and its schedule; call it in the strategy's scope.

    Args:
        optimisation: settings of the optimiser.
        steps_per_epoch: steps per epoch, at least 1.
        precision: precision of the layers; mixed_float16 adds loss scaling.
    """
    steps = [epochs * steps_per_epoch for epochs in optimisation.decay_epochs]
    rate = optimisation.learning_rate
    if len(steps) == 1:
        schedule = staircase(rate, steps[0], optimisation.decay_factor)
    else:
        schedule = stairs(rate, steps, optimisation.decay_factor)
    momentum = Momentum(
        schedule,
        optimisation.momentum,
        optimisation.bias_rate,
        l2=optimisation.l2,
        decay=optimisation.decay,
    )
    if precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(momentum)
    return momentum
