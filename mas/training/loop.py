"""The training loop for a single device, several GPUs and several hosts.

It is a custom loop because `Model.fit` fails under MultiWorkerMirroredStrategy (Keras issue 20585).
"""

import contextlib
import time

import numpy as np
import tensorflow as tf
import tqdm
from absl import logging

from mas.training import distribution
from mas.training.checkpoints import ADVICE, Checkpoints


class Trainer:
    """Trains one model on one task.

    Random layers, such as dropout, draw the same numbers on every replica: the first example of
    each replica gets the same mask.

    Args:
        task: a `tasks.Task`.
        model: its model, built in the strategy's scope.
        optimizer: a Keras optimizer, built in the same scope.
        strategy: a distribution strategy.
    """

    def __init__(self, task, model, optimizer, strategy):
        """See the class."""
        self.model, self.optimizer, self.strategy = model, optimizer, strategy
        self._losses, self._metrics = task.losses(), task.metrics()
        parts = [name for name in self._losses if len(self._losses) > 1]
        self.names = ["loss", *parts, *self._metrics, "learning_rate"]
        with strategy.scope():
            optimizer.build(model.trainable_variables)
            self._encoders = task.encoders(model)

    @property
    def variables(self):
        """The training state, in the order of the checkpoints."""
        own = [*self.model.variables, *self.optimizer.variables]
        return [*(variable.value for variable in own), *self._encoders.variables]

    def _replica_step(self, x, y):
        with tf.GradientTape() as tape:
            outputs = self._encoders(x, training=True)
            parts = {
                name: tf.reduce_mean(function(y, outputs))
                for name, (function, _) in self._losses.items()
            }
            weighted = [weight * parts[name] for name, (_, weight) in self._losses.items()]
            loss = tf.add_n(weighted + [tf.cast(extra, tf.float32) for extra in self.model.losses])
            # The optimizer sums gradients over replicas, each of which has an equal share.
            scaled = self.optimizer.scale_loss(loss / self.strategy.num_replicas_in_sync)
        variables = self.model.trainable_variables
        rate = self.optimizer.learning_rate  # read before `apply`, for this step's value
        self.optimizer.apply(tape.gradient(scaled, variables), variables)
        self._encoders.update()
        metrics = [function(y, outputs) for function in self._metrics.values()]
        parts = [parts[name] for name in self.names if name in parts]
        means = [tf.reduce_mean(tf.cast(value, tf.float32)) for value in metrics]
        return tf.stack([tf.cast(value, tf.float32) for value in (loss, *parts, *means, rate)])

    def step_function(self, jit_compile=False):
        """Compiles the function that makes one update from a distributed batch (x, y).

        Returns:
            Function that returns a float32 tensor of the values `names`, averaged over replicas.
        """
        # AutoGraph is not needed, and warns about empty methods.
        run = tf.function(self._replica_step, autograph=False, jit_compile=jit_compile)

        @tf.function(autograph=False)
        def step(x, y):
            values = self.strategy.run(run, args=(x, y))
            return self.strategy.reduce(tf.distribute.ReduceOp.MEAN, values, axis=None)

        return step

    def batches(self, reader, plan, first_step, last_step):
        """The distributed data set: every replica gets its share of each batch."""

        def local(context):
            hosts = context.num_input_pipelines
            return reader.batches(
                plan.batch,
                first_step,
                last_step,
                share=(context.input_pipeline_id, hosts),
                parts=context.num_replicas_in_sync // hosts,
                threads=plan.threads or None,
            )

        return self.strategy.distribute_datasets_from_function(local)

    def fit(self, reader, plan, run, after_epoch=(), before_saving=()):
        """Trains from the latest checkpoint, if any, to the end of the plan.

        Args:
            reader: a `clips.Reader`.
            plan: a `mas.Plan`.
            run: a `run_folder.RunFolder`.
            after_epoch: functions of (epoch, counted from 1; step) that the chief calls after each
                epoch.
            before_saving: functions of the epoch that the chief calls before it saves the epoch's
                checkpoint, so their files exist whenever that checkpoint does. Each returns
                further metrics of the epoch, {name: number}.

        Raises:
            FloatingPointError: If the loss is no longer finite; the message names the step.
            ValueError: If the batch does not fit the examples or the replicas, or the run is
                already beyond the plan.
        """
        per_epoch = reader.steps(plan.batch)
        progress = _Progress(self, plan, run, per_epoch, before_saving)
        progress.restore()
        last = plan.epochs * per_epoch
        if progress.step > last:
            raise ValueError(
                f"epochs must be at least {-(-progress.step // per_epoch)}, the progress of the "
                f"run in {run.path}. Received: {plan.epochs}."
            )
        if progress.chief:
            run.begin(progress.step, progress.epoch)
        step = self.step_function(plan.jit)
        with progress, no_retracing_warning():
            for batch in self.batches(reader, plan, progress.step, last):
                progress.add(step(*batch))
                if progress.chief and progress.step % per_epoch == 0:
                    for function in after_epoch:
                        function(progress.epoch, progress.step)
                    progress.open_bar()
        distribution.barrier(self.strategy)  # no host exits while another still saves


@contextlib.contextmanager
def no_retracing_warning():
    """Silences a false warning of TensorFlow in processes that train several networks."""

    def wanted(record):
        return "triggered tf.function retracing" not in record.getMessage()

    tf.get_logger().addFilter(wanted)
    try:
        yield
    finally:
        tf.get_logger().removeFilter(wanted)


