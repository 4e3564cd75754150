"""Frames into thumbnails that stand in the page itself: still ones, and loops that play."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mas import lazy
from mas.checks import check_range
from mas.pages.markup import Markup, element

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
else:
    np = lazy.module("numpy")
    Image = lazy.module("PIL.Image")

WIDTH = 144  # of a thumbnail, in pixels
MOST_FRAMES = 16  # of a loop: a page of hundreds stays below some 10 MB
QUALITY = 75  # of JPEG


def jpeg(frame: np.ndarray, width: int = WIDTH) -> str:
    """A small JPEG file in base64.

    Args:
        frame: uint8 (H, W, 3), R G B.
        width: the most pixels of the longer side.
    """
    return _encoded(_small(frame, width))


def data_uri(data: str) -> str:
    """The address of a JPEG file that stands in the page: `data` in base64."""
    return f"data:image/jpeg;base64,{data}"


def still(frame: np.ndarray, name: str = "", width: int = WIDTH) -> Markup:
    """A frame as an image in the page.

    Args:
        frame: uint8 (H, W, 3), R G B.
        name: what it shows, for those who do not see it.
        width: the most pixels of the longer side.
    """
    picture = _small(frame, width)
    size = {"width": picture.width, "height": picture.height}
    return element("img", src=data_uri(_encoded(picture)), alt=name, **size)


def moving(
    frames: Sequence[np.ndarray] | np.ndarray,
    rate: float,
    name: str = "",
    width: int = WIDTH,
    most: int = MOST_FRAMES,
) -> Markup:
    """A clip that plays as a loop, at its own pace and without script.

    Its frames stand side by side in one JPEG file; the style of the page moves it step by step.
    It stands still where the reader asked for less motion.

    Args:
        frames: uint8 (T, H, W, 3), R G B; or T arrays of one size.
        rate: frames per second; above 0.
        name: what it shows, for those who do not see it.
        width: the most pixels of a frame's longer side.
        most: frames that are kept, evenly spaced; the loop takes T / rate seconds all the same.

    Raises:
        ValueError: there is no frame, or a rate that is not above 0.
    """
    check_range("rate", rate, above=0)
    check_range("frames", len(frames), least=1)
    kept = np.arange(min(len(frames), most)) * len(frames) // min(len(frames), most)
    small = [np.asarray(_small(frames[place], width)) for place in kept.tolist()]
    height, wide = small[0].shape[:2]
    style = (
        f"aspect-ratio:{wide}/{height};background-size:{len(kept)}00% 100%;"
        f"background-image:url({data_uri(_encoded(Image.fromarray(np.concatenate(small, 1))))})"
    )
    if len(kept) > 1:
        style += f";animation:play {len(frames) / rate:.3f}s steps({len(kept)},jump-none) infinite"
    return element("i", class_="loop", role="img", aria_label=name, style=style)


def blank(name: str = "") -> Markup:
    """What stands in the place of a thumbnail that cannot be made."""
    return element("i", "no picture", class_="blank", role="img", aria_label=name)


def _small(frame, width):
    picture = Image.fromarray(np.asarray(frame))
    picture.thumbnail((width, width))
    return picture


def _encoded(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
