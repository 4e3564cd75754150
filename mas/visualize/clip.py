"""Pictures and animations of a clip and its flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mas import lazy
from mas.visualize import output
from mas.visualize.colours import flow_colours, full_colour, wheel

if TYPE_CHECKING:
    from matplotlib import figure
else:
    figure = lazy.module("matplotlib.figure")

COLUMNS = 8
MOST_SHOWN = 32  # frames in a picture
WHEEL = 30  # side of the direction wheel below a gif, in pixels


def draw_clip(rgb: np.ndarray, flow: np.ndarray | None = None, title: str = "") -> figure.Figure:
    """Draws the frames of a clip in reading order, each above its flow to the next frame.

    Args:
        rgb: uint8 (T, H, W, 3), R G B; at most `MOST_SHOWN` frames are drawn, evenly spaced.
        flow: float32 (T - 1, H, W, 2), or None.
        title: title of the picture.

    Returns:
        matplotlib.figure.Figure.
    """
    shown = np.unique(np.linspace(0, len(rgb) - 1, MOST_SHOWN).round().astype(int))
    columns, kinds = min(COLUMNS, len(shown)), 1 if flow is None else 2
    rows = -(-len(shown) // columns) * kinds
    shape = rgb.shape[1] / rgb.shape[2]
    size = (1.6 * columns, 1.6 * shape * rows + 0.18 * rows / kinds + 0.5)
    canvas = figure.Figure(figsize=size, layout="constrained")
    axes = canvas.subplots(rows, columns, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    largest = 0.0 if flow is None else full_colour(flow)
    for place, frame in enumerate(shown):
        row, column = divmod(place, columns)
        axes[kinds * row, column].imshow(rgb[frame])
        axes[kinds * row, column].set_title(f"{frame + 1}", fontsize=8, pad=2)
        if flow is not None and frame < len(flow):
            axes[kinds * row + 1, column].imshow(flow_colours(flow[frame], largest))
    scale = "" if flow is None else f"\nflow: full colour is {largest:.1f} pixels per frame"
    canvas.suptitle(title + scale, fontsize=10)
    return canvas


def animate_clip(
    rgb: np.ndarray, flow: np.ndarray | None = None, rate: float = output.UNKNOWN_RATE
) -> bytes:
    """Animates a clip next to its flow.

    Args:
        rgb: uint8 (T, H, W, 3), R G B.
        flow: float32 (T - 1, H, W, 2), or None.
        rate: frames per second.

    Returns:
        Bytes of a gif file.
    """
    panels = [output.Panel("frame", rgb)]
    if flow is not None:
        panels.append(flow_panel(flow))
    return output.gif(output.side_by_side(panels), rate)


def flow_panel(flow: np.ndarray) -> output.Panel:
    """Panel of the flow from each frame; white for the last frame, which has none.

    Args:
        flow: float32 (T - 1, H, W, 2).

    Returns:
        An `output.Panel` of T images.
    """
    largest = full_colour(flow)
    fields = [flow_colours(field, largest) for field in flow]
    images = np.stack([*fields, np.full_like(fields[0], 255)])
    meaning = f"full colour: {largest:.1f} pixels per frame"
    return output.Panel("flow", images, wheel(WHEEL), meaning)
