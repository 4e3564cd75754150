"""Atomic file writes and checked reads.

Writes are flushed to disk before they replace an existing file, so a killed process never leaves a
partial file under the final name. Reads check that the path is a regular file of plausible size,
and their errors name it.
"""

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import pathlib
import shutil
import stat
from typing import TypeAlias

from mas import checks

PathLike: TypeAlias = "str | os.PathLike[str]"

MOST_TEXT = 256 * 2**20  # bytes in a text file; a list of 2 million videos has half of that
MOST_EXPANSION = 16  # of an archive member; our numbers are stored uncompressed
# Errors for which a write cannot succeed, whatever the program does.
_REFUSED = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
_REFUSED |= {errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.ENAMETOOLONG}
_NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)  # from some network file systems


class WriteError(OSError):
    """Raised when the system refuses a write; has the path, the reason and the space needed."""

    def __init__(self, number, reason, path, need=None):
        """Takes the arguments of OSError, and the space needed in bytes, if known."""
        super().__init__(number, reason, str(path))
        self.need = need

    def __str__(self):
        """Returns the message on one line."""
        need = "" if self.need is None else f" It needs about {size_text(self.need)}."
        return f"{self.filename} cannot be written: {self.strerror}.{need}{_free(self)}"


def _free(error):
    """Describes the free space if the disk is full."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return ""
    try:
        above = pathlib.Path(error.filename).absolute().parents
        free = shutil.disk_usage(next(path for path in above if path.is_dir())).free
    except (OSError, StopIteration):
        return ""
    return f" {size_text(free)} are available: free some space and try again."


def size_text(count):
    """Formats a number of bytes.

    >>> size_text(2_500_000), size_text(0)
    ('2.5 MB', '0 bytes')
    """
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 1000)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} byte{'' if count == 1 else 's'}"


@contextlib.contextmanager
def writing(path, need=None):
    """Turns errors of the system into a `WriteError` for the file being written.

    Raises:
        WriteError: If the system refuses the write, for instance because the disk is full. Other
            errors are raised unchanged.
    """
    checks.local("path", path)
    try:
        yield
    except WriteError:
        raise
    except Exception as error:  # TensorFlow and h5py give the reason only as text
        number = _number(error)
        if number is None:
            raise
        raise WriteError(number, os.strerror(number), path, need) from error


def _number(error):
    """Returns the errno if an error means that the system refused a write, else None."""
    if getattr(error, "errno", None) is not None:
        return error.errno if error.errno in _REFUSED else None
    return next((number for number in _REFUSED if os.strerror(number) in str(error)), None)


def write(path, content):
    """Writes a file atomically, and creates its parent folders.

    Args:
        path: path of the file.
        content: bytes, or text to encode as UTF-8.

    Raises:
        WriteError: If the system refuses the write.
    """
    path = pathlib.Path(path)
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with writing(path, len(data)):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(data)
            replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_json(path, content, **options):
    """Writes an object as JSON atomically; `options` are passed to `json.dumps`."""
    write(path, json.dumps(content, indent=2, **options) + "\n")


def write_csv(path, header, rows):
    """Writes a csv file atomically. File names in it need not be valid UTF-8."""
    path = pathlib.Path(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with writing(path):
        try:
            options = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
            with open(temporary, "w", **options) as file:
                writer = csv.writer(file)
                writer.writerow(header)
                writer.writerows(rows)
            replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def replace(new, old):
    """Flushes a file or folder to disk, then renames it to `old`.

    A file may replace a file. A folder cannot replace an existing folder.

    Raises:
        WriteError: If `old` is a device, FIFO or socket, such as /dev/null.
    """
    kind = special(old) if os.path.exists(old) else None
    if kind not in (None, "a folder"):
        raise WriteError(errno.EEXIST, f"it is {kind}", old)
    sync(new)
    os.replace(new, old)
    sync_folder(pathlib.Path(old).parent)


def sync(path):
    """Flushes a file, or a folder and everything in it, to disk."""
    path = pathlib.Path(path)
    if not path.is_dir():
        return _sync(path)
    for folder, _, names in os.walk(path):
        for name in names:
            _sync(os.path.join(folder, name))
        sync_folder(folder)


def sync_folder(path):
    """Flushes the directory entries of a folder to disk."""
    _sync(path)


def _sync(path):
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(opened)


def special(path):
    """Returns the kind of a path that is not a regular file; opening one may block forever.

    Returns:
        A description such as "a FIFO", or None for a regular file.

    Raises:
        OSError: If the path does not exist.
    """
    checks.local("path", path)
    mode = os.stat(path).st_mode
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    return None if stat.S_ISREG(mode) else kinds.get(stat.S_IFMT(mode), "a device")


def check_regular(path):
    """Checks that a path is a regular file, without opening it.

    Raises:
        FileNotFoundError: If the path does not exist.
        ValueError: If it is a folder, FIFO, socket or device.
    """
    kind = special(path)
    if kind:
        raise ValueError(f"{os.fspath(path)} must be a file. Received: {kind}.")


def check_archive(archive):
    """Rejects a zip archive whose directory declares far more unpacked than packed data.

    Args:
        archive: an open zipfile.ZipFile.

    Raises:
        ValueError: If a member expands too far.
    """
    for member in archive.infolist():
        if member.file_size > max(10**6, MOST_EXPANSION * member.compress_size):
            size, unpacked = map(size_text, (member.compress_size, member.file_size))
            raise ValueError(f"{member.filename} of {size}, which unpacks to {unpacked}")


def read_bytes(path, most=MOST_TEXT):
    """Reads a file of at most `most` bytes.

    Raises:
        OSError: If the file does not exist or cannot be read.
        ValueError: If the path is not a regular file, or the file is too large.
    """
    check_regular(path)
    size = os.stat(path).st_size
    if size > most:
        allowed = f"at most {size_text(most)}"
        raise ValueError(f"{os.fspath(path)} must have {allowed}. Received: {size_text(size)}.")
    return pathlib.Path(path).read_bytes()


def read_text(path, errors="strict", most=MOST_TEXT):
    """Reads a UTF-8 text file.

    Args:
        path: path of the file.
        errors: how to handle decoding errors, as in `open`.
        most: maximum size in bytes.

    Raises:
        OSError: If the file does not exist or cannot be read.
        ValueError: If the path is not a regular file, or the file is too large or not UTF-8.
    """
    try:
        return read_bytes(path, most).decode("utf-8", errors)
    except UnicodeDecodeError as error:
        raise ValueError(f"{os.fspath(path)} must be text in UTF-8. Received: {error}.") from None


def read_json(path, most=MOST_TEXT):
    """Reads a dict from a JSON file of at most `most` bytes.

    Raises:
        OSError: If the file does not exist or cannot be read.
        ValueError: If the file is too large or does not hold a JSON object.
    """
    text = read_text(path, most=most)
    try:
        known = json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also very long integers
        raise ValueError(f"{os.fspath(path)} must be JSON. Received: {error}.") from None
    if not isinstance(known, dict):
        kind = type(known).__name__
        raise ValueError(f"{os.fspath(path)} must contain a JSON object. Received: a {kind}.")
    return known


def read_csv(path, errors="strict"):
    """Reads the rows of a csv file, including its header.

    Raises:
        OSError: If the file does not exist or cannot be read.
        ValueError: If a line is not valid csv.
    """
    reader = csv.reader(io.StringIO(read_text(path, errors), newline=""))
    try:
        return [row for row in reader if row]
    except csv.Error as error:
        place = f"{os.fspath(path)}:{reader.line_num}"
        raise ValueError(f"{place} must be a line of a csv file. Received: {error}.") from None


def digest(path):
    """Returns the SHA-256 of a file in hexadecimal, or None if `path` is None."""
    return path and hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
