"""Draws the views of a clip that a task gives to its network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mas import lazy, tasks
from mas.visualize.colours import flow_colours, full_colour

if TYPE_CHECKING:
    from matplotlib import figure
else:
    figure = lazy.module("matplotlib.figure")

MOST_VIEWS = 64  # rows


def draw_views(
    x: np.ndarray, names: Sequence[str], title: str = "", columns: int = 8
) -> figure.Figure:
    """Draws a row of frames for each view of an example.

    Args:
        x: uint8 (views, T, H, W, 3), R G B, or float32 (views, T, H, W, 2), flow.
        names: names of the views.
        title: title of the picture.
        columns: most frames per row, evenly spaced from the first to the last.

    Returns:
        matplotlib.figure.Figure.

    Raises:
        ValueError: If `x` has another shape or type, or more than `MOST_VIEWS` views.
    """
    colours = x.ndim == 5 and x.shape[-1] == 3 and x.dtype == np.uint8
    fields = x.ndim == 5 and x.shape[-1] == 2 and x.dtype == np.float32
    if not (colours or fields) or len(x) > MOST_VIEWS:
        raise ValueError(
            f"x must be uint8 (views, frames, height, width, 3) or float32 (..., 2), with at most "
            f"{MOST_VIEWS} views. Received: {x.dtype} {x.shape}."
        )
    shown = np.unique(np.linspace(0, x.shape[1] - 1, columns).round().astype(int))
    largest = full_colour(x) if fields else 0.0
    size = (1.5 * len(shown) + 1, 1.5 * len(x) * x.shape[2] / x.shape[3] + 0.7)
    canvas = figure.Figure(figsize=size, layout="constrained")
    canvas.suptitle(title, fontsize=10)
    axes = canvas.subplots(len(x), len(shown), squeeze=False)
    for row, view, name in zip(axes, x, names, strict=True):
        for axis, frame in zip(row, shown, strict=True):
            axis.imshow(flow_colours(view[frame], largest) if fields else view[frame])
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, fontsize=9)
    for axis, frame in zip(axes[0], shown, strict=True):
        axis.set_title(f"{frame + 1}", fontsize=8, pad=2)
    return canvas


def view_names(task: tasks.Task, y: dict[str, np.ndarray], views: int) -> list[str]:
    r"""Names each view by its role, if the task has roles, and its class, if it has classes.

    >>> view_names(tasks.Pace(), {"pace": np.array(3)}, 1)
    ['view 1\npace 4']

    Args:
        task: a `tasks.Task`; its `roles`, if any, are a tuple of names.
        y: the example's targets {output: array}.
        views: number of views.

    Returns:
        A list of `views` strings.
    """
    roles = getattr(task, "roles", None) or [f"view {number}" for number in range(1, views + 1)]
    names = [str(role) for role in roles]
    if task.choice is not None:
        output, classes = task.choice
        chosen = np.asarray(y[output])
        if chosen.size == views:
            names = [
                f"{name}\n{output} {classes[label]}"
                for name, label in zip(names, chosen.ravel(), strict=True)
            ]
    return names
