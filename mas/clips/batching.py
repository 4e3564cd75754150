"""Positions of batches in an epoch, and epochs with a smaller last batch."""

import tensorflow as tf


def places(per_epoch, batch, first_step, last_step, share=(0, 1)):
    """Returns the examples of full batches, in order.

    Args:
        per_epoch: steps per epoch.
        batch: global batch size.
        first_step: first step, counted over all epochs.
        last_step: end step, exclusive.
        share: (index, count) of this host among the hosts that divide each batch.

    Returns:
        tf.data.Dataset of (epoch, position in its order, batch number in the epoch).
    """
    index, count = share
    own = batch // count

    def place(number):
        step, within = number // own, number % own + index * own
        within_epoch = step % per_epoch
        return step // per_epoch, within_epoch * batch + within, within_epoch

    return tf.data.Dataset.range(first_step * own, last_step * own).map(place)


def with_last(example, total, batch, first_step, last_step, threads):
    """Returns batches of examples, with a smaller last batch in each epoch.

    Args:
        example: function that creates an example from (epoch, position in its order, batch number).
        total: examples per epoch, not a multiple of `batch`.
        batch: size of all other batches.
        first_step: first step, counted over all epochs of ceil(total / batch) steps.
        last_step: end step, exclusive.
        threads: number of parallel calls; None lets tf.data decide.

    Returns:
        tf.data.Dataset of batches in order, whose batch size is unknown to the graph.
    """
    full, rest = divmod(total, batch)

    def begin(step):
        epoch, within = divmod(step, full + 1)
        return epoch * total + within * batch

    def marked(number):
        within = number % total // batch
        return within == full, example(number // total, number % total, within)

    def size(last):
        return tf.where(last == 1, tf.constant(rest, tf.int64), tf.constant(batch, tf.int64))

    numbers = tf.data.Dataset.range(begin(first_step), begin(last_step))
    groups = numbers.map(marked, num_parallel_calls=threads or tf.data.AUTOTUNE).group_by_window(
        key_func=lambda last, _: tf.cast(last, tf.int64),
        reduce_func=lambda _, window: window.map(lambda _, made: made).batch(batch),
        window_size_func=size,
    )
    return groups.prefetch(2)
