"""Losses as functions of arrays, with one value per example, and their building blocks.

Classification and regression: cross-entropy, squared error.

Contrast within a batch (pace):

    l_ij = z_i . z_j / temperature
    loss of anchor i = mean over its positives j of  -log( e^l_ij / (e^l_ij + sum_k e^l_ik) )

with k over the negatives of i. With one positive this is InfoNCE; if the negatives are all other
clips, it is SimCLR's loss. With several positives, their losses are averaged.

Contrast with a queue (MoCo, VTDL, DSM): one row of logits per query, with the positive in column 0;
and triplets.

With several replicas, each compares its own anchors with the clips of all replicas
(`mas.replicas`), so loss and gradient equal those of a single device with the whole batch.
"""

from mas import lazy, replicas

keras = lazy.module("keras")
tf = lazy.module("tensorflow")

NONE = -1e30  # log of an empty sum; finite, so that no gradient is NaN


def cross_entropy(labels, logits):
    """Computes the cross-entropy of each example.

    >>> round(float(cross_entropy([1], [[0.0, 0.0]])[0]), 4)
    0.6931

    Args:
        labels: int (...), class indices.
        logits: float (..., classes).

    Returns:
        float32 (...).
    """
    labels, logits = tf.convert_to_tensor(labels), tf.convert_to_tensor(logits)
    return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def accuracy(labels, logits):
    """Returns 1 if the largest logit is the label's, else 0, as float32 (...)."""
    return keras.metrics.sparse_categorical_accuracy(labels, logits)


def squared_error(targets, outputs):
    """Computes the mean squared error of each example: (N, D) each -> float32 (N,).

    >>> squared_error([[1.0, 2.0]], [[0.0, 4.0]]).numpy().tolist()
    [2.5]
    """
    return tf.reduce_mean(tf.square(tf.subtract(outputs, targets)), -1)


def contrast(embeddings, groups, temperature=0.1, normalise=True):
    """Computes the contrastive loss of each example, with positives defined by groups.

    Args:
        embeddings: float32 (N, views, D).
        groups: int (N, views). The positives of a clip are all other clips of its group in the
            batch; its negatives are the clips of other groups.
        temperature: temperature, above 0.
        normalise: whether to L2-normalise the embeddings.

    Returns:
        float32 (N,), the mean over the clips of an example. Clips without a positive or a negative
        have loss 0.
    """
    shape = tf.shape(embeddings)
    anchors = tf.reshape(embeddings, (-1, embeddings.shape[-1]))
    groups = tf.reshape(groups, (-1,))
    if normalise:
        anchors = normalised(anchors)
    clips = replicas.numbers(tf.shape(anchors)[0])
    same_clip = clips[:, None] == replicas.gathered(clips)[None]
    same_group = groups[:, None] == replicas.gathered(groups)[None]
    logits = similarity(anchors, replicas.gathered(anchors), temperature)
    each = info_nce(logits, same_group & ~same_clip, ~same_group)
    return tf.reduce_mean(tf.reshape(each, shape[:2]), 1)


def normalised(embeddings):
    """L2-normalises embeddings (..., D); 0 remains 0."""
    return tf.math.l2_normalize(embeddings, axis=-1)


def similarity(anchors, keys, temperature=1.0):
    """Computes dot products divided by the temperature: (A, D) and (K, D) -> (A, K)."""
    return tf.matmul(anchors, keys, transpose_b=True) / temperature


def info_nce(logits, positives, negatives):
    """Computes InfoNCE, averaged over the positives of each anchor.

    Written as softplus(log sum_k e^l_ik - l_ij), which is exact and finite for any logits.

    Args:
        logits: float32 (A, K), similarities of anchors and keys.
        positives: bool (A, K).
        negatives: bool (A, K).

    Returns:
        float32 (A,); 0 for anchors without positives or without negatives.
    """
    against = log_sum_exp(logits, negatives)
    terms = tf.nn.softplus(against[:, None] - logits)
    positives = tf.cast(positives, logits.dtype)
    count = tf.reduce_sum(positives, 1)
    return tf.reduce_sum(positives * terms, 1) / tf.maximum(count, 1)


