"""Measures time and memory of `mas.Index`: adding features, opening, exact and approximate search.

    python benchmarks/search.py [--clips=10000,100000,1000000] [--width=512] [--folder=DIR]

Features are generated: points around random centres, with 512 numbers each, which are not whitened
(whiten=0). By default, an index compares 32 numbers, so a search reads a sixteenth of this. No
network runs.

For each number of clips, one process adds them, and another opens the index and searches. It prints
the median time of QUERIES queries, and the peak of the additional memory. The approximate search is
faiss with its usual settings; its recall is the share of the ten nearest clips that it finds.

Exit status: 1 if a search among a million clips takes a second or more, or if an exact search of at
least LARGE clips needs more than 1.5 times the memory of the vectors; else 0. Other processes slow
it down, so both CPU time and wall time are printed.
"""

import argparse
import multiprocessing
import pathlib
import resource
import sys
import tempfile
import time

import numpy as np

from mas.index import Index, approximate, building, fitting, searching, storage

QUERIES, NEAREST = 9, 10
CENTRES, SPREAD = 1000, 1.0  # of the generated clips: centres, and the noise around them
PER_VIDEO = 500  # clips
MOST_SECONDS, MOST_MEMORY = 1.0, 1.5  # a query of 10**6 clips; times the vectors
MILLION, LARGE = 10**6, 10**5


class Generated:
    """A data set with known lengths only."""

    data, has_flow = "generated", False

    def __init__(self, clips):
        """Makes a data set of `clips` clips."""
        self.videos = [f"video{n:06d}" for n in range(-(-clips // PER_VIDEO))]
        self.lengths = np.full(len(self.videos), 16 * PER_VIDEO)

    def rate(self, number):
        """Frames per second."""
        return 25.0


def features(number, count, width):
    """Features of one video: clips of some centres."""
    centres = np.random.default_rng(0).normal(size=(CENTRES, width)).astype(np.float32)
    rng = np.random.default_rng([1, number])
    noise = rng.standard_normal((count, width), np.float32)
    return centres[rng.integers(0, CENTRES, count)] + SPREAD * noise


def timed(function, *arguments):
    """(result, wall seconds, CPU seconds) of a call."""
    clock, processor = time.perf_counter(), time.process_time()
    found = function(*arguments)
    return found, time.perf_counter() - clock, time.process_time() - processor


def peak():
    """Bytes of the process's largest memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def add(root, clips, width):
    """(wall seconds, CPU seconds) of files and whitening, without the features."""
    root.mkdir(parents=True)
    facts = {"network": {"model": ""}, "sampling": {}, "frames": 16, "trained": {}}
    state = storage.start(root, facts) | {"whiten": 0}
    data, total = Generated(clips), np.zeros(2)
    with storage.appended(root, state["files"]) as file:
        writer = building.Writer(root, state, file)
        for number in range(len(data.videos)):
            count = min(PER_VIDEO, clips - number * PER_VIDEO)
            values = features(number, count, width)
            made = building.Made(number, 16 * np.arange(count), values)
            total += timed(writer.add, data, made, 25.0)[1:]
        total += timed(writer.save)[1:]
    total += timed(fitting.update, root, writer.state, 0)[1:]
    return total


def search(root, width):
    """{step: (wall seconds, CPU seconds)}, peak memory in bytes, recall."""
    np.linalg.norm(np.zeros((64, width), np.float32) @ np.zeros((width, width), np.float32))
    before = peak()
    found = {}
    index, *found["open"] = timed(Index.open, root)
    queries = index.whitening(features(10**6, QUERIES, width))
    times, exact = [], []
    for query in queries:
        (rows, _), *spent = timed(searching.nearest, index, query[None], NEAREST)
        times.append(spent)
        exact.append(rows[0])
    found["exact"] = np.median(times, axis=0)
    memory = peak() - before
    lists, *found["make lists"] = timed(approximate.opened, index)
    times, same = [], []
    for query, rows in zip(queries, exact, strict=True):
        (near, _), *spent = timed(approximate.nearest, index, lists, query, NEAREST)
        times.append(spent)
        same.append(len(np.intersect1d(near, rows)) / len(rows))
    found["approximate"] = np.median(times, axis=0)
    return found, memory, float(np.mean(same))


def missed(clips, width, seconds, memory):
    """Messages for the targets that are missed."""
    found, vectors = [], clips * width * 2
    if clips >= MILLION and seconds >= MOST_SECONDS:
        found.append(f"{clips} clips take {seconds:.2f} s a query, not below {MOST_SECONDS}")
    if clips >= LARGE and memory > MOST_MEMORY * vectors:
        times = memory / vectors
        found.append(f"{clips} clips take {times:.2f} times the vectors, not {MOST_MEMORY}")
    return found


def elsewhere(function, *arguments):
    """Runs a function in a separate process, to measure its memory; returns its result."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def measure(folder, sizes, width):
    """Prints a row for each number of clips; returns the missed targets."""
    found = []
    print(f"{'clips':>9} {'what':12} {'clock s':>9} {'CPU s':>9}")
    for clips in sizes:
        root = pathlib.Path(folder, f"index{clips}")
        rows = {"add": elsewhere(add, root, clips, width)}
        more, memory, recall = elsewhere(search, root, width)
        for name, (clock, processor) in {**rows, **more}.items():
            print(f"{clips:9d} {name:12} {clock:9.4f} {processor:9.4f}", flush=True)
        times = memory / (clips * width * 2)
        print(f"{clips:9d} memory of the exact search: {memory / 2**20:.0f} MiB, {times:.2f} times")
        print(f"{clips:9d} recall of the approximate one: {recall:.3f}", flush=True)
        found += missed(clips, width, more["exact"][0], memory)
    return found


def main(arguments=None):
    """Exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", default="10000,100000,1000000")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--folder", help="Folder of the indexes, by default a temporary one.")
    given = parser.parse_args(arguments)
    sizes = [int(text) for text in given.clips.split(",")]
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        found = measure(folder, sizes, given.width)
    print("MISSED: " + "; ".join(found) if found else "The targets are met.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
