"""The weights of a pre-trained backbone into a new one."""

import json
import pathlib
import zipfile

import keras
from absl import logging


def settings(source):
    """What a saved backbone says of its network and clip, as values of the scripts' flags.

    Args:
        source: run folder, whose run.json says it, or .keras file of a backbone, whose layers do:
            all but the width.

    Returns:
        {flag: value}; {} where there is no such network.

    Raises:
        ValueError: run.json is not that of a run.
    """
    path = pathlib.Path(source)
    description = (path if path.is_dir() else path.parent) / "run.json"
    if description.is_file() and (path.is_dir() or path.name == "backbone.keras"):
        try:
            known = json.loads(description.read_text("utf-8"))
            return known["network"] | known["clip"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{description} must be that of a run. Received: {error!r}.") from None
    if not zipfile.is_zipfile(path):
        return {}
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))["config"]
    first, *others = config["layers"]
    _, frames, size, _, channels = first["config"]["batch_shape"]
    flow = channels == 2
    known = {"backbone": config["name"], "modality": "flow" if flow else "rgb"}
    known |= {"frames": frames + flow, "size": size}
    begin = {layer["class_name"] for layer in others[:2]} | {others[0]["name"]}
    for sign, preset in (("Flip", "bgr255"), ("rgb", "rgb"), ("standard", "standard")):
        if sign in begin:
            known["preset"] = preset
    return known


def file(source):
    """The .keras file of a run folder's backbone, or the file itself; None without a source.

    Raises:
        FileNotFoundError: there is no such network, or its run is unfinished.
    """
    if not source:
        return None
    path = pathlib.Path(source)
    path = path / "backbone.keras" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(
            f"init must be a finished run folder or a .keras file. Received: {source}, "
            f"without {path.name}."
        )
    return path


def load(backbone, source):
    """Copies the weights of a saved backbone, all of them or none.

    The two must have the same layers and the same input preset; clip length and size may differ.

    Args:
        backbone: to fill.
        source: run folder, or .keras file of a backbone.

    Raises:
        FileNotFoundError: there is no such network, or its run is unfinished.
        ValueError: the weights do not fit; lists what both sides have.
    """
    path = file(source)
    saved = keras.models.load_model(path, compile=False)
    theirs, ours = ({v.path: tuple(v.shape) for v in m.variables} for m in (saved, backbone))
    if theirs != ours:
        raise ValueError(f"{path} must fit the backbone. {_difference(theirs, ours)}")
    first, second = (_preprocessing(model) or "nothing" for model in (saved, backbone))
    if first != second:
        raise ValueError(
            f"{path} must have the input preset of the backbone (--preset). Received: one that "
            f"begins with {first}, where the backbone begins with {second}."
        )
    values = {variable.path: variable.numpy() for variable in saved.variables}
    for variable in backbone.variables:
        variable.assign(values[variable.path])
    count = sum(value.size for value in values.values())
    logging.info(
        "Loaded %d of %d variables (%d numbers) from %s; the layers above start anew.",
        len(values), len(ours), count, path,
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
