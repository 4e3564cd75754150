"""Where a network looks: the activations of its last convolution over the frames (Figure 6)."""

import cv2
import numpy as np
from matplotlib import figure

from mas import statistics
from mas.visualize import output
from mas.visualize.clip import larger
from mas.visualize.colours import flow_colours, full_colour, heated

POWER = 2  # specification, section 5
ROWS = 4


def attention_map(activations, power=POWER):
    """Attention of every place of a map: the mean over channels of |a|^p.

    Args:
        activations: float (t, h, w, c).
        power: p, above 0.

    Returns:
        float32 (t, h, w), 0 or more.

    Raises:
        ValueError: another shape, or a power that is not above 0.

    Source: CVPR 2019, Figure 6, which takes it from Zagoruyko and Komodakis (ICLR 2017); there it
    is a sum, which differs by a factor that the scaling to [0, 1] takes away.
    """
    activations = np.asarray(activations, np.float32)
    if activations.ndim != 4:
        raise ValueError(
            "activations must be (frames, height, width, channels), the map of a convolution. "
            f"Received: {activations.shape}."
        )
    if not power > 0:
        raise ValueError(f"power must be above 0. Received: power={power}.")
    return (np.abs(activations) ** power).mean(-1)


def over_frames(attention, shape):
    """Attention resized over the frames: linear in time and space, scaled to [0, 1].

    Args:
        attention: float (t, h, w), 0 or more.
        shape: (T, H, W) of the clip.

    Returns:
        float32 (T, H, W); 1 is the clip's largest value, and 0 everywhere where that is 0.
    """
    frames, height, width = shape
    planes = np.stack([cv2.resize(plane, (width, height)) for plane in attention])
    # Cell i of the map stands for the middle of its share of the frames.
    places = (np.arange(frames) + 0.5) * len(planes) / frames - 0.5
    places = np.clip(places, 0, len(planes) - 1)
    lower = places.astype(int)
    share = (places - lower).astype(np.float32)[:, None, None]
    upper = np.minimum(lower + 1, len(planes) - 1)
    heat = (1 - share) * planes[lower] + share * planes[upper]
    return heat / max(float(heat.max()), 1e-30)


def attention(backbone, clip, power=POWER):
    """The heat map of one clip.

    Args:
        backbone: keras.Model from (batch, T, H, W, channels) to its last map.
        clip: what it takes, (T, H, W, channels).
        power: as for `attention_map`.

    Returns:
        float32 (frames, H, W) in [0, 1]; frames are T, or T + 1 where the clip is flow.
    """
    activations = np.asarray(backbone(clip[None], training=False))[0]
    frames = len(clip) + (clip.shape[-1] == 2)
    return over_frames(attention_map(activations, power), (frames, *clip.shape[1:3]))


def draw_attention(rgb, heat, flow=None, title="", rows=ROWS):
    """A row for each few frames: a frame, its heat map, and the motion boundaries of these frames.

    Args:
        rgb: uint8 (T, S, S, 3), R G B.
        heat: float (T, S, S) in [0, 1].
        flow: float32 (T - 1, S, S, 2), or None.
        title: of the picture.
        rows: at most; each stands for as many frames.

    Returns:
        matplotlib.figure.Figure.
    """
    parts = np.array_split(np.arange(len(rgb)), min(rows, len(rgb)))
    names = ["attention"] if flow is None else ["attention", "$M_u$", "$M_v$"]
    size = (2.4 * (1 + len(names)), 2.55 * len(parts) + 0.4)
    canvas = figure.Figure(figsize=size, layout="constrained")
    canvas.suptitle(title, fontsize=10)
    axes = canvas.subplots(len(parts), 1 + len(names), squeeze=False)
    for row, part in zip(axes, parts, strict=True):
        middle = part[len(part) // 2]
        row[0].set_title(f"frame {middle + 1} of {len(rgb)}", fontsize=9)
        row[0].imshow(rgb[middle])
        row[1].imshow(heated(rgb[middle], heat[part].mean(0)))
    for axis, name in zip(axes[0, 1:], names, strict=True):
        axis.set_title(name, fontsize=9)
    if flow is not None:
        _boundaries(axes[:, 2:], [flow[part[0] : part[-1] + 1] for part in parts])
    for axis in axes.ravel():
        axis.set_axis_off()
    return canvas


def _boundaries(axes, fields):
    """M_u and M_v of each row's flow, all in one scale; a lone last frame has none."""
    found = [np.moveaxis(statistics.motion_boundaries(f), 1, -1) for f in fields if len(f)]
    largest = full_colour(np.stack(found))
    for row, boundaries in zip(axes, found, strict=False):
        for axis, boundary in zip(row, boundaries, strict=True):
            axis.imshow(flow_colours(boundary, largest))


def animate_attention(rgb, heat, flow=None, rate=output.UNKNOWN_RATE):
    """The clip as it moves, its heat map and its flow at its right.

    Args:
        rgb: uint8 (T, S, S, 3), R G B.
        heat: float (T, S, S) in [0, 1].
        flow: float32 (T - 1, S, S, 2), or None.
        rate: frames per second.

    Returns:
        The bytes of a gif file.
    """
    return output.gif(larger(attention_frames(rgb, heat, flow)), rate)


def attention_frames(rgb, heat, flow=None):
    """Each frame beside its heat map and its flow: uint8 (T, S, 2 S or 3 S, 3)."""
    columns = [rgb, np.stack([heated(*pair) for pair in zip(rgb, heat, strict=True)])]
    if flow is not None:
        largest = full_colour(flow)
        fields = [flow_colours(field, largest) for field in flow]
        columns.append(np.stack([*fields, np.full_like(rgb[0], 255)]))
    return np.concatenate(columns, axis=2)
