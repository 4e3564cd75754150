"""Clips per second of the input pipeline, and its memory over time.

    python benchmarks/pipeline.py --data=DATA [--threads=2] [--seconds=30]

Reads the prepared data set as train.py does (labels of MAS, 16 x 112 x 112, batch 30) without a
network, and prints clips/s and resident memory at five moments: flat is what it should be.
"""

import resource
import sys
import time

from absl import app, flags

from mas import clips, records, tasks

_DATA = flags.DEFINE_string("data", None, "Prepared data set.", required=True)
_THREADS = flags.DEFINE_integer("threads", 0, "Parallel calls; 0 lets tf.data decide.")
_SECONDS = flags.DEFINE_float("seconds", 30, "How long to measure.")
_RESIZE = flags.DEFINE_string("resize", "171x128", "WIDTHxHEIGHT before the crop.")
_SIZE = flags.DEFINE_integer("size", 112, "Side of the crop.")


def resident():
    """Resident memory of this process in MiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def main(argv):
    """Measures and prints."""
    del argv
    data = records.open_data(_DATA.value)
    task = tasks.task("mas")
    examples = clips.examples(data, None, task.frames, "consecutive")
    resize = tuple(map(int, _RESIZE.value.split("x")))
    reader = clips.Reader(data, examples, task, clips.Geometry(resize, _SIZE.value))
    batch = min(30, len(examples))
    batches = iter(reader.batches(batch, threads=_THREADS.value or None))
    for _ in range(3):  # compiles the label loops and fills the buffers
        next(batches)
    start, count, mark = time.perf_counter(), 0, 1
    print(f"{len(examples)} clips in {len(data.videos)} videos; start: {resident():.0f} MiB")
    while (elapsed := time.perf_counter() - start) < _SECONDS.value:
        next(batches)
        count += batch
        if elapsed > _SECONDS.value * mark / 5:
            print(f"{elapsed:6.1f} s  {count / elapsed:6.1f} clips/s  {resident():.0f} MiB")
            mark += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count / (time.perf_counter() - start):.1f} clips/s, peak {peak:.0f} MiB")


if __name__ == "__main__":
    sys.exit(app.run(main))
