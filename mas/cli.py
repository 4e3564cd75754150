"""What train.py and finetune.py share: flags, and the calls that turn them into objects."""

import os
import sys

import keras
import tensorflow as tf
from absl import flags, logging

from mas import backbones, clips, lists, optimizers, prepare, records, run_folder, training

FLAGS = flags.FLAGS


def define_data():
    """Flags on data and geometry; returns their names."""
    flags.DEFINE_string("data", None, "Prepared data set: what mas.prepare wrote.")
    flags.DEFINE_string(
        "columns", "video,label", "Columns of the lists, or a preset: mas, sts, pace, vtdl."
    )
    flags.DEFINE_integer("frames", 16, "Length of a clip.", 2)
    flags.DEFINE_string("resize", "171x128", "WIDTHxHEIGHT of a frame before the crop, in pixels.")
    flags.DEFINE_integer("size", 112, "Side of the square crop, in pixels.", 8)
    flags.DEFINE_bool("flip", True, "Mirror half of the training clips.")
    return ["data", "columns", "frames", "resize", "size", "flip"]


def define_network():
    """Flags on the network; returns their names."""
    flags.DEFINE_enum("backbone", "c3d", list(backbones.NAMES), "Network.")
    flags.DEFINE_float("width", 1.0, "Factor on the channels and units of every layer.", 0)
    flags.DEFINE_enum(
        "preset", "bgr255", list(backbones.presets.NAMES[1:]), "Input: bgr255 as the authors."
    )
    return ["backbone", "width", "preset"]


def define_optimisation(epochs, decay_epochs):
    """Flags on the optimisation, with a script's defaults; returns their names."""
    flags.DEFINE_integer("epochs", epochs, "Passes over the examples.", 1)
    flags.DEFINE_integer("batch", 30, "Examples in a step, over all replicas.", 1)
    flags.DEFINE_float("learning_rate", 0.001, "At the start; biases learn at twice the rate.", 0)
    flags.DEFINE_integer("decay_epochs", decay_epochs, "Epochs between decays of the rate.", 1)
    flags.DEFINE_float("decay_factor", 0.1, "Factor of each decay of the rate.", 0)
    flags.DEFINE_float("momentum", 0.9, "In TensorFlow's form.", 0, 1)
    flags.DEFINE_float("l2", 0.005, "Weight decay: l2 * sum(w^2) / 2.", 0)
    flags.DEFINE_enum("decay", "fc", list(optimizers.DECAYS), "Which variables l2 decays.")
    names = ["epochs", "batch", "learning_rate", "decay_epochs", "decay_factor"]
    return [*names, "momentum", "l2", "decay"]


def define_run():
    """Flags on the run; returns their names."""
    flags.DEFINE_string("run", None, "Run folder; an unfinished run in it goes on.")
    flags.DEFINE_bool("restart", False, "Throw away an earlier run in the folder.")
    flags.DEFINE_integer("seed", 0, "Of weights, order and augmentation.", 0)
    flags.DEFINE_enum(
        "strategy", "auto", list(training.STRATEGIES), "Of tf.distribute: auto uses every GPU."
    )
    flags.DEFINE_integer("threads", 0, "Threads of input and CPU kernels each; 0: all cores.", 0)
    flags.DEFINE_bool("jit", False, "Compile the step with XLA.")
    flags.DEFINE_integer("log_every", 10, "Steps between looks at the loss.", 1)
    flags.DEFINE_integer("checkpoint_every", 1000, "Steps between checkpoints.", 1)
    return "run restart seed strategy threads jit log_every checkpoint_every".split()


def values(names):
    """{name: text} of the flags, as a flag file wants them; unset ones are left out."""
    found = {}
    for name in names:
        value = FLAGS[name].value
        if isinstance(value, list):
            found[name] = ",".join(map(str, value))
        elif value is not None:
            found[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return found


def setup():
    """Threads and seeds, before TensorFlow starts; returns the strategy."""
    if FLAGS.threads:
        tf.config.threading.set_intra_op_parallelism_threads(FLAGS.threads)
        tf.config.threading.set_inter_op_parallelism_threads(FLAGS.threads)
    strategy = training.strategy(FLAGS.strategy)
    keras.utils.set_random_seed(FLAGS.seed)
    return strategy


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


def open_data():
    """The data set of the flags."""
    if not FLAGS.data:
        raise ValueError("data must be a folder that mas.prepare wrote. Received: no --data.")
    return records.open_data(FLAGS.data)


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
    rate = optimizers.staircase(
        FLAGS.learning_rate, FLAGS.decay_epochs * steps_per_epoch, FLAGS.decay_factor
    )
    return optimizers.Momentum(rate, FLAGS.momentum, l2=FLAGS.l2, decay=FLAGS.decay)


def open_run(names, strategy, default):
    """Opens the run folder of the flags."""
    path = FLAGS.run or default
    run = run_folder.RunFolder(
        path, values(names), FLAGS.restart, chief=training.is_chief(strategy)
    )
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
        (backbone, model) outside any strategy, with the final weights.
    """
    settings = plan()
    with strategy.scope():
        backbone, model = build()
        trainer = training.Trainer(task, model, optimizer(reader.steps(FLAGS.batch)), strategy)
    if training.is_chief(strategy) and not run.finished_epochs:
        network = {"backbone": FLAGS.backbone, "width": FLAGS.width, "preset": FLAGS.preset}
        shape = {"frames": FLAGS.frames, "size": FLAGS.size, "resize": FLAGS.resize}
        run.describe(model, strategy, task=task.name, network=network, clip=shape, **facts)
    if run.finished_epochs >= settings.epochs:
        logging.info("%s is finished; --restart begins anew.", run.path)
    trainer.fit(reader, settings, run)
    if strategy.num_replicas_in_sync > 1 or strategy.cluster_resolver is not None:
        final = [variable.numpy() for variable in model.variables]
        with tf.device(None):
            backbone, model = build()
        for variable, value in zip(model.variables, final, strict=True):
            variable.assign(value)
    if training.is_chief(strategy):
        run.finish(backbone, model, settings.epochs)
    return backbone, model


def quiet():
    """absl's messages without their prefix, and only this project's below the level of errors.

    TensorFlow logs through absl too, a dozen lines about every file it saves.
    """
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    handler = logging.get_absl_handler()
    handler.setFormatter(None)
    package, script = os.path.dirname(__file__) + os.sep, os.path.abspath(sys.argv[0])

    def wanted(record):
        path = os.path.abspath(record.pathname)
        error = record.levelno >= logging.converter.STANDARD_ERROR
        return error or path == script or path.startswith(package)

    handler.addFilter(wanted)


def fail(error):
    """Logs an error that a user can mend; returns the exit status."""
    logging.error("%s", str(error).strip().splitlines()[0])
    return 2
