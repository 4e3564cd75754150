"""Heads: from a backbone's map to numbers; linear float32 outputs under any precision policy."""

import keras

from mas.backbones import initial
from mas.backbones.initial import scaled

UNITS = 2048  # of fc6 and fc7, in the authors' code


def flatten(features):
    """The fifth pool of C3D as a vector, shared by all branches of `fully_connected`.

    Args:
        features: map (batch, t, h, w, c) of a backbone.

    Returns:
        (batch, ceil(t/2) * ceil(h/2) * ceil(w/2) * c), in the order t, h, w, c: 4096 for a clip of
        16 x 112 x 112 through `c3d`.

    Raises:
        ValueError: `features` is no map.
    """
    _check_map(features)
    x = keras.layers.MaxPooling3D(2, padding="same", name="pool5")(features)
    return keras.layers.Flatten(name="flatten")(x)


def fully_connected(vector, outputs, name=None, width=1.0, dropout=0.0, initializer="published"):
    """A branch of MAS: two ReLU layers and a linear output (authors' code; the paper has two).

    Initial weights are N(0, 0.005) and biases 1 in fc6 and fc7, N(0, 0.01) and 0 in the output.

    Args:
        vector: (batch, n), from `flatten`.
        outputs: how many numbers come out.
        name: of the output layer; the others are `{name}_fc6` and `{name}_fc7`. Without it they are
            fc6, fc7 and fc8, as in the released network of one branch.
        width: factor on the 2048 units of fc6 and fc7, above 0.
        dropout: rate after fc6 and fc7, [0, 1). The authors pre-train without.
        initializer: of fc6 and fc7, one of `backbones.INITIALIZERS`.

    Returns:
        (batch, outputs), float32.

    Raises:
        ValueError: `vector` is no vector, or a number is out of its range.
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
    """A backbone with one output of a kind for each name.

    Args:
        backbone: a network of `mas.backbones`.
        sizes: {name: numbers}, the outputs.
        head: "fc": pool5, fc6, fc7 and a linear output, as MAS (CVPR 2019) on its C3D. "pooled":
            the mean and a linear output, as STS and pace on all other networks. "convolved": a pool
            and a convolution in time, as VTDL and DSM fine-tune I3D and 3D-ResNet. "auto": "fc" on
            `c3d`, "pooled" elsewhere.
        width: factor on the units of fc6 and fc7.
        dropout: rate after fc6 and fc7, after the mean, or before the convolution.
        initializer: of fc6 and fc7.

    Returns:
        {name: (batch, numbers), float32}.

    Raises:
        ValueError: unknown head, or a number out of its range.
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
    """Frames of the two in `convolved`: 1 and 1 on 3D-ResNet, 2 and 7 on I3D.

    The authors' head takes maps of 8 frames or more, those of a clip of 64; from a shorter map, it
    takes what there is.
    """
    if backbone.name.startswith("r3d_"):
        return 1, 1
    pool = min(2, backbone.output.shape[1])
    return pool, min(7, backbone.output.shape[1] - pool + 1)


def pooled(features, outputs, name, dropout=0.0):
    """Mean over frames and space, then a linear output: the head of STS and most other networks.

    Weights and biases start uniform in [-1/sqrt(c), 1/sqrt(c)]: PyTorch's default, which the
    authors' code of STS uses.

    Args:
        features: map (batch, t, h, w, c) of a backbone.
        outputs: how many numbers come out.
        name: of the output layer; the mean is `{name}_mean`.
        dropout: rate after the mean, [0, 1).

    Returns:
        (batch, outputs), float32.

    Raises:
        ValueError: `features` is no map, or a number is out of its range.
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
    """Mean over frames and space, a linear layer, L2 norm: the head of VTDL and DSM.

    Args:
        features: map (batch, t, h, w, c) of a backbone.
        outputs: size of the embedding.
        name: of the linear layer; the others are `{name}_mean` and `{name}_unit`.

    Returns:
        (batch, outputs), float32, of length 1; a length below 1e-12 counts as that (the authors
        divide by zero).

    Raises:
        ValueError: `features` is no map, or `outputs` is below 1.
    """
    linear = pooled(features, outputs, name)
    return keras.layers.UnitNormalization(dtype="float32", name=f"{name}_unit")(linear)


def convolved(features, outputs, name="logits", frames=(2, 7), dropout=0.0):
    """The fine-tuning head of I3D and 3D-ResNet in VTDL: pool, dropout, convolution in time.

    The convolution pads with zeros; the mean over time of what it gives is the output. The authors
    pool 7 x 7, the map of a clip of 224 x 224; here it is the whole map. They end with log-softmax;
    here the logits are the output, which cross-entropy takes. Weights start Xavier uniform with
    gain sqrt(2); there is no bias.

    Args:
        features: map (batch, t, h, w, c) of a backbone.
        outputs: how many numbers come out.
        name: of the convolution.
        frames: of the pool and of the kernel behind it: (2, 7) for I3D, (1, 1) for 3D-ResNet.
        dropout: rate between the two, [0, 1).

    Returns:
        (batch, outputs), float32.

    Raises:
        ValueError: `features` is no map or has fewer frames than the pool, or a number is out of
            its range.
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
    """What contrastive losses compare: the mean over frames and space, or a projection of it.

    Args:
        features: map (batch, t, h, w, c) of a backbone.
        projection: units of the output of a ReLU layer of c units and a linear one (SimCLR's head);
            0 for the mean itself.

    Returns:
        (batch, projection or c), float32.

    Raises:
        ValueError: `features` is no map.
    """
    _check_map(features)
    if not projection:
        return keras.layers.GlobalAveragePooling3D(dtype="float32", name="embedding")(features)
    x = keras.layers.GlobalAveragePooling3D(name="embedding_mean")(features)
    x = keras.layers.Dense(x.shape[-1], activation="relu", name="embedding_hidden")(x)
    return _output(projection, "embedding")(x)


def _check_map(features):
    """Refuses what is not the map of a backbone."""
    if len(features.shape) != 5:
        raise ValueError(f"features must be (batch, t, h, w, c). Received: shape={features.shape}.")


def _output(outputs, name, **initializers):
    """The linear float32 layer that ends every head."""
    _check_outputs(outputs)
    return keras.layers.Dense(outputs, dtype="float32", name=name, **initializers)


def _check_outputs(outputs):
    if outputs < 1:
        raise ValueError(f"outputs must be 1 or more. Received: outputs={outputs}.")


def _check_dropout(dropout):
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1). Received: dropout={dropout}.")
