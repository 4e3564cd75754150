"""The optimiser against its recursion in NumPy, and two replicas against one device."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mas.training.optimizers import Momentum, staircase, stairs

STEPS, DECAY_STEPS, RATE, MOMENTUM, L2 = 7, 3, 0.1, 0.8, 0.05


def make_model():
    """A model with variables of each kind: conv kernel, bias, gamma, beta, dense kernel, bias."""
    inputs = keras.Input((4, 4, 4, 2))
    x = keras.layers.Conv3D(3, 3, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="norm", synchronized=True)(x)
    x = keras.layers.Flatten()(keras.layers.Activation("tanh")(x))
    model = keras.Model(inputs, keras.layers.Dense(2, name="fc")(x))
    for index, variable in enumerate(model.trainable_variables):
        variable.assign(np.random.default_rng([2, index]).normal(0, 0.3, variable.shape))
    return model


BIASES = {"conv/bias", "norm/beta", "fc/bias"}
DECAYED = {
    "fc": {"fc/kernel"},
    "weights": {"conv/kernel", "norm/gamma", "fc/kernel"},
    "all": {"conv/kernel", "norm/gamma", "fc/kernel"} | BIASES,
}


def values_of(variables):
    return {variable.path: np.array(variable.numpy()) for variable in variables}


def recursion(values, gradients, decayed, bias_multiplier):
    """a <- m a + g + l2 w; w <- w - lr a, in float64."""
    values = {name: value.astype(np.float64) for name, value in values.items()}
    accumulators = {name: 0.0 for name in values}
    for step, gradient in enumerate(gradients):
        rate = RATE * 0.1 ** (step // DECAY_STEPS)
        for name in values:
            decay = L2 * values[name] if name in decayed else 0
            accumulators[name] = MOMENTUM * accumulators[name] + gradient[name] + decay
            factor = bias_multiplier if name in BIASES else 1
            values[name] = values[name] - rate * factor * accumulators[name]
    return values


def random_gradients(variables, steps=STEPS):
    rng = np.random.default_rng(0)
    return [{v.path: rng.normal(size=v.shape) for v in variables} for _ in range(steps)]


def apply(optimizer, gradients, variables):
    for gradient in gradients:
        optimizer.apply([tf.constant(gradient[v.path], tf.float32) for v in variables], variables)


@pytest.mark.parametrize(
    ("decay", "bias_multiplier"), [("fc", 2.0), ("weights", 1.0), ("all", 3.0)]
)
def test_optimizer_equals_recursion_across_two_decays(decay, bias_multiplier):
    """Also checks the loss of the decay: half the squared norm."""
    variables = make_model().trainable_variables
    before = values_of(variables)
    assert set(before) == DECAYED["all"]
    gradients = random_gradients(variables)
    expected = recursion(before, gradients, DECAYED[decay], bias_multiplier)
    optimizer = Momentum(staircase(RATE, DECAY_STEPS), MOMENTUM, bias_multiplier, L2, decay)
    loss, square = (
        optimizer.decay_loss(variables),
        sum((before[n] ** 2).sum() for n in DECAYED[decay]),
    )
    assert loss.dtype == "float32" and float(loss) == pytest.approx(L2 / 2 * square, rel=1e-5)
    assert float(Momentum(0.1, decay="fc").decay_loss(variables[1:2])) == 0  # a bias
    apply(optimizer, gradients, variables)
    for name, value in values_of(variables).items():
        np.testing.assert_allclose(value, expected[name], atol=2e-6, err_msg=name)


def train(strategy):
    """Trains three steps on seeded batches, shared between replicas; returns all values."""
    with strategy.scope():
        model = make_model()
        optimizer = Momentum(staircase(0.1, 2), l2=L2, decay="all")
        optimizer.build(model.trainable_variables)

    def replica_step(clips, targets):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(clips, training=True) - targets) ** 2)
            loss /= strategy.num_replicas_in_sync  # apply sums the gradients
        optimizer.apply(tape.gradient(loss, model.trainable_variables))

    @tf.function
    def step(clips, targets):
        strategy.run(replica_step, args=(clips, targets))

    def spread(batch):
        parts = np.split(batch.astype(np.float32), strategy.num_replicas_in_sync)
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(parts[context.replica_id_in_sync_group])
        )

    rng = np.random.default_rng(3)
    for _ in range(3):
        step(spread(rng.normal(size=(8, 4, 4, 4, 2))), spread(rng.normal(size=(8, 2))))
    assert int(optimizer.iterations.numpy()) == 3
    return values_of(model.variables)


def test_two_replicas_equal_one_device(two_replicas):
    one, two = train(tf.distribute.OneDeviceStrategy("CPU:0")), train(two_replicas)
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, atol=1e-5, err_msg=name)


def test_loss_scaling_does_not_scale_weight_decay():
    """The loss scale divides the gradients before the optimiser adds its decay."""
    results = []
    for wrap in (lambda o: o, lambda o: keras.optimizers.LossScaleOptimizer(o, initial_scale=8.0)):
        variable = keras.Variable(np.ones((2, 2), np.float32), name="kernel")
        optimizer = wrap(Momentum(0.1, l2=0.5))
        optimizer.build([variable])
        scale = float(optimizer.scale_loss(tf.constant(1.0)))
        for _ in range(3):
            optimizer.apply([tf.fill((2, 2), 0.25 * scale)], [variable])
        results.append(variable.numpy())
    np.testing.assert_allclose(results[0], results[1], atol=1e-6)


def test_saved_model_resumes_with_optimizer(tmp_path):
    """A .keras file and a TensorFlow checkpoint both continue exactly."""

    def compiled():
        model = make_model()
        model.compile(Momentum(staircase(0.01, 2), 0.7, 3.0, 0.1, "all"), "mse")
        model.optimizer.build(model.trainable_variables)
        return model

    model, restored = compiled(), compiled()
    gradients = random_gradients(model.trainable_variables, 4)
    apply(model.optimizer, gradients[:1], model.trainable_variables)
    model.save(tmp_path / "model.keras")
    tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(str(tmp_path / "state"))
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    checkpoint = tf.train.Checkpoint(model=restored, optimizer=restored.optimizer)
    checkpoint.read(str(tmp_path / "state")).assert_existing_objects_matched()
    for each in (model, loaded, restored):
        assert each.optimizer.get_config() == model.optimizer.get_config()
        apply(each.optimizer, gradients[1:], each.trainable_variables)
        for ours, theirs in zip(model.get_weights(), each.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_staircase_equals_formula():
    schedule = staircase(0.001, 20000)
    rates = [float(schedule(step)) for step in (0, 19999, 20000, 39999, 40000, 60000, 79999)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-6, 1e-6], rel=1e-6)
    for decay_steps in (1, 49, 2829):  # no step lands on the wrong side by rounding
        schedule = staircase(1.0, decay_steps, 0.5)
        for stair in range(12):
            first, last = stair * decay_steps, (stair + 1) * decay_steps - 1
            assert float(schedule(first)) == float(schedule(last)) == 0.5**stair


def test_stairs_equal_formula():
    schedule = stairs(0.003, [1200, 1600, 2000])
    rates = [float(schedule(step)) for step in (0, 1199, 1200, 1599, 1600, 1999, 2000, 9999)]
    assert rates == pytest.approx([3e-3, 3e-3, 3e-4, 3e-4, 3e-5, 3e-5, 3e-6, 3e-6], rel=1e-6)
    assert float(stairs(1.0, [1], 0.3)(1)) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (Momentum, (0.1, 1.0), "momentum=1.0"),
        (Momentum, (0.1, 0.9, -1), "bias_multiplier=-1"),
        (Momentum, (0.1, 0.9, 2, -0.1), "l2=-0.1"),
        (Momentum, (0.1, 0.9, 2, 0.1, "kernels"), "decay='kernels'"),
        (staircase, (0.0, 5), "learning_rate=0.0"),
        (staircase, (0.1, 0), "decay_steps=0"),
        (staircase, (0.1, 5, 0), "factor=0"),
        (stairs, (0.0, [5]), "learning_rate=0.0"),
        *((stairs, (0.1, steps), "steps=") for steps in ([], [0, 3], [4, 2], [3, 3])),
    ],
)
def test_errors_name_argument_and_received_value(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)
