"""Measures the clips per second of the input pipeline, and its memory over time.

    python benchmarks/pipeline.py --data=DATA [--task=mas] [--threads=2] [--seconds=30]

Reads the data set as train.py does (labels of MAS, 16 x 112 x 112, batch 30) without a network, and
prints clips/s and resident memory at six moments; an example with several views counts as one clip.
DATA may also be a folder of video files, for a task without flow; benchmarks/sources.py compares
both. For prepared data it also prints the cost of the images' checksums: the CPU time of reading
clips with and without them, best of five rounds, as a share of a clip's total CPU time.

Targets: 100 clips/s, and flat memory: the peak in the last third of the time is at most 50 MiB or
5 %, whichever is more, above that in the first third. Exit status: 0 if both are met, else 1, and
the last line says why. Other processes slow the pipeline down: check the load average.
"""

import os
import resource
import sys
import time

from absl import app, flags

from mas import clips, records, tasks
from mas.settings import Clip

LEAST_RATE = 100  # clips/s
MOST_GROWTH, MOST_SHARE = 50, 0.05  # MiB; of the peak in the first third

_DATA = flags.DEFINE_string("data", None, "Prepared data set, or video files.", required=True)
_TASK = flags.DEFINE_string("task", "mas", "Task, with its default settings.")
_CLIPS = flags.DEFINE_string("clips", None, "Examples of an epoch; default: the task's own.")
_THREADS = flags.DEFINE_integer("threads", 0, "Parallel calls; 0 lets tf.data decide.")
_SECONDS = flags.DEFINE_float("seconds", 30, "Seconds to measure.")
_RESIZE = flags.DEFINE_string("resize", "171x128", "WIDTHxHEIGHT before the crop.")
_SIZE = flags.DEFINE_integer("size", 112, "Side of the crop.")


def resident():
    """Resident memory of this process in MiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def missed(rate, memory):
    """Messages for the targets that are missed.

    Args:
        rate: clips per second.
        memory: (seconds, MiB) pairs over the whole time; the first at 0, the last at its end.
    """
    end = memory[-1][0]
    before = max(size for time, size in memory if time <= end / 3)
    after = max(size for time, size in memory if time >= end * 2 / 3)
    allowed = max(MOST_GROWTH, MOST_SHARE * before)
    found = []
    if rate < LEAST_RATE:
        found.append(f"{rate:.1f} clips/s, not {LEAST_RATE}")
    if after - before > allowed:
        found.append(f"memory grew by {after - before:.0f} MiB, not at most {allowed:.0f}")
    return found


def checksums(data, reader, clips=100):
    """Milliseconds of CPU time for the checksums of one clip."""
    rows, sums = getattr(data, "_rows", None), getattr(data, "_sums", None)
    times = {True: [], False: []}
    for turn in range(10):
        checked = bool(turn % 2)
        if rows:
            data._rows = rows if checked else [row._replace(checksums_at=0) for row in rows]
        else:
            data._sums = sums if checked else {}
        start = time.process_time()
        for position in range(clips):
            reader.load(0, position % len(reader.examples))
        times[checked].append((time.process_time() - start) / clips * 1000)
    return min(times[True]) - min(times[False])


def main(argv):
    """Measures and prints; returns the exit status."""
    del argv
    data = records.open_data(_DATA.value)
    resize = tuple(map(int, _RESIZE.value.split("x")))
    task = tasks.task(_TASK.value).bound(Clip(size=_SIZE.value, resize=resize))
    how = _CLIPS.value or task.sampling
    examples = clips.examples(data, None, task.span, how, least=task.least)
    reader = clips.Reader(data, examples, task, clips.Geometry(resize, _SIZE.value))
    batch = min(30, len(examples))
    batches = iter(reader.batches(batch, threads=_THREADS.value or None))
    for _ in range(3):  # compiles the label loops and fills the buffers
        next(batches)
    start, count, memory = time.perf_counter(), 0, [(0.0, resident())]
    cpu = time.process_time()
    print(
        f"{len(examples)} clips in {len(data.videos)} videos; start: {memory[0][1]:.0f} MiB; "
        f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}"
    )
    for mark in range(1, 7):
        while memory[-1][0] < _SECONDS.value * mark / 6:
            next(batches)
            count += batch
            memory.append((time.perf_counter() - start, resident()))
        elapsed, size = memory[-1]
        print(f"{elapsed:6.1f} s  {count / elapsed:6.1f} clips/s  {size:.0f} MiB")
    cpu = (time.process_time() - cpu) / count * 1000
    said = ""
    if not data.decoded and data.verified:
        del batches  # which would read on
        alone = clips.Reader(records.open_data(_DATA.value), examples, task, reader.geometry)
        cost = checksums(alone.data, alone)
        said = f"; checksums {cost:.2f} of {cpu:.2f} ms of CPU time a clip, {cost / cpu:.1%}"
    rate, peak = count / elapsed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{rate:.1f} clips/s, peak {peak:.0f} MiB{said}")
    found = missed(rate, memory)
    print("MISSED: " + "; ".join(found) if found else "Both targets are met.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(app.run(main))
