"""Settings for sampling clips from a video and pooling their features."""

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
    """How clips are sampled from a video and their features pooled.

    None means the value of the network's run.

    >>> Sampling(clips=0).how
    'consecutive'
    """

    clips: int = option(
        10, "Clips per video, evenly spaced, or 0 for all non-overlapping ones.", least=0
    )
    how: str = option(
        "uniform",
        "Placement of the clips: uniform, evenly spaced from the first frame to the last; "
        "consecutive, all that do not overlap; overlapping, one every half clip.",
        choices=HOWS,
        advanced=True,
    )
    pooling: str | None = option(
        None,
        "Features of a clip, from the last feature map: average, over time and space; max, the "
        "maximum in each of 1 x 2 x 2 parts; pool5, the maxima in all windows of 2 x 2 x 2 (4096 "
        "numbers for C3D); or fc6, the first fully connected layer of a run's heads. By default "
        "average; pool5 in similarity and scenes.",
        choices=POOLINGS,
    )
    static: bool = option(
        False, "Repeat the middle frame of each clip, to test a network without motion."
    )
    frames: int | None = option(
        None, "Clip length in frames, by default the run's.", form=INTEGER, least=2
    )
    stride: int | None = option(
        None,
        "Frame step within a clip, by default the run's.",
        form=INTEGER,
        least=1,
    )
    size: int | None = option(
        None, "Side of the crop in pixels, by default the run's.", form=INTEGER, least=1
    )
    crops: int = option(
        1,
        "Crops per clip, averaged: 1, the centre; 3, along the longer side, the usual 10 x 3 "
        "views with clips=10; 5, the centre and the corners.",
        choices=CROPS,
    )
    resize: tuple[int, int] | None = option(
        None, "Frame size before the crop, WIDTHxHEIGHT in pixels, by default the run's.", form=SIZE
    )
    batch: int = option(16, "Clips per batch.", least=1, free=True, advanced=True)
    threads: int = option(
        0,
        "Threads for the input pipeline, and for CPU kernels; 0 uses all cores.",
        least=0,
        free=True,
        advanced=True,
    )
    allow_failures: bool = option(
        False, "Skip videos that cannot be decoded, with a warning.", free=True, advanced=True
    )

    def __post_init__(self):
        """Sets `how` to "consecutive" for clips=0."""
        super().__post_init__()
        if not self.clips and self.how == "uniform":
            object.__setattr__(self, "how", "consecutive")

    def task(self, known: Clip, modality: str, stride: int | None = None) -> PlainClips:
        """Makes the task that the input pipeline needs.

        Args:
            known: clips of the network's run, for settings that are None here.
            modality: "rgb" or "flow".
            stride: frame step of the network's run; None means 1.

        Raises:
            ValueError: If the crop does not fit, or `static` is used with flow.
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
    """Task of plain clips without a target, made by `Sampling.task`."""

    static: bool = option(False, "Repeat the middle frame.")
    stride: int = option(1, "Frame step within a clip.", least=1)
    crops: int = option(1, "Crops per clip.", choices=CROPS)

    name = "clips"
    modalities = ("rgb", "flow")

    def check(self, batch: int | None = None) -> None:
        """Raises ValueError for static clips of flow.

        With a stride, each flow field is still that from a frame to the next in the video.
        """
        super().check(batch)
        if self.network.modality != "rgb" and self.static:
            refuse("modality", "rgb with static", self.network.modality)

    @property
    def inputs(self) -> tuple[str]:
        """The network's modality only."""
        return (self.network.modality,)

    @property
    def wraps(self) -> bool:
        """False for flow: there is none from the last frame to the first."""
        return self.network.modality == "rgb"

    @property
    def span(self) -> int:
        """Frames of the video that a clip covers."""
        return (self.frames - 1) * self.stride + 1

    @property
    def shape(self) -> tuple[int, ...]:
        """(frames, height, width, channels) of the network's input."""
        return self.clip.shape(self.network.modality)

    @property
    def whole(self) -> bool:  # type: ignore[override]
        """Whether the pipeline delivers whole frames: several crops are cut later."""
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
        """Frame numbers (T,) of a clip; a video shorter than the clip is repeated.

        Training does the same: see `mas.tasks.walks`.
        """
        frames = walks.indices(self.frames, self.stride, start or 0, length, "wrap")
        if self.static:
            frames = np.repeat(frames[len(frames) // 2], len(frames))
        return frames, np.zeros(0, np.int32)

    def example(self, clip: dict) -> tuple:
        """(rgb or flow, label of the clip)."""
        return clip[self.network.modality], clip["label"]
