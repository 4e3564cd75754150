"""Heads: from a backbone's feature map to linear outputs, float32 under any precision policy."""

import keras

from mas.backbones import initial
from mas.backbones.initial import scaled

UNITS = 2048  # in fc6 and fc7, as in the authors' code


def flatten(features):
    """Applies the fifth pool of C3D and flattens the result, for all `fully_connected` branches.

    Args:
        features: feature map (batch, t, h, w, c) of a backbone.

    Returns:
        (batch, ceil(t/2) * ceil(h/2) * ceil(w/2) * c), in the order t, h, w, c; 4096 for clips of
        16 x 112 x 112 with `c3d`.

    Raises:
        ValueError: If `features` is not a feature map.
    """
    _check_map(features)
    x = keras.layers.MaxPooling3D(2, padding="same", name="pool5")(features)
    return keras.layers.Flatten(name="flatten")(x)


def fully_connected(vector, outputs, name=None, width=1.0, dropout=0.0, initializer="published"):
    """Builds a branch of MAS: two ReLU layers and a linear output, as in the authors' code.

    Initial weights are N(0, 0.005^2) with biases 1 in fc6 and fc7, and N(0, 0.01^2) with biases 0
    in the output.

    Args:
        vector: (batch, n), from `flatten`.
        outputs: number of outputs.
        name: name of the output layer; the others are `{name}_fc6` and `{name}_fc7`. Without a
            name, the layers are fc6, fc7 and fc8, as in the released single-branch network.
        width: multiplier for the 2048 units of fc6 and fc7, above 0.
        dropout: dropout rate after fc6 and fc7, in [0, 1). The authors pre-train without dropout.
        initializer: initializer of fc6 and fc7, one of `backbones.INITIALIZERS`.

    Returns:
        (batch, outputs), float32.

    Raises:
        ValueError: If `vector` does not have two axes, or a number is out of range.
    """
    if len(vector.shape) != 2:
        raise ValueError(f"vector must be (batch, n). Received: shape={vector.shape}.")
    _check_dropout(dropout)
    prefix = f"{name}_" if name else ""
    x = vector
    for layer in ("fc6", "fc7"):
        x = keras.layers.Dense(
            scaled(UNITS, width),
            activation="relu",
            kernel_initializer=initial.normal(initializer, 0.005),
            bias_initializer="ones",
            name=prefix + layer,
        )(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"{prefix}{layer}_dropout")(x)
    normal = keras.initializers.RandomNormal(stddev=0.01)
    return _output(outputs, name or "fc8", kernel_initializer=normal)(x)


HEADS = ("auto", "fc", "pooled", "convolved")


def attach(backbone, sizes, head="auto", width=1.0, dropout=0.0, initializer="published"):
    """Attaches one output per name to a backbone.

    Args:
        backbone: a network of `mas.backbones`.
        sizes: {name: number of outputs}.
        head: "fc" is pool5, fc6, fc7 and a linear output, as in MAS (CVPR 2019) on its C3D.
            "pooled" is the mean and a linear output, as in STS and pace on all other networks.
            "convolved" is a pool and a temporal convolution, as in the fine-tuning of I3D and
            3D-ResNet in VTDL and DSM. "auto" is "fc" for `c3d` and "pooled" for other backbones.
        width: multiplier for the units of fc6 and fc7.
        dropout: dropout rate after fc6 and fc7, after the mean, or before the convolution.
        initializer: initializer of fc6 and fc7.

    Returns:
        {name: (batch, outputs), float32}.

    Raises:
        ValueError: If the head is unknown, or a number is out of range.
    """
    if head not in HEADS:
        raise ValueError(f"head must be one of {list(HEADS)}. Received: head={head!r}.")
    if head == "fc" or (head == "auto" and backbone.name == "c3d"):
        vector = flatten(backbone.output)
        options = {"width": width, "dropout": dropout, "initializer": initializer}
        return {name: fully_connected(vector, n, name, **options) for name, n in sizes.items()}
    if head == "convolved":
        frames = _pool_and_kernel(backbone)
        return {
            name: convolved(backbone.output, n, name, frames, dropout) for name, n in sizes.items()
        }
    return {name: pooled(backbone.output, n, name, dropout) for name, n in sizes.items()}


def _pool_and_kernel(backbone):
    """Returns the frames of pool and kernel in `convolved`: 1 and 1 for 3D-ResNet, 2 and 7 for I3D.

    The authors' head needs maps of at least 8 frames, from clips of 64. For shorter maps, both are
    reduced to fit.
    """
    if backbone.name.startswith("r3d_"):
        return 1, 1
    pool = min(2, backbone.output.shape[1])
    return pool, min(7, backbone.output.shape[1] - pool + 1)


