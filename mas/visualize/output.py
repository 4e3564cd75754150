"""Writes figures and images to files."""

from __future__ import annotations

import dataclasses
import io
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from absl import logging
from PIL import Image

from mas import checks, files, lazy

if TYPE_CHECKING:
    from matplotlib import figure
    from matplotlib.backends import backend_agg
else:
    backend_agg = lazy.module("matplotlib.backends.backend_agg")
    figure = lazy.module("matplotlib.figure")

FIGURES = (".png", ".pdf", ".svg")  # formats of figures
DPI = 100
UNKNOWN_RATE = 25.0  # frames per second if the data do not tell
LEAST_SIDE = 224  # smallest side of a gif panel, in pixels: smaller ones are enlarged
TITLE, KEY = 24, 36  # heights of the bands above and below the panels of a gif, in pixels


def check(path: str | os.PathLike, suffixes: Sequence[str]) -> None:
    """Checks the name of an output file before work starts.

    Raises:
        ValueError: If it does not end in one of `suffixes`, or its folder does not exist.
    """
    path = checks.path("output", path)
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"output must end in one of {list(suffixes)}. Received: output={path}.")
    if not path.parent.is_dir():
        raise ValueError(f"output must be in an existing folder. Received: output={path}.")


def write(path: str | os.PathLike, picture: figure.Figure | bytes | str) -> None:
    """Writes a picture and logs it; on an error, writes nothing.

    Args:
        path: file to write; for a figure, its suffix sets the format, one of `FIGURES`.
        picture: matplotlib.figure.Figure, or the content of the file.
    """
    path = pathlib.Path(path)
    if not isinstance(picture, bytes | str):
        buffer = io.BytesIO()
        picture.savefig(buffer, dpi=DPI, format=path.suffix[1:].lower())
        picture = buffer.getvalue()
    earlier = ", replacing an earlier picture" if path.exists() else ""
    files.write(path, picture)
    logging.info("Wrote %s%s.", path, earlier)


def image(picture: figure.Figure, dpi: int = DPI) -> np.ndarray:
    """A figure as uint8 (H, W, 3), R G B."""
    canvas = backend_agg.FigureCanvasAgg(picture)
    picture.set_dpi(dpi)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


@dataclasses.dataclass(frozen=True, eq=False)
class Panel:
    """One of several animations side by side in a gif.

    Attributes:
        title: text above the panel.
        images: uint8 (T, H, W, 3), R G B; all panels have the same T and H.
        key: colour key below the panel, uint8 (h, w, 3); or None.
        meaning: text next to the key.
    """

    title: str
    images: np.ndarray
    key: np.ndarray | None = None
    meaning: str = ""


def side_by_side(panels: Sequence[Panel]) -> np.ndarray:
    """Joins panels from left to right, at least `LEAST_SIDE` pixels high, with titles and keys.

    Returns:
        uint8 (T, H, W, 3), including a band of `TITLE` rows above the panels and, if any panel has
        a key, a band of `KEY` rows below them.
    """
    images = np.concatenate([panel.images for panel in panels], axis=2)
    times = -(-LEAST_SIDE // images.shape[1])
    images = images.repeat(times, axis=1).repeat(times, axis=2)
    widths = [panel.images.shape[2] * times for panel in panels]
    bands = [_titles(panels, widths), _keys(panels, widths)]
    above, below = (np.broadcast_to(band, (len(images), *band.shape)) for band in bands)
    return np.concatenate([above, images, below], axis=1)


def _titles(panels, widths):
    """uint8 (TITLE, W, 3): the titles, centred above the panels."""
    canvas = _band(sum(widths), TITLE)
    for panel, width, left in zip(panels, widths, _left_edges(widths), strict=True):
        place = (left + width / 2) / sum(widths)
        canvas.text(place, 0.5, panel.title, ha="center", va="center", fontsize=10)
    return image(canvas)


def _keys(panels, widths):
    """uint8 (KEY, W, 3): the keys and their meanings, below the panels; no rows without keys."""
    if all(panel.key is None for panel in panels):
        return np.zeros((0, sum(widths), 3), np.uint8)
    canvas, margin = _band(sum(widths), KEY), 6
    for panel, left in zip(panels, _left_edges(widths), strict=True):
        if panel.key is None:
            continue
        height, width = panel.key.shape[:2]
        canvas.figimage(panel.key, left + margin, (KEY - height) // 2)
        place = (left + 2 * margin + width) / sum(widths)
        canvas.text(place, 0.5, panel.meaning, va="center", fontsize=8)
    return image(canvas)


def _left_edges(widths):
    return np.cumsum([0, *widths[:-1]]).tolist()


def _band(width, height):
    return figure.Figure(figsize=(width / DPI, height / DPI), dpi=DPI)


def gif(images: np.ndarray, rate: float) -> bytes:
    """Encodes an endless animation.

    Args:
        images: uint8 (N, H, W, 3), R G B.
        rate: frames per second, above 0; gif rounds frame times to hundredths of a second.

    Returns:
        Bytes of a gif file.
    """
    first, *others = [Image.fromarray(array) for array in images]
    buffer = io.BytesIO()
    duration = max(10 * round(100 / rate), 20)  # ms; browsers slow down anything faster
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=duration, loop=0)
    return buffer.getvalue()
