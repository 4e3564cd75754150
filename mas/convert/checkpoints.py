"""Reads checkpoints as {name: array}; the content decides the format, not the suffix."""

import glob
import math
import os
import pathlib

import numpy as np
from absl import logging

from mas import files, lazy
from mas.convert import pickled

tf = lazy.module("tensorflow")

EXPECTED = "a checkpoint of PyTorch (torch.save), safetensors or TensorFlow 1"

# Keys of the authors' weights: `state_dict` in STS and pace, `model` in VTDL and DSM (next to the
# key encoder, `model_ema`, and the queue, `contrast`).
KEYS = ("state_dict", "model")

_TABLE = bytes.fromhex("57fb808b247547db")  # last bytes of a TensorFlow checkpoint table


def read(path, key=None):
    """Reads the weights of a checkpoint.

    Args:
        path: checkpoint file; for TensorFlow its prefix, one of its files, or its folder.
        key: path of the nested dict that contains the weights, with levels separated by `/`; by
            default the first of `KEYS` that exists, else the largest dict.

    Returns:
        {name: NumPy array}, without DataParallel's prefix `module.`.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ImportError: If PyTorch or safetensors is needed and not installed.
        ValueError: If the file is damaged, has an unknown format or contains code, if there is no
            such key, or if several dicts could be meant.
    """
    check_there(path)
    path = pathlib.Path(path)
    prefix = _tensorflow_prefix(path)
    if prefix:
        return _only(_tensorflow(prefix), key, path)
    return _without_module(_read_file(path, key))


def check_there(path):
    """Checks that a checkpoint exists, without opening it.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is not a regular file, such as a FIFO.
    """
    if os.path.isdir(path) or os.path.isfile(f"{path}.index"):
        return
    if not os.path.exists(path):
        raise FileNotFoundError(f"checkpoint must be {EXPECTED}. Received: {path}: no such file.")
    files.check_regular(path)


def _read_file(path, key):
    with open(path, "rb") as file:
        head = file.read(512)
    if _is_safetensors(head):
        return _only(_safetensors(path), key, path)
    if head.startswith(pickled.ZIP) or _is_pickle(path, head):
        return state(pickled.load(path), key, path)
    raise ValueError(f"{path} must be {EXPECTED}. Received: {_description(head)}.")


def state(tree, key, path):
    """Finds the dict of weights among nested dicts; see `read`."""
    found = dict(_dicts_of_arrays(tree))
    sizes = {name: sum(value.size for value in held.values()) for name, held in found.items()}
    listed = ", ".join(f"{name or '(top)'} ({size:,} numbers)" for name, size in sizes.items())
    if not found:
        kind = f"a dict of {list(tree)[:6]}" if isinstance(tree, dict) else type(tree).__name__
        raise ValueError(f"{path} must contain a dict of tensors. Received: {kind}.")
    if key is not None and key not in found:
        raise ValueError(f"key must be one of {list(found)}. Received: key={key!r}.")
    if key is None:
        largest = [name for name in found if sizes[name] == max(sizes.values())]
        key = next((name for name in KEYS if name in found), largest[0])
        if key not in KEYS and len(largest) > 1:
            raise ValueError(
                f"{path} must contain one network, or key must choose one. Received: {listed}."
            )
    logging.info("%s: using %s of %s.", path, key or "(top)", listed)
    return found[key]


def _dicts_of_arrays(tree, path=()):
    """Yields (path, {name: array}) for every dict that directly contains arrays."""
    if not isinstance(tree, dict):
        return
    own = {n: v for n, v in tree.items() if isinstance(v, np.ndarray) and isinstance(n, str)}
    if own:
        yield "/".join(path), own
    for name, value in tree.items():
        yield from _dicts_of_arrays(value, (*path, str(name)))


def _without_module(arrays):
    """Removes the prefix of torch.nn.DataParallel if all names have it."""
    wrapped = arrays and all(name.startswith("module.") for name in arrays)
    return {n.removeprefix("module."): value for n, value in arrays.items()} if wrapped else arrays


def _only(arrays, key, path):
    if key is not None:
        raise ValueError(f"key must be left out: {path} contains one dict. Received: key={key!r}.")
    return arrays


def _is_safetensors(head):
    return len(head) > 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 10**8


def _safetensors(path):
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise ImportError(
            f"{path} needs safetensors, which is not installed: pip install 'mas-video[convert]'"
        ) from error
    try:
        return load_file(path)
    except (SafetensorError, TypeError, KeyError) as error:
        raise ValueError(f"{path} must be a whole safetensors file. Received: {error}.") from error


def _is_pickle(path, head):
    """Whether the file is a pickle, or the beginning of one."""
    if head[:1] == b"\x80":
        return True
    try:
        with open(path, "rb") as file:  # protocols 0 and 1 look like text
            return bool(pickled.global_names(file))
    except (ValueError, MemoryError, OverflowError):
        return False


def _tensorflow_prefix(path):
    """Prefix of a TensorFlow checkpoint; None for other files."""
    if path.is_dir():
        return _prefix_in(path)
    if not path.is_file():
        return str(path) if pathlib.Path(f"{path}.index").is_file() else None
    if path.suffix in (".index", ".meta") or path.suffix.startswith(".data-"):
        return str(path.with_suffix(""))
    with open(path, "rb") as file:  # before 1.0, TensorFlow wrote a single file
        file.seek(max(0, path.stat().st_size - len(_TABLE)))
        return str(path) if file.read() == _TABLE else None


def _prefix_in(folder):
    latest = tf.train.latest_checkpoint(folder)
    prefixes = [str(path.with_suffix("")) for path in sorted(folder.glob("*.index"))]
    if latest or len(prefixes) == 1:  # `checkpoint` may name a folder on another machine
        return latest or prefixes[0]
    raise ValueError(
        f"checkpoint must be {EXPECTED}. Received: the folder {folder} with "
        f"{prefixes or 'no TensorFlow checkpoint'}."
    )


def _tensorflow(prefix):
    for path in glob.glob(f"{glob.escape(prefix)}.*"):
        files.check_regular(path)  # TensorFlow would hang on a FIFO
    try:
        reader = tf.train.load_checkpoint(prefix)
        names = reader.get_variable_to_shape_map()
        _check_sizes(prefix, names, reader.get_variable_to_dtype_map())
        return {name: np.asarray(reader.get_tensor(name)) for name in sorted(names)}
    except (tf.errors.OpError, IndexError, ValueError) as error:
        raise ValueError(
            f"{prefix} must be a whole TensorFlow checkpoint. Received: {error}."
        ) from error


def _check_sizes(prefix, shapes, kinds):
    """Checks the sizes declared in the index against the files, before anything is allocated."""
    need = sum(math.prod(shape) * kinds[name].size for name, shape in shapes.items())
    paths = [prefix, *glob.glob(f"{glob.escape(prefix)}.data-*")]
    held = sum(os.path.getsize(path) for path in paths if os.path.isfile(path))
    if need > files.MOST_EXPANSION * held:  # version 1 compresses
        sizes = (files.size_text(need), files.size_text(held))
        raise ValueError(f"{sizes[0]} of values declared for {sizes[1]} of files")


def _description(head):
    """Describes a file by its first bytes."""
    if not head:
        return "an empty file"
    if head[257:262] == b"ustar" or head.startswith(b"\x1f\x8b"):
        return "an archive that must be unpacked first"
    return f"a file that starts with {head[:24]!r}"