def pooled(features, outputs, name, dropout=0.0):
    """Builds the head of STS and most other networks: global average pooling and a linear output.

    Weights and biases are initialised uniformly in [-1/sqrt(c), 1/sqrt(c)], PyTorch's default, as
    in the authors' code of STS.

    Args:
        features: feature map (batch, t, h, w, c) of a backbone.
        outputs: number of outputs.
        name: name of the output layer; the mean is `{name}_mean`.
        dropout: dropout rate after the mean, in [0, 1).

    Returns:
        (batch, outputs), float32.

    Raises:
        ValueError: If `features` is not a feature map, or a number is out of range.
    """
    _check_map(features)
    _check_dropout(dropout)
    mean = keras.layers.GlobalAveragePooling3D(name=f"{name}_mean")(features)
    if dropout:
        mean = keras.layers.Dropout(dropout, name=f"{name}_dropout")(mean)
    limit = mean.shape[-1] ** -0.5
    return _output(
        outputs,
        name,
        kernel_initializer=keras.initializers.RandomUniform(-limit, limit),
        bias_initializer=keras.initializers.RandomUniform(-limit, limit),
    )(mean)


def embedding(features, outputs=128, name="embedding"):
    """Builds the head of VTDL and DSM: global average pooling, a linear layer, L2 normalisation.

    Args:
        features: feature map (batch, t, h, w, c) of a backbone.
        outputs: size of the embedding.
        name: name of the linear layer; the others are `{name}_mean` and `{name}_unit`.

    Returns:
        (batch, outputs), float32, of length 1. Norms below 1e-12 are treated as 1e-12 (the authors
        divide by zero).

    Raises:
        ValueError: If `features` is not a feature map, or `outputs` is below 1.
    """
    linear = pooled(features, outputs, name)
    return keras.layers.UnitNormalization(dtype="float32", name=f"{name}_unit")(linear)


def convolved(features, outputs, name="logits", frames=(2, 7), dropout=0.0):
    """Builds VTDL's fine-tuning head of I3D and 3D-ResNet: pool, dropout, temporal convolution.

    The convolution pads with zeros; its outputs are averaged over time. The authors pool 7 x 7, the
    feature map of a 224 x 224 clip; here the pool covers the whole map. They end with log-softmax;
    here the outputs are logits. Weights are initialised Xavier uniform with gain sqrt(2); there is
    no bias.

    Args:
        features: feature map (batch, t, h, w, c) of a backbone.
        outputs: number of outputs.
        name: name of the convolution.
        frames: frames of the pool and of the kernel: (2, 7) for I3D, (1, 1) for 3D-ResNet.
        dropout: dropout rate between the two, in [0, 1).

    Returns:
        (batch, outputs), float32.

    Raises:
        ValueError: If `features` is not a feature map or has fewer frames than the pool, or a
            number is out of range.
    """
    _check_map(features)
    _check_dropout(dropout)
    _check_outputs(outputs)
    pool, kernel = frames
    _, time, height, width, _ = features.shape
    if time < pool:
        raise ValueError(
            f"features must have at least {pool} frames. Received: shape={features.shape}."
        )
    x = keras.layers.AveragePooling3D((pool, height, width), 1, name=f"{name}_pool")(features)
    if dropout:
        x = keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)
    x = keras.layers.Conv3D(
        outputs,
        (kernel, 1, 1),
        padding="same",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_avg", "uniform"),
        dtype="float32",
        name=name,
    )(x)
    return keras.layers.GlobalAveragePooling3D(dtype="float32", name=f"{name}_mean")(x)


def projected(features, projection=0):
    """Builds the embedding for contrastive losses: the pooled features, or a projection of them.

    Args:
        features: feature map (batch, t, h, w, c) of a backbone.
        projection: output units of a projection head with one hidden ReLU layer of c units
            (SimCLR); 0 returns the pooled features.

    Returns:
        (batch, projection or c), float32.

    Raises:
        ValueError: If `features` is not a feature map.
    """
    _check_map(features)
    if not projection:
        return keras.layers.GlobalAveragePooling3D(dtype="float32", name="embedding")(features)
    x = keras.layers.GlobalAveragePooling3D(name="embedding_mean")(features)
    x = keras.layers.Dense(x.shape[-1], activation="relu", name="embedding_hidden")(x)
    return _output(projection, "embedding")(x)


def _check_map(features):
    """Raises ValueError if `features` is not a feature map."""
    if len(features.shape) != 5:
        raise ValueError(f"features must be (batch, t, h, w, c). Received: shape={features.shape}.")


def _output(outputs, name, **initializers):
    """Returns the linear float32 layer that ends a head."""
    _check_outputs(outputs)
    return keras.layers.Dense(outputs, dtype="float32", name=name, **initializers)


def _check_outputs(outputs):
    if outputs < 1:
        raise ValueError(f"outputs must be 1 or more. Received: outputs={outputs}.")


def _check_dropout(dropout):
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1). Received: dropout={dropout}.")
