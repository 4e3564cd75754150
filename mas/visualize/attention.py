"""Attention maps: the activations of a network's last feature map, over the frames (Figure 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mas import lazy, networks
from mas.checks import check_range
from mas.visualize import output
from mas.visualize.clip import flow_panel
from mas.visualize.colours import flow_colours, full_colour, overlay, wheel

if TYPE_CHECKING:
    import cv2
    import keras
    from matplotlib import figure

    from mas import statistics
else:
    cv2 = lazy.module("cv2")
    figure = lazy.module("matplotlib.figure")
    statistics = lazy.module("mas.statistics")

POWER = 2  # specification, section 5
ROWS = 4
BAR = (12, 90)  # height and width of the colour bar below a gif, in pixels


def attention_map(activations: np.ndarray, power: float = POWER) -> np.ndarray:
    """Attention at each position of a feature map: the mean over channels of |a|^p.

    >>> attention_map(np.array([1.0, -3.0]).reshape(1, 1, 1, 2)).tolist()
    [[[5.0]]]

    Args:
        activations: float (t, h, w, c).
        power: p, above 0.

    Returns:
        float32 (t, h, w), 0 or more.

    Raises:
        ValueError: If the shape is wrong or the power is not above 0.

    Source: CVPR 2019, Figure 6, after Zagoruyko and Komodakis (ICLR 2017). They use the sum; the
    constant factor disappears when the map is scaled to [0, 1].
    """
    activations = np.asarray(activations, np.float32)
    if activations.ndim != 4:
        raise ValueError(
            "activations must be a feature map (frames, height, width, channels). "
            f"Received: {activations.shape}."
        )
    check_range("power", power, above=0)
    return (np.abs(activations) ** power).mean(-1)


def over_frames(attention: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Resizes attention to the clip, linearly in time and space, and scales it to [0, 1].

    Args:
        attention: float (t, h, w), 0 or more.
        shape: (T, H, W) of the clip.

    Returns:
        float32 (T, H, W), with maximum 1; all 0 if the attention is 0.
    """
    frames, height, width = shape
    planes = np.stack([cv2.resize(plane, (width, height)) for plane in attention])
    # Step i of the map lies at the middle of its share of the frames.
    places = (np.arange(frames) + 0.5) * len(planes) / frames - 0.5
    places = np.clip(places, 0, len(planes) - 1)
    lower = places.astype(int)
    share = (places - lower).astype(np.float32)[:, None, None]
    upper = np.minimum(lower + 1, len(planes) - 1)
    heat = (1 - share) * planes[lower] + share * planes[upper]
    return heat / max(float(heat.max()), 1e-30)


def attention(
    network: networks.Source | keras.Model, clip: np.ndarray, power: float = POWER
) -> np.ndarray:
    """Computes the attention map of one clip.

    Args:
        network: run folder, `mas.Run`, .keras file of a backbone, or a keras.Model from (batch, T,
            H, W, channels) to a feature map.
        clip: input of the network, (T, H, W, channels).
        power: as in `attention_map`.

    Returns:
        float32 (frames, H, W) in [0, 1], with T frames, or T + 1 for a clip of flow.

    Raises:
        FileNotFoundError: If there is no such network.
        ValueError: If its output is not a feature map.
    """
    backbone = loaded(network)
    activations = np.asarray(backbone(clip[None], training=False))[0]
    frames = len(clip) + (clip.shape[-1] == 2)
    return over_frames(attention_map(activations, power), (frames, *clip.shape[1:3]))


def loaded(network: networks.Source | keras.Model) -> keras.Model:
    """Loads the backbone of a run folder, a `mas.Run` or a file; returns a keras.Model as is."""
    return network if callable(network) else networks.network(network)


