"""Seeded mutations of stored data are named in one line or harmless."""

import shutil

import numpy as np
import pytest
from test_damage import everything, files_of, outcome, stored  # noqa: F401, a fixture

NUMBERS = (b"9", b"-1", b"0", b"1e9", b"", b"18446744073709551616", b"840000000000")


def flip(data, rng):
    for place in rng.integers(0, len(data), rng.choice([1, 2, 50])):
        data[place] ^= 1 << int(rng.integers(8))


def cut(data, rng):
    del data[rng.integers(len(data)) :]


def insert(data, rng):
    place = rng.integers(len(data) + 1)
    data[place:place] = rng.bytes(rng.choice([1, 4, 30]))


def delete(data, rng):
    place = rng.integers(len(data))
    del data[place : place + rng.choice([1, 4, 100])]


def clear(data, rng):
    place = rng.integers(len(data))
    count = min(rng.choice([1, 8, 512]), len(data) - place)
    data[place : place + count] = bytes(count)


def repeat(data, rng):
    place = rng.integers(len(data))
    data[place:place] = data[place : place + 50]


def swap(data, rng):
    first, second = sorted(rng.integers(0, len(data), 2))
    count = min(20, second - first, len(data) - second)
    part, other = data[first : first + count], data[second : second + count]
    data[first : first + count], data[second : second + count] = other, part


def number(data, rng):
    places = [place for place, byte in enumerate(data) if chr(byte).isdigit()]
    if places:
        place = rng.choice(places)
        data[place : place + 1] = rng.choice(NUMBERS)


def shuffle(data, rng):
    lines = bytes(data).splitlines(True)
    data[:] = b"".join(lines[n] for n in rng.permutation(len(lines)))


def replace(data, rng):
    data[:] = rng.bytes(rng.choice([0, 1, 100, 5000]))


CHANGES = (flip, cut, insert, delete, clear, repeat, swap, number, shuffle, replace)


@pytest.mark.parametrize("count", [150, pytest.param(5000, marks=pytest.mark.slow)])
def test_mutations(stored, tmp_path, monkeypatch, count):  # noqa: F811
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder, rng = shutil.copytree(stored, tmp_path / "data"), np.random.default_rng(count)
    expected, paths = everything(folder), files_of(folder)
    small = [path for path in paths if path.suffix != ".jpg"]
    found = {"right": 0, "named": 0}
    for _ in range(count):
        path = rng.choice(np.array(small if rng.random() < 0.7 else paths, object))
        before = path.read_bytes()
        data = bytearray(before)
        rng.choice(np.array(CHANGES, object))(data, rng)
        path.write_bytes(data)
        found[outcome(folder, expected)] += 1
        path.write_bytes(before)
    assert found["named"] > 0.8 * count
