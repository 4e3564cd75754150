"""Colours for flow and attention."""

from __future__ import annotations

import numpy as np

from mas import lazy

cv2 = lazy.module("cv2")
matplotlib = lazy.module("matplotlib")

LEAST_SPEED = 0.5  # smallest speed drawn in full colour, in pixels per frame
HEAT = "turbo"


def flow_colours(flow: np.ndarray, largest: float) -> np.ndarray:
    """Draws vectors as colours: direction as hue, length as saturation.

    >>> flow_colours(np.array([[[4, 0], [0, 0]]], np.float32), largest=4).tolist()  # right, none
    [[[255, 0, 0], [255, 255, 255]]]

    Args:
        flow: float32 (H, W, 2): x right, y down.
        largest: length drawn in full colour, in pixels per frame for flow.

    Returns:
        uint8 (H, W, 3), R G B; white for zero vectors.
    """
    speed, angle = cv2.cartToPolar(*np.moveaxis(flow, -1, 0).copy(), angleInDegrees=True)
    saturation = np.clip(speed / max(largest, 1e-6), 0, 1) * 255
    parts = (angle / 2, saturation, np.full_like(speed, 255))
    return cv2.cvtColor(np.stack(parts, -1).astype(np.uint8), cv2.COLOR_HSV2RGB)


def full_colour(vectors: np.ndarray) -> float:
    """Length to draw in full colour: the 99th percentile.

    Args:
        vectors: float (..., 2).

    Returns:
        float, at least `LEAST_SPEED`, so that noise in a still clip stays pale.
    """
    return max(float(np.percentile(np.linalg.norm(vectors, axis=-1), 99)), LEAST_SPEED)


def wheel(side: int) -> np.ndarray:
    """Draws the colours of all directions, x right and y down, as a disc on white.

    Args:
        side: side of the picture, in pixels.

    Returns:
        uint8 (side, side, 3).
    """
    steps = np.linspace(-1, 1, side, dtype=np.float32)
    vectors = np.stack(np.meshgrid(steps, steps), -1)
    vectors[np.linalg.norm(vectors, axis=-1) > 1] = 0
    return flow_colours(vectors, 1.0)


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Blends an image with a heat map, from dark blue to dark red, in equal parts.

    Args:
        image: uint8 (H, W, 3).
        heat: attention, float (H, W) in [0, 1].

    Returns:
        uint8 (H, W, 3).
    """
    colours = matplotlib.colormaps[HEAT](heat)[..., :3] * 255
    return np.rint((image + colours) / 2).astype(np.uint8)
