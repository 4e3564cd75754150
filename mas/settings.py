"""Settings of a training run: network, clip, optimisation and plan."""

import dataclasses

from mas import backbones
from mas.checks import Settings, option, refuse
from mas.forms import INTEGER, SIZE, several

MODALITIES = ("rgb", "flow")
# Preprocessing of R G B clips: see `mas.backbones.presets`.
PRESETS = ("bgr255", "rgb", "standard")
HEADS = ("auto", "fc", "pooled", "convolved")
SAMPLINGS = ("auto", "consecutive", "anywhere")
WINDOWS = ("even", "first", "random")
LAST_BATCHES = ("drop", "keep")
DECAYS = ("fc", "weights", "all")
STRATEGIES = ("auto", "mirrored", "none")
MOST_PIXELS = 16_384  # per side of a frame: the limit of JPEG files and decoders
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclasses.dataclass(frozen=True)
class Network(Settings):
    """The network: backbone, input and head.

    >>> Network("c3d_bn", width=0.25, preset="standard", initializer="he").backbone
    'c3d_bn'
    """

    backbone: str = option("c3d", "Backbone.", choices=backbones.NAMES)
    modality: str = option("rgb", "Input: RGB frames or optical flow.", choices=MODALITIES)
    width: float = option(1.0, "Width multiplier for every layer.", above=0, most=16)
    preset: str = option(
        "bgr255",
        "Colour preprocessing: bgr255 is B G R in 0..255 (MAS, STS, pace); standard subtracts the "
        "ImageNet mean and divides by its deviation (VTDL, DSM); rgb scales to [-1, 1].",
        choices=PRESETS,
    )
    initializer: str = option(
        "published",
        "Weight initialisation: published follows the network's authors; he suits narrow networks "
        "and presets other than bgr255; xavier follows VTDL and DSM on c3d_bn and r2plus1d_10, "
        "which STS and pace initialise differently.",
        choices=backbones.INITIALIZERS,
    )
    head: str = option(
        "auto",
        "Head: fc adds fc6 and fc7; pooled is global average pooling and one layer; convolved is a "
        "pool and a temporal convolution; auto is fc for c3d and pooled for other backbones.",
        choices=HEADS,
    )


@dataclasses.dataclass(frozen=True)
class Clip(Settings):
    """Clip length and frame size.

    >>> Clip(frames=16, size=56, resize=(85, 64)).shape("rgb")
    (16, 56, 56, 3)
    """

    frames: int = option(16, "Clip length in frames.", least=2, most=10_000)
    size: int = option(112, "Side of the square crop in pixels.", least=1)
    resize: tuple[int, int] = option(
        (171, 128), "Frame size before the crop, WIDTHxHEIGHT pixels.", form=SIZE
    )

    def __post_init__(self):
        """Checks that the crop fits into the frame."""
        super().__post_init__()
        if max(self.resize) > MOST_PIXELS:
            refuse("resize", f"at most {MOST_PIXELS} pixels wide and high", self.resize)
        if self.size > min(self.resize):
            width, height = self.resize
            shorter = f"at most {min(self.resize)}, the shorter side of resize={width}x{height}"
            refuse("size", shorter, self.size)

    def shape(self, modality="rgb"):
        """Returns the network's input shape, (frames, height, width, channels).

        For flow, `frames` is one less: there is a flow field between consecutive frames.
        """
        flow = modality == "flow"
        return (self.frames - flow, self.size, self.size, 2 if flow else 3)


