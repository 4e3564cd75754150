"""Opens .keras files from untrusted sources: no code runs, and memory stays bounded.

A .keras file is a zip archive of config.json (the layers) and model.weights.h5 (the weights).
The sizes it declares are checked against the network before anything is unpacked or built.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
import os
import random
import re
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mas import files, lazy

if TYPE_CHECKING:
    import h5py
    import keras
else:
    keras, h5py = lazy.module("keras"), lazy.module("h5py")

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MEMBERS = {CONFIG, WEIGHTS, "metadata.json"}
MOST_CONFIG = 32 * 2**20  # bytes; S3D-G's has 0.4 MB
# Largest size of the weights file: a multiple of the weights (optimiser state), plus headers.
MOST_OTHERS, HEADERS = 4, 2**20
# Settings of newer versions of Keras: how many are ignored, and values besides None that change
# nothing.
MOST_NEWER, NEUTRAL = 16, {"renorm": False, "renorm_momentum": 0.99}
_UNKNOWN = re.compile(
    r"unexpected keyword argument '(\w+)'|Unrecognized keyword arguments[^{]*\{'(\w+)'"
)
# Keras modules that networks are built from. The other modules include loading and saving.
_MODULES = re.compile(
    r"keras|builtins|keras(\.src)?\.(activations|constraints|dtype_policies|initializers|layers"
    r"|models|ops|quantizers|regularizers)(\..*)?"
)
# Layers that run code from the file or open other files.
_REFUSED = {
    *("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"),
    *("StringLookup", "IntegerLookup", "TextVectorization"),
}


def load(path: str | os.PathLike) -> keras.Model:
    """Loads the network of a .keras file for inference.

    Raises:
        ValueError: If the file is not a .keras file, is damaged or contains code; the message
            names the file.
    """
    with _named(path):
        with _opened(path) as archive:
            config = _config(archive)
            _check_weights(archive, _sizes(config))
        network = keras.saving.deserialize_keras_object(config)
        network.load_weights(os.fspath(path))
        return network


def config(path: str | os.PathLike) -> dict[str, Any]:
    """Reads the configuration of the network in a .keras file, without weights.

    Raises:
        ValueError: As `load`.
    """
    with _named(path), _opened(path) as archive:
        return _config(archive)


@contextlib.contextmanager
def _named(path):
    """Turns any error from reading a file into a single line that names the file."""
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # Keras, h5py and zipfile raise dozens of types
        words = str(error).strip() or type(error).__name__
        words = words.splitlines()[0][:200].rstrip(".")
        raise ValueError(
            f"{os.fspath(path)} must be a .keras file, whole and without code. Received: {words}."
        ) from error


@contextlib.contextmanager
def _opened(path) -> Iterator[zipfile.ZipFile]:
    files.check_regular(path)
    if not zipfile.is_zipfile(path):
        raise ValueError("not a zip archive")
    if not os.fspath(path).endswith(".keras"):  # Keras requires it
        raise ValueError("a name that does not end in .keras")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if missing := {CONFIG, WEIGHTS} - {*names}:
            raise ValueError(f"an archive without {' and '.join(sorted(missing))}")
        if len(names) != len({*names}) or {*names} - MEMBERS:
            raise ValueError(f"an archive of {len(names)} members, such as {min(names)}")
        files.check_archive(archive)
        yield archive


def _config(archive):
    """Parses config.json and checks that it contains Keras layers only."""
    size = archive.getinfo(CONFIG).file_size
    if size > MOST_CONFIG:
        raise ValueError(f"{CONFIG} of {files.size_text(size)}")
    known = json.loads(archive.read(CONFIG))  # checks the checksum
    if not isinstance(known, dict):
        raise ValueError(f"{CONFIG} without a network")
    known["compile_config"] = None  # optimiser and losses: not used
    for part in _objects(known):
        _check_class(part)
    return known


def _objects(config):
    """Yields every JSON object of a configuration."""
    left: list[Any] = [config]
    while left:
        part = left.pop()
        if isinstance(part, list):
            left += part
        elif isinstance(part, dict):
            yield part
            left += part.values()


def _check_class(part):
    """Raises ValueError for anything but Keras's layers and classes the caller has registered."""
    name, module = part.get("class_name"), part.get("module")
    if name in _REFUSED:
        raise ValueError(f"a {name}, which could run code")
    if name is None or module is None or _MODULES.fullmatch(str(module)):
        return
    if keras.saving.get_registered_object(part.get("registered_name")) is None:
        raise ValueError(
            f"{module}.{name}, which is neither a Keras layer nor registered "
            "(keras.saving.register_keras_serializable)"
        )


def _sizes(config):
    """(bytes, count) of a network's weights, without allocating them."""
    drawn = random.getstate()  # restored below: Keras seeds its initializers from it
    try:
        network = _built(config)
    finally:
        random.setstate(drawn)
    counts = [(v, math.prod(v.shape)) for v in network.weights]
    return sum(_width(v.dtype) * n for v, n in counts), sum(n for _, n in counts)


def _built(config):
    """Builds the network without values; removes from `config` what this Keras does not know.

    Newer versions of Keras add settings, and Keras 3.12 is the last for Python 3.10. A setting of
    None, or as in `NEUTRAL`, changes nothing. Removing any other would change the network.
    """
    for _ in range(MOST_NEWER):
        try:
            with keras.StatelessScope(initialize_variables=False):
                return keras.saving.deserialize_keras_object(copy.deepcopy(config))  # empties it
        except (TypeError, ValueError) as error:
            found = _UNKNOWN.search(str(error))
            if not found:
                raise
            name = found[1] or found[2]
            holders = [part for part in _objects(config) if name in part]
            if not holders or any(part[name] not in (None, NEUTRAL.get(name)) for part in holders):
                raise ValueError(
                    f"the setting {name}, which Keras {keras.__version__} does not know: it may "
                    "be from a newer version"
                ) from error
            for part in holders:
                del part[name]
    raise ValueError(f"more than {MOST_NEWER} settings that Keras {keras.__version__} lacks")


def _width(dtype):
    return max(1, int(re.sub(r"\D", "", str(dtype)) or 8) // 8)


def _check_weights(archive, sizes):
    """Checks the weights file against the network: first its size, then its headers."""
    size, (expected, numbers) = archive.getinfo(WEIGHTS).file_size, sizes
    if not expected <= size <= MOST_OTHERS * expected + HEADERS:
        held, needed = map(files.size_text, (size, expected))
        raise ValueError(f"{WEIGHTS} of {held} for a network of {needed}")
    content = io.BytesIO(archive.read(WEIGHTS))  # checks the checksum
    with h5py.File(content, "r") as file:
        held = sum(math.prod(part.shape) for part in _datasets(file))
    if held < numbers:
        raise ValueError(f"{held} weights for a network of {numbers}")


def _datasets(file):
    """Yields every array after checking that the file contains all its bytes."""
    left, seen = [file], set()
    while left:
        group = left.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{WEIGHTS} with a link to elsewhere, {name}")
            part = group[name]
            place = h5py.h5o.get_info(part.id).addr
            if place in seen:
                raise ValueError(f"{WEIGHTS} with two names for {name}")
            seen.add(place)
            if isinstance(part, h5py.Group):
                left.append(part)
                continue
            own = not (part.external or part.is_virtual) and part.dtype.kind in "fiubV"
            if not own or part.id.get_storage_size() < part.dtype.itemsize * math.prod(part.shape):
                raise ValueError(f"{WEIGHTS} without all values of {part.name}")
            yield part
