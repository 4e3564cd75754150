"""Reads files of `torch.save` as data: nothing in the file is executed."""

import pickle
import pickletools
import warnings
import zipfile
import zlib

from mas import files

ZIP = b"PK\x03\x04"  # first bytes of files of torch 1.6 and later
_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)  # first bytes of earlier files
_MAGIC_PICKLES = 5  # magic number, version, system, the object, storage keys

# Classes and functions that torch.load(weights_only=True) accepts, besides torch's own.
_TAKEN = (
    "_codecs.encode",
    "collections.Counter",
    "collections.OrderedDict",
    *(f"{m}.{f}" for m in ("builtins", "__builtin__") for f in ("set", "bytearray", "complex")),
)
# Errors from damaged archives; RuntimeError if a member is encrypted or unknown.
_DAMAGED = (ValueError, MemoryError, OverflowError, zipfile.BadZipFile, zlib.error, RuntimeError)
# Objects that training scripts save next to the weights; not needed here.
_IGNORED = (
    "argparse.Namespace",
    "numpy.dtype",
    "numpy.ndarray",
    *(f"numpy.{m}.multiarray.{f}" for m in ("core", "_core") for f in ("scalar", "_reconstruct")),
)


class Ignored:
    """Replaces the objects in `_IGNORED`."""

    def __init__(self, *_):
        """Ignores the arguments."""

    def __setstate__(self, _):
        """Ignores the state."""


def load(path):
    """Loads a file of `torch.save`, with arrays in place of tensors.

    `torch.load(weights_only=True)` accepts tensors and containers only. The classes and functions
    in the file are checked before, so that the error can name all of them.

    Args:
        path: pathlib.Path of a zip archive, or of a pickle from torch before 1.6.

    Raises:
        ImportError: If PyTorch is not installed.
        ValueError: If the file is damaged or needs other classes or functions.
    """
    names = _archive_names(path) if _starts_with(path, ZIP) else _pickle_names(path)
    refused = sorted(name for name in names if not _is_harmless(name))
    if refused:
        raise ValueError(_refusal(path, refused))
    try:
        return _arrays(_load(path))
    except (TypeError, NotImplementedError, RecursionError) as error:
        raise ValueError(
            f"{path} must contain plain tensors in dicts. Received: {error}."
        ) from error


def global_names(file):
    """Full names of the classes and functions a pickle refers to; reads to its end.

    Raises:
        ValueError: If the file is not a complete pickle.
    """
    names, texts, memo, last = set(), ["?", "?"], {}, None
    for code, value, _ in pickletools.genops(file):
        if code.name in ("GLOBAL", "INST"):
            names.add(value.replace(" ", "."))
        elif code.name == "STACK_GLOBAL":
            names.add(".".join(texts))
        elif code.name == "MEMOIZE" or "PUT" in code.name:
            memo[len(memo) if value is None else value] = last
        elif "GET" in code.name:
            value = memo.get(value)
        if isinstance(value, str):
            texts = [texts[-1], value]
        last = value
    return names


def _is_harmless(name):
    own = name.startswith("torch.") and not name.startswith("torch.nn.modules.")
    return own or name in _TAKEN or name in _IGNORED


def _starts_with(path, head):
    with open(path, "rb") as file:
        return file.read(len(head)) == head


def _pickle_names(path):
    count = _MAGIC_PICKLES if _starts_with(path, _MAGIC) else 1
    try:
        with open(path, "rb") as file:
            return set().union(*(global_names(file) for _ in range(count)))
    except (ValueError, MemoryError, OverflowError) as error:
        raise ValueError(f"{path} must be a whole pickle. Received: {error}.") from error


def _archive_names(path):
    try:
        with zipfile.ZipFile(path) as archive:
            files.check_archive(archive)
            members = archive.namelist()
            if any(name.endswith("/constants.pkl") for name in members):
                raise ValueError("a TorchScript program, which is code")
            pickles = [name for name in members if name.endswith("/data.pkl")]
            if not pickles:
                raise ValueError(f"an archive of {members[:3]}")
            if damaged := archive.testzip():  # torch.load does not check them
                raise ValueError(f"a wrong checksum in {damaged}")
            found = set()
            for name in pickles:
                with archive.open(name) as file:
                    found |= global_names(file)
            return found
    except _DAMAGED as error:
        raise ValueError(
            f"{path} must be a whole archive of torch.save. Received: {error}."
        ) from error


def _refusal(path, names):
    shown = ", ".join(names[:6]) + ", ..." * (len(names) > 6)
    return (
        f"{path} must contain only tensors and containers, since nothing in a checkpoint is "
        f"executed. Received: {shown}. (If it is a whole network, save its state_dict() instead.)"
    )


def _load(path):
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"{path} needs PyTorch, which is not installed: pip install 'mas-video[convert]'"
        ) from error
    ignored = [(Ignored, name) for name in _IGNORED]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(ignored):
            warnings.simplefilter("ignore")  # about pickle protocols
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file can raise anything
        raise ValueError(f"{path} must be a whole file of torch.save. {_reason(error)}") from error


def _reason(error):
    """Torch's message without its advice to load unsafely: between "error:" and "Check ..."."""
    text = str(error).split("error:")[-1].split("Check the doc")[0]
    return f"Received: {' '.join(text.split()) or type(error).__name__}."


def _arrays(value):
    """Replaces tensors in nested dicts by NumPy arrays; floating-point ones become float32."""
    import torch

    if isinstance(value, torch.Tensor):
        value = value.detach()
        need = value.numel() * value.element_size()
        if value.layout == torch.strided and need > value.untyped_storage().nbytes():
            raise TypeError(f"a tensor {tuple(value.shape)} with too little data")
        return (value.float() if value.is_floating_point() else value).numpy()
    if isinstance(value, dict):
        return {key: _arrays(item) for key, item in value.items()}
    return value
