"""Value types of settings: validation, and conversion to and from text."""

import dataclasses
import math
import numbers
import operator
import os
import re
from typing import Any


@dataclasses.dataclass(frozen=True)
class Form:
    """A value type.

    Attributes:
        words: description for error messages, such as "a whole number".
        convert: function that normalises a value, or raises TypeError or ValueError.
        parse: function from text to a value that `convert` accepts.
        text: function from a value to text that `parse` can read.
    """

    words: str
    convert: Any
    parse: Any = str
    text: Any = str


def _boolean(value):
    if not isinstance(value, bool):
        raise TypeError
    return value


def _parse_boolean(text):
    return {"true": True, "1": True, "false": False, "0": False}[text.lower()]


def _integer(value):
    if isinstance(value, bool):
        raise TypeError
    return operator.index(value)


def _number(value):
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError
    if not math.isfinite(value):
        raise ValueError
    return float(value)


def _text(value):
    if not isinstance(value, str):
        raise TypeError
    return value


def _size(value):
    if isinstance(value, str):
        value = _parse_size(value)
    width, height = (operator.index(side) for side in value)
    if min(width, height) < 1:
        raise ValueError
    return width, height


def _parse_size(text):
    width, height = text.split("x")
    return int(width), int(height)


def _write_number(value):
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


BOOLEAN = Form("true or false", _boolean, _parse_boolean, lambda value: str(value).lower())
INTEGER = Form("a whole number", _integer, int)
NUMBER = Form("a number", _number, float, _write_number)
TEXT = Form("text", _text)
SIZE = Form(
    "(width, height) in pixels, as in 171x128", _size, str, lambda value: f"{value[0]}x{value[1]}"
)


def several(form):
    """Returns the form of a comma-separated tuple of values; a single value is accepted too."""

    def convert(values):
        if isinstance(values, str | numbers.Number):
            values = (values,)
        return tuple(form.convert(value) for value in values)

    return Form(
        f"one or more, each {form.words}",
        convert,
        lambda text: tuple(form.parse(part) for part in text.split(",") if part),
        lambda values: ",".join(map(form.text, values)),
    )


def is_address(path):
    """Whether a path is in fact an address, such as gs://BUCKET/FILE or https://HOST/FILE.

    Also matches gs:/BUCKET/FILE, which is what pathlib makes of gs://BUCKET/FILE. If a folder
    called `gs:` exists, it is a path.

    >>> is_address("s3://videos/a.avi"), is_address("c:/videos"), is_address("/data/a:/b")
    (True, False, False)
    """
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+:)/", str(path))
    return bool(found and not os.path.lexists(found[1]))
