"""Saved networks: what they are, and their weights in new ones.

A network is saved as backbone.keras in a run folder, or as any .keras file of a backbone.
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
MOST_STRIDE, MOST_RUN = 10_000, 16 * 2**20  # the latter: bytes of a run.json


class Description(NamedTuple):
    """What a saved network says of itself.

    Attributes:
        network: its `mas.Network`; None for one that `mas.backbones` does not know.
        clip: the `mas.Clip` that it was trained on, as far as known.
        modality: "rgb" or "flow".
    """

    network: Network | None
    clip: Clip
    modality: str = "rgb"


def file(source: Source, name: str = "model") -> pathlib.Path:
    """The .keras file of a run folder's backbone, or the file itself.

    Args:
        source: run folder or .keras file.
        name: of the setting, for errors.

    Raises:
        FileNotFoundError: there is no such network, or its run is unfinished.
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
    """What a saved backbone is, and which clips it was trained on.

    Args:
        source: run folder, whose run.json says it; or .keras file of a backbone or of its model,
            whose layers do, where no run.json stands beside it.

    Raises:
        ValueError: run.json is not that of a run.
    """
    description = _run_file(source)
    return _from_run(description) if description else _from_layers(pathlib.Path(source))


def _run_file(source):
    """The run.json that says what a saved network is; None without one."""
    path = pathlib.Path(source)
    found = (path if path.is_dir() else path.parent) / RUN
    return found if found.is_file() and (path.is_dir() or path.name in (BACKBONE, MODEL)) else None


def stride_of(source: Source) -> int | None:
    """Frames of the video from one of a clip to the next, in a saved network's training.

    1 where its task has no such setting, or is of the user's own; None without a run.json.

    Raises:
        ValueError: run.json is not that of a run.
    """
    path = _run_file(source)
    if path is None:
        return None
    known = files.read_json(path, MOST_RUN)
    options = known.get("options")
    own = ":" in str(known.get("task"))  # its settings may mean anything
    stride = 1 if own or not isinstance(options, dict) else options.get("stride", 1)
    try:
        return checks.Option(form=INTEGER, least=1, most=MOST_STRIDE).convert("stride", stride)
    except ValueError as error:
        raise ValueError(f"{path} must be that of a run: {error}") from None


def _from_run(path):
    """Settings of network and clip alone: whatever else stands in a run.json is nothing to obey."""
    known = files.read_json(path, MOST_RUN)
    try:
        network, clip = known.get("network"), Clip.read(known.get("clip"))
        if isinstance(network, dict) and "backbone" not in network:  # a network of the user's own
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
            f"{path} must hold a network of clips that mas made. Received: {error!r}."
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
    # Every family has a layer conv1 of 64 channels at full width.
    filters = next(lay["config"]["filters"] for lay in others if lay["name"] == "conv1")
    return Description(Network(**known, width=filters / 64), clip, modality)


def resize_for(size: int) -> tuple[int, int]:
    """(width, height) of frames of which a square of `size` is cut, in the papers' proportions.

    >>> resize_for(112), resize_for(56)
    ((171, 128), (85, 64))
    """
    return size * 171 // 112, size * 128 // 112


def build(network: Network, shape: tuple[int, ...]) -> keras.Model:
    """A new backbone for clips of a shape."""
    preset = "flow" if network.modality == "flow" else network.preset
    options = (network.width, preset, network.initializer)
    return backbones.backbone(network.backbone, shape, *options)


def network(
    source: Source, random: bool = False, seed: int = 0, shape: tuple[int, ...] | None = None
) -> keras.Model:
    """A saved backbone, as it is evaluated.

    Args:
        source: run folder, or .keras file of a backbone.
        random: the same network with new random weights, without what it has learned.
        seed: of those.
        shape: (frames, height, width, channels) of a clip, if another than it was trained on: then
            the network is built for it and takes over the weights.

    Returns:
        keras.Model from (batch, *shape) to a map (batch, t, h, w, c).

    Raises:
        FileNotFoundError: there is no such network.
        ValueError: as `load`; or it ends with something else than a map, or is of no known name,
            so that it cannot take clips of another shape.
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
    """The .keras file of a run's network with its heads; the file itself, if it is no backbone's.

    Raises:
        FileNotFoundError: there is no such network.
    """
    path = file(source)
    return file(path.with_name(MODEL)) if path.name == BACKBONE else path


def fc6(source: Source, random: bool = False, seed: int = 0) -> keras.Model:
    """A run's network up to the first fully connected layer of its heads, one behind another.

    Args:
        source: run folder, or .keras file of a network with heads.
        random: the same network with new random weights.
        seed: of those.

    Returns:
        keras.Model from clips to (batch, units of fc6, times the heads, in the order of their
        names).

    Raises:
        FileNotFoundError: there is no such network.
        ValueError: it has no such layer.
    """
    path = with_heads(source)
    saved = load(path)
    keras.utils.set_random_seed(seed)
    model = keras.models.clone_model(saved) if random else saved
    names = sorted(layer.name for layer in model.layers if layer.name.split("_")[-1] == "fc6")
    if not names:
        raise ValueError(
            "pooling must be another one for a network without fc6, the layer of head=fc. "
            f"Received: pooling='fc6' with {path}."
        )
    layers = [model.get_layer(name).output for name in names]
    found = keras.layers.Concatenate()(layers) if len(layers) > 1 else layers[0]
    known = described(source).network
    return keras.Model(model.input, found, name=known.backbone if known else model.name)


def copy_weights(source: Source, backbone: keras.Model) -> None:
    """Copies the weights of a saved backbone, all of them or none.

    The two must have the same layers and the same input preset; clip length and size may differ.

    Args:
        source: run folder, or .keras file of a backbone.
        backbone: to fill.

    Raises:
        FileNotFoundError: there is no such network, or its run is unfinished.
        ValueError: the weights do not fit; lists what both sides have.
    """
    path = file(source)
    saved = load(path)
    theirs, ours = ({v.path: tuple(v.shape) for v in m.variables} for m in (saved, backbone))
    if theirs != ours:
        raise ValueError(f"{path} must fit the backbone. {_difference(theirs, ours)}")
    first, second = (_preprocessing(model) or "nothing" for model in (saved, backbone))
    if first != second:
        raise ValueError(
            f"{path} must have the input preset of the backbone. Received: one that begins with "
            f"{first}, where the backbone begins with {second}."
        )
    values = {variable.path: variable.numpy() for variable in saved.variables}
    for variable in backbone.variables:
        variable.assign(values[variable.path])
    logging.info(
        "Loaded %d of %d variables (%d numbers) from %s; the layers above start from scratch.",
        len(values), len(ours), sum(value.size for value in values.values()), path,
    )  # fmt: skip


def _preprocessing(model):
    """What a network does to a clip before its first weights, in words."""
    steps = []
    for operation in model.operations[1:]:  # the first is the input
        if getattr(operation, "weights", None):
            break
        if isinstance(operation, keras.layers.ZeroPadding3D):
            continue  # of the first convolution: it depends on the clip's size
        layer = isinstance(operation, keras.layers.Layer)  # the names of others are counted up
        steps.append(operation.name if layer else type(operation).__name__)
    return ", ".join(steps)


def _difference(theirs, ours):
    rows = []
    for path in sorted(set(theirs) | set(ours)):
        if theirs.get(path) != ours.get(path):
            rows.append(f"{path}: {theirs.get(path, 'none')} there, {ours.get(path, 'none')} here")
    return f"{len(rows)} variables differ: " + "; ".join(rows[:6])
