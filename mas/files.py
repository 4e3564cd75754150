"""Files that are whole or not there: what a killed process leaves never looks finished.

What is written is on the disk, not only in the system's memory, before it takes the place of
something older. What is read may come from anywhere: it is a file, of a size that can be, and its
errors name it.
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

MOST_TEXT = 256 * 2**20  # bytes of a file of text: a list of 2 million videos has half of that
MOST_EXPANSION = 16  # of a member of an archive: numbers hardly shrink, and are stored as they are
# What keeps a file from being written, whatever the program does.
_REFUSED = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
_REFUSED |= {errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.ENAMETOOLONG}
_NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)  # of some network file systems


class WriteError(OSError):
    """A file that the system does not let a program write: its path, why, and what it needs."""

    def __init__(self, number, reason, path, need=None):
        """As OSError; `need` is in bytes, where known."""
        super().__init__(number, reason, str(path))
        self.need = need

    def __str__(self):
        """One line."""
        need = "" if self.need is None else f" It needs about {size_text(self.need)}."
        return f"{self.filename} cannot be written: {self.strerror}.{need}{_free(self)}"


def _free(error):
    """What a full disk has left, in words."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return ""
    try:
        above = pathlib.Path(error.filename).absolute().parents
        free = shutil.disk_usage(next(path for path in above if path.is_dir())).free
    except (OSError, StopIteration):
        return ""
    return f" {size_text(free)} are free: make room, and call again."


def size_text(count):
    """Bytes in words.

    >>> size_text(2_500_000), size_text(0)
    ('2.5 MB', '0 bytes')
    """
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 1000)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


@contextlib.contextmanager
def writing(path, need=None):
    """Gives the system's errors the path that is being written, and what it needs.

    Raises:
        WriteError: the disk is full, the folder cannot be written to, and so on. Other errors pass.
    """
    checks.local("path", path)
    try:
        yield
    except WriteError:
        raise
    except Exception as error:  # those of TensorFlow and h5py say it in words alone
        number = _number(error)
        if number is None:
            raise
        raise WriteError(number, os.strerror(number), path, need) from error


def _number(error):
    """The system's number of an error that keeps a file from being written; else None."""
    if getattr(error, "errno", None) is not None:
        return error.errno if error.errno in _REFUSED else None
    return next((number for number in _REFUSED if os.strerror(number) in str(error)), None)


def write(path, content):
    """Writes a file in one step, with the folders above it.

    Args:
        path: the file.
        content: bytes, or text that becomes UTF-8.

    Raises:
        WriteError: the system does not let it.
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
    """Writes an object as JSON, in one step; `options` are those of `json.dumps`."""
    write(path, json.dumps(content, indent=2, **options) + "\n")


def write_csv(path, header, rows):
    """Writes a csv file in one step. Names of files in it need not be UTF-8."""
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
    """Puts a file, or a folder with all in it, in the place of another, once it is on the disk.

    A folder must not be there already.

    Raises:
        WriteError: a device, FIFO or socket has the name, such as /dev/null.
    """
    kind = special(old) if os.path.exists(old) else None
    if kind not in (None, "a folder"):
        raise WriteError(errno.EEXIST, f"it is {kind}", old)
    sync(new)
    os.replace(new, old)
    sync_folder(pathlib.Path(old).parent)


def sync(path):
    """Waits until a file, or a folder with all in it, is on the disk."""
    path = pathlib.Path(path)
    if not path.is_dir():
        return _sync(path)
    for folder, _, names in os.walk(path):
        for name in names:
            _sync(os.path.join(folder, name))
        sync_folder(folder)


def sync_folder(path):
    """Waits until the names in a folder are on the disk."""
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
    """What a path leads to that is no file, in words: to open it may wait for ever.

    Returns:
        Such as "a FIFO"; None for a file.

    Raises:
        OSError: there is nothing.
    """
    checks.local("path", path)
    mode = os.stat(path).st_mode
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    return None if stat.S_ISREG(mode) else kinds.get(stat.S_IFMT(mode), "a device")


def check_regular(path):
    """Refuses what is there and no file, without opening it.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: it is a folder, FIFO, socket or device.
    """
    kind = special(path)
    if kind:
        raise ValueError(f"{os.fspath(path)} must be a file. Received: {kind}.")


def check_archive(archive):
    """Refuses a zip archive that unpacks to far more than it holds, by what it says of itself.

    Args:
        archive: an open zipfile.ZipFile.

    Raises:
        ValueError: names the member.
    """
    for member in archive.infolist():
        if member.file_size > max(10**6, MOST_EXPANSION * member.compress_size):
            size, unpacked = map(size_text, (member.compress_size, member.file_size))
            raise ValueError(f"{member.filename} of {size}, which unpacks to {unpacked}")


def read_bytes(path, most=MOST_TEXT):
    """The bytes of a file of a size that can be.

    Raises:
        OSError: it is not there, or cannot be read.
        ValueError: it is no file, or larger; names it.
    """
    check_regular(path)
    size = os.stat(path).st_size
    if size > most:
        allowed = f"at most {size_text(most)}"
        raise ValueError(f"{os.fspath(path)} must have {allowed}. Received: {size_text(size)}.")
    return pathlib.Path(path).read_bytes()


def read_text(path, errors="strict", most=MOST_TEXT):
    """The text of a UTF-8 file.

    Args:
        path: the file.
        errors: as `open` takes it.
        most: size in bytes.

    Raises:
        OSError: it is not there, or cannot be read.
        ValueError: it is no file, larger, or no UTF-8; names it.
    """
    try:
        return read_bytes(path, most).decode("utf-8", errors)
    except UnicodeDecodeError as error:
        raise ValueError(f"{os.fspath(path)} must be text in UTF-8. Received: {error}.") from None


def read_json(path, most=MOST_TEXT):
    """The dict that a JSON file of at most so many bytes holds.

    Raises:
        OSError: it is not there, or cannot be read.
        ValueError: it holds something else; names it.
    """
    text = read_text(path, most=most)
    try:
        known = json.loads(text)
    except (ValueError, RecursionError) as error:  # also for a number of thousands of digits
        raise ValueError(f"{os.fspath(path)} must be JSON. Received: {error}.") from None
    if not isinstance(known, dict):
        kind = type(known).__name__
        raise ValueError(f"{os.fspath(path)} must hold a JSON object. Received: a {kind}.")
    return known


def read_csv(path, errors="strict"):
    """The rows of a csv file, its header among them.

    Raises:
        OSError: it is not there, or cannot be read.
        ValueError: it is no csv file; names it and the line.
    """
    reader = csv.reader(io.StringIO(read_text(path, errors), newline=""))
    try:
        return [row for row in reader if row]
    except csv.Error as error:
        place = f"{os.fspath(path)}:{reader.line_num}"
        raise ValueError(f"{place} must be a line of a csv file. Received: {error}.") from None


def digest(path):
    """SHA-256 of a file, in hexadecimal; None without a path."""
    return path and hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
