"""Small pictures of a few clips, as arrays: what TensorBoard shows while a network learns."""

import numpy as np

from mas.visualize import output
from mas.visualize.attention import attention, draw_attention
from mas.visualize.statistics import draw_statistics

DPI = 60


def clip_pictures(clips, backbone=None, statistics=True, dpi=DPI):
    """Pictures of some clips.

    Args:
        clips: list of {"rgb": uint8 (T, S, S, 3), "video": id}, and "flow", float32
            (T - 1, S, S, 2), where there is some; of one shape.
        backbone: keras.Model whose attention is drawn, None for none; what it takes, by its number
            of channels, is the rgb or the flow.
        statistics: whether to draw the labels of clips with flow: they never change, so once will
            do.
        dpi: of the pictures: a figure of 11 inches becomes 660 pixels.

    Returns:
        {name: uint8 (clips, H, W, 3)} of "statistics" and "attention", those that can be drawn.
    """
    found = {}
    if statistics and all("flow" in clip for clip in clips):
        found["statistics"] = [
            draw_statistics(clip["rgb"], clip["flow"], clip["video"]) for clip in clips
        ]
    if backbone is not None:
        found["attention"] = [_attention(clip, backbone) for clip in clips]
    return {
        name: np.stack([output.image(figure, dpi) for figure in figures])
        for name, figures in found.items()
    }


def _attention(clip, backbone):
    seen = clip["flow"] if backbone.input_shape[-1] == 2 else clip["rgb"]
    heat = attention(backbone, seen)
    return draw_attention(clip["rgb"], heat, clip.get("flow"), clip["video"])
