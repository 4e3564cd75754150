"""Losses: formulas in plain loops, large logits, and replicas equal to one device."""

import math

import numpy as np
import pytest
import tensorflow as tf

from mas import losses, replicas


def drawn(seed, *shape, scale=1.0):
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


def unit(*shape, seed=0):
    z = drawn(seed, *shape)
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


# ---- in a batch ----------------------------------------------------------------------------------


def reference(embeddings, groups, temperature=1.0):
    """The formula term by term in float64: the loss of each example."""
    z = np.asarray(embeddings, np.float64).reshape(-1, np.shape(embeddings)[-1])
    groups, found = np.ravel(groups), []
    for i in range(len(z)):
        e = [math.exp(z[i] @ other / temperature) for other in z]
        against = sum(e[k] for k in range(len(z)) if groups[k] != groups[i])
        positives = [j for j in range(len(z)) if j != i and groups[j] == groups[i]]
        terms = [-math.log(e[j] / (e[j] + against)) for j in positives]
        found.append(np.mean(terms) if terms else 0.0)
    return np.array(found).reshape(np.shape(embeddings)[:2]).mean(1)


PAIRS = np.repeat(np.arange(5), 2).reshape(5, 2)
PACES = np.array([[0, 1], [0, 0], [2, 1], [3, 0], [1, 2]])  # only one clip of pace 3
ONE_GROUP, APART = np.zeros((5, 2), int), np.arange(10).reshape(5, 2)  # no negative, no positive


