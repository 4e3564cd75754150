"""Query encoder, key encoder and queue: each step against NumPy, replicas, checkpoints."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mas import backbones, losses, tasks, training
from mas.settings import Clip
from mas.tasks.momentum import MomentumEncoder
from mas.training import optimizers

SHAPE = (2, 4, 4, 1)


def model_of(seed=0, norm=None, size=5):
    """A model from a clip to a unit vector, small enough to follow; optionally with batch norm."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input(SHAPE)
    x = keras.layers.Flatten()(inputs)
    x = keras.layers.Dense(6, name="hidden")(x)
    if norm is not None:
        x = keras.layers.BatchNormalization(synchronized=norm, momentum=0.5, name="norm")(x)
    x = keras.layers.Dense(size, name="linear")(keras.layers.ReLU()(x))
    outputs = {"embedding": keras.layers.UnitNormalization()(x)}
    return keras.Model(inputs, outputs)


def clips_of(batch, views, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, views, *SHAPE)).astype(np.float32)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


# ---- one device ----------------------------------------------------------------------------------


def test_initial_state():
    """Rows of length 1, the key encoder equal to the query encoder, the pointer at 0."""
    model = model_of(norm=False)
    model.get_layer("norm").moving_mean.assign(np.arange(6))
    encoders = MomentumEncoder(model, 300)
    queue = encoders.queue.numpy()
    np.testing.assert_allclose(np.linalg.norm(queue, axis=1), 1, rtol=1e-6)
    assert queue.shape == (300, 5) and abs(queue.mean()) < 0.05, "all directions"
    assert len(np.unique(queue[:, 0])) > 290 and int(encoders.pointer) == 0
    for key, query in zip(encoders.key_model.variables, model.variables, strict=True):
        assert key is not query
        np.testing.assert_array_equal(key, query)


@pytest.mark.parametrize("views", [2, 3])
def test_logits_are_positive_queue_and_own_negative(views):
    """No key of this batch is among them: keys enter the queue after the logits."""
    model = model_of()
    encoders = MomentumEncoder(model, 7, temperature=0.2)
    encoders.key_model.get_layer("linear").bias.assign(np.arange(5))
    queue, x = encoders.queue.numpy(), clips_of(4, views)
    found = encoders(x, training=True)
    q, k = model(x[:, 0])["embedding"], encoders.key_model(x[:, 1])["embedding"]
    expected = [np.sum(q * k, 1), *(queue @ np.transpose(q))]
    parts = [q, k]
    if views == 3:
        n = model(x[:, 2])["embedding"]
        expected.append(np.sum(q * n, 1))
        parts.append(n)
    np.testing.assert_allclose(found["logits"], np.stack(expected, 1) / 0.2, atol=1e-5)
    np.testing.assert_allclose(found["embedding"], np.stack(parts, 1), atol=1e-6)
    np.testing.assert_allclose(encoders.queue.numpy()[:4], k, atol=1e-6)
    np.testing.assert_array_equal(encoders.queue.numpy()[4:], queue[4:])


def test_queue_is_fifo_and_wraps():
    encoders = MomentumEncoder(model_of(), 7)
    rows = list(encoders.queue.numpy())
    for step in range(5):
        x = clips_of(3, 2, seed=step)
        encoders(x, training=True)
        for place, key in enumerate(encoders.key_model(x[:, 1])["embedding"].numpy()):
            rows[(3 * step + place) % 7] = key
        np.testing.assert_allclose(encoders.queue, rows, atol=1e-6)
        assert int(encoders.pointer) == 3 * (step + 1) % 7
        np.testing.assert_allclose(np.linalg.norm(encoders.queue, axis=1), 1, rtol=1e-5)


