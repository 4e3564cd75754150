"""The flags that train.py and finetune.py share."""

import sys

from absl import flags

from mas import backbones, heads, optimizers, training
from mas.backbones import initial

FLAGS = flags.FLAGS

# Flags that a run.json records, and that fine-tuning takes over from it.
NETWORK = ("backbone", "modality", "width", "preset", "initializer")
CLIP = ("frames", "size", "resize")


def define_data():
    """Flags on data, clips and geometry."""
    flags.DEFINE_string(
        "data", None, "[data] What mas.prepare wrote, or video files for tasks without flow."
    )
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
        "auto",
        ["auto", "consecutive", "anywhere"],
        "[data] Examples of an epoch: all non-overlapping clips, or one at random from each video; "
        "auto: consecutive for mas and fine-tuning, anywhere for the others, as their authors.",
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
        "[network] fc: fc6 and fc7; pooled: mean and one layer; convolved: pool and convolution in "
        "time (VTDL, DSM); auto: fc on c3d, else pooled.",
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


def define_optimisation(epochs, decay_epochs):
    """Flags on the optimisation, with a script's defaults."""
    flags.DEFINE_integer("epochs", epochs, "[optimisation] Passes over the examples.", 1)
    flags.DEFINE_integer("batch", 30, "[optimisation] Examples in a step, over all replicas.", 1)
    flags.DEFINE_float("learning_rate", 0.001, "[optimisation] At the start.", 0)
    flags.DEFINE_float(
        "bias_rate", 2.0, "[optimisation] Factor on the rate of biases: 2 as MAS and STS.", 0
    )
    flags.DEFINE_string(
        "decay_epochs",
        str(decay_epochs),
        "[optimisation] Epochs between decays of the rate; or those after which it decays, as in "
        "120,160,200.",
    )
    flags.register_validator(
        "decay_epochs", _ascend, "must be a whole number above 0, or several that ascend."
    )
    flags.DEFINE_float("decay_factor", 0.1, "[optimisation] Factor of each decay of the rate.", 0)
    flags.DEFINE_float("momentum", 0.9, "[optimisation] In TensorFlow's form.", 0, 1)
    flags.DEFINE_float("l2", 0.005, "[optimisation] Weight decay: l2 * sum(w^2) / 2.", 0)
    flags.DEFINE_enum(
        "decay", "fc", list(optimizers.DECAYS), "[optimisation] Which variables l2 decays."
    )


def decay_epochs():
    """The flag as a list of ints."""
    return [int(text) for text in FLAGS.decay_epochs.split(",")]


def _ascend(text):
    if not all(part.isdecimal() for part in text.split(",")):
        return False
    epochs = [int(part) for part in text.split(",")]
    return sorted({0, *epochs}) == [0, *epochs]


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
    flags.DEFINE_integer(
        "pictures", 2, "[run] Clips of which TensorBoard shows where the network looks.", 0, 16
    )


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
