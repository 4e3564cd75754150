"""The places of batches among an epoch's examples, and epochs whose last batch is smaller."""

import tensorflow as tf


def places(per_epoch, batch, first_step, last_step, share=(0, 1)):
    """The examples of whole batches, one after another.

    Args:
        per_epoch: steps of an epoch.
        batch: global batch size.
        first_step: where to begin, counted over all epochs.
        last_step: where to end.
        share: (index, count) of the host among hosts that divide each batch.

    Returns:
        tf.data.Dataset of (epoch, position in its order, number of the batch in it).
    """
    index, count = share
    own = batch // count

    def place(number):
        step, within = number // own, number % own + index * own
        within_epoch = step % per_epoch
        return step // per_epoch, within_epoch * batch + within, within_epoch

    return tf.data.Dataset.range(first_step * own, last_step * own).map(place)


def with_last(example, total, batch, first_step, last_step, threads):
    """Batches of an epoch's examples, the last one as small as it comes.

    Args:
        example: function of (epoch, position in its order, number of its batch) that makes one.
        total: examples of an epoch, no multiple of `batch`.
        batch: examples in each other batch.
        first_step: where to begin, counted over all epochs of ceil(total / batch) steps.
        last_step: where to end.
        threads: parallel calls; None lets tf.data decide.

    Returns:
        tf.data.Dataset of batches in order; their number of examples is not known to a graph.
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
