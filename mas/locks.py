"""Folder locks: one process at a time writes a run folder or prepares a data set."""

import contextlib
import errno
import fcntl
import os
import pathlib
import socket
from typing import IO

from mas import files

NAME = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # from some network file systems


def lock(folder, what) -> IO[str]:
    """Locks a folder. The lock is released when the process ends, even if it is killed.

    Args:
        folder: an existing folder.
        what: name of the work being done, for the error that another process gets.

    Returns:
        The open lock file; closing it releases the lock.

    Raises:
        RuntimeError: If another process holds the lock.
        WriteError: If the folder cannot be written to.
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
        raise RuntimeError(f"Another {what} is running in {folder}{whose}.") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            file.close()
            raise
    with contextlib.suppress(OSError):  # a full disk has no space for the process ID
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    return file


def check(folder, what) -> None:
    """Raises RuntimeError if another process holds a folder's lock; does not create a lock file."""
    if pathlib.Path(folder, NAME).exists():
        lock(folder, what).close()
