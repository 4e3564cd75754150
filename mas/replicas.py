"""What one replica knows of the others: the rows of the whole batch, and its own among them.

Under several replicas each has its own part of a batch. What it compares with the rest is gathered
here, and the gradient flows back through it, so that loss and gradient are those of one device with
the whole batch. Outside a strategy, and on a single device, the whole batch is at hand.
"""

from mas import lazy

tf = lazy.module("tensorflow")


def of_another(values, order="shift"):
    """Gives every example of the batch, that of all replicas, the row of another one.

    Args:
        values: (N, ...), one row an example.
        order: "shift": the next example's, the first one's for the last. "reverse": as DSM's code,
            where the middle one of an odd batch gets its own.

    Returns:
        (N, ...).
    """
    everything = gathered(values)
    turned = tf.roll(everything, -1, 0) if order == "shift" else tf.reverse(everything, [0])
    return own(turned, tf.shape(values)[0])


def others(values):
    """Of every example the rows of all others, of those on other replicas too.

    Args:
        values: (N, D), one row an example.

    Returns:
        (N, n - 1, D), n being the examples of all replicas.
    """
    everything = gathered(values)
    count = tf.shape(everything)[0]
    first = numbers(tf.shape(values)[0])[:, None] + 1
    return tf.gather(everything, (first + tf.range(count - 1)) % count)


def own(values, count):
    """This replica's part of what `gathered` joined: rows (replicas * count, ...) -> (count, ...).

    The inverse of `gathered`.
    """
    return values[replica() * count :][:count]


def replica():
    """The number of this replica, from 0."""
    context = tf.distribute.get_replica_context()
    return 0 if context is None else context.replica_id_in_sync_group


def gathered(values):
    """The values of all replicas, joined along the first axis; as they are on a single one."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_gather(values, axis=0)


def numbers(count):
    """A number for each clip of this replica that no clip of another replica has."""
    return replica() * count + tf.range(count)
