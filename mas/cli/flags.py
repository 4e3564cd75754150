"""The flags of a command: absl flags, made from the fields of settings.

    flags = Flags("mas train", "Pre-trains a network on unlabelled video.")
    flags.add(Plan, "plan", epochs=80)           # a flag per field
    flags.option("data", None, "Prepared data set, or folder of videos.", group="data")
    flags.parse(arguments)
    flags.make(Plan), flags.data

Flag files are read first, wherever they appear: flags typed by the user override them.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
import shutil
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags as absl

from mas import checks, forms
from mas.checks import Option, Settings
from mas.cli import flag_files

FILE, RECIPE = "flagfile", "recipe"


class UsageError(Exception):
    """The command line is invalid; the message explains why."""


class HelpWanted(Exception):
    """The user asked for help; the message is the help text."""


@dataclasses.dataclass(frozen=True)
class _Flag:
    """A flag, for the help text."""

    name: str
    known: Option
    default: Any
    group: str


class _Parser(absl.ArgumentParser):
    """Parses and checks the text of a flag as its setting does."""

    def __init__(self, name, known):
        self.name, self.known = name, known
        self.syntactic_help = known.allowed()

    def parse(self, argument):
        """Returns the value of a text; a value that is not text is only checked."""
        if isinstance(argument, str):
            argument = checks.parse(self.name, self.known, argument)
        return self.known.convert(self.name, argument)


class Flags:
    """The flags of one command.

    Args:
        command: the command as typed, for the help.
        summary: what it does, in one or two sentences.
        usage: arguments of the command, such as "KIND --model=RUN ...".
        recipes: function from a recipe's name and the command to its file; None for a command
            without recipes.
    """

    def __init__(
        self,
        command: str,
        summary: str,
        usage: str = "--FLAG=VALUE ...",
        recipes: Callable[[str, str], pathlib.Path] | None = None,
    ):
        """See the class."""
        self.command, self.summary, self.usage = command, summary, usage
        self._values = absl.FlagValues()
        self._flags: dict[str, _Flag] = {}
        self._fields: set[str] = set()  # names of flags made by `add`
        self._elsewhere: dict[str, list[str]] = {}
        self._lines: dict[str, str] = {}  # lines of flag files, and their files
        self._recipes = recipes
        self.option("help", False, "Show the most common flags.", group="other")
        self.option("helpfull", False, "Show all flags.", group="other")
        self.option(FILE, None, "File of flags, one per line.", group="other")
        if recipes:
            self.option(RECIPE, None, "Use the flags of a recipe: see mas recipes.", group="other")

    def add(self, kind: type[Settings], group: str, skip: Sequence[str] = (), **defaults) -> None:
        """Defines a flag for each field of a settings dataclass.

        Args:
            kind: the dataclass.
            group: heading in the help.
            skip: fields without a flag.
            **defaults: defaults that differ from those of the dataclass.
        """
        for field in dataclasses.fields(kind):  # type: ignore[arg-type]
            if not field.init or field.name in skip:
                continue
            default = defaults.get(field.name, field.default)
            default = None if default is dataclasses.MISSING else default
            self._define(field.name, checks.option_of(field), default, group)
            self._fields.add(field.name)

    def option(self, name: str, default: Any, help: str, *, group: str, **known: Any) -> None:
        """Defines a single flag: see `mas.checks.option` for the other arguments."""
        field = checks.option(default, help, **known)
        self._define(name, field.metadata["option"], default, group)

    def elsewhere(self, names: Sequence[str], where: str) -> None:
        """Registers flags of other commands or kinds; errors about them mention `where`."""
        for name in names:
            self._elsewhere.setdefault(name, []).append(where)

    def _define(self, name, known, default, group):
        if name in self._values or hasattr(type(self), name):
            raise UsageError(
                f"--{name} is taken by {self.command}: a task's settings must "
                "have names of their own."
            )
        self._flags[name] = _Flag(name, known, default, group)
        if known.form is forms.BOOLEAN:
            absl.DEFINE_boolean(name, default, known.help, flag_values=self._values)
        else:
            parser = _Parser(name, dataclasses.replace(known, optional=False))
            absl.DEFINE(parser, name, default, known.help, flag_values=self._values)
        if known.alias:
            absl.DEFINE_alias(known.alias, name, flag_values=self._values)

    def parse(self, arguments: Sequence[str], others: int = 0) -> list[str]:
        """Parses a command line; returns the words that are not flags.

        Args:
            arguments: the command line.
            others: how many words are allowed; 0 raises an error for any.

        Raises:
            HelpWanted: If --help or --helpfull was given.
            UsageError: If a flag is unknown, a value is not allowed, or a file cannot be read.
        """
        try:
            _, *rest = self._values([self.command, *self.ordered(arguments)])
        except absl.UnrecognizedFlagError as error:
            hint = str(error).rstrip(".") + ("" if str(error).endswith("?") else ".")
            for name in (error.flagname, error.flagname.removeprefix("no")):
                if name in self._elsewhere:
                    hint = f"--{name} belongs to {' or '.join(self._elsewhere[name])}."
            place = self._place(error.flagname)
            raise UsageError(f"{place}{hint} See {self.command} --help.") from None
        except absl.IllegalFlagValueError as error:
            flag, _, words = str(error).removeprefix("flag ").partition(": ")  # --name=text: WHY
            name, _, text = flag.removeprefix("--").partition("=")
            if words.startswith("("):  # absl's own words on a boolean
                words = f"--{name} must be true or false. Received: {flag}."
            raise UsageError(f"{self._place(name, text)}{words}") from None
        except absl.Error as error:  # a flag without a value
            flags = re.findall(r"--(\w+)", str(error)) or [""]
            raise UsageError(f"{self._place(flags[0])}{error}.") from None
        if self.help or self.helpfull:
            raise HelpWanted(self.help_text(self.helpfull))
        named = [(n, self._values[n].value) for n in self._flags if n != "address"]
        for name, value in [*named, *(("path", word) for word in rest)]:
            checks.local(name, value)
        if not others and rest:
            where = "".join({f"{self._lines[word]}: " for word in rest if word in self._lines})
            words = " ".join(rest)[:200]
            raise UsageError(f"{where}{self.command} takes flags only. Received: {words}.")
        return rest

    def ordered(self, arguments: Sequence[str]) -> list[str]:
        """Replaces flag files and recipes in a command line by their flags, before all others."""
        from_files: list[str] = []
        typed: list[str] = []
        left = list(arguments)
        while left:
            argument = "--help" if left[0] == "-h" else left[0]
            del left[0]
            name, mark, text = argument.lstrip("-").partition("=")
            reads = name == FILE or (name == RECIPE and self._recipes is not None)
            if not (argument.startswith("-") and reads):
                typed.append(argument)
                continue
            text = text if mark else (left.pop(0) if left else "")
            path = self._recipe(text) if name == RECIPE else checks.path(FILE, text)
            try:
                inside = flag_files.read(path)
            except (OSError, ValueError) as error:
                reason = str(getattr(error, "strerror", None) or error).rstrip(".")
                raise UsageError(f"--{name}={text} cannot be read: {reason}.") from None
            self._lines.update(inside)
            from_files += self.ordered([line for line, _ in inside])  # a file may name a recipe
        return [*from_files, *typed]

    def _place(self, name, text=None):
        """FILE and a colon for a wrong flag from a file; "" for one that was typed."""
        parts = [(line.lstrip("-").partition("="), path) for line, path in self._lines.items()]
        found = [path for (flag, _, value), path in parts if flag == name and text in (None, value)]
        return f"{found[-1]}: " if found else ""

    def _recipe(self, name):
        assert self._recipes
        try:
            return self._recipes(name, self.command)
        except ValueError as error:
            raise UsageError(str(error)) from None

    def last(self, arguments: Sequence[str], name: str, default: str) -> str:
        """Value of one flag in a command line, before all flags are defined."""
        found = default
        words = self.ordered(arguments)
        for place, word in enumerate(words):
            given, mark, text = word.lstrip("-").partition("=")
            if word.startswith("-") and given == name:
                found = text if mark else (words[place + 1 : place + 2] or [default])[0]
        return found

    @staticmethod
    def typed(arguments: Sequence[str], name: str) -> list[str]:
        """All values of one flag in a command line."""
        found, words = [], list(arguments)
        for place, word in enumerate(words):
            given, mark, text = word.lstrip("-").partition("=")
            if word.startswith("-") and given == name:
                found += [text] if mark else words[place + 1 : place + 2]
        return found

    def __getattr__(self, name: str) -> Any:
        """Value of a flag."""
        if name.startswith("_") or name not in self._flags:
            raise AttributeError(name)
        return self._values[name].value

    @property
    def defined(self) -> list[str]:
        """Names of all flags."""
        return list(self._flags)

    def given(self, name: str) -> bool:
        """Whether a flag was given, on the command line or in a file."""
        return bool(self._values[name].present)

    def values(self, kind: type[Settings], only_given: bool = False) -> dict[str, Any]:
        """{name: value} of the flags that `add` made of a dataclass."""
        names = [name for name in kind.options() if name in self._fields]
        return {n: self._values[n].value for n in names if not only_given or self.given(n)}

    def make(self, kind: Any, **extra: Any) -> Any:
        """Settings made from the flags; `extra` overrides them."""
        return kind(**{**self.values(kind), **extra})

    def require(self, *names: str) -> None:
        """Checks that flags were given.

        Raises:
            UsageError: If one is missing.
        """
        missing = [f"--{name}" for name in names if not self.given(name)]
        if missing:
            raise UsageError(f"{self.command} needs {' and '.join(missing)}: see --help.")

    def help_text(self, full: bool = False) -> str:
        """Help text: the common flags by group, or all."""
        width = min(110, max(60, shutil.get_terminal_size((100, 24)).columns))
        text = [f"{self.command} {self.usage}", "", *textwrap.wrap(self.summary, width), ""]
        groups: dict[str, list[_Flag]] = {}
        for flag in self._flags.values():
            if full or not (flag.known.advanced or flag.group == "other"):
                groups.setdefault(flag.group, []).append(flag)
        for group, flags in groups.items():
            text += [f"{group}:"]
            for flag in flags:
                text += _help_lines(flag, width, full)
        hint = "--noFLAG turns a boolean flag off" if full else "--helpfull shows all flags"
        more = f" --{RECIPE}=NAME uses a recipe (mas recipes)." if self._recipes else ""
        hint += f". --{FILE}=FILE reads flags from a file.{more}"
        return "\n".join([*text, "", *textwrap.wrap(hint, width)])


def _help_lines(flag, width, full):
    """Lines for a flag: its help (the first clause in the short form), choices and default."""
    known, default = flag.known, flag.default
    shown = known.help if full else re.split(r"[.:;] ", known.help)[0].rstrip(".") + "."
    if known.choices is not None and not all(str(choice) in shown for choice in known.choices):
        shown = f"{shown.rstrip('.')}: {', '.join(map(str, known.choices))}."
    if default is not None and default != []:
        shown = f"{shown} ({known.form.text(default)})"
    indent, name = " " * 20, f"  --{flag.name}"
    lines = textwrap.wrap(shown, width, initial_indent=indent, subsequent_indent=indent)
    if len(name) < len(indent):
        return [name.ljust(len(indent)) + lines[0][len(indent) :], *lines[1:]]
    return [name, *lines]
