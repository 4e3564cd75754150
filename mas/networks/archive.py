"""A .keras file, which may come from anywhere: opening it runs no code and fills no memory.

It is a zip archive of config.json, the layers, and model.weights.h5, their values. What the file
says of its sizes is held against what the network needs before anything is unpacked or built.
"""

from __future__ import annotations

import contextlib
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
MOST_CONFIG = 32 * 2**20  # bytes; that of S3D-G has 0.4 MB
# Of the weights' file over the network's own weights: an optimiser's beside them, and its headers.
MOST_OTHERS, HEADERS = 4, 2**20
# Where Keras keeps what networks are made of. Other modules hold functions that load and save.
_MODULES = re.compile(
    r"keras|builtins|keras(\.src)?\.(activations|constraints|dtype_policies|initializers|layers"
    r"|models|ops|quantizers|regularizers)(\..*)?"
)
# What runs code of the file's, or opens other files.
_REFUSED = {
    *("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"),
    *("StringLookup", "IntegerLookup", "TextVectorization"),
}


def load(path: str | os.PathLike) -> keras.Model:
    """The network of a .keras file, for its outputs alone.

    Raises:
        ValueError: the file is none, is damaged, or holds code; names it.
    """
    with _named(path):
        with _opened(path) as archive:
            config = _config(archive)
            _check_weights(archive, _sizes(config))
        return keras.models.load_model(path, compile=False, safe_mode=True)


def config(path: str | os.PathLike) -> dict[str, Any]:
    """What a .keras file says of its network, without its weights.

    Raises:
        ValueError: as `load`.
    """
    with _named(path), _opened(path) as archive:
        return _config(archive)


@contextlib.contextmanager
def _named(path):
    """One line with the file's name for whatever a file from elsewhere leads to."""
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # of any kind: Keras, h5py and zipfile have tens of them
        words = str(error).strip() or type(error).__name__
        words = words.splitlines()[0][:200].rstrip(".")
        raise ValueError(
            f"{os.fspath(path)} must be a .keras file that is whole. Received: {words}."
        ) from error


@contextlib.contextmanager
def _opened(path) -> Iterator[zipfile.ZipFile]:
    files.check_regular(path)
    if not zipfile.is_zipfile(path):
        raise ValueError("another file")
    if not os.fspath(path).endswith(".keras"):  # which Keras asks for
        raise ValueError("a name with another ending")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if missing := {CONFIG, WEIGHTS} - {*names}:
            raise ValueError(f"an archive without {' and '.join(sorted(missing))}")
        if len(names) != len({*names}) or {*names} - MEMBERS:
            raise ValueError(f"an archive of {len(names)} members, such as {min(names)}")
        files.check_archive(archive)
        yield archive


def _config(archive):
    """config.json, once it is known to ask for nothing but layers."""
    size = archive.getinfo(CONFIG).file_size
    if size > MOST_CONFIG:
        raise ValueError(f"{CONFIG} of {files.size_text(size)}")
    known = json.loads(archive.read(CONFIG))  # which compares its checksum
    if not isinstance(known, dict):
        raise ValueError(f"{CONFIG} without a network")
    known["compile_config"] = None  # an optimiser and losses, which are not looked at
    left: list[Any] = [known]
    while left:
        part = left.pop()
        if isinstance(part, list):
            left += part
        elif isinstance(part, dict):
            _check_class(part)
            left += part.values()
    return known


def _check_class(part):
    """Refuses what is no layer of Keras, unless the caller has registered it."""
    name, module = part.get("class_name"), part.get("module")
    if name in _REFUSED:
        raise ValueError(f"a {name}, which could run code")
    if name is None or module is None or _MODULES.fullmatch(str(module)):
        return
    if keras.saving.get_registered_object(part.get("registered_name")) is None:
        raise ValueError(
            f"{module}.{name}, which is neither a layer of Keras nor registered "
            "(keras.saving.register_keras_serializable)"
        )


def _sizes(config):
    """(bytes, numbers) of a network's weights, which are not allocated."""
    drawn = random.getstate()  # Keras seeds its initializers there: new layers draw the same still
    try:
        with keras.StatelessScope(initialize_variables=False):
            network = keras.saving.deserialize_keras_object(config)
    finally:
        random.setstate(drawn)
    counts = [(v, math.prod(v.shape)) for v in network.weights]
    return sum(_width(v.dtype) * n for v, n in counts), sum(n for _, n in counts)


def _width(dtype):
    return max(1, int(re.sub(r"\D", "", str(dtype)) or 8) // 8)


def _check_weights(archive, sizes):
    """Holds the file of weights against the network: its size first, then its headers."""
    size, (expected, numbers) = archive.getinfo(WEIGHTS).file_size, sizes
    if not expected <= size <= MOST_OTHERS * expected + HEADERS:
        held, needed = map(files.size_text, (size, expected))
        raise ValueError(f"{WEIGHTS} of {held} for a network of {needed}")
    content = io.BytesIO(archive.read(WEIGHTS))  # which compares its checksum
    with h5py.File(content, "r") as file:
        held = sum(math.prod(part.shape) for part in _datasets(file))
    if held < numbers:
        raise ValueError(f"{held} weights for a network of {numbers}")


def _datasets(file):
    """Every array, once it is known to lie in the file with all its bytes."""
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
