"""`mas recipes`: the flag files that come with the package."""

from __future__ import annotations

import pathlib

from mas.cli.flags import UsageError

# In a checkout beside the package; an installed package holds them.
_PACKAGE = pathlib.Path(__file__).resolve().parents[1]


def folder() -> pathlib.Path:
    """Where the recipes lie."""
    installed = _PACKAGE / "recipes"
    return installed if installed.is_dir() else _PACKAGE.parent / "recipes"


def path(name: str) -> pathlib.Path:
    """The file of a recipe.

    Raises:
        ValueError: there is no such recipe.
    """
    found = folder() / f"{name.removesuffix('.flags')}.flags"
    if not found.is_file():
        names = ", ".join(sorted(file.stem for file in folder().glob("*.flags")))
        raise ValueError(f"recipe must be one of {names}. Received: recipe={name!r}.")
    return found


def run(arguments: list[str]) -> int:
    """Lists the recipes, or prints one."""
    raise UsageError("mas recipes is not written yet.")
