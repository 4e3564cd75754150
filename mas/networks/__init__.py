"""Reads saved networks: their description, and their weights into new networks.

A run folder holds its network as backbone.keras; any other .keras file of a backbone works too.
"""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING, NamedTuple

from absl import logging

from mas import backbones, checks, files, lazy
from mas.forms import INTEGER
from mas.networks import archive
from mas.networks.archive import load
from mas.settings import MODALITIES, Clip, Network

if TYPE_CHECKING:
    import keras
else:
    keras = lazy.module("keras")

BACKBONE, MODEL, RUN, EPOCHS = "backbone.keras", "model.keras", "run.json", "epochs"
Source = str | os.PathLike
MOST_STRIDE, MOST_RUN = 10_000, 16 * 2**20  # frames; bytes of a run.json


class Description(NamedTuple):
    """Description of a saved network.

    Attributes:
        network: its `mas.Network`; None if the backbone is not in `mas.backbones`.
        clip: the `mas.Clip` it was trained on, as far as known.
        modality: "rgb" or "flow".
    """

    network: Network | None
    clip: Clip
    modality: str = "rgb"


def file(source: Source, name: str = "model") -> pathlib.Path:
    """Path of the .keras file of a backbone.

    Args:
        source: run folder or .keras file.
        name: name of the setting in error messages.

    Raises:
        FileNotFoundError: If the file does not exist, or the run is unfinished.
    """
    path = checks.path(name, source, "a finished run folder or a .keras file")
    found = path / BACKBONE if path.is_dir() else path
    if not found.is_file():
        why = "an unfinished run" if path.is_dir() else "no such file or folder"
        raise FileNotFoundError(
            f"{name} must be a finished run folder or a .keras file. "
            f"Received: {name}={str(source)!r}: {why}."
        )
    return found


def described(source: Source) -> Description:
    """Describes a saved backbone and the clips it was trained on.

    Args:
        source: run folder, or .keras file of a backbone or a model. The description comes from
            run.json; for a file without a run.json next to it, from the layers.

    Raises:
        ValueError: If run.json was not written by a run.
    """
    description = _run_file(source)
    return _from_run(description) if description else _from_layers(pathlib.Path(source))


def _run_file(source):
    """Path of the run.json that describes a saved network; None if there is none."""
    path = pathlib.Path(source)
    found = (path if path.is_dir() else path.parent) / RUN
    return found if found.is_file() and (path.is_dir() or path.name in (BACKBONE, MODEL)) else None


def stride_of(source: Source) -> int | None:
    """Frame step within the clips that a saved network was trained on.

    1 if its task has no such setting or is a custom task; None without a run.json.

    Raises:
        ValueError: If run.json was not written by a run.
    """
    path = _run_file(source)
    if path is None:
        return None
    known = files.read_json(path, MOST_RUN)
    options = known.get("options")
    own = ":" in str(known.get("task"))  # a custom task: its settings may mean anything
    stride = 1 if own or not isinstance(options, dict) else options.get("stride", 1)
    try:
        return checks.Option(form=INTEGER, least=1, most=MOST_STRIDE).convert("stride", stride)
    except ValueError as error:
        raise ValueError(f"{path} must be that of a run: {error}") from None


def _from_run(path):
    """Reads the network and clip settings only; run.json may come from anywhere."""
    known = files.read_json(path, MOST_RUN)
    try:
        network, clip = known.get("network"), Clip.read(known.get("clip"))
        if isinstance(network, dict) and "backbone" not in network:  # a custom network
            modality = network.get("modality", "rgb")
            checks.check_choice("modality", modality, MODALITIES)
            return Description(None, clip, modality)
        settings = Network.read(network)
        return Description(settings, clip, settings.modality)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} must be that of a run: {error}") from None


def _from_layers(path):
    known = archive.config(path)
    try:
        return _from_config(known["config"])
    except (AttributeError, KeyError, StopIteration, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} must contain a network of clips that mas made. Received: {error!r}."
        ) from None


def _from_config(config):
    first, *others = config["layers"]
    _, frames, size, _, channels = first["config"]["batch_shape"]
    flow = channels == 2
    modality = "flow" if flow else "rgb"
    clip = Clip(frames + flow, size, resize_for(size))
    if config["name"] not in backbones.NAMES:
        return Description(None, clip, modality)
    known = {"backbone": config["name"], "modality": modality}
    begin = {layer["class_name"] for layer in others[:2]} | {others[0]["name"]}
    for sign, preset in (("Flip", "bgr255"), ("rgb", "rgb"), ("standard", "standard")):
        if sign in begin:
            known["preset"] = preset
    # Every backbone family has a conv1 layer with 64 channels at full width.
    filters = next(lay["config"]["filters"] for lay in others if lay["name"] == "conv1")
    return Description(Network(**known, width=filters / 64), clip, modality)


def resize_for(size: int) -> tuple[int, int]:
    """(width, height) of the frames from which squares of `size` are cropped, as in the papers.

    >>> resize_for(112), resize_for(56)
    ((171, 128), (85, 64))
    """
    return size * 171 // 112, size * 128 // 112


