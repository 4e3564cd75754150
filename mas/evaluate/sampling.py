"""Which clips of a video are taken, and what is kept of each."""

import dataclasses

import numpy as np

from mas import clips, tasks

HOWS = ("uniform", "consecutive", "overlapping")
POOLINGS = ("average", "max")
GRID = (1, 2, 2)  # of "max": frames, height, width (2048 numbers of 512 channels, ECCV 2020)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which clips of a video are taken, and what is kept of each.

    Attributes:
        how: "uniform", `clips` of them evenly spaced from the first frame to the last;
            "consecutive", all that do not overlap; or "overlapping", one every frames // 2.
        clips: of a video, where they are uniform.
        pooling: "average", over frames and space; or "max", adaptive max-pooling to `GRID`, in the
            order t, h, w, c.
        static: the clip's middle frame in place of each of its frames: what a network knows without
            motion (the static-frame probe of DSM, AAAI 2021).
        frames: length of a clip.
        stride: every how many-th frame a clip shows.
        size: side of the centre crop, in pixels.
        resize: (width, height) of a frame before the crop, in pixels.
        modality: "rgb" or "flow".
        batch: clips that go through the network together; changes no result but for rounding.
        threads: parallel calls of the input pipeline; 0 lets tf.data decide.
        allow_failures: whether a video that fails is left out, named and counted, rather than an
            error.
    """

    how: str = "uniform"
    clips: int = 10
    pooling: str = "average"
    static: bool = False
    frames: int = 16
    stride: int = 1
    size: int = 112
    resize: tuple = (171, 128)
    modality: str = "rgb"
    batch: int = 16
    threads: int = 0
    allow_failures: bool = False

    def __post_init__(self):
        """Refuses values out of range, with a ValueError."""
        for name, allowed in (("how", HOWS), ("pooling", POOLINGS)):
            if getattr(self, name) not in allowed:
                received = f"{name}={getattr(self, name)!r}"
                raise ValueError(f"{name} must be one of {list(allowed)}. Received: {received}.")
        if min(self.clips, self.batch, self.stride) < 1:
            raise ValueError(
                "clips, batch and stride must be 1 or more. "
                f"Received: {self.clips}, {self.batch}, {self.stride}."
            )
        if self.stride > 1 and self.modality != "rgb":
            raise ValueError("modality must be rgb with a stride. Received: modality='flow'.")
        if self.static and self.modality != "rgb":
            raise ValueError("modality must be rgb with static. Received: modality='flow'.")

    @property
    def shape(self):
        """(frames, height, width, channels) of what the network sees."""
        flow = self.modality == "flow"
        return (self.frames - flow, self.size, self.size, 2 if flow else 3)

    @property
    def span(self):
        """Frames of the video from a clip's first to its last."""
        return (self.frames - 1) * self.stride + 1

    @property
    def geometry(self):
        """The centre crop."""
        return clips.Geometry(self.resize, self.size, random=False)


@dataclasses.dataclass
class Clips(tasks.Task):
    """Clips as a network sees them; `static` repeats the middle frame."""

    frames: int = 16
    modality: str = "rgb"
    static: bool = False
    stride: int = 1

    def __post_init__(self):
        """Decodes what the network sees, and nothing else."""
        self.inputs = (self.modality,)
        self.wraps = self.modality == "rgb"  # no flow leads from the last frame to the first

    def sample(self, length, start, rng):
        """Frames (T,) from a first one on; a video shorter than the clip begins again."""
        del rng
        frames = (start + self.stride * np.arange(self.frames)) % length
        if self.static:
            frames = np.repeat(frames[len(frames) // 2], len(frames))
        return frames, np.zeros(0, np.int32)

    def example(self, clip):
        """(rgb or flow, number of the clip's label)."""
        return clip[self.modality], clip["label"]
