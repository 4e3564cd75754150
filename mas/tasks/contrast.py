"""Contrastive loss in named pieces: similarity, positives and negatives, log-sum-exp, the mean.

    l_ij = z_i . z_j / temperature
    loss of anchor i = mean over its positives j of  -log( e^l_ij / (e^l_ij + sum_k e^l_ik) )

with k over the negatives of i. One positive gives InfoNCE, which is SimCLR's loss where the
negatives are all other clips; several are averaged.

Under several replicas each one has its own anchors and meets the clips of all: their embeddings are
gathered, and the gradient flows back through them, so that the loss and the gradient are those of
one device with the whole batch.
"""

import tensorflow as tf

NONE = -1e30  # the log of a sum without terms; finite, so that no gradient is NaN


def loss(embeddings, groups, temperature=0.1, normalise=True):
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
    clips = _numbers(tf.shape(anchors)[0])
    same_clip = clips[:, None] == gathered(clips)[None]
    same_group = groups[:, None] == gathered(groups)[None]
    logits = similarity(anchors, gathered(anchors), temperature)
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


def gathered(values):
    """The values of all replicas, joined along the first axis; as they are on a single one."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_gather(values, axis=0)


def _numbers(count):
    """A number for each clip of this replica that no clip of another replica has."""
    context = tf.distribute.get_replica_context()
    replica = 0 if context is None else context.replica_id_in_sync_group
    return replica * count + tf.range(count)