def test_state_is_constant_outside_training():
    encoders = MomentumEncoder(model_of(norm=False), 7)
    before = [variable.numpy() for variable in encoders.variables]
    encoders(clips_of(3, 3))
    for variable, value in zip(encoders.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    with pytest.raises(ValueError, match="8 rows of a batch.*queue=7"):
        encoders(clips_of(8, 2), training=True)


def test_without_queue_other_keys_of_batch_are_negatives():
    model = model_of()
    x = clips_of(4, 3)
    found = MomentumEncoder(model, 0, temperature=0.5)(x, training=True)
    q, k, n = np.moveaxis(found["embedding"].numpy(), 1, 0)
    for i in range(4):
        others = [k[(i + step) % 4] for step in (1, 2, 3)]
        expected = [q[i] @ z / 0.5 for z in (k[i], *others, n[i])]
        np.testing.assert_allclose(found["logits"][i], expected, atol=1e-5)


def test_key_encoder_is_moving_average_with_own_statistics():
    model = model_of(norm=False)
    encoders = MomentumEncoder(model, 8, momentum=0.9)
    start = [variable.numpy() for variable in encoders.key_model.trainable_variables]
    for variable in model.variables:
        variable.assign(variable + 1.0)
    encoders.update()
    for key, first in zip(encoders.key_model.trainable_variables, start, strict=True):
        np.testing.assert_allclose(key, 0.9 * first + 0.1 * (first + 1), rtol=1e-5, atol=1e-6)
    norm = encoders.key_model.get_layer("norm")
    np.testing.assert_array_equal(norm.moving_mean, np.zeros(6))
    assert MomentumEncoder(model, 8, momentum=0.0).key_model is model, "it makes the keys itself"


def test_gradient_reaches_negative_but_not_keys():
    model, x = model_of(), clips_of(4, 3)
    encoders = MomentumEncoder(model, 8)
    weights = [network.get_layer("linear").kernel for network in (model, encoders.key_model)]
    reached = []
    with tf.GradientTape(persistent=True) as tape:
        views = tf.unstack(encoders(x)["embedding"][..., 0], axis=1)
    for view in views:
        gradients = tape.gradient(view, [weight.value for weight in weights])
        reached.append([gradient is not None and bool(np.any(gradient)) for gradient in gradients])
    assert reached == [[True, False], [False, False], [True, False]]


@pytest.mark.parametrize("key_norm", ["batch", "initial"])
def test_key_encoder_batch_norm_modes(key_norm):
    """Batch statistics as in VTDL and DSM; mean 0 and variance 1 as in DSM's MoCo baseline."""
    model = model_of(norm=False)
    model.get_layer("norm").moving_mean.assign(np.arange(6))  # as after --init
    model.get_layer("norm").moving_variance.assign(np.full(6, 9.0))
    encoders = MomentumEncoder(model, 8, key_norm=key_norm)
    x = clips_of(6, 2)
    for _ in range(3):
        found = encoders(x, training=True)["embedding"][:, 1]
    key = encoders.key_model
    hidden = key.get_layer("hidden")(x[:, 1].reshape(6, -1)).numpy()
    mean, variance = (hidden.mean(0), hidden.var(0)) if key_norm == "batch" else (0.0, 1.0)
    normed = np.maximum((hidden - mean) / np.sqrt(variance + 1e-3), 0)
    expected = unit(key.get_layer("linear")(normed).numpy())
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.any(key.get_layer("norm").moving_mean) == (key_norm == "batch")


@pytest.mark.parametrize(
    ("name", "passes"),
    [("moco", (2, 0)), ("vtdl", (0, 2)), ("dsm", (0, 2)), ("dsm_triplet", (1, 2, 0))],
)
def test_running_means_follow_authors_order_of_views(name, passes):
    """MoCo n, q; VTDL and DSM q, n; the triplet's one network k, n, q. Keys have their own."""
    model, x = model_of(norm=False), clips_of(5, 3)
    tasks.task(name, negative="intra").encoders(model)(x, training=True)
    mean = np.zeros(6)
    for view in passes:
        hidden = model.get_layer("hidden")(x[:, view].reshape(5, -1)).numpy()
        mean = 0.5 * mean + 0.5 * hidden.mean(0)
    np.testing.assert_allclose(model.get_layer("norm").moving_mean, mean, atol=1e-6)


def test_each_view_has_separate_statistics():
    """Queries do not depend on the negatives in the batch."""
    encoders = MomentumEncoder(model_of(norm=False), 8)
    x = clips_of(5, 3)
    other = x.copy()
    other[:, 2] *= 10
    first, second = (encoders(batch, training=True)["embedding"][:, 0] for batch in (x, other))
    np.testing.assert_array_equal(first, second)


# ---- the step of the trainer ---------------------------------------------------------------------


def trainer_of(strategy, negative="inter", **options):
    options = {"queue": 7, "temperature": 0.3, "key_momentum": 0.9} | options
    task = tasks.MoCo(negative=negative, **options)
    with strategy.scope():
        optimizer = optimizers.Momentum(0.1, l2=0.01)
        return training.Trainer(task, model_of(norm=True), optimizer, strategy)


def train(strategy, parts, steps=3, **options):
    """Trains a few steps; returns the numbers of each step, and all variables."""
    trainer, found = trainer_of(strategy, **options), []
    step, views = trainer.step_function(), 2 if options.get("negative") == "none" else 3
    for number in range(steps):

        def local(context, number=number):
            x = clips_of(4, views, seed=number)
            return tf.data.Dataset.from_tensor_slices((x, {})).batch(4 // parts)

        (batch,) = strategy.distribute_datasets_from_function(local)
        found.append(step(*batch).numpy())
    return trainer, np.array(found), [variable.numpy() for variable in trainer.variables]


def test_step_follows_published_order():
    """Logits and gradient with the old keys, then the optimiser, then the average."""
    trainer, numbers, _ = train(training.strategy("none"), 1, steps=1)
    model = model_of(norm=True)
    encoders = MomentumEncoder(model, 7, 0.9, 0.3, inter=True)
    with tf.GradientTape() as tape:
        logits = encoders(clips_of(4, 3), training=True)["logits"]
        loss = tf.reduce_mean(losses.softmax(logits))
    optimizer = optimizers.Momentum(0.1, l2=0.01)
    gradients = tape.gradient(loss, model.trainable_variables)
    before = [variable.numpy() for variable in encoders.key_model.trainable_variables]
    optimizer.apply(gradients, model.trainable_variables)
    assert numbers[0, 0] == pytest.approx(float(loss), rel=1e-5)
    own = trainer._encoders
    for found, key, query in zip(
        own.key_model.trainable_variables, before, model.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(found, 0.9 * key + 0.1 * query.numpy(), atol=1e-6)
    np.testing.assert_allclose(own.queue, encoders.queue, atol=1e-6)


@pytest.mark.parametrize(
    "options", [{"negative": "inter", "loss": "nce"}, {"negative": "none", "queue": 0}]
)
def test_two_replicas_share_one_queue(two_replicas, options):
    """Loss, metrics, gradient, key encoder and queue of one device with the whole batch."""
    _, one, expected = train(training.strategy("none"), 1, **options)
    trainer, two, values = train(two_replicas, 2, **options)
    np.testing.assert_allclose(two, one, atol=1e-5)
    for value, reference in zip(values, expected, strict=True):
        np.testing.assert_allclose(value, reference, atol=1e-5)
    queues = two_replicas.experimental_local_results(trainer._encoders.queue)
    assert len(queues) == 2
    np.testing.assert_array_equal(*(queue.numpy() for queue in queues))


def in_colours(norm):
    """The small network inside another model with a uint8 input."""
    inner = model_of(norm=norm)
    inputs = keras.Input(SHAPE, dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    return keras.Model(inputs, {"embedding": inner(x)["embedding"]})


def test_keys_are_shuffled_across_replicas(two_replicas):
    """The positive must not share its statistics with the anchor; each key keeps its place."""
    with two_replicas.scope():
        shuffling, synchronised = (MomentumEncoder(in_colours(norm), 8) for norm in (False, True))
    assert shuffling._shuffles and not synchronised._shuffles
    assert not MomentumEncoder(in_colours(False), 8)._shuffles, "a single replica has one batch"
    x = np.random.default_rng(0).integers(0, 256, (6, 2, *SHAPE)).astype(np.uint8)

    def local(context):
        return tf.data.Dataset.from_tensors(x).unbatch().batch(3)

    (batch,) = two_replicas.distribute_datasets_from_function(local)
    run = tf.function(lambda part: shuffling(part, training=True)["embedding"][:, 1])
    parts = two_replicas.experimental_local_results(two_replicas.run(run, args=(batch,)))
    found = np.concatenate([part.numpy() for part in parts])
    order = tf.random.experimental.stateless_shuffle(tf.range(6), [0, 0]).numpy()
    assert set(order[:3]) not in ({0, 1, 2}, {3, 4, 5}), "else nothing was shuffled"
    model, expected = in_colours(False), np.zeros((6, 5), np.float32)
    for half in (order[:3], order[3:]):
        expected[half] = model(x[half, 1], training=True)["embedding"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(shuffling.queue.numpy()[:6], found, atol=1e-6)


@pytest.mark.parametrize(
    "name", [n if n == "i3d" else pytest.param(n, marks=pytest.mark.slow) for n in backbones.NAMES]
)
def test_every_backbone_gets_a_key_encoder(name):
    """The key encoder is a copy with the same embeddings, for every network."""
    task = tasks.MoCo(queue=4).bound(Clip(8, 32, (44, 32)))
    model = task.model(backbones.backbone(name, (8, 32, 32, 3), 1 / 16, "standard", "he"))
    encoders = task.encoders(model)
    x = np.random.default_rng(0).integers(0, 256, (1, 1, 8, 32, 32, 3)).astype(np.uint8)
    q, k = encoders(x.repeat(2, 1))["embedding"][0]
    np.testing.assert_allclose(q, k, atol=1e-5)
    assert encoders.key_model is not model and np.linalg.norm(q) == pytest.approx(1, abs=1e-4)
