"""Input presets: preprocessing inside the network, before its first layer.

They use only standard Keras operations, so that saved files load with Keras alone. Learning rates
do not transfer between presets: with B G R in 0..255, activations are about 100 times larger.
"""

import keras

from mas.backbones import PRESETS

# ImageNet mean and standard deviation of R, G, B in [0, 1], as in the code of VTDL and DSM.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
FLOW_LIMIT = 20.0  # pixels per frame at which stored flow is clipped (`mas.flow.BOUND`)


def _bgr255(clips):
    """Converts to B G R in 0..255, as in MAS, STS and pace (no mean, no scaling)."""
    return keras.ops.flip(keras.ops.cast(clips, "float32"), axis=-1)


def _rgb(clips):
    """Scales R G B to [-1, 1]."""
    return keras.layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="rgb")(clips)


def _standard(clips):
    """Standardises R G B to zero mean and unit variance over ImageNet."""
    scale = [1 / (255 * deviation) for deviation in DEVIATION]
    offset = [-mean / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True)]
    return keras.layers.Rescaling(scale, offset, dtype="float32", name="standard")(clips)


def _flow(clips):
    """Scales flow to [-1, 1]."""
    return keras.layers.Rescaling(1 / FLOW_LIMIT, dtype="float32", name="flow")(clips)


# name: (function, channels, dtype of the clip)
_PRESETS = {
    "bgr255": (_bgr255, 3, "uint8"),
    "rgb": (_rgb, 3, "uint8"),
    "standard": (_standard, 3, "uint8"),
    "flow": (_flow, 2, "float32"),
}


def clips(input_shape, preset):
    """Creates the input of a network and applies a preset to it.

    Args:
        input_shape: (frames, height, width, channels).
        preset: `identity` takes float32 and does not change it. `bgr255`, `rgb` and `standard`
            take uint8 R G B and return float32, also under mixed precision, where only the later
            layers compute in 16 bits. `flow` takes float32 u (right) and v (down) in pixels per
            frame and divides by 20, which gives [-1, 1].

    Returns:
        (Keras input, preprocessed Keras tensor), both (batch, *input_shape).

    Raises:
        ValueError: If the preset is unknown, or the clip does not have its number of channels: 2
            for `flow`, 3 for colours.
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
