"""How the loops of this room are compiled, and where compiled code is kept: once a machine.

Numba keeps machine code in `$XDG_CACHE_HOME/mas` (or `~/.cache/mas`), in a folder of its own for
each source, processor and version of Numba: so whatever several processes write at once is the same
code, and a home that different machines share holds the code of each. `NUMBA_CACHE_DIR` wins. Where
nothing can be written, a process compiles for itself; what is there and damaged is made again.
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
_LOCK = threading.Lock()  # of _CONFIG, which is the process's
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
_TARGET = cpu_target.target_context.codegen().magic_tuple()  # triple, processor, its features
HAS_FMA = "+fma" in _TARGET[2] or platform.machine() in ("aarch64", "arm64")


class _Distinct(Compiler):
    """Compiles a function whose array arguments never overlap, so that its loops vectorise.

    Without that promise LLVM compares every array that is written with every other, and leaves a
    loop over many arrays as it is.
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
    """A * b + c of float32 numbers, rounded once."""

    def generate(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


def entry(function, signature: str):
    """Compiles a function that Python calls, with all that it calls, or loads it.

    Args:
        function: the plain function.
        signature: the one type that it takes, as Numba writes it.
    """
    with _LOCK:
        folder = _folder()
        for _ in range(2):
            if folder is None:
                break
            try:
                with _alone_in(folder), _kept_in(folder):
                    return numba.njit(signature, cache=True, **_OPTIONS)(function)
            except Exception:  # a damaged file, a full disk: whatever it is, compiling still works
                _forget(folder, function)
        return numba.njit(signature, **_OPTIONS)(function)


def _forget(folder, function):
    """Removes what is kept of a function, so that it is made again."""
    for path in pathlib.Path(folder).rglob(f"*.{function.__name__}-*"):
        with contextlib.suppress(OSError):
            path.unlink()


def is_kept() -> bool:
    """Whether an earlier process has kept this room's machine code."""
    folder = _folder()
    return folder is not None and any(pathlib.Path(folder).rglob("iterations.*.nbi"))


def _folder() -> str | None:
    """The folder of this room's machine code; None where none can be written."""
    sources = sorted(pathlib.Path(__file__).parent.glob("*.py"))
    try:
        parts = [numba.__version__, *_TARGET, *(path.read_text("utf-8") for path in sources)]
        name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        folder = _CONFIG.CACHE_DIR or str(pathlib.Path(home, "mas", f"numba-{name}"))
        os.makedirs(folder, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return None
    return folder


@contextlib.contextmanager
def _alone_in(folder: str) -> Iterator[None]:
    """Lets one process compile while others wait, to load what it leaves: a node has many."""
    with open(os.path.join(folder, "lock"), "w") as file:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _kept_in(folder: str) -> Iterator[None]:
    """Numba looks for its folder when a function is decorated."""
    before, _CONFIG.CACHE_DIR = _CONFIG.CACHE_DIR, folder
    try:
        yield
    finally:
        _CONFIG.CACHE_DIR = before