def log_sum_exp(logits, chosen):
    """Computes log-sum-exp over the chosen logits of each row; `NONE` if no logits are chosen."""
    return tf.reduce_logsumexp(tf.where(chosen, logits, NONE), axis=1)


def queue_logits(query, key, queue, negative=None, temperature=0.07):
    """Computes the logits of MoCo: positive, queue, and optionally each query's own negative.

        s_i = [q_i . k_i, q_i . m_1, ..., q_i . m_K, q_i . n_i] / temperature

    All embeddings have length 1. Source: VTDL, equation of the loss; without the last column, MoCo
    (CVPR 2020).

    Args:
        query: float32 (N, D).
        key: (N, D), the positives.
        queue: (K, D), or (N, K, D) if each query has its own negatives; K may be 0.
        negative: (N, D), a negative for each query; None omits the last column.
        temperature: temperature, above 0.

    Returns:
        float32 (N, K + 2), or (N, K + 1). Column 0 is the positive.
    """
    sides = "nd,kd->nk" if len(queue.shape) == 2 else "nd,nkd->nk"
    columns = [cosine(query, key)[:, None], tf.einsum(sides, query, queue)]
    if negative is not None:
        columns.append(cosine(query, negative)[:, None])
    return tf.concat(columns, 1) / temperature


def softmax(logits):
    """Computes -log of the softmax of column 0: (N, columns) -> (N,)."""
    return tf.reduce_logsumexp(logits, 1) - logits[:, 0]


def nce(logits, log_mean):
    """Computes noise-contrastive estimation with uniform noise; column 0 is data, the rest noise.

        e_j = exp(s_j) / Z,   Z = n * mean(exp(s)) of the first batch,   P = 1 / n,   m negatives
        loss = -log(e_0 / (e_0 + m P)) - sum_j log(m P / (e_j + m P))

    The number of videos n cancels, so it does not matter that the authors' code uses the number of
    batches instead. Source: the authors' code of VTDL, which has no script for it.

    Args:
        logits: float32 (N, 1 + m).
        log_mean: scalar, log of mean(exp(s)).

    Returns:
        float32 (N,).
    """
    noise = tf.math.log(tf.cast(tf.shape(logits)[1] - 1, logits.dtype))
    against = logits - log_mean - noise  # log(e_j / (m P))
    return tf.nn.softplus(-against[:, 0]) + tf.reduce_sum(tf.nn.softplus(against[:, 1:]), 1)


def triplet(query, key, negative, margin=0.5):
    """Computes the triplet loss max(0, D(q, k) - D(q, n) + margin): (N, D) each -> (N,).

    D(u, v) = |u - v + 1e-6|. Source: DSM(Triplet). The 1e-6 is PyTorch's; it keeps the gradient
    finite at u = v.
    """
    return tf.nn.relu(_distance(query, key) - _distance(query, negative) + margin)


def _distance(first, second):
    return tf.norm(first - second + 1e-6, axis=-1)


def cosine(first, second):
    """Computes the cosine of unit vectors: (N, D) each -> (N,)."""
    return tf.reduce_sum(first * second, -1)


def alignment(query, key):
    """Computes the squared distance of positives; lower is closer: (N, D) each -> (N,).

    Source: Wang and Isola, ICML 2020, with exponent 2.
    """
    return tf.reduce_sum(tf.square(query - key), -1)


def uniformity(embeddings):
    """Computes the log of the mean of exp(-2 |u - v|^2) over all pairs; lower is more uniform.

    Args:
        embeddings: float32 (N, D), of length 1; compared across all replicas.

    Returns:
        float32 (N,), the same value for every example, so that batches can be averaged; 0 for a
        single example. Source: Wang and Isola, ICML 2020, with t = 2.
    """
    everything = replicas.gathered(embeddings)
    count = tf.shape(everything)[0]
    squares = 2 - 2 * tf.matmul(everything, everything, transpose_b=True)
    logits = tf.where(tf.eye(count, dtype=tf.bool), NONE, -2 * squares)
    pairs = tf.cast(count * (count - 1), logits.dtype)
    value = tf.reduce_logsumexp(logits) - tf.math.log(tf.maximum(pairs, 1))
    return tf.fill(tf.shape(embeddings)[:1], tf.where(count > 1, value, 0.0))
