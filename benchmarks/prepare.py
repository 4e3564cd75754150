"""Measures the cost of preparing videos besides optical flow, and how it scales with cores.

    python benchmarks/prepare.py --videos=FILE_OR_FOLDER [--frames=50] [--size=171x128]
        [--flow=tvl1] [--flow_size=auto]

Prepares each video as a worker of `mas.prepare` does, in this process and on one core, and prints
milliseconds of processor time per frame: for flow; for decoding, resizing and JPEG encoding; and
for storing (staging, writing the shard). It also prints the latter two as a share of the flow's
time. One-time costs are not counted: starting workers, importing TensorFlow, loading the flow.

Then the whole preparation runs on the shortest videos, alternately with one worker and with one per
core. Frames per second are counted from when all workers have finished a first video until one has
nothing left to do. The best round of each counts; other processes slow down the run on all cores
most, so check the load average.

Targets: a share of at most 10 % of TV-L1's time, and per core at least 90 % of the frames per
second of a single worker. Exit status: 0 if both are met, else 1.
"""

import dataclasses
import itertools
import pathlib
import sys
import tempfile
import time
from unittest import mock

import cv2
import numpy as np
import tensorflow as tf  # noqa: F401  (imported before the clock starts)
from absl import app, flags

from mas import flow, prepare, records, video
from mas.prepare import extract, workers

MOST_SHARE = 0.10
LEAST_SCALING = 0.90
EACH = 8  # videos a worker
ROUNDS = 2

_VIDEOS = flags.DEFINE_string("videos", None, "Video file, or folder of videos.", required=True)
_FRAMES = flags.DEFINE_integer("frames", 50, "Number of frames per video, at most.", 2)
_SIZE = flags.DEFINE_string("size", "171x128", "Stored WIDTHxHEIGHT in pixels, or `keep`.")
_FLOW = flags.DEFINE_enum("flow", "tvl1", flow.METHODS, "Optical flow method.")
_FLOW_SIZE = flags.DEFINE_string("flow_size", "auto", "WIDTHxHEIGHT of flow, `stored` or `auto`.")


@dataclasses.dataclass
class Cost:
    """Seconds of processor time, and the frames they were spent on."""

    frames: int = 0
    flow: float = 0.0
    decode_encode: float = 0.0
    store: float = 0.0

    @property
    def share(self):
        """Share of everything else relative to the flow's time."""
        return (self.decode_encode + self.store) / self.flow

    def __add__(self, other):
        """Sum of two costs."""
        ours, theirs = dataclasses.astuple(self), dataclasses.astuple(other)
        return Cost(*map(sum, zip(ours, theirs, strict=True)))

    def __str__(self):
        """One line of the table."""
        parts = (self.flow, self.decode_encode, self.store)
        columns = "".join(f"{1000 * seconds / self.frames:14.2f}" for seconds in parts)
        return f"{self.frames:7d}{columns}{100 * self.share:9.2f} %"


def measure(path, storage, frames, folder):
    """Prepares the first frames of one video.

    Args:
        path: the video file.
        storage: a `prepare.Storage`.
        frames: how many at most.
        folder: an empty one, to store in.

    Returns:
        Its `Cost`.
    """
    cost, decode, follow = Cost(), video.frames, flow.Estimator.follow

    def timed(estimator, frame):
        start = time.process_time()
        field = follow(estimator, frame)
        cost.flow += time.process_time() - start
        return field

    def first(*arguments, **options):
        return itertools.islice(decode(*arguments, **options), frames)

    start = time.process_time()
    with (
        mock.patch.object(flow.Estimator, "follow", timed),
        mock.patch.object(video, "frames", first),
    ):
        prepared = extract.extract(str(path), path.stem, storage)
    extracted = time.process_time()
    records.stage(prepared, folder / "staged")
    records.write_shard(folder, 0, [folder / "staged"])
    cost.store = time.process_time() - extracted
    cost.decode_encode = extracted - start - cost.flow
    cost.frames = prepared.frames
    return cost


def rate(paths, storage, count, folder):
    """Frames per second of `count` workers, each of which prepares at least EACH videos."""
    jobs = [
        {
            "path": str(path),
            "video": path.stem,
            "output": str(folder / f"{number}.npz"),
            "storage": storage.values(),
        }
        for number, path in enumerate(itertools.islice(itertools.cycle(paths), EACH * count))
    ]
    ended, frames, start = 0, 0, None
    with workers.Pool(count) as pool:
        for _, answer in pool.run(jobs):
            if "done" in answer:
                continue
            ended += 1
            if start:
                frames += answer.get("frames", 0)
            elif ended == count:
                start = time.monotonic()
            if ended == len(jobs) - count + 1:
                return frames / (time.monotonic() - start)


def scaling(paths, storage):
    """Prints the rates of one worker and of one per core; returns the parallel efficiency."""
    cores = workers.cores()
    short = sorted(paths, key=lambda path: video.declared_frames(path) or np.inf)
    rates = {1: 0.0, cores: 0.0}
    for _ in range(ROUNDS):
        for count in rates:
            with tempfile.TemporaryDirectory() as folder:
                found = rate(short[: EACH * cores], storage, count, pathlib.Path(folder))
            rates[count] = max(rates[count], found)
    share = rates[cores] / (cores * rates[1])
    print(f"{rates[1]:.1f} frames/s with one worker, {rates[cores]:.1f} with {cores}: {share:.1%}")
    return share


def main(argv):
    """Measures every video, their sum, then the workers; returns the exit status."""
    del argv
    cv2.setNumThreads(1)
    root = pathlib.Path(_VIDEOS.value)
    paths = [root] if root.is_file() else [*prepare.find_videos(root).values()]
    storage = prepare.Storage(
        size=_SIZE.value, flow=_FLOW.value, flow_size=_FLOW_SIZE.value, min_frames=2
    )
    sizes = f"{_SIZE.value}, flow_size={_FLOW_SIZE.value}"
    print(f"Milliseconds per frame, {_FLOW.value}, {sizes}, OpenCV {cv2.__version__}")
    print(f"{'frames':>7s}{'flow':>14s}{'decode+encode':>14s}{'store':>14s}{'others':>11s}")
    total = Cost()
    with tempfile.TemporaryDirectory() as folder:
        measure(paths[0], storage, 2, pathlib.Path(folder))  # loads the flow
    for path in paths:
        with tempfile.TemporaryDirectory() as folder:
            cost = measure(path, storage, _FRAMES.value, pathlib.Path(folder))
        print(f"{cost}  {path.name}", flush=True)
        total += cost
    print(f"{total}  all", flush=True)
    return int(total.share > MOST_SHARE or scaling(paths, storage) < LEAST_SCALING)


if __name__ == "__main__":
    sys.exit(app.run(main))
