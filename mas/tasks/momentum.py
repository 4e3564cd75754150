"""The query encoder, the momentum encoder and the queue of MoCo, VTDL and DSM."""

from mas import lazy, losses, replicas
from mas.tasks import views
from mas.tasks.task import Encoders

keras = lazy.module("keras")
tf = lazy.module("tensorflow")

KEY_NORMS = ("batch", "initial")


class MomentumEncoder(Encoders):
    """A query encoder, which is trained, and a key encoder and a queue, which follow it.

    A step, in the published order: logits against the queue as it stands; the keys enter the queue
    in the place of the oldest; gradient and optimiser; then every weight of the key encoder goes
    towards the query encoder's, key <- momentum * key + (1 - momentum) * query. Batch-norm
    statistics are each encoder's own. No gradient reaches the keys; it does reach the negative,
    which the query encoder makes.

    Every replica holds the same queue and the same key encoder: keys are gathered first.

    Args:
        model: the query encoder, whose output is "embedding" (batch, D), of length 1.
        queue: rows K; 0: the other keys of the batch take its place.
        momentum: [0, 1); 0: the query encoder makes the keys itself.
        temperature: of the logits, above 0.
        inter: whether an example's negative is the one that came with another example.
        key_norm: "batch": the key encoder normalises by its batch, as the query encoder does.
            "initial": by mean 0 and variance 1, whatever statistics the query encoder starts with:
            the MoCo baseline in the authors' code of DSM, whose key encoder is in test mode and
            never gets statistics.
        passes: numbers of the views, in the order in which the encoders see them.

    Attributes:
        queue: tf.Variable float32 (K, D), rows of length 1: at the start uniform in a cube, as
            the authors', and normalised, as theirs are not.
        pointer: tf.Variable, the row that the next key takes.
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
        """Embeddings and logits of a batch of examples.

        Args:
            x: (N, views, T, H, W, C) with the views anchor, positive and maybe negative.
            training: whether keys enter the queue.

        Returns:
            {"embedding": float32 (N, views, D), "logits": float32 (N, K + 1, or K + 2 with a
            negative), "log_mean": scalar of the first batch, or of this one outside training}.
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
        """Embeddings of the positives (N, D).

        Where batch norms see one replica's clips alone, the statistics would tell which clips share
        a replica, and so an anchor's positive. There the keys' clips are dealt to the replicas
        in another order (MoCo, section 3.3). The networks of `mas.backbones` see the whole batch.
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
        """The oldest rows give way, from the pointer on, around the end."""
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
        """The key encoder's weights follow; its batch-norm statistics are its own."""
        self.steps.assign_add(1)
        if self.momentum:
            pairs = (self.key_model.trainable_variables, self.model.trainable_variables)
            for key, query in zip(*pairs, strict=True):
                key.assign(self.momentum * key + (1 - self.momentum) * query)


def _start(rows, size):
    """Uniform in a cube whose rows have length 1 on average, scaled to length 1 each."""
    side = (3 / size) ** 0.5
    drawn = keras.initializers.RandomUniform(-side, side)((rows, size))
    return losses.normalised(tf.convert_to_tensor(drawn))


def _norms_by_replica(model):
    """Whether there are several replicas, and a batch norm that sees one of them alone."""
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    return several and any(not norm.synchronized for norm in _norms(model))


def _norms(model):
    """The batch norms of a model, those of models inside it too."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _norms(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            yield layer


def _log_mean(logits):
    """Log of the mean of e^logit over the logits of all replicas."""
    each = tf.stop_gradient(tf.reduce_logsumexp(logits, 1))
    each = replicas.gathered(each)
    count = tf.shape(each)[0] * tf.shape(logits)[1]
    return tf.reduce_logsumexp(each) - tf.math.log(tf.cast(count, each.dtype))
