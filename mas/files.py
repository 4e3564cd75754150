"""Files that are whole or not there: what a killed process leaves never looks finished."""

import csv
import hashlib
import json
import os
import pathlib
from typing import TypeAlias

PathLike: TypeAlias = "str | os.PathLike[str]"


def write(path, content):
    """Writes a file in one step, with the folders above it.

    Args:
        path: the file.
        content: bytes, or text that becomes UTF-8.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path, content, **options):
    """Writes an object as JSON, in one step; `options` are those of `json.dumps`."""
    write(path, json.dumps(content, indent=2, **options) + "\n")


def write_csv(path, header, rows):
    """Writes a csv file in one step. Names of files in it need not be UTF-8."""
    path = pathlib.Path(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    os.replace(temporary, path)


def digest(path):
    """SHA-256 of a file, in hexadecimal; None without a path."""
    return path and hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
