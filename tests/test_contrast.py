"""The contrastive loss: formulas in plain loops, large logits, and replicas that equal one."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from mas import optimizers
from mas.tasks import contrast


def drawn(seed, *shape, scale=1.0):
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


def reference(embeddings, groups, temperature=1.0):
    """The formula term by term in float64: the loss of each clip, in a flat batch."""
    z = np.asarray(embeddings, np.float64).reshape(-1, np.shape(embeddings)[-1])
    groups, losses = np.ravel(groups), []
    for i in range(len(z)):
        negatives = [
            math.exp(z[i] @ z[k] / temperature) for k in range(len(z)) if differ(groups, i, k)
        ]
        terms = []
        for j in range(len(z)):
            if j != i and groups[j] == groups[i]:
                positive = math.exp(z[i] @ z[j] / temperature)
                terms.append(-math.log(positive / (positive + sum(negatives))))
        losses.append(np.mean(terms) if terms else 0.0)
    return np.array(losses).reshape(np.shape(embeddings)[:2]).mean(1)


def differ(groups, i, k):
    return groups[i] != groups[k]


PAIRS = np.repeat(np.arange(5), 2).reshape(5, 2)
PACES = np.array([[0, 1], [0, 0], [2, 1], [3, 0], [1, 2]])  # only one clip of pace 3


@pytest.mark.parametrize("groups", [PAIRS, PACES, np.zeros((5, 2), int)])
@pytest.mark.parametrize("temperature", [1.0, 0.2])
def test_the_loss_is_the_formula(groups, temperature):
    z = drawn(0, 5, 2, 3)
    found = contrast.loss(z, groups, temperature, normalise=False)
    np.testing.assert_allclose(found, reference(z, groups, temperature), rtol=1e-5, atol=1e-7)
    unit = z / np.linalg.norm(z, axis=-1, keepdims=True)
    found = contrast.loss(7 * z, groups, temperature)
    np.testing.assert_allclose(found, reference(unit, groups, temperature), rtol=1e-4, atol=1e-7)


def test_one_positive_and_all_others_negative_is_simclr():
    """NT-Xent is the cross-entropy of the other view among all clips but the anchor itself."""
    z = contrast.normalised(drawn(1, 4, 2, 6))
    flat = tf.reshape(z, (8, 6))
    logits = tf.linalg.set_diag(flat @ tf.transpose(flat) / 0.5, tf.fill((8,), -np.inf))
    other = np.arange(8) ^ 1
    expected = keras.losses.sparse_categorical_crossentropy(other, logits, from_logits=True)
    found = contrast.loss(z, np.arange(4)[:, None].repeat(2, 1), 0.5)
    np.testing.assert_allclose(found, np.reshape(expected, (4, 2)).mean(1), rtol=1e-5)


def test_known_values():
    """Orthogonal pairs: log(1 + 2 / e) each; and all clips the same: log(1 + 2)."""
    z = np.eye(2, dtype=np.float32)[:, None].repeat(2, 1)
    groups = np.array([[0, 0], [1, 1]])
    np.testing.assert_allclose(contrast.loss(z, groups, 1.0), np.log(1 + 2 / np.e), rtol=1e-6)
    np.testing.assert_allclose(contrast.loss(np.ones_like(z), groups), np.log(3), rtol=1e-6)


def test_a_clip_without_positive_or_negative_counts_as_nothing():
    z = drawn(2, 2, 2, 3)
    assert contrast.loss(z, [[0, 1], [2, 3]]).numpy().tolist() == [0, 0]
    assert contrast.loss(z, [[0, 0], [0, 0]]).numpy().tolist() == [0, 0]
    half = contrast.loss(z, [[0, 1], [1, 2]])
    assert (half.numpy() > 0).all(), "clips 1 and 2 have each other"


@pytest.mark.parametrize("scale", [1e2, 1e4, 1e8])
@pytest.mark.parametrize("groups", [PAIRS, PACES, np.zeros((5, 2), int)])
def test_large_logits_stay_finite(scale, groups):
    """e^89 is beyond float32; there the loss is linear: the largest negative less the positive."""
    z = tf.constant(scale * drawn(3, 5, 2, 4))
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss = contrast.loss(z, groups, 1.0, normalise=False)
    assert np.isfinite(loss).all() and np.isfinite(tape.gradient(loss, z)).all()
    if groups is PAIRS:
        flat = z.numpy().reshape(10, 4).astype(float)
        logits = flat @ flat.T
        own = np.ravel(groups)[:, None] == np.ravel(groups)
        against = np.where(own, -np.inf, logits).max(1)
        expected = np.maximum(0, against - logits[np.arange(10), np.arange(10) ^ 1])
        np.testing.assert_allclose(loss, expected.reshape(5, 2).mean(1), rtol=1e-3, atol=1)


def test_a_zero_embedding_has_a_gradient():
    z = tf.constant(np.concatenate([np.zeros((1, 2, 3)), drawn(4, 2, 2, 3)]).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss = contrast.loss(z, [[0, 0], [1, 1], [2, 2]])
    assert np.isfinite(tape.gradient(loss, z)).all()


# ---- replicas ------------------------------------------------------------------------------------


def train(strategy, parts, groups, normalise):
    """Losses, first gradient and last weights of three steps on a layer of embeddings."""
    x = drawn(5, 8, 2, 6)
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, name="out")])
        optimizer = optimizers.Momentum(0.1, l2=0)
        optimizer.build(model.trainable_variables)

    def step(x, groups):
        with tf.GradientTape() as tape:
            z = tf.reshape(model(tf.reshape(x, (-1, 6))), (-1, 2, 4))
            loss = tf.reduce_mean(contrast.loss(z, groups, 0.5, normalise))
            scaled = loss / strategy.num_replicas_in_sync
        gradients = tape.gradient(scaled, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss, gradients[0]

    @tf.function
    def run(x, groups):
        loss, gradient = strategy.run(step, args=(x, groups))
        total = strategy.reduce(tf.distribute.ReduceOp.SUM, gradient, axis=None)
        return strategy.reduce(tf.distribute.ReduceOp.MEAN, loss, axis=None), total

    def local(context):
        return tf.data.Dataset.from_tensor_slices((x, groups)).batch(8 // parts)

    numbers = []
    for _ in range(3):
        for batch in strategy.distribute_datasets_from_function(local):
            numbers.append([value.numpy() for value in run(*batch)])
    return numbers, [variable.numpy() for variable in model.variables]


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("kind", ["context", "pace"])
def test_two_replicas_have_the_loss_and_gradient_of_one(two_replicas, kind, normalise):
    groups = {
        "context": np.arange(8)[:, None].repeat(2, 1),
        "pace": np.random.default_rng(6).integers(0, 3, (8, 2)),
    }[kind]
    one, expected = train(tf.distribute.get_strategy(), 1, groups, normalise)
    two, values = train(two_replicas, 2, groups, normalise)
    assert len(one) == len(two) == 3
    for (loss, gradient), (other, total) in zip(one, two, strict=True):
        assert other == pytest.approx(loss, rel=1e-5)
        np.testing.assert_allclose(total, gradient, atol=1e-5, rtol=1e-4)
        assert np.abs(gradient).max() > 0.01
    for value, reference in zip(values, expected, strict=True):
        np.testing.assert_allclose(value, reference, atol=1e-5, rtol=0)


def test_clips_of_other_replicas_are_met(two_replicas):
    """Each replica alone has a single group: without gathering there would be no negative."""
    z = drawn(7, 2, 2, 3)
    groups = np.array([[0, 0], [1, 1]])

    def local(context):
        return tf.data.Dataset.from_tensor_slices((z, groups)).batch(1)

    (batch,) = two_replicas.distribute_datasets_from_function(local)
    found = two_replicas.run(tf.function(contrast.loss), args=batch)
    found = np.concatenate(
        [part.numpy() for part in two_replicas.experimental_local_results(found)]
    )
    np.testing.assert_allclose(found, contrast.loss(z, groups), rtol=1e-5)
    assert (found > 0).all()
