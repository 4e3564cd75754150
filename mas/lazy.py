"""Heavy libraries that are imported when they are first used.

TensorFlow takes three seconds to import. A command that only prints its help, or refuses a mistyped
flag, must not wait for it, though the settings that it prints stand beside the code that needs it:

    from mas import lazy

    tf = lazy.module("tensorflow")      # nothing is imported yet
    tf.constant(1)                      # now it is
"""

import importlib
import types


class _Lazy(types.ModuleType):
    """Stands for a module; every attribute is looked up in the module itself."""

    def __getattr__(self, name):
        return getattr(importlib.import_module(self.__name__), name)

    def __dir__(self):
        return dir(importlib.import_module(self.__name__))


def module(name):
    """A stand-in for a module, such as `tensorflow` or `mas.augment`.

    Args:
        name: dotted name of the module.

    Returns:
        An object whose attributes are those of the module.
    """
    return _Lazy(name)


def attributes(package, places):
    """The `__getattr__` and `__dir__` of a package whose names are imported when they are used.

    Args:
        package: `__name__` of the package.
        places: {public name: the module that defines it}; a name whose module is None is a module
            of the package.

    Returns:
        (`__getattr__`, `__dir__`), for the package's own namespace (PEP 562).
    """

    def __getattr__(name):
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if places[name] is None:
            return importlib.import_module(f"{package}.{name}")
        return getattr(importlib.import_module(places[name]), name)

    return __getattr__, lambda: sorted(places)