def draw_attention(
    rgb: np.ndarray,
    heat: np.ndarray,
    flow: np.ndarray | None = None,
    title: str = "",
    rows: int = ROWS,
) -> figure.Figure:
    """Draws rows of a frame, its attention map, and the motion boundaries around it.

    Args:
        rgb: uint8 (T, S, S, 3), R G B.
        heat: attention, float (T, S, S) in [0, 1].
        flow: float32 (T - 1, S, S, 2), or None. Motion boundaries are drawn only if S is a
            multiple of 8.
        title: title of the picture.
        rows: largest number of rows; each covers an equal share of the frames.

    Returns:
        matplotlib.figure.Figure.
    """
    parts = np.array_split(np.arange(len(rgb)), min(rows, len(rgb)))
    if rgb.shape[1] % statistics.regions.UNIT:
        flow = None
    columns = 2 if flow is None else 4
    canvas = figure.Figure(figsize=(2.4 * columns, 2.55 * len(parts) + 0.9), layout="constrained")
    canvas.suptitle(title, fontsize=10)
    ratios = [1.0] * len(parts) + [0.12]
    *axes, keys = canvas.subplots(len(parts) + 1, columns, squeeze=False, height_ratios=ratios)
    for row, part in zip(axes, parts, strict=True):
        middle, names = part[len(part) // 2], f"{part[0] + 1} to {part[-1] + 1}"
        row[0].set_title(f"frame {middle + 1} of {len(rgb)}", fontsize=9)
        row[0].imshow(rgb[middle])
        row[1].set_title(f"attention, frames {names}", fontsize=9)
        row[1].imshow(overlay(rgb[middle], heat[part].mean(0)))
    if flow is not None:
        fields = [flow[part[0] : part[-1] + 1] for part in parts]
        _boundaries([row[2:] for row in axes], fields, keys[2:])
    keys[1].imshow(_bar(), aspect="auto")
    for place, text in enumerate(("low", "high")):
        style = {"ha": ("left", "right")[place], "va": "top", "fontsize": 8}
        keys[1].text(place, -0.2, text, transform=keys[1].transAxes, **style)
    for axis in [*np.ravel(axes), *keys]:
        axis.set_axis_off()
    return canvas


def _boundaries(axes, fields, keys):
    """M_u and M_v of each row's flow, on one scale; a row of only the last frame has none."""
    found = [np.moveaxis(statistics.motion_boundaries(f), 1, -1) for f in fields if len(f)]
    largest = full_colour(np.stack(found))
    for row, boundaries in zip(axes, found, strict=False):
        for axis, name, boundary in zip(row, "uv", boundaries, strict=True):
            axis.set_title(f"motion boundaries $M_{name}$", fontsize=9)
            axis.imshow(flow_colours(boundary, largest))
    keys[0].imshow(wheel(101))
    style = {"transform": keys[1].transAxes, "va": "center", "fontsize": 8}
    keys[1].text(0, 0.5, f"hue: direction; full colour: {largest:.1f}", **style)


def _bar():
    """The colour bar of attention on grey, from low to high."""
    height, width = BAR
    return overlay(
        np.full((*BAR, 3), 128, np.uint8), np.tile(np.linspace(0, 1, width), (height, 1))
    )


def animate_attention(
    rgb: np.ndarray,
    heat: np.ndarray,
    flow: np.ndarray | None = None,
    rate: float = output.UNKNOWN_RATE,
) -> bytes:
    """Animates a clip next to its attention map and its flow.

    Args:
        rgb: uint8 (T, S, S, 3), R G B.
        heat: attention, float (T, S, S) in [0, 1].
        flow: float32 (T - 1, S, S, 2), or None.
        rate: frames per second.

    Returns:
        Bytes of a gif file.
    """
    images = np.stack([overlay(*pair) for pair in zip(rgb, heat, strict=True)])
    panels = [
        output.Panel("frame", rgb),
        output.Panel("attention", images, _bar(), "low to high"),
    ]
    if flow is not None:
        panels.append(flow_panel(flow))
    return output.gif(output.side_by_side(panels), rate)
