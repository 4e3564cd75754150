"""The query encoder, key encoder and queue of MoCo, VTDL and DSM."""

from mas import lazy, losses, replicas
from mas.tasks import views
from mas.tasks.task import Encoders

keras = lazy.module("keras")
tf = lazy.module("tensorflow")

KEY_NORMS = ("batch", "initial")


class MomentumEncoder(Encoders):
    """A query encoder, which is trained, and a key encoder and a queue, which follow it.

    A step, in the published order: compute logits against the current queue; enqueue the keys in
    place of the oldest; apply gradients; then move each weight of the key encoder towards the query
    encoder's, key <- momentum * key + (1 - momentum) * query. Each encoder has its own batch norm
    statistics. No gradient flows into the keys, but it does flow into the negative, which the query
    encoder computes.

    All replicas hold the same queue and key encoder, because keys are gathered first.

    Args:
        model: query encoder, with output "embedding" (batch, D) of length 1.
        queue: queue size K in rows; 0 takes the other keys of the batch instead.
        momentum: momentum in [0, 1); with 0, the query encoder computes the keys.
        temperature: temperature of the logits, above 0.
        inter: whether to take the negative that came with another example.
        key_norm: "batch" normalises the key encoder by its batch, like the query encoder. "initial"
            uses mean 0 and variance 1, even if the query encoder starts with others. This is
            the MoCo baseline in the authors' code of DSM, whose key encoder is in test mode and
            never gets statistics.
        passes: order in which the encoders process the views.

    Attributes:
        queue: tf.Variable float32 (K, D), rows of length 1. Initialised uniformly in a cube, as in
            the authors' code, and normalised, which theirs is not.
        pointer: tf.Variable, row for the next key.
        log_mean: tf.Variable, log of the mean of e^logit in the first batch; -inf before.
    """

    def __init__(
        self,
        model,
        queue,
        momentum=0.999,
        temperature=0.07,
        inter=False,
        key_norm="batch",
        passes=views.Views.passes,
    ):
        """See the class."""
        super().__init__(model)
        self.momentum, self.temperature = momentum, temperature
        self.inter, self.key_norm, self.passes = inter, key_norm, passes
        self.key_model = model
        if momentum:
            self.key_model = keras.models.clone_model(model)
            for copy, variable in zip(self.key_model.variables, model.variables, strict=True):
                copy.assign(variable)
        if key_norm == "initial":
            for norm in _norms(self.key_model):
                norm.moving_mean.assign(keras.ops.zeros_like(norm.moving_mean))
                norm.moving_variance.assign(keras.ops.ones_like(norm.moving_variance))
        self.queue = tf.Variable(_start(queue, model.output["embedding"].shape[-1]), False)
        self.pointer = tf.Variable(0, False, dtype=tf.int64)
        self.log_mean = tf.Variable(-float("inf"), False)
        self.steps = tf.Variable(0, False, dtype=tf.int64)
        self._shuffles = _norms_by_replica(model)
        copies = [copy.value for copy in self.key_model.variables] if momentum else []
        self.variables = [*copies, self.queue, self.pointer, self.log_mean, self.steps]

    def __call__(self, x, training=False):
        """Computes embeddings and logits of a batch of examples.

        Args:
            x: (N, views, T, H, W, C); the views are anchor, positive and optionally negative.
            training: whether to enqueue the keys.

        Returns:
            {"embedding": float32 (N, views, D), "logits": float32 (N, K + 1), or (N, K + 2) with a
            negative, "log_mean": scalar of the first batch, or of this batch if not training}.
        """
        found = {}
        for view in (view for view in self.passes if view < x.shape[1]):
            clips = x[:, view]
            if view == views.POSITIVE:
                found[view] = tf.stop_gradient(self._keys(clips, training))
            else:
                found[view] = self.model(clips, training=training)["embedding"]
        if self.inter and views.NEGATIVE in found:
            found[views.NEGATIVE] = replicas.of_another(found[views.NEGATIVE])
        query, key, negative = map(found.get, range(3))
        queue = tf.convert_to_tensor(self.queue) if self.queue.shape[0] else replicas.others(key)
        logits = losses.queue_logits(query, key, queue, negative, self.temperature)
        log_mean = _log_mean(logits)
        if training:
            log_mean = tf.where(tf.math.is_inf(self.log_mean), log_mean, self.log_mean)
            self.log_mean.assign(log_mean)
            self._enqueue(replicas.gathered(key))
        embeddings = tf.stack([found[view] for view in sorted(found)], 1)
        return {"embedding": embeddings, "logits": logits, "log_mean": log_mean}

    def _keys(self, clips, training):
        """Computes the embeddings of the positives, (N, D).

        If batch norms see only one replica's clips, their statistics reveal which clips share a
        replica, and hence an anchor's positive. In that case the keys' clips are shuffled across
        replicas (MoCo, section 3.3). The networks of `mas.backbones` normalise over the whole
        batch.
        """
        training = training and self.key_norm == "batch"
        if not (self._shuffles and training):
            return self.key_model(clips, training=training)["embedding"]
        wide = tf.int32 if clips.dtype == tf.uint8 else clips.dtype  # uint8 cannot be gathered
        everything, count = replicas.gathered(tf.cast(clips, wide)), tf.shape(clips)[0]
        numbers = tf.range(tf.shape(everything)[0])
        seed = tf.stack([self.steps, 0])
        order = tf.random.experimental.stateless_shuffle(numbers, seed)
        mine = tf.cast(tf.gather(everything, replicas.own(order, count)), clips.dtype)
        keys = replicas.gathered(self.key_model(mine, training=training)["embedding"])
        return replicas.own(tf.gather(keys, tf.argsort(order)), count)

    def _enqueue(self, keys):
        """Replaces the oldest rows of the queue."""
        rows, count = self.queue.shape[0], keys.shape[0]
        if not rows:
            return
        if count is not None and count > rows:
            raise ValueError(
                f"queue must have at least the {count} rows of a batch. Received: queue={rows}."
            )
        count = tf.cast(tf.shape(keys)[0], tf.int64)
        places = (self.pointer + tf.range(count)) % rows
        self.queue.assign(tf.tensor_scatter_nd_update(self.queue, places[:, None], keys))
        self.pointer.assign((self.pointer + count) % rows)

    def update(self):
        """Updates the key encoder's weights, but not its batch norm statistics."""
        self.steps.assign_add(1)
        if self.momentum:
            pairs = (self.key_model.trainable_variables, self.model.trainable_variables)
            for key, query in zip(*pairs, strict=True):
                key.assign(self.momentum * key + (1 - self.momentum) * query)


def _start(rows, size):
    """Draws rows uniformly in a cube with mean length 1, and normalises them."""
    side = (3 / size) ** 0.5
    drawn = keras.initializers.RandomUniform(-side, side)((rows, size))
    return losses.normalised(tf.convert_to_tensor(drawn))


def _norms_by_replica(model):
    """Whether there are several replicas and a batch norm that sees only one of them."""
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    return several and any(not norm.synchronized for norm in _norms(model))


def _norms(model):
    """Yields the batch norms of a model, including nested models."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _norms(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            yield layer


def _log_mean(logits):
    """Computes the log of the mean of e^logit over all replicas."""
    each = tf.stop_gradient(tf.reduce_logsumexp(logits, 1))
    each = replicas.gathered(each)
    count = tf.shape(each)[0] * tf.shape(logits)[1]
    return tf.reduce_logsumexp(each) - tf.math.log(tf.cast(count, each.dtype))
