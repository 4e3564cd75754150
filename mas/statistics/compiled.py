"""Compilation of the loops of `mas.statistics`: cached per machine, without the GIL.

By default Numba caches its code next to the source. The cache would survive when the package is
uninstalled, and the remaining folder would shadow a package installed from a checkout.
"""

import os
import pathlib
from typing import Any

import numba

_CONFIG: Any = numba.config


def loop(function):
    """Compiles a function, or loads it from $XDG_CACHE_HOME/mas (default: ~/.cache/mas).

    $NUMBA_CACHE_DIR takes precedence. If no cache can be written, each process compiles the
    function. A damaged cache is rebuilt.
    """
    before = _CONFIG.CACHE_DIR
    try:
        home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        _CONFIG.CACHE_DIR = before or str(pathlib.Path(home, "mas", "numba-statistics"))
        return _recompiling(numba.njit(nogil=True, cache=True)(function))
    except (OSError, RuntimeError):  # no home, or no writable folder
        return numba.njit(nogil=True)(function)
    finally:
        _CONFIG.CACHE_DIR = before


def _recompiling(dispatcher):
    """Makes Numba treat a damaged cache file as missing, instead of raising errors from LLVM."""
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