def build(network: Network, shape: tuple[int, ...]) -> keras.Model:
    """Builds a new backbone for clips of this shape, (frames, height, width, channels)."""
    preset = "flow" if network.modality == "flow" else network.preset
    options = (network.width, preset, network.initializer)
    return backbones.backbone(network.backbone, shape, *options)


def network(
    source: Source, random: bool = False, seed: int = 0, shape: tuple[int, ...] | None = None
) -> keras.Model:
    """Loads a saved backbone for evaluation.

    Args:
        source: run folder, or .keras file of a backbone.
        random: whether to replace the learned weights by random ones.
        seed: seed of the random weights.
        shape: (frames, height, width, channels) of a clip; None keeps the training shape. Another
            shape rebuilds the network and copies the weights.

    Returns:
        keras.Model from (batch, *shape) to a feature map (batch, t, h, w, c).

    Raises:
        FileNotFoundError: If there is no such network.
        ValueError: As `load`; also if the output is not a feature map, or if `shape` differs and
            the backbone is not in `mas.backbones`.
    """
    path = file(source)
    saved = load(path)
    if isinstance(saved.output, dict) or len(saved.output.shape) != 5:
        raise ValueError(
            f"model must be a backbone, whose output is a map. Received: {path}, which has heads."
        )
    keras.utils.set_random_seed(seed)
    if shape is None or tuple(saved.input_shape[1:]) == tuple(shape):
        return keras.models.clone_model(saved) if random else saved
    known = described(path).network
    if known is None:
        raise ValueError(
            f"clips must be {saved.input_shape[1:]} for a network that is not one of "
            f"{list(backbones.NAMES)}. Received: {tuple(shape)}."
        )
    built = build(known, shape)
    if not random:
        copy_weights(path, built)
    return built


def with_heads(source: Source) -> pathlib.Path:
    """Path of a run's network with its heads; any .keras file but a backbone's is returned as is.

    Raises:
        FileNotFoundError: If there is no such network.
    """
    path = file(source)
    return file(path.with_name(MODEL)) if path.name == BACKBONE else path


def fc6(source: Source, random: bool = False, seed: int = 0) -> keras.Model:
    """A run's network up to fc6, the first fully connected layer of its heads.

    Args:
        source: run folder, or .keras file of a network with heads.
        random: whether to replace the learned weights by random ones.
        seed: seed of the random weights.

    Returns:
        keras.Model from clips to (batch, heads * units of fc6): the heads' layers, concatenated
        in the order of their names.

    Raises:
        FileNotFoundError: If there is no such network.
        ValueError: If it has no fc6 layer.
    """
    path = with_heads(source)
    saved = load(path)
    keras.utils.set_random_seed(seed)
    model = keras.models.clone_model(saved) if random else saved
    names = sorted(layer.name for layer in model.layers if layer.name.split("_")[-1] == "fc6")
    if not names:
        raise ValueError(
            "pooling must not be fc6 for a network without fc6, a layer of head=fc. "
            f"Received: pooling='fc6' with {path}."
        )
    layers = [model.get_layer(name).output for name in names]
    found = keras.layers.Concatenate()(layers) if len(layers) > 1 else layers[0]
    known = described(source).network
    return keras.Model(model.input, found, name=known.backbone if known else model.name)


def copy_weights(source: Source, backbone: keras.Model) -> None:
    """Copies all weights of a saved backbone into another; on an error, copies nothing.

    Both must have the same layers and input preset; clip length and size may differ.

    Args:
        source: run folder, or .keras file of a backbone.
        backbone: network that receives the weights.

    Raises:
        FileNotFoundError: If there is no such network, or its run is unfinished.
        ValueError: If the weights do not fit; the message lists the differences.
    """
    path = file(source)
    saved = load(path)
    theirs, ours = ({v.path: tuple(v.shape) for v in m.variables} for m in (saved, backbone))
    if theirs != ours:
        raise ValueError(f"{path} must fit the backbone. {_difference(theirs, ours)}")
    first, second = (_preprocessing(model) or "nothing" for model in (saved, backbone))
    if first != second:
        raise ValueError(
            f"{path} must have the input preset of the backbone. Received: a network that starts "
            f"with {first}, but the backbone starts with {second}."
        )
    values = {variable.path: variable.numpy() for variable in saved.variables}
    for variable in backbone.variables:
        variable.assign(values[variable.path])
    logging.info(
        "Loaded %d of %d variables (%d numbers) from %s; the layers above start from scratch.",
        len(values), len(ours), sum(value.size for value in values.values()), path,
    )  # fmt: skip


def _preprocessing(model):
    """Names of the operations before a network's first weights."""
    steps = []
    for operation in model.operations[1:]:  # the first is the input
        if getattr(operation, "weights", None):
            break
        if isinstance(operation, keras.layers.ZeroPadding3D):
            continue  # belongs to the first convolution and depends on the clip size
        layer = isinstance(operation, keras.layers.Layer)  # Keras numbers the names of the others
        steps.append(operation.name if layer else type(operation).__name__)
    return ", ".join(steps)


def _difference(theirs, ours):
    rows = []
    for path in sorted(set(theirs) | set(ours)):
        if theirs.get(path) != ours.get(path):
            rows.append(f"{path}: {theirs.get(path, 'none')} saved, {ours.get(path, 'none')} here")
    return f"{len(rows)} variables differ: " + "; ".join(rows[:6])
