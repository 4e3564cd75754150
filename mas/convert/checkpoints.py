"""A checkpoint, whatever its form -> {name: array}. The form is told by content, not by suffix."""

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

# Where the authors keep the weights: STS and pace (`state_dict`), VTDL and DSM (`model`, beside
# `model_ema`, the key encoder, and `contrast`, the queue).
KEYS = ("state_dict", "model")

_TABLE = bytes.fromhex("57fb808b247547db")  # how a table of TensorFlow's checkpoints ends


def read(path, key=None):
    """Reads the weights of a checkpoint.

    Args:
        path: file, or a TensorFlow checkpoint's prefix, one of its files, or its folder.
        key: which of the nested dicts holds the weights, levels separated by `/`; by default the
            first of `KEYS`, else the largest.

    Returns:
        {name: NumPy array}, names without DataParallel's `module.`.

    Raises:
        FileNotFoundError: there is none.
        ImportError: PyTorch or safetensors is needed and not installed.
        ValueError: the file is damaged, of another form, or asks for more than data; no such key;
            several dicts could be meant.
    """
    check_there(path)
    path = pathlib.Path(path)
    prefix = _tensorflow_prefix(path)
    if prefix:
        return _only(_tensorflow(prefix), key, path)
    return _without_module(_read_file(path, key))


def check_there(path):
    """Refuses what is not there, or no file, without opening it.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is a FIFO or the like.
    """
    if os.path.isdir(path) or os.path.isfile(f"{path}.index"):
        return
    if not os.path.exists(path):
        raise FileNotFoundError(f"checkpoint must be {EXPECTED}. Received: {path}, not there.")
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
    """The dict of weights among nested dicts; see `read`."""
    found = dict(_dicts_of_arrays(tree))
    sizes = {name: sum(value.size for value in held.values()) for name, held in found.items()}
    listed = ", ".join(f"{name or '(top)'} ({size:,} numbers)" for name, size in sizes.items())
    if not found:
        kind = f"a dict of {list(tree)[:6]}" if isinstance(tree, dict) else type(tree).__name__
        raise ValueError(f"{path} must hold a dict of tensors. Received: {kind}.")
    if key is not None and key not in found:
        raise ValueError(f"key must be one of {list(found)}. Received: key={key!r}.")
    if key is None:
        largest = [name for name in found if sizes[name] == max(sizes.values())]
        key = next((name for name in KEYS if name in found), largest[0])
        if key not in KEYS and len(largest) > 1:
            raise ValueError(
                f"{path} must hold one network, or be read with a key. Received: {listed}."
            )
    logging.info("%s: took %s of %s.", path, key or "(top)", listed)
    return found[key]


def _dicts_of_arrays(tree, path=()):
    """Yields (path, {name: array}) of every dict that holds arrays itself."""
    if not isinstance(tree, dict):
        return
    own = {n: v for n, v in tree.items() if isinstance(v, np.ndarray) and isinstance(n, str)}
    if own:
        yield "/".join(path), own
    for name, value in tree.items():
        yield from _dicts_of_arrays(value, (*path, str(name)))


def _without_module(arrays):
    """Names without the prefix of torch.nn.DataParallel, where all have it."""
    wrapped = arrays and all(name.startswith("module.") for name in arrays)
    return {n.removeprefix("module."): value for n, value in arrays.items()} if wrapped else arrays


def _only(arrays, key, path):
    if key is not None:
        raise ValueError(f"key must be left out: {path} holds one dict. Received: key={key!r}.")
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
    """Whether that is a pickle, if only the beginning of one."""
    if head[:1] == b"\x80":
        return True
    try:
        with open(path, "rb") as file:  # protocols 0 and 1 begin as text does
            return bool(pickled.global_names(file))
    except (ValueError, MemoryError, OverflowError):
        return False


def _tensorflow_prefix(path):
    """The prefix of a TensorFlow checkpoint, or None where that is something else."""
    if path.is_dir():
        return _prefix_in(path)
    if not path.is_file():
        return str(path) if pathlib.Path(f"{path}.index").is_file() else None
    if path.suffix in (".index", ".meta") or path.suffix.startswith(".data-"):
        return str(path.with_suffix(""))
    with open(path, "rb") as file:  # the one file that TensorFlow wrote before 1.0
        file.seek(max(0, path.stat().st_size - len(_TABLE)))
        return str(path) if file.read() == _TABLE else None


def _prefix_in(folder):
    latest = tf.train.latest_checkpoint(folder)
    prefixes = [str(path.with_suffix("")) for path in sorted(folder.glob("*.index"))]
    if latest or len(prefixes) == 1:  # `checkpoint` may name a folder of another machine
        return latest or prefixes[0]
    raise ValueError(
        f"checkpoint must be {EXPECTED}. Received: the folder {folder} with "
        f"{prefixes or 'none of TensorFlow'}."
    )


def _tensorflow(prefix):
    for path in glob.glob(f"{glob.escape(prefix)}.*"):
        files.check_regular(path)  # TensorFlow waits for a FIFO
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
    """Holds the sizes that an index declares against the files, before anything is allocated."""
    need = sum(math.prod(shape) * kinds[name].size for name, shape in shapes.items())
    paths = [prefix, *glob.glob(f"{glob.escape(prefix)}.data-*")]
    held = sum(os.path.getsize(path) for path in paths if os.path.isfile(path))
    if need > files.MOST_EXPANSION * held:  # version 1 compresses
        sizes = (files.size_text(need), files.size_text(held))
        raise ValueError(f"{sizes[0]} of values declared in {sizes[1]} of files")


def _description(head):
    """What a file is that begins so, in words."""
    if not head:
        return "an empty file"
    if head[257:262] == b"ustar" or head.startswith(b"\x1f\x8b"):
        return "an archive that must be unpacked first"
    return f"a file that begins with {head[:24]!r}"
