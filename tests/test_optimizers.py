"""The optimiser against its recursion written in NumPy, and two replicas against one device."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mas.optimizers import Momentum, staircase, stairs

STEPS, DECAY_STEPS, RATE, MOMENTUM, L2 = 7, 3, 0.1, 0.8, 0.05


def make_model():
    """One of each kind: conv kernel, bias, batch-norm gamma and beta, dense kernel, bias."""
    inputs = keras.Input((4, 4, 4, 2))
    x = keras.layers.Conv3D(3, 3, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="norm", synchronized=True)(x)
    x = keras.layers.Flatten()(keras.layers.Activation("tanh")(x))
    return keras.Model(inputs, keras.layers.Dense(2, name="fc")(x))


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


def random_gradients(variables, seed=0):
    rng = np.random.default_rng(seed)
    return [{v.path: rng.normal(size=v.shape) for v in variables} for _ in range(STEPS)]


@pytest.mark.parametrize("bias_multiplier", [2.0, 1.0])
@pytest.mark.parametrize("decay", list(DECAYED))
def test_closed_recursion_across_two_decays(decay, bias_multiplier):
    variables = make_model().trainable_variables
    assert {variable.path for variable in variables} == DECAYED["all"]
    for index, variable in enumerate(variables):
        values = np.random.default_rng([1, index]).normal(size=variable.shape)
        variable.assign(values.astype(np.float32))
    gradients = random_gradients(variables)
    expected = recursion(values_of(variables), gradients, DECAYED[decay], bias_multiplier)
    optimizer = Momentum(staircase(RATE, DECAY_STEPS), MOMENTUM, bias_multiplier, L2, decay)
    for gradient in gradients:
        optimizer.apply([tf.constant(gradient[v.path], tf.float32) for v in variables], variables)
    for name, value in values_of(variables).items():
        np.testing.assert_allclose(value, expected[name], atol=2e-6, err_msg=name)


def test_differs_from_keras_sgd_after_a_decay_alone():
    ours, theirs = keras.Variable(1.0, name="kernel"), keras.Variable(1.0, name="kernel")
    momentum = Momentum(staircase(0.1, 2), 0.9, l2=0.0)
    sgd = keras.optimizers.SGD(staircase(0.1, 2), 0.9)
    differences = []
    for _ in range(3):
        momentum.apply([tf.constant(1.0)], [ours])
        sgd.apply([tf.constant(1.0)], [theirs])
        differences.append(float(ours.value - theirs.value))
    assert differences[:2] == pytest.approx([0, 0], abs=1e-7)
    # a = 1, 1.9, 2.71. Ours: 0.01 * 2.71; Keras: 0.9 * 0.19 + 0.01.
    assert differences[2] == pytest.approx(0.181 - 0.0271, abs=1e-6)


def test_decay_loss_is_half_the_square_and_its_gradient_the_decay():
    model = make_model()
    values = values_of(model.trainable_variables)
    for decay, names in DECAYED.items():
        optimizer = Momentum(0.1, l2=L2, decay=decay)
        expected = L2 * sum((values[name] ** 2).sum() for name in names) / 2
        loss = optimizer.decay_loss(model.trainable_variables)
        assert loss.dtype == "float32"
        assert float(loss) == pytest.approx(expected, rel=1e-5)
    bias = keras.Variable([1.0], name="bias")
    assert float(Momentum(0.1, decay="fc").decay_loss([bias])) == 0


def test_decay_equals_the_loss_term():
    """The decay inside the optimiser against the same written into the loss."""
    inside, outside = make_model(), make_model()
    outside.set_weights(inside.get_weights())
    clips = np.random.default_rng(0).normal(size=(4, 4, 4, 4, 2)).astype(np.float32)
    own = Momentum(0.1, l2=0.5, decay="weights")
    plain = Momentum(0.1, l2=0.0)
    for model, optimizer in ((inside, own), (outside, plain)):
        for _ in range(3):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(model(clips, training=True) ** 2)
                if optimizer is plain:
                    loss += own.decay_loss(model.trainable_variables)
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply(gradients, model.trainable_variables)
    for ours, theirs in zip(inside.get_weights(), outside.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def spread(strategy, batch):
    """A batch as one value per replica, in equal parts."""
    parts = np.split(batch, strategy.num_replicas_in_sync)
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(parts[context.replica_id_in_sync_group])
    )


def train(strategy, decay):
    """Five steps on seeded batches, each replica with its share; all values at the end."""
    with strategy.scope():
        model = make_model()
        for index, variable in enumerate(model.trainable_variables):
            variable.assign(np.random.default_rng([2, index]).normal(0, 0.3, variable.shape))
        optimizer = Momentum(staircase(0.1, 2), l2=L2, decay=decay)
        optimizer.build(model.trainable_variables)

    def replica_step(clips, targets):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(clips, training=True) - targets) ** 2)
            loss /= strategy.num_replicas_in_sync  # apply sums the gradients
        optimizer.apply(tape.gradient(loss, model.trainable_variables))

    @tf.function
    def step(clips, targets):
        strategy.run(replica_step, args=(clips, targets))

    rng = np.random.default_rng(3)
    for _ in range(5):
        clips = rng.normal(size=(8, 4, 4, 4, 2)).astype(np.float32)
        targets = rng.normal(size=(8, 2)).astype(np.float32)
        step(spread(strategy, clips), spread(strategy, targets))
    assert int(optimizer.iterations.numpy()) == 5
    return values_of(model.variables)


@pytest.mark.parametrize("decay", ["fc", "all"])
def test_two_replicas_equal_one_device(decay, two_replicas):
    one = train(tf.distribute.OneDeviceStrategy("CPU:0"), decay)
    two = train(two_replicas, decay)
    assert two_replicas.num_replicas_in_sync == 2
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, atol=1e-5, err_msg=name)


def test_under_loss_scaling_the_decay_is_not_scaled():
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


def test_fit_under_mixed_precision_keeps_float32_variables():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = make_model()
    finally:
        keras.config.set_dtype_policy(policy)
    model.compile(Momentum(0.01), "mse")
    before = values_of(model.trainable_variables)
    model.fit(np.ones((2, 4, 4, 4, 2), np.float32), np.ones((2, 2), np.float32), verbose=0)
    assert {variable.dtype for variable in model.optimizer._accumulators} == {"float32"}
    after = values_of(model.trainable_variables)
    assert np.abs(after["fc/kernel"] - before["fc/kernel"]).max() > 0


def test_saved_model_resumes_with_its_optimiser(tmp_path):
    """A .keras file and a TensorFlow checkpoint both carry on as if nothing had happened."""
    data = np.random.default_rng(0).normal(size=(2, 4, 4, 4, 2)).astype(np.float32)
    goal = np.ones((2, 2), np.float32)
    model = make_model()
    model.compile(Momentum(staircase(0.01, 2), 0.7, 3.0, 0.1, "all"), "mse")
    model.fit(data, goal, verbose=0)
    model.save(tmp_path / "model.keras")
    tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(str(tmp_path / "state"))
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    restored = make_model()
    restored.compile(Momentum(staircase(0.01, 2), 0.7, 3.0, 0.1, "all"), "mse")
    restored.optimizer.build(restored.trainable_variables)
    checkpoint = tf.train.Checkpoint(model=restored, optimizer=restored.optimizer)
    checkpoint.read(str(tmp_path / "state")).assert_existing_objects_matched()
    for other in (loaded, restored):
        assert other.optimizer.get_config() == model.optimizer.get_config()
    for each in (model, loaded, restored):
        each.fit(data, goal, epochs=3, verbose=0)
    for other in (loaded, restored):
        for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_staircase():
    schedule = staircase(0.001, 20000)
    rates = [float(schedule(step)) for step in (0, 19999, 20000, 39999, 40000, 60000, 79999)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-6, 1e-6], rel=1e-6)
    assert float(staircase(0.0005, 7, 0.5)(14)) == pytest.approx(0.000125)
    for decay_steps in (1, 3, 49, 2829):  # no step lands on the wrong side by rounding
        schedule = staircase(1.0, decay_steps, 0.5)
        for stair in range(12):
            first, last = stair * decay_steps, (stair + 1) * decay_steps - 1
            assert float(schedule(first)) == float(schedule(last)) == 0.5**stair


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\). Received: momentum=1.0"),
        ({"bias_multiplier": -1}, "bias_multiplier must be 0 or more. Received: .*=-1"),
        ({"l2": -0.1}, "l2 must be 0 or more. Received: l2=-0.1"),
        ({"decay": "kernels"}, r"decay must be one of \['fc', 'weights', 'all'\]. Received"),
    ],
)
def test_optimiser_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        Momentum(0.1, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 5), "learning_rate must be above 0"),
        ((0.1, 0), "decay_steps must be 1 or more. Received: decay_steps=0"),
        ((0.1, 5, 0), "factor must be above 0. Received: factor=0"),
    ],
)
def test_staircase_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        staircase(*arguments)


def test_stairs():
    schedule = stairs(0.003, [1200, 1600, 2000])
    rates = [float(schedule(step)) for step in (0, 1199, 1200, 1599, 1600, 1999, 2000, 9999)]
    assert rates == pytest.approx([3e-3, 3e-3, 3e-4, 3e-4, 3e-5, 3e-5, 3e-6, 3e-6], rel=1e-6)
    assert float(stairs(1.0, [1], 0.3)(1)) == pytest.approx(0.3)


@pytest.mark.parametrize("steps", [[], [0, 3], [4, 2], [3, 3]])
def test_stairs_must_ascend(steps):
    with pytest.raises(ValueError, match="steps must ascend from 1. Received"):
        stairs(0.1, steps)
