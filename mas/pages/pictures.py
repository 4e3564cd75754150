"""Thumbnails embedded in a page: still images and loops."""

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
MOST_FRAMES = 16  # per loop: a page with hundreds of loops stays below about 10 MB
QUALITY = 75  # of JPEG


def jpeg(frame: np.ndarray, width: int = WIDTH) -> str:
    """Encodes a frame as a small JPEG file in base64.

    Args:
        frame: uint8 (H, W, 3), R G B.
        width: longer side in pixels, at most.
    """
    return _encoded(_small(frame, width))


def data_uri(data: str) -> str:
    """Makes the data URI of a JPEG file; `data` is base64."""
    return f"data:image/jpeg;base64,{data}"


def still(frame: np.ndarray, name: str = "", width: int = WIDTH) -> Markup:
    """Embeds a frame as an image.

    Args:
        frame: uint8 (H, W, 3), R G B.
        name: alternative text.
        width: longer side in pixels, at most.
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
    """Embeds a clip that plays as a loop at its own speed, without a script.

    Its frames are side by side in one JPEG file, which a CSS animation moves step by step. The
    loop does not play if the reader's system asks for reduced motion.

    Args:
        frames: uint8 (T, H, W, 3), R G B; or T arrays of one size.
        rate: frames per second; above 0.
        name: alternative text.
        width: longer side of a frame in pixels, at most.
        most: most frames to keep, evenly spaced; the loop still takes T / rate seconds.

    Raises:
        ValueError: If there is no frame, or the rate is not above 0.
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
    """Makes the placeholder of a missing thumbnail."""
    return element("i", "no picture", class_="blank", role="img", aria_label=name)


def _small(frame, width):
    picture = Image.fromarray(np.asarray(frame))
    picture.thumbnail((width, width))
    return picture


def _encoded(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
