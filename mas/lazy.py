"""Lazy imports of heavy libraries.

TensorFlow takes three seconds to import. A command that prints its help or rejects a mistyped flag
must not wait for it, although the settings it prints are defined next to code that needs it:

    from mas import lazy

    tf = lazy.module("tensorflow")      # nothing is imported yet
    tf.constant(1)                      # now it is
"""

import importlib
import types


class _Lazy(types.ModuleType):
    """A proxy that imports the real module on attribute access."""

    def __getattr__(self, name):
        return getattr(importlib.import_module(self.__name__), name)

    def __dir__(self):
        return dir(importlib.import_module(self.__name__))


def module(name):
    """Returns a lazy proxy for a module.

    Args:
        name: dotted name of the module, such as `tensorflow` or `mas.augment`.

    Returns:
        A module object that imports the real module on first use.
    """
    return _Lazy(name)


def attributes(package, places):
    """Returns `__getattr__` and `__dir__` for a package that imports its public names lazily.

    Args:
        package: `__name__` of the package.
        places: {public name: defining module}; None marks a submodule of the package.

    Returns:
        (`__getattr__`, `__dir__`), to assign in the package's namespace (PEP 562).
    """

    def __getattr__(name):
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if places[name] is None:
            return importlib.import_module(f"{package}.{name}")
        return getattr(importlib.import_module(places[name]), name)

    return __getattr__, lambda: sorted(places)
