"""Reads text files from users: any line endings, with or without a byte order mark."""

from __future__ import annotations

import collections
import csv
import json
import os
import re
from typing import Any

from mas import files
from mas.files import PathLike

MOST_DIGITS = 18  # in an integer
LONGEST_SHOWN = 120  # characters of a value in a message
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_JSON = re.compile(r'\s*[\[{]\s*["\[{\]}]')  # no line of a list begins like this


def read(path: PathLike) -> str:
    """Reads a UTF-8 text file; converts line endings to newlines.

    Raises:
        OSError: If the file does not exist or cannot be read.
        ValueError: If the path is not a regular file, or the file is larger than `files.MOST_TEXT`
            or not UTF-8 text; names the file and the line.
    """
    files.check_regular(path)
    size = os.path.getsize(path)
    if size > files.MOST_TEXT:
        raise ValueError(
            f"{path} must be text of at most {files.size_text(files.MOST_TEXT)}. "
            f"Received: {files.size_text(size)}."
        )
    with open(path, "rb") as file:
        return decode(file.read(), path)


def decode(data: bytes, path: PathLike) -> str:
    """Decodes the bytes of a file as in `read`."""
    if data.startswith(_UTF_16):
        raise ValueError(f"{path} must be text in UTF-8. Received: UTF-16.")
    end = data.find(b"\0")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        end = error.start if end < 0 else min(end, error.start)
    if end >= 0:
        number = _with_newlines(data[:end].decode("latin-1")).count("\n") + 1
        raise ValueError(
            f"{path}:{number}: expected text in UTF-8. Received: byte 0x{data[end]:02x}."
        )
    return _with_newlines(text)


def _with_newlines(text):
    return text.replace("\r\n", "\n").replace("\r", "\n")


def lines(text: str) -> list[tuple[int, str]]:
    """Returns (line number from 1, stripped line) pairs, without blank lines."""
    stripped = enumerate(map(str.strip, text.split("\n")), 1)
    return [(number, line) for number, line in stripped if line]


def rows(path: PathLike) -> list[tuple[int, list[str]]]:
    """Reads (line number, fields) pairs of a csv file with one row per line, without blank rows.

    Raises:
        OSError: See `read`.
        ValueError: See `read`; or if a line is not valid csv.
    """
    found: list[tuple[int, list[str]]] = []
    reader = csv.reader(read(path).split("\n"), strict=True)
    while True:
        number = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise ValueError(f"{path}:{number}: expected csv. Received: {error}.") from None
        if row is None:
            return found
        if reader.line_num > number:
            raise ValueError(
                f"{path}:{number}: expected a row on one line. Received: a quotation mark that is "
                f"closed on line {reader.line_num}."
            )
        if any(map(str.strip, row)):
            found.append((number, [field.strip() for field in row]))


def is_json(text: str) -> bool:
    """Whether a text looks like json."""
    return _JSON.match(text) is not None


def from_json(text: str, path: PathLike) -> Any:
    """Parses json.

    Raises:
        ValueError: If the text is not json, or an object repeats a name; names the file and the
            line.
    """

    def whole(digits):
        if len(digits) > MOST_DIGITS:
            raise ValueError(
                f"{path}: expected numbers of {MOST_DIGITS} digits at most. "
                f"Received: {shown(digits)}."
            )
        return int(digits)

    try:
        return json.loads(text, object_pairs_hook=lambda p: _unique(p, path), parse_int=whole)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: expected json. Received: {error.msg}.") from error
    except RecursionError:
        raise ValueError(f"{path}: expected json. Received: values nested too deeply.") from None


def _unique(pairs, path):
    counts = collections.Counter(name for name, _ in pairs)
    twice = next((name for name, count in counts.items() if count > 1), None)
    if twice is not None:
        raise ValueError(
            f"{path}: expected each name of an object once. Received: {shown(twice)} twice."
        )
    return dict(pairs)


def shown(value: Any) -> str:
    """Formats a value for a message: its repr, shortened if it is long.

    >>> shown("a 1"), len(shown("9" * 5000))
    ("'a 1'", 146)
    """
    try:
        text = repr(value)
    except ValueError:  # Python does not format integers of more than 4300 digits
        return f"a number of {value.bit_length()} bits"
    more = len(text) - LONGEST_SHOWN
    return text if more <= 0 else f"{text[:LONGEST_SHOWN]}... ({more} more characters)"


def shown_name(name: str) -> str:
    r"""Formats a file name for a message, with bytes that are not UTF-8 shown as escapes.

    >>> print(shown_name("latin\udce9.mp4"))
    'latin\xe9.mp4'
    """
    return shown(name).replace("\\udc", "\\x")
