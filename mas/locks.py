"""Locks of folders: one process at a time works in a run folder, or prepares a data set."""

import contextlib
import errno
import fcntl
import os
import pathlib
import socket
from typing import IO

from mas import files

NAME = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of some network file systems


def lock(folder, what) -> IO[str]:
    """A folder's lock: held by one process at a time, and gone with it, however it ends.

    Args:
        folder: which is there.
        what: is at work there, for the error of the next.

    Returns:
        The open file; the lock is held until it is closed.

    Raises:
        RuntimeError: it is held.
        WriteError: the folder cannot be written to.
    """
    path = pathlib.Path(folder, NAME)
    with files.writing(path):
        file = open(path, "a+", encoding="utf-8", errors="replace")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        who = file.read(200).strip()
        file.close()
        whose = f": {who}" if who.startswith("process ") else ""
        raise RuntimeError(f"Another {what} is at work in {folder}{whose}.") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            file.close()
            raise
    with contextlib.suppress(OSError):  # a full disk has no room for the name
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    return file


def check(folder, what) -> None:
    """Raises what `lock` does where another process holds a folder's lock, and makes none."""
    if pathlib.Path(folder, NAME).exists():
        lock(folder, what).close()
