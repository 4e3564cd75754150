"""The optimiser of MAS and STS, and their schedule."""

from __future__ import annotations

import keras

from mas.settings import Optimisation

# What `decay` selects. MAS decays the fully connected weights alone (authors' code); STS decays
# weights, batch-norm gammas among them, and biases.
DECAYS = {
    "fc": lambda variable: not _is_bias(variable) and len(variable.shape) == 2,
    "weights": lambda variable: not _is_bias(variable),
    "all": lambda variable: True,
}


def _is_bias(variable):
    """Whether a variable is the bias of a layer or the beta of a batch norm: PyTorch's "bias"."""
    return variable.name in ("bias", "beta")


@keras.saving.register_keras_serializable("mas")
class Momentum(keras.optimizers.Optimizer):
    """Gradient descent with momentum in TensorFlow 1's form, faster biases and chosen decay.

        g <- gradient + l2 * w                    where `decay` selects the variable
        a <- momentum * a + g
        w <- w - learning_rate * a                biases: bias_multiplier * learning_rate

    `keras.optimizers.SGD` has the learning rate inside the velocity. That is equal while the rate
    is constant and differs after a decay: here the whole step shrinks at once.

    The gradient of the decay is that of a loss l2 * sum(w^2) / 2, which `decay_loss` gives for
    reports. Being no part of the loss, it is added once, however many replicas there are, and after
    loss scaling and clipping. It equals weight_decay=l2 of PyTorch's SGD (STS).

    Source: MAS, CVPR 2019, authors' code: momentum 0.9, l2 0.005 on the fully connected weights,
    biases at twice the rate. Their two optimisers, one for weights and one for biases, race with
    each other's gradients; here all gradients come first, as was meant.

    Args:
        learning_rate: float, schedule or callable.
        momentum: [0, 1).
        bias_multiplier: factor on the learning rate of biases and batch-norm betas, 0 or more.
        l2: strength of the decay, 0 or more.
        decay: "fc": kernels of rank 2. "weights": all but biases and betas, that is kernels and
            batch-norm gammas. "all": every variable.
        name: of the optimiser.
        **kwargs: those of `keras.optimizers.Optimizer`, such as `gradient_accumulation_steps`.

    Raises:
        ValueError: an argument is out of its range.
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
        """Checks and keeps the arguments; see the class."""
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
        """Makes one accumulator per variable and settles each variable's rate and decay.

        Args:
            variables: the Keras variables to train, with the names that their layers gave them
                (`update_step` gets TensorFlow's variables, whose names differ).
        """
        if self.built:
            return
        super().build(variables)
        self._accumulators = self.add_optimizer_variables(variables, "accumulator")
        self._multipliers = [self.bias_multiplier if _is_bias(v) else 1.0 for v in variables]
        self._strengths = [self.l2 if DECAYS[self.decay](v) else 0.0 for v in variables]

    def update_step(self, gradient, variable, learning_rate):
        """Updates one variable; under a strategy `gradient` is the sum over the replicas."""
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
        """The loss that the decay descends: l2 * sum(w^2) / 2 over what `decay` selects.

        Args:
            variables: Keras variables of a model.

        Returns:
            float32 scalar; 0 where nothing decays.
        """
        squares = [
            keras.ops.sum(keras.ops.square(keras.ops.cast(variable, "float32")))
            for variable in variables
            if DECAYS[self.decay](variable)
        ]
        return keras.ops.cast(self.l2 / 2 * sum(squares), "float32")

    def get_config(self):
        """The arguments, for Keras's saving."""
        own = ("momentum", "bias_multiplier", "l2", "decay")
        return super().get_config() | {key: getattr(self, key) for key in own}


def staircase(learning_rate, decay_steps, factor=0.1):
    """A learning rate that is multiplied by `factor` after every `decay_steps` steps.

    Steps count from 0: steps 0 .. decay_steps - 1 use `learning_rate`, the next ones
    `learning_rate * factor`, and so on. Keras's own ExponentialDecay does this, as did TensorFlow
    1's exponential_decay(staircase=True) in the authors' code (x 0.1 every 20,000 steps).

    Args:
        learning_rate: of the first steps, above 0.
        decay_steps: steps from one decay to the next, 1 or more.
        factor: above 0.

    Returns:
        A `keras.optimizers.schedules.ExponentialDecay`.

    Raises:
        ValueError: a number is out of its range.
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
    """A learning rate that is multiplied by `factor` at certain steps.

    Args:
        learning_rate: of the first steps, above 0.
        steps: ascending whole numbers above 0; the first steps, counted from 0, at lower rates.
        factor: above 0.

    Returns:
        A `keras.optimizers.schedules.PiecewiseConstantDecay`.

    Raises:
        ValueError: a number is out of its range, or the steps do not ascend.
    """
    staircase(learning_rate, 1, factor)  # for its checks
    if not steps or sorted({0, *steps}) != [0, *steps]:
        raise ValueError(f"steps must ascend from 1. Received: steps={list(steps)}.")
    rates = [learning_rate * factor**stair for stair in range(len(steps) + 1)]
    boundaries = [step - 1 for step in steps]  # Keras: the last steps at the rates before
    return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, rates)


def build(
    optimisation: Optimisation, steps_per_epoch: int, precision: str = "float32"
) -> keras.optimizers.Optimizer:
    """The optimiser and its schedule; made inside the strategy's scope.

    Args:
        optimisation: the settings.
        steps_per_epoch: 1 or more.
        precision: of the layers; under mixed_float16 the loss is scaled, or small gradients would
            be 0.
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
