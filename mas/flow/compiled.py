"""Compilation of the loops of `mas.flow`, and the cache of their machine code.

The cache is in `$XDG_CACHE_HOME/mas` (default: `~/.cache/mas`), in a separate folder for each
source, processor and version of Numba. Concurrent processes therefore write identical code, and
machines can share a home. `NUMBA_CACHE_DIR` takes precedence. If no cache can be written, each
process compiles for itself. A damaged cache is rebuilt.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pathlib
import platform
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import numba
from numba.core import types
from numba.core.compiler import Compiler
from numba.core.registry import cpu_target
from numba.extending import intrinsic

_CONFIG: Any = numba.config
_LOCK = threading.Lock()  # guards _CONFIG, which is global
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
_TARGET = cpu_target.target_context.codegen().magic_tuple()  # triple, processor, features
HAS_FMA = "+fma" in _TARGET[2] or platform.machine() in ("aarch64", "arm64")


class _Distinct(Compiler):
    """Compiles functions whose array arguments never alias, so that their loops vectorise.

    Otherwise LLVM checks each written array against all others, and does not vectorise loops over
    many arrays.
    """

    def __init__(self, typingctx, targetctx, library, args, return_type, flags, locals):
        flags.noalias = True
        super().__init__(typingctx, targetctx, library, args, return_type, flags, locals)


helper = numba.njit(**_OPTIONS)
loop = numba.njit(pipeline_class=_Distinct, **_OPTIONS)
inner_loop = numba.njit(pipeline_class=_Distinct, forceinline=True, **_OPTIONS)
fast_inner_loop = numba.njit(pipeline_class=_Distinct, forceinline=True, fastmath=True, **_OPTIONS)


@intrinsic
def fma(typing, a, b, c):
    """Returns a * b + c for float32 numbers, rounded once."""

    def generate(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


def entry(function, signature: str):
    """Compiles a function called from Python, and everything it calls, or loads it from the cache.

    Args:
        function: plain Python function.
        signature: its only signature, in Numba's notation.
    """
    with _LOCK:
        folder = _folder()
        for _ in range(2):
            if folder is None:
                break
            try:
                with _compile_lock(folder), _cache_folder(folder):
                    return numba.njit(signature, cache=True, **_OPTIONS)(function)
            except Exception:  # damaged file, full disk, ...: compiling still works
                _drop_from_cache(folder, function)
        return numba.njit(signature, **_OPTIONS)(function)


def _drop_from_cache(folder, function):
    """Removes a function from the cache, so that it is compiled again."""
    for path in pathlib.Path(folder).rglob(f"*.{function.__name__}-*"):
        with contextlib.suppress(OSError):
            path.unlink()


def is_kept() -> bool:
    """Whether the machine code of `mas.flow` is in the cache."""
    folder = _folder()
    return folder is not None and any(pathlib.Path(folder).rglob("iterations.*.nbi"))


def _folder() -> str | None:
    """Returns the cache folder, or None if it cannot be written to."""
    sources = sorted(pathlib.Path(__file__).parent.glob("*.py"))
    try:
        parts = [numba.__version__, *_TARGET, *(path.read_text("utf-8") for path in sources)]
        name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        folder = _CONFIG.CACHE_DIR or str(pathlib.Path(home, "mas", f"numba-{name}"))
        os.makedirs(folder, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, RuntimeError):  # RuntimeError: no home
        return None
    return folder


@contextlib.contextmanager
def _compile_lock(folder: str) -> Iterator[None]:
    """Lets one process compile at a time; the others wait and load its result."""
    with open(os.path.join(folder, "lock"), "w") as file:
        with contextlib.suppress(OSError):  # file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _cache_folder(folder: str) -> Iterator[None]:
    """Sets Numba's cache folder, which is read when a function is decorated."""
    before, _CONFIG.CACHE_DIR = _CONFIG.CACHE_DIR, folder
    try:
        yield
    finally:
        _CONFIG.CACHE_DIR = before