class _Progress:
    """Counts steps, checks the loss, and decides when to log and to save."""

    def __init__(self, trainer, plan, run, per_epoch, before_saving):
        self.trainer, self.plan, self.run, self.per_epoch = trainer, plan, run, per_epoch
        self.before_saving = before_saving
        self.step, self.pending, self.bar = 0, [], None
        self.compiled = False
        self.sums = np.zeros(len(trainer.names))
        self.seconds, self.clock = 0.0, time.monotonic()
        self.chief = distribution.is_chief(trainer.strategy)
        self._step = tf.Variable(0, dtype=tf.int64)
        self._sums, self._seconds = tf.Variable(self.sums), tf.Variable(0.0, dtype=tf.float64)
        # By number: names like seed_generator_3 depend on the other models of the process.
        state = {f"value{number}": value for number, value in enumerate(trainer.variables)}
        state |= {"step": self._step, "sums": self._sums, "seconds": self._seconds}
        self.checkpoints = Checkpoints(run.resume, state)

    @property
    def epoch(self):
        """Epoch of the next step, counted from 0."""
        return self.step // self.per_epoch

    def restore(self):
        """Restores the newest intact checkpoint, if any."""
        if self.checkpoints.restore():
            self.step, self.sums = int(self._step), self._sums.numpy()
            self.seconds = float(self._seconds)
            logging.info("Resuming after step %d, epoch %d.", self.step, self.epoch)
        elif self.run.finished_epochs:
            raise ValueError(
                f"{self.run.resume} must contain the checkpoints of the finished run to resume it. "
                f"Received: none. {ADVICE}"
            )

    def add(self, values):
        """Adds the result of one step, which is still on the device."""
        first, self.compiled = not self.compiled, True
        self.pending.append(values)
        self.step += 1
        if self.chief:
            self._move_bar()
        ends = self.step % self.per_epoch == 0
        saves = ends or self.step % self.plan.checkpoint_every == 0
        if saves or first or self.step % self.plan.log_every == 0:
            self._read_results()
        if ends:
            self._end_epoch()
        if saves and self.chief:
            self._step.assign(self.step)
            self._sums.assign(self.sums)
            self._seconds.assign(self._elapsed())
            self.checkpoints.save(self.step)

    def _elapsed(self):
        """Training time in seconds, without steps that an interruption lost."""
        return self.seconds + time.monotonic() - self.clock

    def _read_results(self):
        """Reads the results since the last call."""
        values = np.array([value.numpy() for value in self.pending], np.float64)
        first = self.step - len(values)
        self.pending = []
        bad = np.flatnonzero(~np.isfinite(values[:, 0]))
        if len(bad):
            step = first + int(bad[0])
            rate = values[bad[0], self.trainer.names.index("learning_rate")]
            raise FloatingPointError(
                f"loss must be finite. Received: loss={values[bad[0], 0]} at step {step + 1} "
                f"(epoch {step // self.per_epoch + 1}). Try a tenth of the learning rate, now "
                f"{rate:g}, or another input preset, and restart."
            )
        for row in values:  # one by one, so that the sums do not depend on when they are read
            self.sums += row
        if self.chief:
            self.run.drop_earlier()
            mean = dict(zip(self.trainer.names, values.mean(0), strict=True))
            self.run.scalars("step", mean, self.step)
            done = self.step - self.epoch * self.per_epoch or self.per_epoch
            self.bar.set_postfix(self._shown(self._means(done)), refresh=False)
            self.bar.refresh()

    @staticmethod
    def _shown(means):
        """Values for the bar: of single labels (GROUP/NAME), only that with the largest error."""
        shown = {name: f"{value:.4g}" for name, value in means.items() if "/" not in name}
        single = {name: value for name, value in means.items() if "/" in name}
        if single:
            worst = max(single, key=single.get)
            shown["worst"] = f"{worst} {single[worst]:.3g}"
        return shown

    def _means(self, count):
        return dict(zip(self.trainer.names, self.sums / count, strict=True))

    def __enter__(self):
        """Shows the bar before the first step, which compiles for up to a minute."""
        if self.open_bar():
            self.bar.set_postfix_str("compiling")

    def __exit__(self, kind, error, trace):
        """Closes the bar and leaves the terminal on a new line, also after an interruption."""
        if self.bar is not None:
            self.bar.close()

    def open_bar(self):
        """Opens the bar of the next step's epoch, and returns whether there is one on this host.

        Called before that step, so that the bar's time and rate include it.
        """
        if not self.chief or self.step >= self.plan.epochs * self.per_epoch:
            return False
        name, done = f"epoch {self.epoch + 1}/{self.plan.epochs}", self.step % self.per_epoch
        self.bar = tqdm.tqdm(total=self.per_epoch, initial=done, desc=name, unit="step")
        return True

    def _move_bar(self):
        """Advances the bar by one step; the first one ends the compilation."""
        if self.bar.postfix == "compiling":
            self.bar.set_postfix_str("", refresh=False)
        self.bar.update()

    def _end_epoch(self):
        optimizer = self.trainer.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # if the loss is scaled
        means = self._means(self.per_epoch)
        self.sums = np.zeros_like(self.sums)
        if not self.chief:
            return
        self.bar.close()
        self.bar = None
        row = {
            "epoch": self.epoch,
            "step": self.step,
            "seconds": round(self._elapsed(), 1),
            **means,
        }
        if hasattr(optimizer, "decay_loss"):
            row["decay"] = float(optimizer.decay_loss(self.trainer.model.trainable_variables))
        for function in self.before_saving:
            row |= function(self.epoch)
        self.run.add_metrics(row)
