"""What a training is made of: network, clip, optimisation and plan."""

import dataclasses

from mas import backbones
from mas.checks import Settings, option, refuse
from mas.forms import INTEGER, SIZE, several

MODALITIES = ("rgb", "flow")
# Of a network's input: what `mas.backbones.presets` makes of R G B clips.
PRESETS = ("bgr255", "rgb", "standard")
HEADS = ("auto", "fc", "pooled", "convolved")
SAMPLINGS = ("auto", "consecutive", "anywhere")
WINDOWS = ("even", "first", "random")
LAST_BATCHES = ("drop", "keep")
DECAYS = ("fc", "weights", "all")
STRATEGIES = ("auto", "mirrored", "none")
MOST_PIXELS = 16_384  # of a side of a frame: what JPEG files and decoders reach
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclasses.dataclass(frozen=True)
class Network(Settings):
    """A backbone, its input and its head.

    >>> Network("c3d_bn", width=0.25, preset="standard", initializer="he").backbone
    'c3d_bn'
    """

    backbone: str = option("c3d", "Architecture.", choices=backbones.NAMES)
    modality: str = option("rgb", "Input: colours, or optical flow.", choices=MODALITIES)
    width: float = option(1.0, "Factor on the channels and units of every layer.", above=0, most=16)
    preset: str = option(
        "bgr255",
        "Colours: bgr255 as the authors of MAS, STS and pace, standard as those of VTDL and DSM, "
        "rgb in [-1, 1].",
        choices=PRESETS,
    )
    initializer: str = option(
        "published",
        "Initial weights: published, those of the network's authors; he for narrow networks and "
        "other presets than bgr255; xavier, of VTDL and DSM, where they share c3d_bn and "
        "r2plus1d_10 with STS and pace.",
        choices=backbones.INITIALIZERS,
    )
    head: str = option(
        "auto",
        "Head: fc is fc6 and fc7; pooled, a mean and one layer; convolved, a pool and a "
        "convolution in time; auto, fc on c3d and pooled elsewhere.",
        choices=HEADS,
    )


@dataclasses.dataclass(frozen=True)
class Clip(Settings):
    """What a network sees of a video.

    >>> Clip(frames=16, size=56, resize=(85, 64)).shape("rgb")
    (16, 56, 56, 3)
    """

    frames: int = option(16, "Length of a clip, in frames.", least=2, most=10_000)
    size: int = option(112, "Side of the square crop, in pixels.", least=1)
    resize: tuple[int, int] = option(
        (171, 128), "WIDTHxHEIGHT in pixels before the crop.", form=SIZE
    )

    def __post_init__(self):
        """Checks that the square fits."""
        super().__post_init__()
        if max(self.resize) > MOST_PIXELS:
            refuse("resize", f"at most {MOST_PIXELS} pixels wide and high", self.resize)
        if self.size > min(self.resize):
            width, height = self.resize
            shorter = f"at most {min(self.resize)}, the shorter side of resize={width}x{height}"
            refuse("size", shorter, self.size)

    def shape(self, modality="rgb"):
        """(frames, height, width, channels) of what a network takes.

        Flow has one field less than there are frames: one between each two.
        """
        flow = modality == "flow"
        return (self.frames - flow, self.size, self.size, 2 if flow else 3)


@dataclasses.dataclass(frozen=True)
class Optimisation(Settings):
    """The optimiser and its schedule: gradient descent with momentum.

    >>> Optimisation(learning_rate=0.01, decay_epochs=(20, 27)).decay_epochs
    (20, 27)
    """

    learning_rate: float = option(0.001, "Learning rate at the start.", above=0)
    bias_rate: float = option(
        2.0, "Factor on the learning rate of biases: 2 in MAS and STS.", least=0, advanced=True
    )
    decay_epochs: tuple[int, ...] = option(
        (5,),
        "Epochs between decays of the learning rate; or, as in 120,160,200, the epochs after which "
        "it decays.",
        form=several(INTEGER),
        least=1,
    )
    decay_factor: float = option(0.1, "Factor of each decay.", above=0, advanced=True)
    momentum: float = option(
        0.9, "Momentum, in TensorFlow's form.", least=0, below=1, advanced=True
    )
    l2: float = option(0.005, "Weight decay: the loss l2 * sum(w^2) / 2.", least=0)
    decay: str = option("fc", "Which variables l2 decays.", choices=DECAYS, advanced=True)

    def __post_init__(self):
        """Checks that the epochs ascend."""
        super().__post_init__()
        if not self.decay_epochs or list(self.decay_epochs) != sorted(set(self.decay_epochs)):
            refuse("decay_epochs", "one whole number, or several that ascend", self.decay_epochs)


@dataclasses.dataclass(frozen=True)
class Plan(Settings):
    """How long to train, on which clips, and by what means.

    >>> Plan(epochs=30, batch=16).batch
    16
    """

    epochs: int = option(20, "Passes over the examples.", least=1, free=True)
    batch: int = option(30, "Examples in a step, over all replicas.", least=1)
    sampling: str = option(
        "auto",
        "Examples of an epoch: consecutive, all non-overlapping clips; anywhere, one at random "
        "from each video; auto, as the task's authors have it.",
        choices=SAMPLINGS,
        alias="clips",
    )
    last_batch: str = option(
        "drop",
        "An epoch's examples that fill no batch: drop leaves them out, others in each epoch; keep "
        "trains on them as a smaller batch, on one device alone, as the code of STS and pace and "
        "the fine-tuning of VTDL and DSM.",
        choices=LAST_BATCHES,
        advanced=True,
    )
    flip: bool = option(True, "Mirror half of the training clips.", advanced=True)
    precision: str = option(
        "float32",
        "Arithmetic of the layers; weights and losses are float32 in all.",
        choices=PRECISIONS,
        advanced=True,
    )
    jit: bool = option(False, "Compile the step with XLA.", advanced=True)
    strategy: str = option(
        "auto",
        "Of tf.distribute: auto uses every GPU.",
        choices=STRATEGIES,
        free=True,
        advanced=True,
    )
    threads: int = option(
        0,
        "Threads of input and CPU kernels each; 0: all cores.",
        least=0,
        free=True,
        advanced=True,
    )
    peer_timeout: float = option(
        300.0,
        "Seconds that a host waits for the others of TF_CONFIG to come.",
        above=0,
        free=True,
        advanced=True,
    )
    log_every: int = option(
        10, "Steps between looks at the loss.", least=1, free=True, advanced=True
    )
    checkpoint_every: int = option(
        1000, "Steps between checkpoints.", least=1, free=True, advanced=True
    )
    keep_every: int = option(
        0,
        "Epochs between networks that are kept as RUN/epochs/EPOCH, which stands wherever a run "
        "folder does, as in --init=RUN/epochs/045; 0: none.",
        least=0,
        free=True,
        advanced=True,
    )


@dataclasses.dataclass(frozen=True)
class Test(Settings):
    """How a classifier is tested on whole videos."""

    test_clips: int = option(
        0,
        "Clips of a video in the test; 0: all non-overlapping ones.",
        least=0,
    )
    test_windows: str = option(
        "even",
        "Where the test's clips lie: even, from the first frame to the last; first, every tenth "
        "frame from the first on (VTDL's released test: two clips); random (DSM's: one clip).",
        choices=WINDOWS,
        advanced=True,
    )

    def __post_init__(self):
        """Refuses windows of no number of clips."""
        super().__post_init__()
        if not self.test_clips and self.test_windows != "even":
            refuse("test_windows", "even with test_clips=0", self.test_windows)