@pytest.mark.parametrize("groups", [PAIRS, PACES, ONE_GROUP, APART])
def test_contrastive_loss_equals_formula(groups):
    z, temperature = drawn(0, 5, 2, 3), 0.2
    found = losses.contrast(z, groups, temperature, normalise=False)
    np.testing.assert_allclose(found, reference(z, groups, temperature), rtol=1e-5, atol=1e-7)
    with tf.GradientTape() as tape:
        variable = tf.Variable(z)
        loss = losses.contrast(variable, groups, temperature, normalise=False)
    for index, found in np.ndenumerate(tf.convert_to_tensor(tape.gradient(loss, variable))):
        step = np.zeros(z.shape)
        step[index] = 1e-5
        change = reference(z + step, groups, temperature) - reference(z - step, groups, temperature)
        assert found == pytest.approx(change.sum() / 2e-5, abs=1e-3)
    length = np.linalg.norm(z, axis=-1, keepdims=True)
    found = losses.contrast(7 * z, groups, temperature)
    expected = reference(z / length, groups, temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_known_values():
    """Orthogonal pairs give log(1 + 2 / e); identical clips give log(1 + 2)."""
    z = np.eye(2, dtype=np.float32)[:, None].repeat(2, 1)
    groups = np.array([[0, 0], [1, 1]])
    np.testing.assert_allclose(losses.contrast(z, groups, 1.0), np.log(1 + 2 / np.e), rtol=1e-6)
    np.testing.assert_allclose(losses.contrast(np.ones_like(z), groups), np.log(3), rtol=1e-6)


@pytest.mark.parametrize("groups", [PAIRS, PACES, ONE_GROUP])
def test_large_logits_and_zeros_stay_finite(groups):
    """e^89 is beyond float32; there the loss is linear: the largest negative less the positive."""
    for z, normalise in ((1e4 * drawn(3, 5, 2, 4), False), (np.zeros((5, 2, 4)), True)):
        z = tf.constant(z, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(z)
            loss = losses.contrast(z, groups, 1.0, normalise)
        assert np.isfinite(loss).all() and np.isfinite(tape.gradient(loss, z)).all()
        if groups is PAIRS and not normalise:
            flat = z.numpy().reshape(10, 4).astype(float)
            logits = flat @ flat.T
            own = np.ravel(groups)[:, None] == np.ravel(groups)
            against = np.where(own, -np.inf, logits).max(1)
            expected = np.maximum(0, against - logits[np.arange(10), np.arange(10) ^ 1])
            np.testing.assert_allclose(loss, expected.reshape(5, 2).mean(1), rtol=1e-3, atol=1)


# ---- with a queue, and triplets ------------------------------------------------------------------


def test_queue_logits_term_by_term():
    """Column 0 is the positive, the last column the query's own negative."""
    q, k, n, queue = (unit(*shape, seed=s) for s, shape in enumerate([(3, 4)] * 3 + [(5, 4)]))
    own = unit(3, 5, 4, seed=9)
    for negatives, negative in ((queue, n), (queue, None), (own, None)):
        found = losses.queue_logits(q, k, negatives, negative, 0.07).numpy()
        for i in range(3):
            others = [
                *(own[i] if negatives is own else queue),
                *([] if negative is None else [n[i]]),
            ]
            expected = [float(np.dot(q[i], z)) / 0.07 for z in [k[i], *others]]
            np.testing.assert_allclose(found[i], expected, rtol=1e-4, atol=1e-4)


def test_softmax_is_cross_entropy_of_column_0():
    logits = drawn(1, 4, 6, scale=5)
    expected = -np.log(np.exp(logits[:, 0]) / np.exp(logits).sum(1))
    np.testing.assert_allclose(losses.softmax(logits), expected, rtol=1e-4)
    np.testing.assert_allclose(losses.cross_entropy(np.zeros(4, int), logits), expected, rtol=1e-4)
    assert losses.accuracy(logits.argmax(1), logits).numpy().tolist() == [1] * 4
    assert losses.accuracy(logits.argmin(1), logits).numpy().tolist() == [0] * 4
    even = losses.softmax(np.zeros((2, 5002), np.float32))
    np.testing.assert_allclose(even, math.log(5002), rtol=1e-6)  # 8.52: the chance level


def test_squared_error_is_mean_over_outputs():
    x, y = drawn(0, 3, 4), drawn(1, 3, 4)
    np.testing.assert_allclose(losses.squared_error(x, y), ((x - y) ** 2).mean(1), rtol=1e-5)


def test_nce_equals_published_formula():
    s = drawn(2, 4, 6, scale=2).astype(np.float64)
    mean, m = 3.7, s.shape[1] - 1
    for videos in (1, 3570):
        e, chance = np.exp(s) / (mean * videos), 1 / videos
        expected = -np.log(e[:, 0] / (e[:, 0] + m * chance))
        expected -= np.log(m * chance / (e[:, 1:] + m * chance)).sum(1)
        found = losses.nce(s.astype(np.float32), math.log(mean))
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_triplet():
    """With distances 0 and sqrt(2) and a margin of 0.5, the loss is full or zero."""
    x, y = np.array([[1.0, 0]], np.float32), np.array([[0.0, 1]], np.float32)
    assert losses.triplet(x, x, y).numpy() == [0]
    np.testing.assert_allclose(losses.triplet(x, y, x), [math.sqrt(2) + 0.5], rtol=1e-5)
    np.testing.assert_allclose(losses.triplet(x, y, y, 0.3), [0.3], rtol=1e-5)
    with tf.GradientTape() as tape:
        same = tf.constant(x)
        tape.watch(same)
        loss = losses.triplet(same, same, y, margin=2.0)
    assert np.isfinite(tape.gradient(loss, same)).all()


def test_alignment_and_uniformity():
    """Uniformity of n equal points is 0; of two opposite ones -2 * 4."""
    q, k = unit(5, 3, seed=3), unit(5, 3, seed=4)
    np.testing.assert_allclose(losses.alignment(q, k), ((q - k) ** 2).sum(1), rtol=1e-5)
    squares = [((q[i] - q[j]) ** 2).sum() for i in range(5) for j in range(5) if i != j]
    expected = math.log(np.mean(np.exp(-2 * np.array(squares))))
    np.testing.assert_allclose(losses.uniformity(q), np.full(5, expected), rtol=1e-5)
    line = np.array([[1.0, 0], [-1, 0]], np.float32)
    np.testing.assert_allclose(losses.uniformity(line), [-8, -8], rtol=1e-5)
    assert losses.uniformity(line[:1]).numpy() == [0]


# ---- replicas ------------------------------------------------------------------------------------


def parts(strategy, *values):
    """Splits rows of each value between the replicas: 0, 1 and 2, 3, ..."""

    def own(value):
        return lambda context: np.split(value, strategy.num_replicas_in_sync)[
            context.replica_id_in_sync_group
        ]

    make = strategy.experimental_distribute_values_from_function
    return tuple(make(own(np.asarray(value))) for value in values)


def joined(strategy, values):
    return np.concatenate([part.numpy() for part in strategy.experimental_local_results(values)])


def test_two_replicas_give_loss_and_gradient_of_one_device(two_replicas):
    """Positives and negatives may be on the other replica."""
    x, groups = drawn(5, 8, 2, 6), np.random.default_rng(6).integers(0, 3, (8, 2))

    def gradients(strategy):
        with strategy.scope():
            kernel = tf.Variable(drawn(1, 6, 4))

        def step(x, groups):
            with tf.GradientTape() as tape:
                each = losses.contrast(x @ kernel, groups, 0.5)
                loss = tf.reduce_mean(each)
            return each, tape.gradient(loss, kernel)[None]

        each, gradient = strategy.run(tf.function(step), args=parts(strategy, x, groups))
        return joined(strategy, each), joined(strategy, gradient).mean(0)

    (loss, gradient), (other, total) = map(gradients, (tf.distribute.get_strategy(), two_replicas))
    np.testing.assert_allclose(other, loss, rtol=1e-5)
    np.testing.assert_allclose(total, gradient, atol=1e-5, rtol=1e-4)
    assert np.abs(gradient).max() > 0.01


def test_row_selection_works_across_replicas(two_replicas):
    rows = np.arange(4)
    expected = {
        "shift": ([1, 2, 3, 0], lambda x: replicas.of_another(x)),
        "reverse": ([3, 2, 1, 0], lambda x: replicas.of_another(x, "reverse")),
        "others": ([[1, 2, 3], [2, 3, 0], [3, 0, 1], [0, 1, 2]], lambda x: replicas.others(x)),
        "own": ([0, 1, 2, 3], lambda x: replicas.own(replicas.gathered(x), len(x))),
        "numbers": ([0, 1, 2, 3], lambda x: replicas.numbers(len(x))),
    }
    for name, (values, function) in expected.items():
        assert function(tf.constant(rows)).numpy().tolist() == values, name
        found = two_replicas.run(tf.function(function), args=parts(two_replicas, rows))
        assert joined(two_replicas, found).tolist() == values, name
