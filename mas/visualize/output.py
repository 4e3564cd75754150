"""Figures and images as files: bytes first, then one step onto the disk."""

import base64
import io
import pathlib

import numpy as np
from matplotlib.backends import backend_agg
from PIL import Image

from mas import files

FIGURES = (".png", ".pdf", ".svg")  # what a figure is written as
DPI = 100
UNKNOWN_RATE = 25.0  # frames per second where the data do not tell


def check(path, suffixes):
    """Refuses a file name before work starts.

    Raises:
        ValueError: it ends in none of `suffixes`, or lies in no existing folder.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"output must end in one of {list(suffixes)}. Received: {path}.")
    if not path.parent.is_dir():
        raise ValueError(f"output must lie in an existing folder. Received: {path}.")


def write(path, picture):
    """Writes a figure, or bytes, so that the file is whole or not there.

    Args:
        path: where to; its suffix says what a figure becomes, one of `FIGURES`.
        picture: matplotlib.figure.Figure, or bytes.
    """
    if not isinstance(picture, bytes):
        buffer = io.BytesIO()
        picture.savefig(buffer, dpi=DPI, format=pathlib.Path(path).suffix[1:].lower())
        picture = buffer.getvalue()
    files.write(path, picture)


def image(picture, dpi=DPI):
    """A figure as uint8 (H, W, 3), R G B."""
    canvas = backend_agg.FigureCanvasAgg(picture)
    picture.set_dpi(dpi)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def gif(images, rate):
    """An animation that goes round and round.

    Args:
        images: uint8 (N, H, W, 3), R G B.
        rate: frames per second, above 0; the format knows hundredths of a second.

    Returns:
        The bytes of a gif file.
    """
    first, *others = [Image.fromarray(array) for array in images]
    buffer = io.BytesIO()
    duration = max(10 * round(100 / rate), 20)  # ms; browsers slow down what is faster
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=duration, loop=0)
    return buffer.getvalue()


def jpeg(array, width):
    """A small jpeg file: uint8 (H, W, 3) at most `width` pixels wide, as text in base64."""
    picture = Image.fromarray(array)
    picture.thumbnail((width, width))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
