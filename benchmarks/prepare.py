"""What preparing a video costs beside its optical flow, on one core.

    python benchmarks/prepare.py --videos=FILE_OR_FOLDER [--frames=50] [--size=171x128]

Prepares each video as a worker of `mas.prepare` does, in this process and on one core, and prints
milliseconds of processor time a frame: of the flow itself, of decoding, resizing and JPEG encoding,
and of storing (staging, writing the shard); then the share of these two in the flow's time. Not
counted, as they come once a run: starting the workers and importing TensorFlow.

Required is a share of at most 10 % of TV-L1's time. Exit status: 0 if all videos together keep to
it, else 1.
"""

import dataclasses
import itertools
import pathlib
import sys
import tempfile
import time
from unittest import mock

import cv2
import tensorflow as tf  # noqa: F401  (imported before the clock starts)
from absl import app, flags

from mas import flow, prepare, records, video
from mas.prepare import extract

MOST_SHARE = 0.10

_VIDEOS = flags.DEFINE_string("videos", None, "Video file, or folder of them.", required=True)
_FRAMES = flags.DEFINE_integer("frames", 50, "At most so many frames of each video.", 2)
_SIZE = flags.DEFINE_string("size", "171x128", "Stored WIDTHxHEIGHT in pixels, or `keep`.")
_FLOW = flags.DEFINE_enum("flow", "tvl1", flow.METHODS, "Optical flow method.")


@dataclasses.dataclass
class Cost:
    """Seconds of processor time, and the frames they were spent on."""

    frames: int = 0
    flow: float = 0.0
    decode_encode: float = 0.0
    store: float = 0.0

    @property
    def share(self):
        """Of everything else in the flow's time."""
        return (self.decode_encode + self.store) / self.flow

    def __add__(self, other):
        """The cost of both."""
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


def main(argv):
    """Measures every video, then all together."""
    del argv
    cv2.setNumThreads(1)
    root = pathlib.Path(_VIDEOS.value)
    paths = [root] if root.is_file() else prepare.find_videos(root).values()
    storage = prepare.Storage(size=_SIZE.value, flow=_FLOW.value, min_frames=2)
    print(f"Milliseconds a frame, {_FLOW.value}, {_SIZE.value}, OpenCV {cv2.__version__}")
    print(f"{'frames':>7s}{'flow':>14s}{'decode+encode':>14s}{'store':>14s}{'others':>11s}")
    total = Cost()
    for path in paths:
        with tempfile.TemporaryDirectory() as folder:
            cost = measure(path, storage, _FRAMES.value, pathlib.Path(folder))
        print(f"{cost}  {path.name}", flush=True)
        total += cost
    print(f"{total}  all")
    return int(total.share > MOST_SHARE)


if __name__ == "__main__":
    sys.exit(app.run(main))
