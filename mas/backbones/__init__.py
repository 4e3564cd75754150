"""Backbones: networks that map a clip to the feature map of their last convolution.

They are independent of the tasks and import only Keras. A family is a module with a table
`VARIANTS` (name -> row) and `features(clips, row, width, initializer)`. A row defines at least
`smallest`, the smallest clip in (frames, height, width). To add a backbone, add a row to its
family's table and a line here.
"""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

INITIALIZERS = ("published", "he", "xavier")
PRESETS = ("identity", "bgr255", "rgb", "standard", "flow")

_FAMILY_OF: dict[str, str] = {}


def backbone(
    name: str,
    input_shape: Sequence[int],
    width: float = 1.0,
    preset: str = "identity",
    initializer: str = "published",
) -> keras.Model:
    """Builds a backbone, without pooling or a head.

    >>> backbone("c3d_bn", (16, 32, 32, 3), width=0.125).output_shape
    (None, 2, 2, 2, 64)

    Args:
        name: one of `NAMES`.
        input_shape: (frames, height, width, channels) of a clip, integers, at least the network's
            smallest clip.
        width: width multiplier, above 0. Channel counts are rounded and are at least 1.
        preset: one of `PRESETS`. `identity` takes float clips with any number of channels and does
            not change them; `flow` takes float clips of u and v in pixels per frame; the others
            take uint8 R G B clips and preprocess them inside the network (Keras truncates float
            clips to uint8).
        initializer: one of `INITIALIZERS`.

    Returns:
        A functional `keras.Model` called `name`. Maps (batch, frames, height, width, channels) to
        (batch, t, h, w, c).

    Raises:
        ValueError: If the name, preset or initializer is unknown, the shape does not suit the
            network, or the width is not above 0.
    """
    import keras

    from mas.backbones import presets

    if name not in _FAMILY_OF:
        raise ValueError(f"name must be one of {list(NAMES)}. Received: name={name!r}.")
    family = importlib.import_module(f"mas.backbones.{_FAMILY_OF[name]}")
    row = family.VARIANTS[name]
    shape = _checked_shape(name, input_shape, row.smallest)
    inputs, clips = presets.clips(shape, preset)
    return keras.Model(inputs, family.features(clips, row, width, initializer), name=name)


def _checked_shape(name, input_shape, smallest):
    """Returns `input_shape` as a tuple of four ints, or raises ValueError."""
    try:
        shape = tuple(operator.index(size) for size in input_shape)
    except TypeError:
        shape = ()
    if len(shape) != 4 or min(shape) < 1:
        raise ValueError(
            "input_shape must be (frames, height, width, channels), whole numbers above 0. "
            f"Received: input_shape={input_shape!r}."
        )
    if any(size < least for size, least in zip(shape, smallest, strict=False)):
        raise ValueError(
            f"input_shape of {name} must be at least {tuple(smallest)} in (frames, height, width). "
            f"Received: input_shape={shape}."
        )
    return shape


def _named(name: str, family: str, text: str) -> Callable[..., keras.Model]:
    """Returns `backbone` with its name fixed, and registers it."""

    def build(
        input_shape: Sequence[int],
        width: float = 1.0,
        preset: str = "identity",
        initializer: str = "published",
    ) -> keras.Model:
        return backbone(name, input_shape, width, preset, initializer)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"{text}\n\n    Same as `backbone({name!r}, ...)`."
    _FAMILY_OF[name] = family
    return build


# One line per backbone: name, family and description.
c3d = _named("c3d", "plain3d", "The C3D of MAS (CVPR 2019): five convolutions, no batch norm.")
c3d_bn = _named("c3d_bn", "plain3d", "C3D with batch norm: STS, pace, VTDL, DSM.")
r3d_10 = _named("r3d_10", "resnet3d", "R3D of 10 layers: STS, pace.")
r2plus1d_10 = _named("r2plus1d_10", "resnet3d", "R(2+1)D of 10 layers: STS, pace, VTDL, DSM.")
r2plus1d_18 = _named("r2plus1d_18", "resnet3d", "R(2+1)D of 18 layers: VTDL's fine-tuning.")
r3d_18 = _named("r3d_18", "resnet3d", "3D-ResNet of 18 layers: VTDL, DSM.")
r3d_34 = _named("r3d_34", "resnet3d", "3D-ResNet of 34 layers: DSM.")
r3d_50 = _named("r3d_50", "resnet3d", "3D-ResNet of 50 layers: DSM.")
i3d = _named("i3d", "inception3d", "I3D: VTDL, DSM.")
s3d_g = _named("s3d_g", "inception3d", "S3D-G, gating in every branch: pace, STS.")
s3d_g_dsm = _named("s3d_g_dsm", "inception3d", "S3D-G as in DSM.")

NAMES = tuple(_FAMILY_OF)
