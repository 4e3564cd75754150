"""Pictures of what a clip holds and what is asked about it."""

import cv2
import numpy as np
from matplotlib import figure

from mas import statistics

# Which label of a pattern is drawn how: (place among its labels, name, colour, line width). The
# thinner ones come later, so that several outlines of one region all show.
_MOTION = ((0, "u", "tab:red", 3.6), (2, "v", "tab:blue", 1.5))
_APPEARANCE = ((0, "most diverse", "gold", 6.5), (2, "most consistent", "limegreen", 6.5))
_COLOURS = ("blue", "cyan", "magenta", "white", "black", "lime", "red", "yellow")


def draw_statistics(rgb, flow, title=""):
    """A clip with its motion boundaries and its labels (CVPR 2019, Figures 1, 3 and 4).

    Args:
        rgb: uint8 (T, S, S, 3), R G B.
        flow: float32 (T - 1, S, S, 2).
        title: of the picture.

    Returns:
        matplotlib.figure.Figure.
    """
    canvas = figure.Figure(figsize=(11, 8.4), layout="constrained")
    canvas.suptitle(title)
    axes = canvas.subplots(3, 4)
    _frames(axes[0], rgb)
    _boundaries(axes[1], flow)
    motion, appearance = statistics.motion(flow), statistics.appearance(rgb)
    for place, axis in enumerate(axes[2, :3]):
        part = slice(4 * place, 4 * place + 4)
        _pattern(axis, place + 1, rgb[len(rgb) // 2], motion[part], appearance[part])
    _words(axes[2, 3], motion, appearance)
    for axis in axes.ravel():
        axis.set_axis_off()
    return canvas


def flow_colours(flow, largest):
    """Flow as colour: direction as hue, speed as saturation.

    Args:
        flow: float32 (H, W, 2).
        largest: speed in pixels per frame that is drawn in full colour.

    Returns:
        uint8 (H, W, 3), R G B; white where nothing moves.
    """
    speed, angle = cv2.cartToPolar(*np.moveaxis(flow, -1, 0).copy(), angleInDegrees=True)
    saturation = np.clip(speed / max(largest, 1e-6), 0, 1) * 255
    parts = (angle / 2, saturation, np.full_like(speed, 255))
    return cv2.cvtColor(np.stack(parts, -1).astype(np.uint8), cv2.COLOR_HSV2RGB)


def _frames(axes, rgb):
    for axis, number in zip(axes, np.linspace(0, len(rgb) - 1, 4).astype(int), strict=True):
        axis.imshow(rgb[number])
        axis.set_title(f"frame {number + 1} of {len(rgb)}", fontsize=9)


def _boundaries(axes, flow):
    middle = len(flow) // 2
    largest = np.percentile(np.linalg.norm(flow[middle], axis=-1), 99)
    axes[0].imshow(flow_colours(flow[middle], largest))
    axes[0].set_title(f"flow {middle + 1} of {len(flow)}", fontsize=9)
    for axis, name, boundary in zip(
        axes[1:3], "uv", statistics.motion_boundaries(flow), strict=True
    ):
        axis.imshow(np.hypot(*boundary), cmap="magma")
        axis.set_title(f"motion boundaries $M_{name}$", fontsize=9)
    speeds = np.linalg.norm(flow, axis=-1).mean((1, 2))
    axes[3].bar(np.arange(1, len(flow) + 1), speeds, color="grey")
    axes[3].set_title("mean speed of each field", fontsize=9)


def _pattern(axis, pattern, image, motion, appearance):
    axis.imshow(image, alpha=0.55)
    axis.set_title(f"pattern {pattern}", fontsize=9)
    masks = statistics.regions.masks(pattern, len(image))
    for mask in masks:
        axis.contour(mask, [0.5], colors="black", linewidths=0.4)
    for labels, drawn in ((appearance, _APPEARANCE), (motion, _MOTION)):
        for place, _, colour, width in drawn:
            if labels[place]:
                axis.contour(masks[labels[place] - 1], [0.5], colors=colour, linewidths=width)
    for place, _, colour, _ in _MOTION:
        if labels[place]:
            _arrow(axis, masks[labels[place] - 1], labels[place + 1], colour)


def _arrow(axis, mask, direction, colour):
    """The direction label as an arrow from the region's middle, x right and y down."""
    rows, columns = np.nonzero(mask)
    angle = np.deg2rad((direction - 1) * 45)
    reach = len(mask) / 9
    step = (reach * np.cos(angle), reach * np.sin(angle))
    axis.arrow(columns.mean(), rows.mean(), *step, color=colour, width=1, head_width=5)


def _words(axis, motion, appearance):
    lines = [(f"{name}: largest motion, its direction", colour) for _, name, colour, _ in _MOTION]
    for first, (_, name, colour, _) in zip((1, 3), _APPEARANCE, strict=True):
        names = [_COLOURS[label - 1] for label in appearance[first:12:4]]
        lines.append((f"{name} colours: {', '.join(names)}", colour))
    lines += [
        (f"colour of the clip: {_COLOURS[appearance[-1] - 1]}", "black"),
        (f"field of largest motion: u {motion[-2]}, v {motion[-1]}", "black"),
        (f"motion {motion.tolist()}", "black"),
        (f"appearance {appearance.tolist()}", "black"),
    ]
    for row, (text, colour) in enumerate(lines):
        axis.text(0, 1 - 0.11 * row, text, color=colour, fontsize=8, va="top", wrap=True)
