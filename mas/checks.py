"""Settings: frozen dataclasses whose fields define their own checks, flags and documentation.

    @dataclasses.dataclass(frozen=True)
    class Clip(Settings):
        "What a network sees of a video."

        frames: int = option(16, "Clip length in frames.", least=2)

The field determines how a value is checked, how it is written in flag files and run.json, its
flag, and its entry in the docstring.
"""

import dataclasses
import operator
import os
import pathlib
import textwrap
from typing import Any

from mas.forms import BOOLEAN, INTEGER, NUMBER, SIZE, TEXT, Form, is_address, several

MOST_SHOWN = 400  # characters of an invalid value in an error message


@dataclasses.dataclass(frozen=True)
class Option:
    """Metadata of a setting, in addition to its name, type and default.

    Attributes:
        help: help text, with the unit.
        form: value type, a `Form`.
        choices: allowed values; for a tuple, allowed elements.
        least: inclusive lower bound.
        most: inclusive upper bound.
        above: exclusive lower bound.
        below: exclusive upper bound.
        optional: whether None is allowed.
        free: whether it may change when a run is resumed, because it does not affect the results.
        advanced: whether it is hidden from the short help.
        alias: alternative name in flag files and commands.
    """

    help: str = ""
    form: Form = TEXT
    choices: Any = None
    least: Any = None
    most: Any = None
    above: Any = None
    below: Any = None
    optional: bool = False
    free: bool = False
    advanced: bool = False
    alias: str | None = None

    def allowed(self, typed=False):
        """Describes the allowed values; `typed` also names the kind of number."""
        if self.choices is not None:
            one = "one of" if not self.form.words.startswith("one or more") else "one or more of"
            words = f"{one} {list(self.choices)}"
        else:
            words = " ".join(filter(None, [self._kind(typed), self._range()]))
        return f"{words}, or None" if self.optional else words

    def _kind(self, typed):
        clear = self._range() and self.form in (INTEGER, NUMBER) and not typed
        return "" if clear else self.form.words

    def _range(self):
        low = "" if self.least is None else f"at least {self.least}"
        low = low if self.above is None else f"above {self.above}"
        high = "" if self.most is None else f"at most {self.most}"
        high = high if self.below is None else f"below {self.below}"
        return " and ".join(filter(None, [low, high]))

    def convert(self, name, value):
        """Checks and normalises a value.

        Raises:
            ValueError: If the value is not allowed.
        """
        if value is None and self.optional:
            return None
        try:
            found = self.form.convert(value)
        except (TypeError, ValueError, KeyError, OverflowError):
            refuse(name, self.allowed(typed=True), value)
        each = found if isinstance(found, tuple) and self.form is not SIZE else (found,)
        if not all(self._allows(part) for part in each):
            refuse(name, self.allowed(), value)
        return found

    def _allows(self, value):
        if self.choices is not None:
            return value in self.choices
        bounds = (
            (self.least, operator.ge),
            (self.most, operator.le),
            (self.above, operator.gt),
            (self.below, operator.lt),
        )
        return all(bound is None or inside(value, bound) for bound, inside in bounds)


def option(default, help, **known):
    """Defines a field of a `Settings` dataclass.

    Args:
        default: default value. It determines the form unless `form` is given.
        help: help text, with the unit.
        **known: other attributes of `Option`.
    """
    known.setdefault("form", _form_of(default))
    known.setdefault("optional", default is None)
    return dataclasses.field(default=default, metadata={"option": Option(help, **known)})


def _form_of(default):
    for kind, form in ((bool, BOOLEAN), (int, INTEGER), (float, NUMBER)):
        if isinstance(default, kind):
            return form
    if isinstance(default, tuple) and default:
        return several(_form_of(default[0]))
    return TEXT


def option_of(field):
    """Returns the `Option` of a dataclass field, inferred from the default if it has none."""
    if "option" in field.metadata:
        return field.metadata["option"]
    default = None if field.default is dataclasses.MISSING else field.default
    anything = Form("anything", lambda value: value)
    form = _form_of(default) if isinstance(default, bool | int | float | tuple) else anything
    return Option(form=form, optional=default is None)


