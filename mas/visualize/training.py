"""Pictures of a few fixed clips for TensorBoard during training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from mas import lazy, networks
from mas.settings import Clip, Plan
from mas.visualize import output
from mas.visualize.attention import attention, draw_attention, loaded
from mas.visualize.reading import read_clip
from mas.visualize.statistics import draw_statistics

if TYPE_CHECKING:
    import keras

statistics = lazy.module("mas.statistics")

DPI = 60
TIMES = 20  # most drawings per run: a picture takes about a second


class TrainingPictures:
    """Callback for `mas.pretrain` and `mas.finetune` that draws attention maps.

        mas.pretrain(data, "mas", callbacks=[mas.visualize.TrainingPictures(4)], run="runs/x")

    It draws at most `TIMES` times per run. The first time, it also draws the labels of clips with
    flow, which never change.

    Args:
        count: number of clips, evenly spaced in the data set.
    """

    def __init__(self, count: int = 2):
        """See the class."""
        self.count = count

    def __call__(
        self, reader: Any, backbone: keras.Model, run: Any, plan: Plan
    ) -> Callable[[int, int], None] | None:
        """Returns a function of (epoch, step) that draws; None if no video has a clip."""
        shown = self._clips(reader.data, reader.task.clip)
        if not shown:
            return None
        every, drawn = -(-plan.epochs // TIMES), set[int]()

        def draw(epoch: int, step: int) -> None:
            if epoch % every and epoch != plan.epochs:
                return
            run.images(clip_pictures(shown, backbone, labels=not drawn), step)
            drawn.add(epoch)

        return draw

    def _clips(self, data, clip: Clip):
        """The first frames of a few videos."""
        long = np.flatnonzero(data.lengths >= clip.frames)
        places = np.unique(np.linspace(0, max(0, len(long) - 1), self.count).astype(int))
        try:
            videos = [data.videos[number] for number in long[places[: len(long)]]]
            return [read_clip(data, video, **clip.values()) for video in videos]
        except ValueError as error:  # an unreadable file; training will report it
            logging.warning("No pictures for TensorBoard: %s", error)
            return []


def clip_pictures(
    clips: Sequence[dict[str, Any]],
    network: networks.Source | keras.Model | None = None,
    labels: bool = True,
    dpi: int = DPI,
) -> dict[str, np.ndarray]:
    """Draws small pictures of some clips.

    Args:
        clips: clips of one shape: {"rgb": uint8 (T, S, S, 3), "video": id}, and "flow", float32
            (T - 1, S, S, 2), if available.
        network: network whose attention to draw, as in `attention`, or None. Its number of input
            channels decides between rgb and flow.
        labels: whether to draw labels, for clips with flow whose side is a multiple of 8.
        dpi: resolution of the pictures, which are up to 11 inches wide.

    Returns:
        {name: uint8 (clips, H, W, 3)} with "statistics" and "attention", if they can be drawn.
    """
    found: dict[str, list] = {}
    fits = all("flow" in c and c["rgb"].shape[1] % statistics.regions.UNIT == 0 for c in clips)
    if labels and fits:
        found["statistics"] = [
            draw_statistics(clip["rgb"], clip["flow"], clip["video"]) for clip in clips
        ]
    if network is not None:
        backbone = loaded(network)
        found["attention"] = [_attention(clip, backbone) for clip in clips]
    return {
        name: np.stack([output.image(figure, dpi) for figure in figures])
        for name, figures in found.items()
    }


def _attention(clip, backbone):
    heat = attention(backbone, clip["flow" if backbone.input_shape[-1] == 2 else "rgb"])
    return draw_attention(clip["rgb"], heat, clip.get("flow"), clip["video"])
