"""What train.py and finetune.py share: flags, and the calls that turn them into objects."""

import contextlib
import hashlib
import os
import re
import sys

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from mas import backbones, clips, files, lists, optimizers, prepare, records, run_folder, training
from mas.cli import definitions, pictures
from mas.cli.definitions import (
    CLIP,
    FLAGS,
    NETWORK,
    define_data,
    define_network,
    define_optimisation,
    define_run,
    values,
)


def network_options():
    """The flags of the network that a task's heads follow."""
    names = ("frames", "size", "modality", "head", "width", "initializer")
    return {name: FLAGS[name].value for name in names}


def backbone():
    """The network of the flags."""
    shape, preset = (FLAGS.frames, FLAGS.size, FLAGS.size, 3), FLAGS.preset
    if FLAGS.modality == "flow":  # one field between each two frames
        shape, preset = (FLAGS.frames - 1, FLAGS.size, FLAGS.size, 2), "flow"
    return backbones.backbone(FLAGS.backbone, shape, FLAGS.width, preset, FLAGS.initializer)


def setup():
    """Threads and seeds, before TensorFlow starts; returns the strategy.

    Of several hosts the chief alone goes on to say what it does.
    """
    if FLAGS.threads:
        tf.config.threading.set_intra_op_parallelism_threads(FLAGS.threads)
        tf.config.threading.set_inter_op_parallelism_threads(FLAGS.threads)
    strategy = training.strategy(FLAGS.strategy)
    if not training.is_chief(strategy):
        logging.set_verbosity(logging.WARNING)
    keras.utils.set_random_seed(FLAGS.seed)
    _check_precision()
    keras.config.set_dtype_policy(FLAGS.precision)
    return strategy


def _check_precision():
    """Refuses what TensorFlow 2.21 cannot do on CPU.

    There a 3D convolution's kernel gets garbage for its bfloat16 gradient at times, but for XLA's,
    and 3D pools are missing in float16.
    """
    good = ("float32", "mixed_bfloat16") if FLAGS.jit else ("float32",)
    if FLAGS.precision not in good and not tf.config.list_logical_devices("GPU"):
        raise ValueError(
            "precision must be float32 without a GPU, or mixed_bfloat16 with --jit. "
            f"Received: precision={FLAGS.precision}."
        )


def geometry(random):
    """The `clips.Geometry` of the flags."""
    resize = prepare.parse_size(FLAGS.resize)
    if resize is None:
        raise ValueError("resize must be WIDTHxHEIGHT. Received: resize=keep.")
    return clips.Geometry(resize, FLAGS.size, random=random, flip=FLAGS.flip)


def entries(data, path):
    """The lines of a list as ids of the data set; None without a list."""
    if not path:
        return None
    return lists.resolve(lists.read(path, FLAGS.columns), data.videos, path)


def examples(data, entries, task):
    """The `clips.Examples` of the flags, for training a task."""
    how = task.clips if FLAGS.clips == "auto" else FLAGS.clips
    return clips.examples(data, entries, task.span, how, least=task.least)


def open_data(inputs=("rgb",)):
    """The data set of the flags, for what a task decodes."""
    if not FLAGS.data:
        raise ValueError(
            "data must be a folder that mas.prepare wrote, or one of video files for tasks without "
            "flow. Received: no --data."
        )
    data = records.open_data(FLAGS.data, "flow" in inputs)
    logging.info("%s: %d videos (%s).", FLAGS.data, len(data.videos), type(data).__name__.lower())
    return data


def plan():
    """The `training.Plan` of the flags."""
    return training.Plan(
        epochs=FLAGS.epochs,
        batch=FLAGS.batch,
        log_every=FLAGS.log_every,
        checkpoint_every=FLAGS.checkpoint_every,
        threads=FLAGS.threads or None,
        jit_compile=FLAGS.jit,
    )


def optimizer(steps_per_epoch):
    """The optimiser of the flags; made inside the strategy's scope."""
    steps = [epochs * steps_per_epoch for epochs in definitions.decay_epochs()]
    if len(steps) == 1:
        rate = optimizers.staircase(FLAGS.learning_rate, *steps, FLAGS.decay_factor)
    else:
        rate = optimizers.stairs(FLAGS.learning_rate, steps, FLAGS.decay_factor)
    momentum = optimizers.Momentum(
        rate, FLAGS.momentum, FLAGS.bias_rate, l2=FLAGS.l2, decay=FLAGS.decay
    )
    if FLAGS.precision == "mixed_float16":  # small gradients would be 0 there
        return keras.optimizers.LossScaleOptimizer(momentum)
    return momentum