class Settings:
    """Base class of settings dataclasses; checks the fields and converts them to text."""

    def __init_subclass__(cls, **options):
        """Adds the fields to the docstring."""
        super().__init_subclass__(**options)
        parents = [vars(kind).get("__dataclass_fields__", {}) for kind in reversed(cls.__mro__)]
        fields = {name: field for kind in (*parents, vars(cls)) for name, field in kind.items()}
        found = {name: field for name, field in fields.items() if _has_option(field)}
        if found and cls.__doc__:
            cls.__doc__ = f"{cls.__doc__.rstrip()}\n\n{_attributes(found)}"

    def __post_init__(self):
        """Checks and normalises all fields.

        Raises:
            ValueError: If a value is not allowed.
        """
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = option_of(field).convert(field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)

    @classmethod
    def options(cls):
        """Returns {name: `Option`} for all settings, in order."""
        if not dataclasses.is_dataclass(cls):
            return {}
        return {field.name: option_of(field) for field in dataclasses.fields(cls) if field.init}

    @classmethod
    def read(cls, values):
        """Creates settings from decoded JSON, such as part of a run.json.

        Args:
            values: {name: value}; missing names keep their defaults.

        Raises:
            ValueError: If `values` is not a dict, or a name is unknown, or a value is not allowed.
        """
        if not isinstance(values, dict):
            refuse(cls.__name__.lower(), "a dict of settings", values)
        for name in values:
            check_choice(f"a setting of {cls.__name__.lower()}", name, list(cls.options()))
        return cls(**values)

    def values(self):
        """Returns {name: value}, serialisable as JSON."""
        return {name: getattr(self, name) for name in self.options()}

    def texts(self):
        """Returns {name: text} for all settings that are not None."""
        options, values = self.options(), self.values()
        return {n: options[n].form.text(v) for n, v in values.items() if v is not None}

    @classmethod
    def parsed(cls, texts, **values):
        """Creates settings from text.

        Args:
            texts: {name: text}. Missing names keep their defaults; unknown names are ignored.
            **values: settings that need no parsing.

        Raises:
            ValueError: If a text cannot be parsed, or a value is not allowed.
        """
        for name, known in cls.options().items():
            text = texts.get(name, texts.get(known.alias))
            if text is not None and name not in values:
                values[name] = parse(name, known, text)
        return cls(**values)


def parse(name, known, text):
    """Parses the value of a setting.

    Args:
        name: name of the setting.
        known: its `Option`.
        text: text, in the format of `Form.text`.

    Raises:
        ValueError: If the text cannot be parsed.
    """
    if known.optional and text.lower() in ("", "none"):
        return None
    try:
        return known.form.parse(text)
    except (KeyError, TypeError, ValueError):
        refuse(name, known.allowed(typed=True), text)


def _has_option(field):
    return isinstance(field, dataclasses.Field) and "option" in field.metadata


def _attributes(found):
    lines = ["    Attributes:"]
    for name, field in found.items():
        known, default = field.metadata["option"], field.default
        shown = known.form.text(default) if default is not None else "None"
        text = f"{name}: {known.help} Must be {known.allowed()} (default: {shown})."
        indents = {"initial_indent": " " * 8, "subsequent_indent": " " * 12}
        lines += textwrap.wrap(text, 96, break_on_hyphens=False, **indents)
    return "\n".join(lines)


def refuse(name, allowed, value):
    """Raises a ValueError in the format common to all invalid arguments."""
    shown = repr(value)
    shown = shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]}..."
    raise ValueError(f"{name} must be {allowed}. Received: {name}={shown}.")


def instance(name, value, kind):
    """Returns `value`, or an instance of `kind` with its defaults if `value` is None.

    Raises:
        ValueError: If `value` is not an instance of `kind`.
    """
    if value is None:
        return kind()
    if not isinstance(value, kind):
        room = "mas.tasks" if kind.__module__.startswith("mas.tasks.") else "mas"
        refuse(name, f"a {room}.{kind.__name__}", value)
    return value


def path(name, value, allowed="a path") -> pathlib.Path:
    """Converts a value to a pathlib.Path.

    Raises:
        ValueError: If the value is not a path on this machine.
    """
    if not isinstance(value, str | os.PathLike):
        refuse(name, allowed, value)
    local(name, value)
    return pathlib.Path(value)


def local(name, value):
    """Raises ValueError if a path is an address, such as gs://BUCKET/FOLDER."""
    if isinstance(value, str | os.PathLike) and is_address(os.fspath(value)):
        allowed = "a path on this machine, not an address: download or mount the files"
        refuse(name, f"{allowed} (gcsfuse, mount-s3, rclone mount)", str(value))


def check_seed(value):
    """Raises ValueError if a value is not a valid random seed."""
    Option(form=INTEGER, least=0, most=2**32 - 1).convert("seed", value)


def check_choice(name, value, choices):
    """Raises ValueError if a value is not one of the choices."""
    if value not in choices:
        refuse(name, f"one of {list(choices)}", value)


def check_range(name, value, least=None, most=None, above=None, below=None):
    """Raises ValueError if a value is not a number within the bounds that are given."""
    bounds = {"least": least, "most": most, "above": above, "below": below}
    Option(form=NUMBER, **bounds).convert(name, value)
