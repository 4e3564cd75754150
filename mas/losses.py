"""Losses as functions of arrays, one value for each example, and the pieces they are made of.

Classes and numbers: cross-entropy, squared error.

Contrast in a batch (pace): similarity, positives and negatives, log-sum-exp, the mean.

    l_ij = z_i . z_j / temperature
    loss of anchor i = mean over its positives j of  -log( e^l_ij / (e^l_ij + sum_k e^l_ik) )

with k over the negatives of i. One positive gives InfoNCE, which is SimCLR's loss where the
negatives are all other clips; several are averaged.

Contrast with a queue (MoCo, VTDL, DSM): one row of logits for each query, whose column 0 is the
positive; and triplets.

Under several replicas each one has its own anchors and meets the clips of all (`mas.replicas`), so
that the loss and the gradient are those of one device with the whole batch.
"""

from mas import lazy, replicas

keras = lazy.module("keras")
tf = lazy.module("tensorflow")

NONE = -1e30  # the log of a sum without terms; finite, so that no gradient is NaN


def cross_entropy(labels, logits):
    """Cross-entropy of each example.

    >>> round(float(cross_entropy([1], [[0.0, 0.0]])[0]), 4)
    0.6931

    Args:
        labels: int (...), numbers of classes.
        logits: float (..., classes).

    Returns:
        float32 (...).
    """
    labels, logits = tf.convert_to_tensor(labels), tf.convert_to_tensor(logits)
    return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def accuracy(labels, logits):
    """1 where the largest logit is the label's, else 0: (...), (..., classes) -> float32 (...)."""
    return keras.metrics.sparse_categorical_accuracy(labels, logits)


def squared_error(targets, outputs):
    """Mean squared error of each example: (N, D) each -> float32 (N,).

    >>> squared_error([[1.0, 2.0]], [[0.0, 4.0]]).numpy().tolist()
    [2.5]
    """
    return tf.reduce_mean(tf.square(tf.subtract(outputs, targets)), -1)


def contrast(embeddings, groups, temperature=0.1, normalise=True):
    """The loss of every example, its clips told apart by group.

    Args:
        embeddings: float32 (N, views, D).
        groups: int (N, views); another clip of its group is a clip's positive, in this example or
            elsewhere in the batch, and all clips of other groups are its negatives.
        temperature: above 0.
        normalise: whether embeddings are scaled to length 1 first.

    Returns:
        float32 (N,): the mean over the example's clips. A clip without a positive counts as 0, as
        does one without a negative.
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
    """Embeddings (..., D) of length 1; 0 stays 0."""
    return tf.math.l2_normalize(embeddings, axis=-1)


def similarity(anchors, keys, temperature=1.0):
    """Dot products over the temperature: (A, D) and (K, D) -> (A, K)."""
    return tf.matmul(anchors, keys, transpose_b=True) / temperature


def info_nce(logits, positives, negatives):
    """-log of the share of the positive among itself and the negatives, mean over the positives.

    Written as softplus(log sum_k e^l_ik - l_ij), which is exact and finite for logits of any size.

    Args:
        logits: float32 (A, K), similarities of anchors and keys.
        positives: bool (A, K).
        negatives: bool (A, K).

    Returns:
        float32 (A,); 0 for an anchor without positives or without negatives.
    """
    against = log_sum_exp(logits, negatives)
    terms = tf.nn.softplus(against[:, None] - logits)
    positives = tf.cast(positives, logits.dtype)
    count = tf.reduce_sum(positives, 1)
    return tf.reduce_sum(positives * terms, 1) / tf.maximum(count, 1)


def log_sum_exp(logits, chosen):
    """Logarithm of the sum of e^logit over each row's chosen ones; `NONE` without any."""
    return tf.reduce_logsumexp(tf.where(chosen, logits, NONE), axis=1)