def identity(reader, **lists):
    """What a run is trained on: digests that tell when it changes under the same paths.

    Args:
        reader: the `clips.Reader` of the training.
        **lists: paths of the files that the script read; None for those it was not given.
    """
    data, examples = reader.data, reader.examples
    summary = hashlib.sha256("\n".join(data.videos[n] for n in examples.videos).encode())
    for numbers in (data.lengths[examples.videos], examples.starts, examples.labels):
        summary.update(np.asarray(numbers, "<i8").tobytes())
    digests = {f"{name}_sha256": files.digest(path) for name, path in lists.items()}
    facts = {"data": records.settings(data), "clips": len(examples)}
    return {**facts, "clips_sha256": summary.hexdigest(), **digests}


def open_run(script, strategy, default, identity):
    """Opens the run folder of the flags of a script, given its `__name__`."""
    path, chief = FLAGS.run or default, training.is_chief(strategy)
    run = run_folder.RunFolder(path, values(script), identity, FLAGS.restart, chief)
    training.barrier(strategy)
    return run


def train(task, build, reader, strategy, run, **facts):
    """Trains, and leaves the finished run folder behind.

    Args:
        task: a `tasks.Task`.
        build: function that makes (backbone, model).
        reader: a `clips.Reader`.
        strategy: of `setup`.
        run: of `open_run`.
        **facts: for run.json.

    Returns:
        The model outside any strategy, with the final weights.
    """
    settings = plan()
    if run.finished_epochs == settings.epochs:
        logging.info("%s is finished; --restart begins anew.", run.path)
        if training.is_chief(strategy):
            run.keep_flags()
        return keras.models.load_model(run.path / "model.keras", compile=False)
    with strategy.scope():
        backbone, model = build()
        trainer = training.Trainer(task, model, optimizer(reader.steps(FLAGS.batch)), strategy)
    if training.is_chief(strategy):
        network = {name: FLAGS[name].value for name in NETWORK}
        shape = {name: FLAGS[name].value for name in CLIP}
        run.describe(model, strategy, task=task.name, network=network, clip=shape, **facts)
    with reading():
        painter = None
        if training.is_chief(strategy):
            painter = pictures.painter(reader, backbone, run, settings.epochs)
        trainer.fit(reader, settings, run, painter)
    if strategy.num_replicas_in_sync > 1 or strategy.cluster_resolver is not None:
        final = [variable.numpy() for variable in model.variables]
        with tf.device(None):
            backbone, model = build()
        for variable, value in zip(model.variables, final, strict=True):
            variable.assign(value)
    if training.is_chief(strategy):
        run.finish(backbone, model, settings.epochs)
    return model


@contextlib.contextmanager
def reading():
    """Gives errors of the input pipeline, which TensorFlow wraps, in their own words again."""
    try:
        yield
    except tf.errors.OpError as error:
        own = re.search(r"\b(?:Value|Index|FileNotFound|Permission|OS)Error: (.+)", error.message)
        if not own:
            raise
        raise ValueError(own.group(1)) from error


def quiet():
    """Shows absl's messages without their prefix, and below errors only this project's.

    TensorFlow logs through absl too, a dozen lines about every file it saves.
    """
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    handler = logging.get_absl_handler()
    handler.setFormatter(None)
    tf.get_logger().setLevel("ERROR")
    package, script = (
        os.path.dirname(os.path.dirname(__file__)) + os.sep,
        os.path.abspath(sys.argv[0]),
    )

    def wanted(record):
        path = os.path.abspath(record.pathname)
        error = record.levelno >= logging.converter.STANDARD_ERROR
        return error or path == script or path.startswith(package)

    handler.addFilter(wanted)


def fail(error):
    """Logs an error that a user can mend; returns the exit status."""
    logging.error("%s", str(error).strip().splitlines()[0])
    return 2


__all__ = [
    "FLAGS",
    "define_data",
    "define_network",
    "define_optimisation",
    "define_run",
    "definitions",
]
