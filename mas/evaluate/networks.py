"""The network of a run, as it is evaluated, and the clips that it takes."""

import pathlib
import zipfile

import keras

from mas import backbones, prepare, weights
from mas.evaluate.sampling import Settings


def file(model):
    """The .keras file of a run folder's backbone, or the file itself.

    Raises:
        FileNotFoundError: there is none.
    """
    try:
        return weights.file(model)
    except FileNotFoundError as error:
        raise FileNotFoundError(str(error).replace("init must", "model must", 1)) from None


def load(path):
    """The network of a .keras file.

    Raises:
        ValueError: the file is none, or damaged; Keras would say that it is not there.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError(f"model must be a .keras file that is whole. Received: {path}.")
    return keras.models.load_model(path, compile=False)


def network(model, random=False, seed=0, shape=None):
    """The backbone that is evaluated.

    Args:
        model: run folder, or .keras file of a backbone.
        random: the same network at its random initialisation, without what it has learned.
        seed: of that.
        shape: (frames, height, width, channels) of a clip, if another than it was trained on: then
            the network is built anew and takes over the weights.

    Returns:
        keras.Model from (batch, *shape) to a map (batch, t, h, w, c).

    Raises:
        FileNotFoundError: there is no such network.
        ValueError: as `load`; or it ends with something else than a map, or is of no known name,
            so that it cannot take clips of another shape.
    """
    path = file(model)
    saved = load(path)
    if isinstance(saved.output, dict) or len(saved.output.shape) != 5:
        raise ValueError(
            f"model must be a backbone, whose output is a map. Received: {path}, which has heads."
        )
    keras.utils.set_random_seed(seed)
    if shape is None or tuple(saved.input_shape[1:]) == tuple(shape):
        return keras.models.clone_model(saved) if random else saved
    if saved.name not in backbones.NAMES:
        raise ValueError(
            f"clips must be {saved.input_shape[1:]} for a network that is none of "
            f"{list(backbones.NAMES)}. Received: {tuple(shape)}."
        )
    known = {"width": 1.0, "preset": "identity", "initializer": "published"}
    known |= weights.settings(path)
    preset = "flow" if known["modality"] == "flow" else known["preset"]
    options = (known["width"], preset, known["initializer"])
    built = backbones.backbone(saved.name, shape, *options)
    if not random:
        weights.load(built, path)
    return built


def settings(flags):
    """The `Settings` of the flags; clip length, crop and resizing are the run's without a flag."""
    path = pathlib.Path(flags.model)
    beside = path.name == "model.keras" and (path.parent / "run.json").is_file()
    known = {"frames": 16, "size": 112, "resize": "171x128", "modality": "rgb"}
    known |= weights.settings(path.parent if beside else file(path))
    for name in ("frames", "size", "resize"):
        given = getattr(flags, name)
        known[name] = known[name] if given is None else given
    resize = prepare.parse_size(known["resize"])
    if resize is None:
        raise ValueError("resize must be WIDTHxHEIGHT. Received: resize=keep.")
    return Settings(
        how="uniform" if flags.clips else "consecutive",
        clips=flags.clips or 1,
        pooling=flags.pooling,
        static=flags.static,
        stride=flags.stride,
        resize=resize,
        **{name: known[name] for name in ("frames", "size", "modality")},
        **{name: getattr(flags, name) for name in ("batch", "threads", "allow_failures")},
    )
