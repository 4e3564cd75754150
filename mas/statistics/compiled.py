"""How the loops of this room are compiled: once a machine, and without the interpreter lock.

Numba would keep its code beside the source. There it would stay when a package is removed, and the
folder that is left would hide a package of the same name that is installed from a checkout.
"""

import os
import pathlib
from typing import Any

import numba

_CONFIG: Any = numba.config


def loop(function):
    """Compiles a function, or loads it from $XDG_CACHE_HOME/mas (~/.cache/mas).

    $NUMBA_CACHE_DIR wins. Where nothing can be written, it is compiled in each process. What is
    there and damaged is made again.
    """
    before = _CONFIG.CACHE_DIR
    try:
        home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        _CONFIG.CACHE_DIR = before or str(pathlib.Path(home, "mas", "numba-statistics"))
        return _made_again(numba.njit(nogil=True, cache=True)(function))
    except (OSError, RuntimeError):  # no home, or no place that can be written
        return numba.njit(nogil=True)(function)
    finally:
        _CONFIG.CACHE_DIR = before


def _made_again(dispatcher):
    """Numba would raise whatever `pickle` or LLVM say of a damaged file; here it is not there."""
    kept = dispatcher._cache
    load = kept.load_overload

    def load_overload(*arguments):
        try:
            return load(*arguments)
        except Exception:
            kept.flush()
            return None

    kept.load_overload = load_overload
    return dispatcher
