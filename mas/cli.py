"""What train.py and finetune.py share: flags, and the calls that turn them into objects."""

import contextlib
import hashlib
import os
import re
import sys

import keras
import numpy as np
import tensorflow as tf
from absl import flags, logging

from mas import backbones, clips, heads, lists, optimizers, prepare, records, run_folder, training
from mas.backbones import initial

FLAGS = flags.FLAGS

# Flags that a run.json records, and that fine-tuning takes over from it.
NETWORK = ("backbone", "modality", "width", "preset", "initializer")
CLIP = ("frames", "size", "resize")


def define_data():
    """Flags on data, clips and geometry."""
    flags.DEFINE_string("data", None, "[data] Prepared data set: what mas.prepare wrote.")
    flags.DEFINE_string(
        "columns", "video,label", "[data] Columns of the lists, or a preset: mas, sts, pace, vtdl."
    )
    flags.DEFINE_integer("frames", 16, "[data] Length of a clip.", 2)
    flags.DEFINE_string(
        "resize", "171x128", "[data] WIDTHxHEIGHT of a frame before the crop, in pixels."
    )
    flags.DEFINE_integer("size", 112, "[data] Side of the square crop, in pixels.", 8)
    flags.DEFINE_bool("flip", True, "[data] Mirror half of the training clips.")
    flags.DEFINE_enum(
        "clips",
        "consecutive",
        ["consecutive", "anywhere"],
        "[data] Examples of an epoch: all non-overlapping clips, or one at random from each video.",
    )


def define_network():
    """Flags on the network."""
    flags.DEFINE_enum("backbone", "c3d", list(backbones.NAMES), "[network] Network.")
    flags.DEFINE_enum(
        "modality", "rgb", ["rgb", "flow"], "[network] What it sees: colours, or optical flow."
    )
    flags.DEFINE_enum(
        "head",
        "auto",
        list(heads.HEADS),
        "[network] fc: fc6 and fc7; pooled: mean and one layer; auto: fc on c3d, else pooled.",
    )
    flags.DEFINE_float(
        "width", 1.0, "[network] Factor on the channels and units of every layer.", 0
    )
    flags.DEFINE_enum(
        "preset",
        "bgr255",
        ["bgr255", "rgb", "standard"],
        "[network] Colours: bgr255 as the authors of MAS, STS and pace; standard as VTDL and DSM.",
    )
    flags.DEFINE_enum(
        "initializer",
        "published",
        list(initial.NAMES),
        "[network] Start of the weights: he for narrow networks and other presets than bgr255.",
    )


def network_options():
    """The flags of the network that a task's heads follow."""
    names = ("frames", "modality", "head", "width", "initializer")
    return {name: FLAGS[name].value for name in names}


def backbone():
    """The network of the flags."""
    shape, preset = (FLAGS.frames, FLAGS.size, FLAGS.size, 3), FLAGS.preset
    if FLAGS.modality == "flow":  # one field between each two frames
        shape, preset = (FLAGS.frames - 1, FLAGS.size, FLAGS.size, 2), "flow"
    return backbones.backbone(FLAGS.backbone, shape, FLAGS.width, preset, FLAGS.initializer)


def define_optimisation(epochs, decay_epochs):
    """Flags on the optimisation, with a script's defaults."""
    flags.DEFINE_integer("epochs", epochs, "[optimisation] Passes over the examples.", 1)
    flags.DEFINE_integer("batch", 30, "[optimisation] Examples in a step, over all replicas.", 1)
    flags.DEFINE_float(
        "learning_rate", 0.001, "[optimisation] At the start; biases learn at twice the rate.", 0
    )
    flags.DEFINE_integer(
        "decay_epochs", decay_epochs, "[optimisation] Epochs between decays of the rate.", 1
    )
    flags.DEFINE_float("decay_factor", 0.1, "[optimisation] Factor of each decay of the rate.", 0)
    flags.DEFINE_float("momentum", 0.9, "[optimisation] In TensorFlow's form.", 0, 1)
    flags.DEFINE_float("l2", 0.005, "[optimisation] Weight decay: l2 * sum(w^2) / 2.", 0)
    flags.DEFINE_enum(
        "decay", "fc", list(optimizers.DECAYS), "[optimisation] Which variables l2 decays."
    )


def define_run():
    """Flags on the run."""
    flags.DEFINE_string("run", None, "[run] Run folder; an unfinished run in it goes on.")
    flags.DEFINE_bool("restart", False, "[run] Throw away an earlier run in the folder.")
    flags.DEFINE_integer("seed", 0, "[run] Of weights, order and augmentation.", 0)
    flags.DEFINE_enum(
        "strategy",
        "auto",
        list(training.STRATEGIES),
        "[run] Of tf.distribute: auto uses every GPU.",
    )
    flags.DEFINE_integer(
        "threads", 0, "[run] Threads of input and CPU kernels each; 0: all cores.", 0
    )
    flags.DEFINE_enum(
        "precision",
        "float32",
        ["float32", "mixed_bfloat16", "mixed_float16"],
        "[run] Of the layers' arithmetic; weights and losses are float32 in all.",
    )
    flags.DEFINE_bool("jit", False, "[run] Compile the step with XLA.")
    flags.DEFINE_integer("log_every", 10, "[run] Steps between looks at the loss.", 1)
    flags.DEFINE_integer("checkpoint_every", 1000, "[run] Steps between checkpoints.", 1)


def values(script):
    """{name: texts} of a script's flags, a line of a flag file each; unset ones have none.

    Args:
        script: its `__name__`.
    """
    found = {}
    for flag in FLAGS.get_key_flags_for_module(sys.argv[0] if script == "__main__" else script):
        value = flag.value
        parts = value if isinstance(value, list) else [] if value is None else [value]
        found[flag.name] = [str(p).lower() if isinstance(p, bool) else str(p) for p in parts]
    return found


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
    momentum = optimizers.Momentum(rate, FLAGS.momentum, l2=FLAGS.l2, decay=FLAGS.decay)
    if FLAGS.precision == "mixed_float16":  # small gradients would be 0 there
        return keras.optimizers.LossScaleOptimizer(momentum)
    return momentum


def identity(reader, **lists):
    """What a run is trained on: digests that tell when it changes under the same paths.

    Args:
        reader: the `clips.Reader` of the training.
        **lists: paths of the lists that the script read; None for those it was not given.
    """
    data, examples = reader.data, reader.examples
    summary = hashlib.sha256("\n".join(data.videos[n] for n in examples.videos).encode())
    for numbers in (data.lengths[examples.videos], examples.starts, examples.labels):
        summary.update(np.asarray(numbers, "<i8").tobytes())
    digests = {f"{name}_sha256": run_folder.digest(path) for name, path in lists.items()}
    return {"clips": len(examples), "clips_sha256": summary.hexdigest(), **digests}


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
        return keras.models.load_model(run.path / "model.keras", compile=False)
    with strategy.scope():
        backbone, model = build()
        trainer = training.Trainer(task, model, optimizer(reader.steps(FLAGS.batch)), strategy)
    if training.is_chief(strategy):
        network = {name: FLAGS[name].value for name in NETWORK}
        shape = {name: FLAGS[name].value for name in CLIP}
        run.describe(model, strategy, task=task.name, network=network, clip=shape, **facts)
    with reading():
        trainer.fit(reader, settings, run)
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
