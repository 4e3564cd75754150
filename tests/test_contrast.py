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


# ---- with a queue, and triplets ------------------------------------------------------------------


def unit(*shape, seed=0):
    z = drawn(seed, *shape)
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


def test_queue_logits_term_by_term():
    """Column 0 is the positive, the last one the negative of the query's own."""
    q, k, n, queue = (unit(*shape, seed=s) for s, shape in enumerate([(3, 4)] * 3 + [(5, 4)]))
    for negative, columns in ((n, 7), (None, 6)):
        found = contrast.queue_logits(q, k, queue, negative, 0.07).numpy()
        assert found.shape == (3, columns)
        for i in range(3):
            others = [*queue, *([] if negative is None else [negative[i]])]
            expected = [float(np.dot(q[i], z)) / 0.07 for z in [k[i], *others]]
            np.testing.assert_allclose(found[i], expected, rtol=1e-4, atol=1e-4)


def test_softmax_loss_is_cross_entropy_of_column_0():
    logits = drawn(1, 4, 6, scale=5)
    expected = keras.losses.sparse_categorical_crossentropy(
        np.zeros(4, int), logits, from_logits=True
    )
    np.testing.assert_allclose(contrast.softmax_loss(logits), expected, rtol=1e-5)
    even = contrast.softmax_loss(np.zeros((2, 5002), np.float32))
    np.testing.assert_allclose(even, math.log(5002), rtol=1e-6)  # 8.52: the chance level


@pytest.mark.parametrize("videos", [1, 3570, 10**6])
def test_nce_is_the_published_formula_whatever_the_number_of_videos(videos):
    s = drawn(2, 4, 6, scale=2).astype(np.float64)
    mean = 3.7
    e = np.exp(s) / (mean * videos)
    m, chance = s.shape[1] - 1, 1 / videos
    expected = -np.log(e[:, 0] / (e[:, 0] + m * chance))
    expected -= np.log(m * chance / (e[:, 1:] + m * chance)).sum(1)
    found = contrast.nce_loss(s.astype(np.float32), math.log(mean))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_triplet_loss():
    """Distances 0 and sqrt(2), and a margin of 0.5: all there is, and nothing."""
    x, y = np.array([[1.0, 0]], np.float32), np.array([[0.0, 1]], np.float32)
    assert contrast.triplet_loss(x, x, y).numpy() == [0]
    np.testing.assert_allclose(contrast.triplet_loss(x, y, x), [math.sqrt(2) + 0.5], rtol=1e-5)
    np.testing.assert_allclose(contrast.triplet_loss(x, y, y, 0.3), [0.3], rtol=1e-5)
    with tf.GradientTape() as tape:
        same = tf.constant(x)
        tape.watch(same)
        loss = contrast.triplet_loss(same, same, y, margin=2.0)
    assert np.isfinite(tape.gradient(loss, same)).all()


def test_alignment_and_uniformity():
    """Uniformity of n equal points is 0; of two opposite ones -2 * 4."""
    q, k = unit(5, 3, seed=3), unit(5, 3, seed=4)
    np.testing.assert_allclose(contrast.alignment(q, k), ((q - k) ** 2).sum(1), rtol=1e-5)
    squares = [((q[i] - q[j]) ** 2).sum() for i in range(5) for j in range(5) if i != j]
    expected = math.log(np.mean(np.exp(-2 * np.array(squares))))
    np.testing.assert_allclose(contrast.uniformity(q), np.full(5, expected), rtol=1e-5)
    line = np.array([[1.0, 0], [-1, 0]], np.float32)
    np.testing.assert_allclose(contrast.uniformity(line), [-8, -8], rtol=1e-5)
    np.testing.assert_allclose(contrast.uniformity(np.repeat(line[:1], 4, 0)), 0, atol=1e-6)
    assert contrast.uniformity(line[:1]).numpy() == [0]


def test_the_row_of_another_example():
    rows = np.arange(5)[:, None]
    assert contrast.of_another(rows).numpy().ravel().tolist() == [1, 2, 3, 4, 0]
    assert contrast.of_another(rows, "reverse").numpy().ravel().tolist() == [4, 3, 2, 1, 0]


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


@pytest.mark.parametrize(
    ("order", "expected"), [("shift", [1, 2, 3, 0]), ("reverse", [3, 2, 1, 0])]
)
def test_another_example_may_be_on_another_replica(two_replicas, order, expected):
    def local(context):
        return tf.data.Dataset.range(4).batch(2)

    (batch,) = two_replicas.distribute_datasets_from_function(local)
    run = tf.function(lambda rows: contrast.of_another(rows, order))
    parts = two_replicas.experimental_local_results(two_replicas.run(run, args=(batch,)))
    assert np.concatenate([part.numpy() for part in parts]).tolist() == expected
