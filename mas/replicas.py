"""Communication between replicas: gathering the rows of the whole batch.

Each replica holds part of a batch. Contrastive losses compare it with the rest, which is gathered
here; gradients flow back through the gather, so loss and gradient equal those of a single device
with the whole batch. Outside a strategy and on a single device, the batch is already complete.
"""

from mas import lazy

tf = lazy.module("tensorflow")


def of_another(values, order="shift"):
    """Gives each example the row of another example in the global batch.

    Args:
        values: (N, ...), one row per example.
        order: "shift" takes the next example's row, and the first one's for the last. "reverse"
            reverses the batch, as in DSM's code; the middle example of an odd batch gets its own
            row.

    Returns:
        (N, ...).
    """
    everything = gathered(values)
    turned = tf.roll(everything, -1, 0) if order == "shift" else tf.reverse(everything, [0])
    return own(turned, tf.shape(values)[0])


def others(values):
    """Returns, for each example, the rows of all other examples, including other replicas'.

    Args:
        values: (N, D), one row per example.

    Returns:
        (N, n - 1, D), where n is the number of examples on all replicas.
    """
    everything = gathered(values)
    count = tf.shape(everything)[0]
    first = numbers(tf.shape(values)[0])[:, None] + 1
    return tf.gather(everything, (first + tf.range(count - 1)) % count)


def own(values, count):
    """Returns this replica's rows, (replicas * count, ...) -> (count, ...).

    The inverse of `gathered`.
    """
    return values[replica() * count :][:count]


def replica():
    """Returns the index of this replica, from 0."""
    context = tf.distribute.get_replica_context()
    return 0 if context is None else context.replica_id_in_sync_group


def gathered(values):
    """Concatenates the values of all replicas along the first axis."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_gather(values, axis=0)


def numbers(count):
    """Returns a globally unique number for each clip of this replica."""
    return replica() * count + tf.range(count)
