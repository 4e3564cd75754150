"""Compares clips per second from video files with those from the same videos, prepared.

    python benchmarks/sources.py --videos=DIR [--data=DATA] [--opencv] [--threads=2] [--seconds=5]

Reads a random clip of each video in turn (16 x 112 x 112, only R G B, batch 30). Both sources take
turns of a few seconds, so that other processes affect them alike; the medians of the rounds and
their ratio are printed. DATA is DIR prepared by mas prepare; without --data only the video files
are measured. With --opencv the same clips are also read by OpenCV's decoder, which PyAV replaced,
by seeking in the same files; its images are not checked.
"""

import os
import statistics
import time

import cv2
import numpy as np
from absl import app, flags

from mas import clips, records
from mas.tasks.task import Task

FRAMES, BATCH, ROUNDS = 16, 30, 5
BUFFERED = 5  # batches that one may hold ready from the time in which the other was measured

_VIDEOS = flags.DEFINE_string("videos", None, "Folder of video files.", required=True)
_DATA = flags.DEFINE_string("data", None, "The same videos, prepared.")
_OPENCV = flags.DEFINE_bool("opencv", False, "Also decode the video files with OpenCV.")
_THREADS = flags.DEFINE_integer("threads", 0, "Parallel calls; 0 lets tf.data decide.")
_SECONDS = flags.DEFINE_float("seconds", 5, "Seconds to measure each per round.")
_RESIZE = flags.DEFINE_string("resize", "171x128", "WIDTHxHEIGHT before the crop.")
_SIZE = flags.DEFINE_integer("size", 112, "Side of the crop.")


class Plain(Task):
    """A task that returns only the pixels of a clip."""

    frames = FRAMES

    def example(self, clip):
        """Returns the pixels only."""
        return clip["rgb"]


class OpenCV(records.Videos):
    """Video files, decoded by OpenCV."""

    def frames(self, number, frames, size):
        """Same as in `Videos`."""
        path, first = str(self.data / self._files[number]), min(frames)
        found, position = {}, 0
        capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        if self._facts[number].times:
            capture.set(cv2.CAP_PROP_POS_FRAMES, first)
            position = first
        for index in range(position, max(frames) + 1):
            if capture.grab() and index in frames:
                image = cv2.resize(capture.retrieve()[1], size, interpolation=cv2.INTER_LINEAR)
                found[index] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        capture.release()
        black = np.zeros((size[1], size[0], 3), np.uint8)  # where its jump led too far
        return np.stack([found.get(index, black) for index in frames])


def batches(path, kind=None):
    """(endless batches, examples per batch) of a data set of any kind."""
    data, task = records.open_data(path), Plain()
    if kind is not None:
        data.__class__ = kind
    examples = clips.examples(data, None, task.frames, "anywhere")
    resize = tuple(map(int, _RESIZE.value.split("x")))
    reader = clips.Reader(data, examples, task, clips.Geometry(resize, _SIZE.value))
    batch = min(BATCH, len(examples))
    return iter(reader.batches(batch, threads=_THREADS.value or None)), batch


def rate(source, batch, seconds):
    """Clips per second."""
    for _ in range(BUFFERED):
        next(source)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds or not count:
        next(source)
        count += batch
    return count / (time.perf_counter() - start)


def main(argv):
    """Measures and prints."""
    del argv
    sources = {"video files": batches(_VIDEOS.value)}
    if _OPENCV.value:
        sources["by OpenCV"] = batches(_VIDEOS.value, OpenCV)
    if _DATA.value:
        sources["prepared"] = batches(_DATA.value)
    found = {name: [] for name in sources}
    for _ in range(ROUNDS):
        for name, source in sources.items():
            found[name].append(rate(*source, _SECONDS.value))
    for name, rates in found.items():
        print(
            f"{name:12} {statistics.median(rates):7.1f} clips/s   "
            f"({min(rates):.1f} to {max(rates):.1f} in {ROUNDS} rounds)"
        )
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
    if _OPENCV.value:
        ratios = [v / o for v, o in zip(found["video files"], found["by OpenCV"], strict=True)]
        print(f"video files / by OpenCV: {statistics.median(ratios):.2f}")
    if _DATA.value:
        ratios = [p / v for v, p in zip(found["video files"], found["prepared"], strict=True)]
        print(f"prepared / video files: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    app.run(main)
