"""Reads flag files, with one flag per line: a user's own, recipes, and flags.txt of a run.

A line may also be empty, a comment (# or //), or name another flag file, which is inserted there.
"""

from __future__ import annotations

import os
import re

from mas import files

MOST = 10**6  # bytes
_ANOTHER = re.compile(r"--?flagfile[= ](.*)")


def read(path: files.PathLike, around: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """Reads the flags of a file, each with the path of the file it comes from.

    Args:
        path: the file.
        around: files that include it, which are not read again.

    Raises:
        OSError: If a file does not exist or cannot be read.
        ValueError: If it is not a text file, or too large.
    """
    path, found = os.path.expanduser(path), []
    for line in map(str.strip, files.read_text(path, most=MOST).split("\n")):
        another = _ANOTHER.fullmatch(line)
        if another:
            inner = os.path.expanduser(another[1].strip())
            found += read(inner, (*around, path)) if inner not in (*around, path) else []
        elif line and not line.startswith(("#", "//")):
            found.append((line, path))
    return found
