"""A clip's frames beside its flow: as a strip, or as they move."""

import numpy as np
from matplotlib import figure

from mas.visualize import output
from mas.visualize.colours import flow_colours, full_colour

COLUMNS = 8
MOST_SHOWN = 32  # frames of a strip
LEAST_SIDE = 224  # of a moving frame, in pixels: smaller ones are drawn larger


def draw_clip(rgb, flow=None, title=""):
    """The frames of a clip in reading order, the flow to the next frame below each.

    Args:
        rgb: uint8 (T, H, W, 3), R G B; of more than `MOST_SHOWN` frames so many, evenly spaced.
        flow: float32 (T - 1, H, W, 2), or None.
        title: of the picture.

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
    largest = None if flow is None else full_colour(flow)
    for place, frame in enumerate(shown):
        row, column = divmod(place, columns)
        axes[kinds * row, column].imshow(rgb[frame])
        axes[kinds * row, column].set_title(f"{frame + 1}", fontsize=8, pad=2)
        if flow is not None and frame < len(flow):
            axes[kinds * row + 1, column].imshow(flow_colours(flow[frame], largest))
    canvas.suptitle(title + _scale(largest), fontsize=10)
    return canvas


def _scale(largest):
    """How long a vector of full colour is, for a title."""
    return "" if largest is None else f"\nflow: full colour is {largest:.1f} pixels a frame"


def animate_clip(rgb, flow=None, rate=output.UNKNOWN_RATE):
    """A clip as it moves, its flow at its right.

    Args:
        rgb: uint8 (T, H, W, 3), R G B.
        flow: float32 (T - 1, H, W, 2), or None. The last frame has none: its half stays white.
        rate: frames per second.

    Returns:
        The bytes of a gif file.
    """
    images = rgb
    if flow is not None:
        largest = full_colour(flow)
        fields = [flow_colours(field, largest) for field in flow]
        fields.append(np.full_like(rgb[0], 255))
        images = np.concatenate([rgb, np.stack(fields)], axis=2)
    return output.gif(larger(images), rate)


def larger(images):
    """Images (N, H, W, 3) whose pixels are repeated until they have `LEAST_SIDE` rows."""
    times = -(-LEAST_SIDE // images.shape[1])
    return images.repeat(times, axis=1).repeat(times, axis=2)
