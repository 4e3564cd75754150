"""Which clips of a video a network sees, and what is kept of each."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from mas.checks import Settings, option, refuse
from mas.forms import INTEGER, SIZE
from mas.settings import Clip, Network
from mas.tasks import Task, walks

HOWS = ("uniform", "consecutive", "overlapping")
CROPS = (1, 3, 5)
POOLINGS = ("average", "max", "pool5", "fc6")


@dataclasses.dataclass(frozen=True)
class Sampling(Settings):
    """Which clips of a video a network sees, and what is kept of each.

    What is None is that of the network's run.

    >>> Sampling(clips=0).how
    'consecutive'
    """

    clips: int = option(
        10, "Clips of a video, evenly spaced, or 0 for all non-overlapping ones.", least=0
    )
    how: str = option(
        "uniform",
        "Where the clips lie: uniform, evenly spaced from the first frame to the last; "
        "consecutive, all that do not overlap; overlapping, one every half clip.",
        choices=HOWS,
        advanced=True,
    )
    pooling: str | None = option(
        None,
        "Features of a clip, of the last convolution's map: average, over frames and space; max, "
        "the maximum in each of 1 x 2 x 2 parts; pool5, its maxima in windows of 2 x 2 x 2, all of "
        "them, 4096 of C3D; or fc6, the first fully connected layer of a run's heads. By default "
        "average, and in similarity and scenes pool5.",
        choices=POOLINGS,
    )
    static: bool = option(
        False, "Repeat the middle frame of each clip: what a network knows without motion."
    )
    frames: int | None = option(
        None, "Length of a clip, by default the run's.", form=INTEGER, least=2
    )
    stride: int | None = option(
        None,
        "Frames of the video from one of a clip to the next, by default the run's.",
        form=INTEGER,
        least=1,
    )
    size: int | None = option(
        None, "Side of the crop in pixels, by default the run's.", form=INTEGER, least=1
    )
    crops: int = option(
        1,
        "Crops of each clip, of which the mean is taken: 1, the centre; 3, along the longer side, "
        "the field's 10 x 3 with clips=10; 5, the centre and the corners.",
        choices=CROPS,
    )
    resize: tuple[int, int] | None = option(
        None, "WIDTHxHEIGHT before the crop in pixels, by default the run's.", form=SIZE
    )
    batch: int = option(
        16, "Clips that go through the network together.", least=1, free=True, advanced=True
    )
    threads: int = option(
        0,
        "Threads of input and CPU kernels each; 0: all cores.",
        least=0,
        free=True,
        advanced=True,
    )
    allow_failures: bool = option(
        False, "Name and leave out videos that cannot be decoded.", free=True, advanced=True
    )

    def __post_init__(self):
        """No clips are asked for: all that do not overlap."""
        super().__post_init__()
        if not self.clips and self.how == "uniform":
            object.__setattr__(self, "how", "consecutive")

    def task(self, known: Clip, modality: str, stride: int | None = None) -> PlainClips:
        """What the pipeline reads.

        Args:
            known: the clips of the network's run, for what is None here.
            modality: "rgb" or "flow".
            stride: of the network's run, likewise; None: 1.

        Raises:
            ValueError: the crop does not fit, or static clips of flow.
        """
        own = {name: getattr(self, name) for name in ("frames", "size", "resize")}
        given = {name: value for name, value in own.items() if value is not None}
        clip = dataclasses.replace(known, **given)
        task = PlainClips(self.static, self.stride or stride or 1, self.crops)
        bound: Any = task.bound(clip, Network(modality=modality))
        bound.check()
        return bound


@dataclasses.dataclass(frozen=True)
class PlainClips(Task):
    """Clips as a network sees them, without a target: what `Sampling.task` makes."""

    static: bool = option(False, "Repeat the middle frame.")
    stride: int = option(1, "Frames of the video from one of a clip to the next.", least=1)
    crops: int = option(1, "Crops of each clip.", choices=CROPS)

    name = "clips"
    modalities = ("rgb", "flow")

    def check(self, batch: int | None = None) -> None:
        """Refuses flow of one frame. With a stride fields are those from each frame to the next."""
        super().check(batch)
        if self.network.modality != "rgb" and self.static:
            refuse("modality", "rgb with static", self.network.modality)

    @property
    def inputs(self) -> tuple[str]:
        """What the network sees, and nothing else."""
        return (self.network.modality,)

    @property
    def wraps(self) -> bool:
        """No flow leads from the last frame to the first."""
        return self.network.modality == "rgb"

    @property
    def span(self) -> int:
        """Frames of the video from a clip's first to its last."""
        return (self.frames - 1) * self.stride + 1

    @property
    def shape(self) -> tuple[int, ...]:
        """(frames, height, width, channels) of what the network sees."""
        return self.clip.shape(self.network.modality)

    @property
    def whole(self) -> bool:  # type: ignore[override]
        """Several crops are cut beside the network."""
        return self.crops > 1

    @property
    def places(self) -> list[tuple[int, int]]:
        """(top, left) of each crop in the resized frame, in pixels.

        >>> task = Sampling(crops=3).task(Clip(8, 56, (85, 64)), "rgb")
        >>> task.places
        [(4, 0), (4, 14), (4, 29)]
        """
        width, height = self.clip.resize
        below, beside = height - self.clip.size, width - self.clip.size
        centre = (below // 2, beside // 2)
        if self.crops == 5:
            return [centre, *((top, left) for top in (0, below) for left in (0, beside))]
        if self.crops == 3 and width >= height:
            return [(centre[0], left) for left in (0, centre[1], beside)]
        if self.crops == 3:
            return [(top, centre[1]) for top in (0, centre[0], below)]
        return [centre]

    def sample(self, length: int, start: int | None, rng: Any = None) -> tuple:
        """Frames (T,) from a first one on; a video shorter than the clip begins again.

        So it does in training: see `mas.tasks.walks`.
        """
        frames = walks.indices(self.frames, self.stride, start or 0, length, "wrap")
        if self.static:
            frames = np.repeat(frames[len(frames) // 2], len(frames))
        return frames, np.zeros(0, np.int32)

    def example(self, clip: dict) -> tuple:
        """(rgb or flow, number of the clip's label)."""
        return clip[self.network.modality], clip["label"]
