"""Input presets: what a network does to a clip before its first layer.

Standard Keras operations in the functional graph only, so that a saved file loads with Keras alone.
Learning rates do not carry over from one preset to another: B G R 0..255 makes the activations some
100 times larger than the others do.
"""

import keras

# ImageNet's mean and deviation of R, G, B in [0, 1], as in the authors' code of VTDL and DSM.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


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


_PRESETS = {"bgr255": _bgr255, "rgb": _rgb, "standard": _standard}
NAMES = ("identity", *_PRESETS)


def clips(input_shape, preset):
    """The input of a network, and the tensor that its first layer takes.

    Args:
        input_shape: (frames, height, width, channels).
        preset: `identity`: float32 in, unchanged. `bgr255`, `rgb`, `standard`: uint8 R G B in,
            float32 out (also under mixed precision: only the layers behind compute in 16 bits).

    Returns:
        (Keras input, Keras tensor), both (batch, *input_shape).

    Raises:
        ValueError: unknown preset, or a preset of three colours with other than three channels.
    """
    if preset not in NAMES:
        raise ValueError(f"preset must be one of {list(NAMES)}. Received: preset={preset!r}.")
    if preset == "identity":
        inputs = keras.Input(input_shape, dtype="float32", name="clip")
        return inputs, inputs
    if input_shape[-1] != 3:
        raise ValueError(
            f"input_shape must have 3 channels with preset={preset!r}. "
            f"Received: input_shape={input_shape}."
        )
    inputs = keras.Input(input_shape, dtype="uint8", name="clip")
    return inputs, _PRESETS[preset](inputs)
