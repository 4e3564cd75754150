"""Damages files at random, from a seed, and checks their readers: for tests/test_attacks.py."""

import contextlib
import os
import re
import resource
import shutil
import signal

MORE_MEMORY = 2 * 2**30  # bytes that a reader may take in addition to what the process has
SECONDS = 20  # that a reader may take
NUMBERS = [b"0", b"-1", b"1000000000", b"9223372036854775808", b"9" * 5000, b"1e999", b"NaN"]
PIECES = [b"\r", b"\n", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b",", b"{", b"[", b"\x1b[2J"]


class Hang(BaseException):
    """A reader takes too long. It is no Exception, so that no reader catches it."""


def bits(data, rng):
    """Flips one to fifty bits."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 5, 50]) if data else 0):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def head(data, rng):
    """Flips bits in the first 64 bytes, where most files declare their type and size."""
    return bits(data[:64], rng) + data[64:]


def cut(data, rng):
    """Truncates the file."""
    return data[
        : rng.choice([0, 1, len(data) // 2, max(len(data) - 1, 0), rng.randrange(len(data) + 1)])
    ]


def gap(data, rng):
    """Removes a block or fills it with zeros, like a bad sector or a resumed download."""
    start, length = rng.randrange(len(data) + 1), rng.choice([1, 16, 512])
    filling = rng.choice([b"", bytes(len(data[start : start + length]))])
    return data[:start] + filling + data[start + length :]


def swap(data, rng):
    """Swaps two blocks."""
    length = max(1, min(512, len(data) // 4))
    one, two = sorted(rng.sample(range(0, max(len(data), 2), 1), 2))
    two = max(two, one + length)
    first, second = data[one : one + length], data[two : two + length]
    return data[:one] + second + data[one + length : two] + first + data[two + length :]


def lines(data, rng):
    """Repeats, removes or moves a line."""
    rows = data.split(b"\n")
    number, other = rng.randrange(len(rows)), rng.randrange(len(rows))
    row = rows[number] if rng.random() < 0.5 else rows.pop(number)
    if rng.random() < 0.7:
        rows.insert(other, row)
    return b"\n".join(rows)


def numbers(data, rng):
    """Replaces a number by an impossible one."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", data))
    if not found:
        return data + rng.choice(NUMBERS)
    chosen = rng.choice(found)
    return data[: chosen.start()] + rng.choice(NUMBERS) + data[chosen.end() :]


def pieces(data, rng):
    """Inserts line ends, marks or bytes of other encodings."""
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.choice(PIECES) * rng.choice([1, 1, 3]) + data[place:]


def encoded(data, rng):
    """Re-encodes the text."""
    text = data.decode("latin-1")
    return rng.choice(
        [text.encode("utf-16"), text.encode("utf-8") + b"\x1a", data.replace(b"\n", b"\r")]
    )


def longer(data, rng):
    """Appends bytes."""
    return data + rng.choice([b"more", data, bytes(3000), rng.randbytes(100)])


BYTES = [bits, bits, head, cut, gap, swap, lines, numbers, pieces, encoded, longer]


def folder(path):
    """Replaces the file by a folder."""
    path.mkdir()


def fifo(path):
    """Replaces the file by a FIFO, which may block whoever opens it."""
    os.mkfifo(path)


def loop(path):
    """Replaces the file by a symbolic link to itself."""
    path.symlink_to(path.name)


def device(path):
    """Replaces the file by a link to an endless device."""
    path.symlink_to("/dev/zero")


def gone(path):
    """Deletes the file."""


PLACES = [folder, fifo, loop, device, gone]


def damage(path, data, rng, others=()):
    """Damages or replaces a file; returns the name of the damage."""
    remove(path)
    kind = rng.randrange(20)
    if kind == 0 and others:
        path.write_bytes(rng.choice(others))
        return "another file"
    if kind < 3:
        place = rng.choice(PLACES)
        place(path)
        return place.__name__
    way = rng.choice(BYTES)
    path.write_bytes(way(data, rng))
    return way.__name__


def remove(path):
    """Removes a file, folder or link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def bounded(path=None):
    """Limits memory and time; releases `path` if it is a FIFO."""

    def late(number, frame):
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
        raise Hang(f"{path} after {SECONDS} s")

    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    memory = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + MORE_MEMORY, memory[1]))
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, memory)
