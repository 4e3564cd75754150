"""Backbones: networks from a clip to the map of their last convolution.

They know no task and import Keras alone. A family is a module with `VARIANTS` (a table: name ->
row) and `features(clips, row, width, initializer)`; a row has at least `smallest`, the smallest
(frames, height, width) of a clip. A new family is its module and its entry in `_FAMILIES`.
"""

import operator

import keras

from mas.backbones import c3d, inception3d, presets, resnet3d

_FAMILIES = (c3d, resnet3d, inception3d)
_FAMILY_OF = {name: family for family in _FAMILIES for name in family.VARIANTS}
NAMES = tuple(_FAMILY_OF)


def backbone(name, input_shape, width=1.0, preset="identity", initializer="published"):
    """Builds a network that ends with its last convolution's map; pooling and heads are the tasks'.

    Args:
        name: one of `NAMES`.
        input_shape: (frames, height, width, channels) of a clip: whole numbers, no less than
            the network's smallest clip.
        width: factor on the channels of every layer, above 0; each is rounded and at least 1.
        preset: one of `presets.NAMES`. `identity` takes float clips as they are, of any number of
            channels; `flow` takes float clips of u and v in pixels per frame; the others take
            uint8 R G B clips and hold their own preprocessing (Keras truncates float clips to
            uint8 on the way in).
        initializer: one of `initial.NAMES`.

    Returns:
        A functional `keras.Model` called `name`, from (batch, frames, height, width, channels) to
        (batch, t, h, w, c).

    Raises:
        ValueError: unknown name, preset or initializer, unsuitable shape, or a width that is not
            above 0.
    """
    if name not in _FAMILY_OF:
        raise ValueError(f"name must be one of {list(NAMES)}. Received: name={name!r}.")
    family = _FAMILY_OF[name]
    row = family.VARIANTS[name]
    shape = _checked_shape(name, input_shape, row.smallest)
    inputs, clips = presets.clips(shape, preset)
    return keras.Model(inputs, family.features(clips, row, width, initializer), name=name)


def _checked_shape(name, input_shape, smallest):
    """`input_shape` as a tuple of four ints, or ValueError."""
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
