"""Files of flags, one a line: written by a user, recipes, and flags.txt of a run.

A line may be empty, a comment (# or //), or name another file, whose flags then stand in its place.
"""

from __future__ import annotations

import os
import re

from mas import files

MOST = 10**6  # bytes
_ANOTHER = re.compile(r"--?flagfile[= ](.*)")


def read(path: files.PathLike, around: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """The flags of a file, each with the file that it stands in.

    Args:
        path: the file.
        around: the files that name it, of which none is read again.

    Raises:
        OSError: a file is not there, or cannot be read.
        ValueError: it is no text, or too large.
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