@dataclasses.dataclass(frozen=True)
class Optimisation(Settings):
    """The optimiser, gradient descent with momentum, and its schedule.

    >>> Optimisation(learning_rate=0.01, decay_epochs=(20, 27)).decay_epochs
    (20, 27)
    """

    learning_rate: float = option(0.001, "Initial learning rate.", above=0)
    bias_rate: float = option(
        2.0, "Learning rate multiplier for biases; 2 in MAS and STS.", least=0, advanced=True
    )
    decay_epochs: tuple[int, ...] = option(
        (5,),
        "Epochs between decays of the learning rate; or several epochs after which it decays, such "
        "as 120,160,200.",
        form=several(INTEGER),
        least=1,
    )
    decay_factor: float = option(
        0.1, "Learning rate multiplier at each decay.", above=0, advanced=True
    )
    momentum: float = option(
        0.9, "Momentum, as TensorFlow defines it.", least=0, below=1, advanced=True
    )
    l2: float = option(0.005, "Weight decay; adds l2 * sum(w^2) / 2 to the loss.", least=0)
    decay: str = option("fc", "Variables to which l2 applies.", choices=DECAYS, advanced=True)

    def __post_init__(self):
        """Checks that the epochs are in ascending order."""
        super().__post_init__()
        if not self.decay_epochs or list(self.decay_epochs) != sorted(set(self.decay_epochs)):
            allowed = "one whole number, or several in ascending order"
            refuse("decay_epochs", allowed, self.decay_epochs)


@dataclasses.dataclass(frozen=True)
class Plan(Settings):
    """Length of training, sampling of examples, hardware and checkpoints.

    >>> Plan(epochs=30, batch=16).batch
    16
    """

    epochs: int = option(20, "Number of passes over the examples.", least=1, free=True)
    batch: int = option(30, "Global batch size, over all replicas.", least=1)
    sampling: str = option(
        "auto",
        "Clips in an epoch: consecutive takes all non-overlapping clips; anywhere takes one random "
        "clip from each video; auto follows the task's authors.",
        choices=SAMPLINGS,
        alias="clips",
    )
    last_batch: str = option(
        "drop",
        "What to do with an incomplete last batch: drop skips it (different examples in each "
        "epoch); keep trains on it as a smaller batch, on a single device only, like the code of "
        "STS and pace and the fine-tuning of VTDL and DSM.",
        choices=LAST_BATCHES,
        advanced=True,
    )
    flip: bool = option(True, "Mirror half of the training clips.", advanced=True)
    precision: str = option(
        "float32",
        "Precision of the layers' arithmetic; weights and losses are always float32.",
        choices=PRECISIONS,
        advanced=True,
    )
    jit: bool = option(False, "Compile the training step with XLA.", advanced=True)
    strategy: str = option(
        "auto",
        "Distribution strategy of TensorFlow; auto uses every GPU.",
        choices=STRATEGIES,
        free=True,
        advanced=True,
    )
    threads: int = option(
        0,
        "Threads for the input pipeline, and for CPU kernels; 0 uses all cores.",
        least=0,
        free=True,
        advanced=True,
    )
    peer_timeout: float = option(
        300.0,
        "Seconds to wait for the other hosts in TF_CONFIG.",
        above=0,
        free=True,
        advanced=True,
    )
    log_every: int = option(
        10, "Steps between reports of the loss.", least=1, free=True, advanced=True
    )
    checkpoint_every: int = option(
        1000, "Steps between checkpoints.", least=1, free=True, advanced=True
    )
    keep_every: int = option(
        0,
        "Epochs between networks kept as RUN/epochs/EPOCH, which can be used like a run folder, as "
        "in --init=RUN/epochs/045; 0 keeps no networks.",
        least=0,
        free=True,
        advanced=True,
    )


@dataclasses.dataclass(frozen=True)
class Test(Settings):
    """Testing of a classifier on whole videos."""

    test_clips: int = option(0, "Test clips per video; 0 takes all non-overlapping clips.", least=0)
    test_windows: str = option(
        "even",
        "Position of the test clips: even spreads them from the first frame to the last; first "
        "starts one at every tenth frame (VTDL's released test: two clips); random starts them "
        "anywhere (DSM's: one clip).",
        choices=WINDOWS,
        advanced=True,
    )

    def __post_init__(self):
        """Checks that `test_windows` comes with a number of clips."""
        super().__post_init__()
        if not self.test_clips and self.test_windows != "even":
            refuse("test_windows", "even with test_clips=0", self.test_windows)