def queue_logits(query, key, queue, negative=None, temperature=0.07):
    """What MoCo's softmax is over: the positive, the queue, and a negative of the query's own.

        s_i = [q_i . k_i, q_i . m_1, ..., q_i . m_K, q_i . n_i] / temperature

    Args:
        query: float32 (N, D), of length 1, as all the others.
        key: (N, D), the positives.
        queue: (K, D), or (N, K, D) where each query has negatives of its own; K may be 0.
        negative: (N, D), or None: without the last column.
        temperature: above 0.

    Returns:
        float32 (N, K + 2), or (N, K + 1). Column 0 is the positive. Source: VTDL, equation of the
        loss; without the last column MoCo (CVPR 2020).
    """
    sides = "nd,kd->nk" if len(queue.shape) == 2 else "nd,nkd->nk"
    columns = [cosine(query, key)[:, None], tf.einsum(sides, query, queue)]
    if negative is not None:
        columns.append(cosine(query, negative)[:, None])
    return tf.concat(columns, 1) / temperature


def softmax(logits):
    """-log of the softmax of column 0: (N, columns) -> (N,)."""
    return tf.reduce_logsumexp(logits, 1) - logits[:, 0]


def nce(logits, log_mean):
    """Noise-contrastive estimation against uniform noise: column 0 is data, the others are noise.

        e_j = exp(s_j) / Z,   Z = n * mean(exp(s)) of the first batch,   P = 1 / n,   m negatives
        loss = -log(e_0 / (e_0 + m P)) - sum_j log(m P / (e_j + m P))

    The number n of videos cancels, so that it does not matter that the authors' code has the number
    of batches there. Source: the authors' code of VTDL, which has no script for it.

    Args:
        logits: float32 (N, 1 + m).
        log_mean: scalar, the logarithm of mean(exp(s)).

    Returns:
        float32 (N,).
    """
    noise = tf.math.log(tf.cast(tf.shape(logits)[1] - 1, logits.dtype))
    against = logits - log_mean - noise  # log(e_j / (m P))
    return tf.nn.softplus(-against[:, 0]) + tf.reduce_sum(tf.nn.softplus(against[:, 1:]), 1)


def triplet(query, key, negative, margin=0.5):
    """max(0, D(q, k) - D(q, n) + margin), with D(u, v) = |u - v + 1e-6|: (N, D) each -> (N,).

    Source: DSM(Triplet); the 1e-6 is PyTorch's, and keeps the gradient finite where u = v.
    """
    return tf.nn.relu(_distance(query, key) - _distance(query, negative) + margin)


def _distance(first, second):
    return tf.norm(first - second + 1e-6, axis=-1)


def cosine(first, second):
    """Cosine of vectors of length 1: (N, D) each -> (N,)."""
    return tf.reduce_sum(first * second, -1)


def alignment(query, key):
    """Squared distance of positives, the lower the closer: (N, D) each -> (N,).

    Source: Wang and Isola, ICML 2020, with exponent 2.
    """
    return tf.reduce_sum(tf.square(query - key), -1)


def uniformity(embeddings):
    """Log of the mean of exp(-2 |u - v|^2) over all pairs, the lower the more even.

    Args:
        embeddings: float32 (N, D), of length 1; those of all replicas are compared.

    Returns:
        float32 (N,): the one value for every example, so that means of batches can be taken; 0 for
        a single example. Source: Wang and Isola, ICML 2020, with t = 2.
    """
    everything = replicas.gathered(embeddings)
    count = tf.shape(everything)[0]
    squares = 2 - 2 * tf.matmul(everything, everything, transpose_b=True)
    logits = tf.where(tf.eye(count, dtype=tf.bool), NONE, -2 * squares)
    pairs = tf.cast(count * (count - 1), logits.dtype)
    value = tf.reduce_logsumexp(logits) - tf.math.log(tf.maximum(pairs, 1))
    return tf.fill(tf.shape(embeddings)[:1], tf.where(count > 1, value, 0.0))
