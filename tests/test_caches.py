"""Cached machine code: damaged files are rebuilt."""

import pathlib

import numpy as np
import pytest

from mas.flow import compiled as flow
from mas.statistics import compiled as statistics


def doubled(values):
    total = 0.0
    for value in values:
        total += 2 * value
    return total


def made(kind):
    """Compiles a function as a new process would."""
    if kind == "statistics":
        return statistics.loop(doubled)
    return flow.entry(doubled, "float64(float64[::1])")


@pytest.mark.parametrize("kind", ["statistics", "flow"])
@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("content", [b"", b"junk" * 50, None])
def test_damaged_machine_code_cache_is_rebuilt(tmp_path, monkeypatch, kind, suffix, content):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    values = np.arange(4.0)
    assert made(kind)(values) == 12
    (path,) = pathlib.Path(tmp_path).rglob(f"*.{suffix}")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert made(kind)(values) == 12
    again = made(kind)
    assert again(values) == 12 and sum(again.stats.cache_hits.values()) == 1
