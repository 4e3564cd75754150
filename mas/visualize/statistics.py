"""Draws a clip, its motion boundaries and its labels: the paper's Figures 1, 3 and 4."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mas import lazy
from mas.visualize.colours import flow_colours, full_colour, wheel

if TYPE_CHECKING:
    import cv2
    from matplotlib import figure, patches

    from mas import statistics
else:
    cv2 = lazy.module("cv2")
    figure = lazy.module("matplotlib.figure")
    patches = lazy.module("matplotlib.patches")
    statistics = lazy.module("mas.statistics")

MOMENTS = 4  # number of frames, and of flow fields, to draw
# How to draw a pattern's labels: (position among them, name, colour, line width). Thinner lines
# are drawn later, so that all outlines of one region are visible.
_MOTION = ((0, "u", "tab:red", 3.6), (2, "v", "tab:blue", 1.5))
_APPEARANCE = ((0, "most diverse", "gold", 6.5), (2, "most consistent", "limegreen", 6.5))
# Colour at the corner of each octant of the RGB cube, and a text colour readable on it.
_COLOURS = (
    *(("blue", "white"), ("cyan", "black"), ("magenta", "black"), ("white", "black")),
    *(("black", "white"), ("lime", "black"), ("red", "white"), ("yellow", "black")),
)


def draw_statistics(rgb: np.ndarray, flow: np.ndarray, title: str = "") -> figure.Figure:
    """Draws a clip with its flow, motion boundaries and labels (CVPR 2019, Figures 1, 3 and 4).

    Args:
        rgb: uint8 (T, S, S, 3), R G B.
        flow: float32 (T - 1, S, S, 2).
        title: title of the picture.

    Returns:
        matplotlib.figure.Figure of 4 x 4 axes: frames; flow; M_u, M_v, the direction wheel and the
        motion boundaries over time; patterns 1 to 3 and the labels.
    """
    canvas = figure.Figure(figsize=(11, 11.2), layout="constrained")
    canvas.suptitle(title)
    axes = canvas.subplots(4, 4)
    for axis in [*axes[:2].ravel(), *axes[2, :3], *axes[3]]:
        axis.set_axis_off()
    _draw_frames(axes[:2], rgb, flow)
    motion, appearance = statistics.motion(flow), statistics.appearance(rgb)
    _boundaries(axes[2], flow, motion[-2:])
    for place, axis in enumerate(axes[3, :3]):
        part = slice(4 * place, 4 * place + 4)
        _pattern(axis, place + 1, rgb[len(rgb) // 2], motion[part], appearance[part])
    _legend(axes[3, 3], motion, appearance)
    return canvas


def _draw_frames(axes, rgb, flow):
    """Frames and their flow, evenly spaced, including the first and the last field."""
    largest = full_colour(flow)
    numbers = np.linspace(0, len(flow) - 1, MOMENTS).round().astype(int)
    for frame_axis, flow_axis, place in zip(*axes, numbers, strict=True):
        frame_axis.imshow(rgb[place])
        frame_axis.set_title(f"frame {place + 1} of {len(rgb)}", fontsize=9)
        flow_axis.imshow(flow_colours(flow[place], largest))
        flow_axis.set_title(f"flow {place + 1} of {len(flow)}", fontsize=9)


def _boundaries(axes, flow, largest_fields):
    """M_u and M_v on one scale, the direction wheel, and the motion boundaries over time."""
    boundaries = np.moveaxis(statistics.motion_boundaries(flow), 1, -1)
    largest = full_colour(boundaries)
    for axis, name, boundary in zip(axes[:2], "uv", boundaries, strict=True):
        axis.imshow(flow_colours(boundary, largest))
        strongest = np.linalg.norm(boundary, axis=-1).max()
        axis.set_title(f"motion boundaries $M_{name}$, at most {strongest:.0f}", fontsize=9)
    _wheel(axes[2], full_colour(flow), largest)
    _fields(axes[3], flow, largest_fields)


def _wheel(axis, speed, boundary):
    """The direction wheel: label n starts at an angle of 45 (n - 1) degrees, y down."""
    axis.imshow(wheel(101), extent=(-1, 1, 1, -1))
    for number in range(1, 9):
        angle = np.deg2rad(45 * (number - 1))
        x, y = np.cos(angle), np.sin(angle)
        axis.plot([0, x], [0, y], color="black", linewidth=0.5)
        axis.text(1.15 * x, 1.15 * y, str(number), fontsize=8, ha="center", va="center")
    axis.set(xlim=(-1.5, 1.5), ylim=(1.5, -1.5))
    title = f"directions; full colour: flow {speed:.1f}, $M$ {boundary:.1f}"
    axis.set_title(title, fontsize=9)


def _fields(axis, flow, largest_fields):
    """The summed motion boundaries of each flow field; the field with the most is the label."""
    alone = [statistics.motion_boundaries(field[None]) for field in flow]
    sums = np.linalg.norm(alone, axis=2).sum((2, 3)).T  # (u and v, fields)
    numbers = np.arange(1, len(flow) + 1)
    for (_, name, colour, _), values, label in zip(_MOTION, sums, largest_fields, strict=True):
        axis.plot(numbers, values, color=colour, label=name)
        if label:
            axis.plot(label, values[label - 1], "o", color=colour)
    axis.set_title("motion boundaries of each field", fontsize=9)
    axis.set_ylim(bottom=0)
    axis.set_yticks([])
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=8, loc="lower right")


def _pattern(axis, pattern, image, motion, appearance):
    axis.imshow(image, alpha=0.55)
    axis.set_title(f"pattern {pattern}", fontsize=9)
    masks = statistics.regions.masks(pattern, len(image))
    for number, mask in enumerate(masks, 1):
        axis.contour(mask, [0.5], colors="black", linewidths=0.4)
        axis.text(*_inside(mask), str(number), fontsize=6, ha="center", va="center", alpha=0.6)
    for labels, drawn in ((appearance, _APPEARANCE), (motion, _MOTION)):
        for place, _, colour, width in drawn:
            if labels[place]:
                axis.contour(masks[labels[place] - 1], [0.5], colors=colour, linewidths=width)
    for place, _, colour, width in _MOTION:
        if labels[place]:
            _arrow(axis, masks[labels[place] - 1], labels[place + 1], colour, width / 3)


def _inside(mask):
    """(x, y) of the pixel in a region that is farthest from its border."""
    padded = np.pad(mask.astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = np.unravel_index(distance.argmax(), mask.shape)
    return np.array([x, y])


def _arrow(axis, mask, direction, colour, width):
    """Draws the direction label as an arrow inside the region, y down."""
    angle = np.deg2rad(45 * (direction - 1))
    reach = len(mask) / 9
    step = reach * np.array([np.cos(angle), np.sin(angle)])
    style = {"color": colour, "width": width, "head_width": len(mask) / 25, "zorder": 3}
    axis.arrow(*(_inside(mask) - step / 2), *step, length_includes_head=True, **style)


def _legend(axis, motion, appearance):
    """The legend: outlines, colours as squares, and the labels as numbers."""
    axis.set(xlim=(0, 1), ylim=(1, 0))
    for row, (_, name, colour, _) in enumerate(_MOTION):
        text = f"{name}: largest motion, its direction"
        axis.text(0, 0.03 + 0.1 * row, text, color=colour, fontsize=8, va="center")
    axis.text(0, 0.25, "main colours, patterns 1, 2, 3:", fontsize=8, va="center")
    for row, (first, (_, name, edge, _)) in enumerate(zip((1, 3), _APPEARANCE, strict=True)):
        _swatches(axis, 0.36 + 0.12 * row, name, appearance[first:12:4], edge)
    _swatches(axis, 0.60, "the clip", appearance[-1:], "grey")
    lines = (
        f"field of largest motion: u {motion[-2]}, v {motion[-1]}",
        f"motion {motion.tolist()}",
        f"appearance {appearance.tolist()}",
    )
    for row, text in enumerate(lines):
        axis.text(0, 0.73 + 0.1 * row, text, fontsize=7, va="center")


def _swatches(axis, y, name, labels, edge):
    """A name, followed by a row of coloured squares."""
    axis.text(0, y, name, fontsize=8, va="center")
    for place, label in enumerate(labels):
        name, shade = _COLOURS[label - 1]
        style = {"facecolor": name, "edgecolor": edge, "linewidth": 2}
        corner = (0.43 + 0.19 * place, y - 0.04)
        axis.add_patch(patches.Rectangle(corner, 0.16, 0.08, **style))
        centre = (corner[0] + 0.08, y)
        axis.text(*centre, name, fontsize=6, color=shade, ha="center", va="center")
