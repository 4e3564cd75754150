"""`mas recipes`: the flag files that come with the package.

A recipe starts with comments, in paragraphs separated by lines of only `#`:

    # WHAT it trains or evaluates, in one sentence. Further sentences.
    #
    # Data: the data set and its part, and "with flow" if flow is needed
    # Cost: N epochs of M videos, clips per video; forward GFLOPs of one clip. Or a measured time.
    #   For an evaluation: the clips of M videos
    # Published: accuracies in percent, as in their source, or none
    #
    #   mas COMMAND --FLAG=VALUE ...
    #
    # Numbers: where the settings come from; then one line per topic
    #
    # What the authors do not say, and what we chose. Flags of variants, and the recipes to run next

A fact may span several lines. The commands lead all the way from the videos to the recipe's result,
with a backslash where a line is broken; the last one has --recipe=NAME.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import pathlib
import re
import shutil
import sys
import textwrap

from mas import checks
from mas.cli.flags import Flags, UsageError

SUMMARY = "Lists the recipes with data set, cost and published accuracy, or prints one of them."
NOTES = (
    "GFLOPs are for the forward pass of one clip, with a multiply-add counted as two; a training "
    "step takes about three times as many. The published accuracies are their authors' and have "
    "not been reproduced here. mas recipes NAME prints a recipe with its commands; --recipe=NAME "
    "uses its flags, and flags you add override them."
)
FACTS = ("data", "cost", "published")

# In a checkout, recipes/ is next to the package; in an installation, inside it.
_PACKAGE = pathlib.Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The head of a recipe.

    Attributes:
        name: file name without extension.
        what: what it trains or evaluates, in one sentence.
        data: the data set and its part.
        cost: epochs, videos and GFLOPs per clip, or a time.
        published: accuracies, or none.
        commands: the complete command lines, in order.
    """

    name: str
    what: str
    data: str
    cost: str
    published: str
    commands: tuple[str, ...]


def folder() -> pathlib.Path:
    """Folder of the recipes."""
    installed = _PACKAGE / "recipes"
    return installed if installed.is_dir() else _PACKAGE.parent / "recipes"


def path(name: str) -> pathlib.Path:
    """Path of a recipe.

    Raises:
        ValueError: If there is no such recipe.
    """
    found = folder() / f"{name.removesuffix('.flags')}.flags"
    if not found.is_file():
        names = sorted(file.stem for file in folder().glob("*.flags"))
        near = difflib.get_close_matches(name, names, 3, 0.5) or ["mas_small"]
        allowed = f"one that mas recipes lists, such as {' or '.join(near)}"
        checks.refuse("recipe", allowed, name)
    return found


def of(name: str, command: str) -> pathlib.Path:
    """Path of a recipe for a given command, such as "mas train".

    Raises:
        ValueError: If the recipe is for another command, which the message names.
    """
    file = path(name)
    last = read(file).commands[-1]
    if not last.startswith(f"{command} --"):
        words = last.partition(" --")[0]
        checks.refuse("recipe", f"one for {command}; this one is for {words}", name)
    return file


def read(file: pathlib.Path) -> Recipe:
    """Reads the head of a recipe.

    Raises:
        ValueError: If the head lacks a fact.
    """
    lines = file.read_text("utf-8").splitlines()
    head = "\n".join(line[2:] for line in lines if line.startswith("#"))
    what = " ".join(head.partition("\n\n")[0].split()).partition(". ")[0]
    found = {}
    for fact in FACTS:
        told = re.search(rf"^{fact.capitalize()}: (.+?)$(?=\n\w+:|\n\n)", head, re.M | re.S)
        if told is None:
            raise ValueError(f"{file} must have a line '# {fact.capitalize()}: ...'.")
        found[fact] = " ".join(told[1].split())
    code = "\n".join(line[4:] for line in lines if line.startswith("#   "))
    commands = re.sub(r" \\\n +", " ", code).splitlines()
    return Recipe(file.stem, what.rstrip("."), **found, commands=tuple(commands))


def run(arguments: list[str]) -> int:
    """Lists the recipes, or prints one; returns the exit status."""
    names = Flags("mas recipes", SUMMARY, "[NAME]").parse(arguments, 1)
    if len(names) > 1:
        raise UsageError(f"mas recipes takes one NAME. Received: {' '.join(names)}.")
    if names:
        sys.stdout.write(path(names[0]).read_text("utf-8"))
        return 0
    found = [read(file) for file in sorted(folder().glob("*.flags"))]
    sys.stdout.write(table(found, shutil.get_terminal_size((160, 24)).columns) + "\n")
    return 0


def table(recipes: list[Recipe], width: int) -> str:
    """Formats the recipes as a table: name, purpose, data set, cost and published accuracy.

    Args:
        recipes: the rows.
        width: width of the table in characters, at least 100.
    """
    width = max(width, 100)
    names = max(len(recipe.name) for recipe in recipes)
    room = width - names - 6  # two spaces between columns
    widths = [names, *(room * share // 12 for share in (3, 5, 4))]
    rows = [[["recipe"], *([fact] for fact in FACTS)]]
    for recipe in recipes:
        what = _wrapped(f"  {recipe.what}", names, indent="  ")
        cells = [_wrapped(getattr(recipe, f), w) for f, w in zip(FACTS, widths[1:], strict=True)]
        rows.append([[recipe.name, *what], *cells])
    lines = []
    for row in rows:
        for parts in itertools.zip_longest(*row, fillvalue=""):
            padded = [part.ljust(size) for part, size in zip(parts, widths, strict=True)]
            lines.append("  ".join(padded).rstrip())
    return "\n".join([*lines, "", *_wrapped(NOTES, width)])


def _wrapped(text, width, indent=""):
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)
