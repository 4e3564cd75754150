"""Measures time and memory of clusters and near-duplicates, by the number of clips.

    python benchmarks/sort.py [--clips=20000,100000] [--width=64]

Features are generated: vectors of length 1 in float16, in 2000 groups, stored in a file as in an
index. Every tenth vector is a copy of another one; exactly these copies must be found. Memory is
the growth of the largest resident memory, which includes the pages of the file, so its limit is the
size of the file plus 300 MiB.

Exit status: 1 if a copy is missed or the limit is exceeded, as the last line says; else 0. Other
processes slow it down.
"""

import os
import resource
import tempfile
import time

import numpy as np
from absl import app, flags

from mas.index import clusters, duplicates
from mas.index.storage import CLIP

MOST = 300  # MiB in addition to the vectors
GROUPS, NOISE = 2000, 0.7  # of the noise's length and a centre's
BLOCK = 4096  # clips that are made at a time

_CLIPS = flags.DEFINE_list("clips", "20000,100000", "Numbers of clips to measure.")
_WIDTH = flags.DEFINE_integer("width", 64, "Size of a vector.")


def write(path, count, width, seed=0):
    """Writes float16 (count, width) of length 1; returns how many of them are copies."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(GROUPS, width))
    copies = count // 10
    with open(path, "wb") as file:
        for first in range(0, count - copies, BLOCK):
            rows = min(BLOCK, count - copies - first)
            values = centres[draw.integers(GROUPS, size=rows)]
            values += NOISE * draw.normal(size=values.shape)
            values /= np.linalg.norm(values, axis=1, keepdims=True)
            file.write(values.astype(np.float16).tobytes())
    with open(path, "r+b") as file:
        first_ones = file.read(2 * copies * width)
        file.seek(0, os.SEEK_END)
        file.write(first_ones)
    return copies


def peak():
    """The largest resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(path, count, width):
    """(seconds for clusters, seconds for duplicates, MiB of growth, missed copies)."""
    unit = np.memmap(path, np.float16, "r", shape=(count, width))
    clips = np.zeros(count, CLIP)
    clips["video"] = np.arange(count)
    clusters.cluster(unit[:1000], 2)  # loads scikit-learn
    before, start = peak(), time.monotonic()
    clusters.cluster(unit, 20)
    between = time.monotonic()
    found = duplicates.near_duplicates(unit, clips, 16, 0.98)
    return between - start, time.monotonic() - between, peak() - before, found.total


def main(_=None):
    """Measures each number of clips, the smallest first."""
    wrong = []
    print("    clips  clusters/s  duplicates/s  MiB more  vectors/MiB")
    for count in sorted(map(int, _CLIPS.value)):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "unit")
            copies = write(path, count, _WIDTH.value)
            size = os.path.getsize(path) / 2**20
            first, second, more, found = measure(path, count, _WIDTH.value)
        print(f"{count:9} {first:11.1f} {second:13.1f} {more:9.0f} {size:12.0f}")
        if found != copies:
            wrong.append(f"{found} pairs among {count} clips, not {copies}")
        if more > MOST + size:
            wrong.append(f"{more:.0f} MiB for {count} clips, not at most {MOST + size:.0f}")
    print(f"MISSED: {'; '.join(wrong)}." if wrong else "The targets are met.")
    return int(bool(wrong))


if __name__ == "__main__":
    app.run(main)
