"""Settings: each is a field of a frozen dataclass, and all that is said of it is said there.

    @dataclasses.dataclass(frozen=True)
    class Clip(Settings):
        "What a network sees of a video."

        frames: int = option(16, "Length of a clip, in frames.", least=2)

The check of a value, its text in flag files and run.json, its flag and its lines in the docstring
all follow from the field.
"""

import dataclasses
import operator
import os
import pathlib
import textwrap
from typing import Any

from mas.forms import BOOLEAN, INTEGER, NUMBER, SIZE, TEXT, Form, is_address, several

MOST_SHOWN = 400  # characters of a value that is not allowed


@dataclasses.dataclass(frozen=True)
class Option:
    """What is known of a setting beside its name, type and default.

    Attributes:
        help: a sentence with the unit.
        form: a `Form`.
        choices: the values that are allowed, or of which each of several must be one.
        least: the smallest value.
        most: the largest value.
        above: what the value must be greater than.
        below: what the value must be less than.
        optional: whether None is allowed.
        free: whether it may change when a run is resumed: it changes no number.
        advanced: whether the short help leaves it out.
        alias: another name that flag files and commands know it by.
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
        """What a value must be, in words; `typed`: also which kind of number."""
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
        """The value in its form.

        Raises:
            ValueError: it is not allowed; names the setting, what is allowed and what came.
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
    """A field of a `Settings` dataclass.

    Args:
        default: its value where nothing else is said; the form follows from it, unless `form` says
            otherwise.
        help: a sentence with the unit.
        **known: see `Option`.
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
    """The `Option` of a dataclass field; of one that says nothing, what its default tells."""
    if "option" in field.metadata:
        return field.metadata["option"]
    default = None if field.default is dataclasses.MISSING else field.default
    anything = Form("anything", lambda value: value)
    form = _form_of(default) if isinstance(default, bool | int | float | tuple) else anything
    return Option(form=form, optional=default is None)


class Settings:
    """The base of dataclasses whose fields are settings: checks them, and writes them as text."""

    def __init_subclass__(cls, **options):
        """Adds the settings to the docstring."""
        super().__init_subclass__(**options)
        parents = [vars(kind).get("__dataclass_fields__", {}) for kind in reversed(cls.__mro__)]
        fields = {name: field for kind in (*parents, vars(cls)) for name, field in kind.items()}
        found = {name: field for name, field in fields.items() if _has_option(field)}
        if found and cls.__doc__:
            cls.__doc__ = f"{cls.__doc__.rstrip()}\n\n{_attributes(found)}"

    def __post_init__(self):
        """Puts every value into its form.

        Raises:
            ValueError: one is not allowed; names the setting, what is allowed and what came.
        """
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = option_of(field).convert(field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)

    @classmethod
    def options(cls):
        """{name: `Option`} of all settings, in their order."""
        if not dataclasses.is_dataclass(cls):
            return {}
        return {field.name: option_of(field) for field in dataclasses.fields(cls) if field.init}

    @classmethod
    def read(cls, values):
        """Settings from what JSON holds, such as a run.json from elsewhere.

        Args:
            values: {name: value}; what is not there keeps its default.

        Raises:
            ValueError: that is no dict of this class's settings, or a value is not allowed.
        """
        if not isinstance(values, dict):
            refuse(cls.__name__.lower(), "a dict of settings", values)
        for name in values:
            check_choice(f"a setting of {cls.__name__.lower()}", name, list(cls.options()))
        return cls(**values)

    def values(self):
        """{name: value} as JSON can hold it."""
        return {name: getattr(self, name) for name in self.options()}

    def texts(self):
        """{name: text} of all settings that have a value."""
        options, values = self.options(), self.values()
        return {n: options[n].form.text(v) for n, v in values.items() if v is not None}

    @classmethod
    def parsed(cls, texts, **values):
        """Settings from their texts; what is not there keeps its default.

        Args:
            texts: {name: text}; names that are no setting of this class are passed over.
            **values: of settings that need no parsing.

        Raises:
            ValueError: a text is not that of a value.
        """
        for name, known in cls.options().items():
            text = texts.get(name, texts.get(known.alias))
            if text is not None and name not in values:
                values[name] = parse(name, known, text)
        return cls(**values)


def parse(name, known, text):
    """The value of a setting from its text.

    Args:
        name: of the setting.
        known: its `Option`.
        text: as `Form.text` writes it.

    Raises:
        ValueError: names the setting, what is allowed and what came.
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
    """Raises the ValueError that every wrong setting raises."""
    shown = repr(value)
    shown = shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]}..."
    raise ValueError(f"{name} must be {allowed}. Received: {name}={shown}.")


def instance(name, value, kind):
    """A value of a class; the class's defaults for None.

    Raises:
        ValueError: it is of another class.
    """
    if value is None:
        return kind()
    if not isinstance(value, kind):
        room = "mas.tasks" if kind.__module__.startswith("mas.tasks.") else "mas"
        refuse(name, f"a {room}.{kind.__name__}", value)
    return value


def path(name, value, allowed="a path") -> pathlib.Path:
    """A value as a pathlib.Path.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str | os.PathLike):
        refuse(name, allowed, value)
    local(name, value)
    return pathlib.Path(value)


def local(name, value):
    """Raises ValueError for an address, such as gs://BUCKET/FOLDER, in the place of a path."""
    if isinstance(value, str | os.PathLike) and is_address(os.fspath(value)):
        allowed = "a path on this machine, not an address: download or mount what it stands for"
        refuse(name, f"{allowed} (gcsfuse, mount-s3, rclone mount)", str(value))


def check_seed(value):
    """Raises ValueError where a value seeds no random numbers."""
    Option(form=INTEGER, least=0, most=2**32 - 1).convert("seed", value)


def check_choice(name, value, choices):
    """Raises ValueError where a value is not one of the choices."""
    if value not in choices:
        refuse(name, f"one of {list(choices)}", value)


def check_range(name, value, least=None, most=None, above=None, below=None):
    """Raises ValueError where a value is no number in a range; None is no bound."""
    bounds = {"least": least, "most": most, "above": above, "below": below}
    Option(form=NUMBER, **bounds).convert(name, value)
