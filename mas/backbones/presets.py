"""Input presets: what a network does to a clip before its first layer.

Standard Keras operations in the functional graph only, so that a saved file loads with Keras alone.
Learning rates do not carry over from one preset to another: B G R 0..255 makes the activations some
100 times larger than the others do.
"""

import keras

from mas.backbones import PRESETS

# ImageNet's mean and deviation of R, G, B in [0, 1], as in the authors' code of VTDL and DSM.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
FLOW_LIMIT = 20.0  # pixels per frame: stored flow is clipped there (`flow.py`)


def _bgr255(clips):
    """B G R, 0..255: what the authors of MAS, STS and pace feed (no mean, no scaling)."""
    return keras.ops.flip(keras.ops.cast(clips, "float32"), axis=-1)


def _rgb(clips):
    """R G B in [-1, 1]."""
    return keras.layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="rgb")(clips)


def _standard(clips):
    """R G B, zero mean and unit variance over ImageNet."""
    scale = [1 / (255 * deviation) for deviation in DEVIATION]
    offset = [-mean / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True)]
    return keras.layers.Rescaling(scale, offset, dtype="float32", name="standard")(clips)


def _flow(clips):
    """Flow in [-1, 1]."""
    return keras.layers.Rescaling(1 / FLOW_LIMIT, dtype="float32", name="flow")(clips)


# name: (function, channels, type of the clip)
_PRESETS = {
    "bgr255": (_bgr255, 3, "uint8"),
    "rgb": (_rgb, 3, "uint8"),
    "standard": (_standard, 3, "uint8"),
    "flow": (_flow, 2, "float32"),
}


def clips(input_shape, preset):
    """The input of a network, and the tensor that its first layer takes.

    Args:
        input_shape: (frames, height, width, channels).
        preset: `identity`: float32 in, unchanged. `bgr255`, `rgb`, `standard`: uint8 R G B in,
            float32 out (also under mixed precision: only the layers behind compute in 16 bits).
            `flow`: float32 u (right) and v (down) in pixels per frame in, divided by 20: [-1, 1].

    Returns:
        (Keras input, Keras tensor), both (batch, *input_shape).

    Raises:
        ValueError: unknown preset, or channels that the preset has not: colours 3, `flow` 2.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {list(PRESETS)}. Received: preset={preset!r}.")
    if preset == "identity":
        inputs = keras.Input(input_shape, dtype="float32", name="clip")
        return inputs, inputs
    function, channels, dtype = _PRESETS[preset]
    if input_shape[-1] != channels:
        raise ValueError(
            f"input_shape must have {channels} channels with preset={preset!r}. "
            f"Received: input_shape={input_shape}."
        )
    inputs = keras.Input(input_shape, dtype=dtype, name="clip")
    return inputs, function(inputs)
