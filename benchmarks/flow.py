"""Times every method of `mas.flow` per pair of frames, on one core.

    python benchmarks/flow.py --videos=FILE_OR_FOLDER [--pairs=8] [--keep=FILE.npz]

It takes two consecutive frames from the middle of evenly chosen videos, at 171 x 128 and at
340 x 256. The methods take turns, pair by pair and round by round, and the best round of each pair
counts, in processor time, so that other processes have little influence. It also prints how much
the flow differs from OpenCV's TV-L1, in pixels: the mean, and the mean of the pairs' 95 %
quantiles. Compilation is not timed.

--keep saves OpenCV's TV-L1 at 171 x 128 to a file. If the file exists, from another version of
OpenCV, their difference is printed instead and nothing is timed.

Target: `tvl1` equals OpenCV's bit for bit and is at least 6 times as fast, at both sizes. Exit
status: 0 if it is met, else 1.
"""

import os
import pathlib
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is imported

import cv2
import numpy as np
from absl import app, flags

from mas import flow, prepare, video

SIZES = ((171, 128), (340, 256))
ROUNDS = 3
LEAST_RATIO = 6
REFERENCE = "tvl1_opencv"

_VIDEOS = flags.DEFINE_string("videos", None, "Video file, or folder of videos.", required=True)
_KEEP = flags.DEFINE_string("keep", None, "File for OpenCV's flow, to compare versions.")
_PAIRS = flags.DEFINE_integer("pairs", 8, "Number of videos, at most.", 1)


def middle(path, size):
    """Two grey frames from the middle of a video; None if it has fewer."""
    frames = [cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in video.frames(str(path), size)]
    half = len(frames) // 2
    return frames[half - 1 : half + 1] if half else None


def measure(pairs):
    """Times every method and compares it with OpenCV's TV-L1.

    Args:
        pairs: [(previous, following)], grey frames.

    Returns:
        {method: (seconds a pair, mean difference, mean of the 95 % quantiles, whether it is equal)}
    """
    estimators = {method: flow.estimator(method) for method in flow.METHODS}
    found = {method: [] for method in estimators}
    for pair in pairs:
        seconds, fields = dict.fromkeys(estimators, np.inf), {}
        for _ in range(ROUNDS):
            for method, estimate in estimators.items():
                start = time.process_time()
                fields[method] = estimate(*pair)
                seconds[method] = min(seconds[method], time.process_time() - start)
        for method, field in fields.items():
            far = np.abs(field - fields[REFERENCE])
            equal = field.tobytes() == fields[REFERENCE].tobytes()
            found[method].append((seconds[method], far.mean(), np.quantile(far, 0.95), equal))
    means = {method: np.mean(rows, axis=0) for method, rows in found.items()}
    return {method: (*row[:3], bool(row[3] == 1)) for method, row in means.items()}


def compare(pairs, path):
    """Saves OpenCV's TV-L1 of some pairs, or compares it with that of another version."""
    estimate = flow.estimator(REFERENCE)
    fields = np.stack([estimate(*pair) for pair in pairs])
    if not path.exists():
        np.savez(path, version=cv2.__version__, fields=fields)
        return
    with np.load(path) as kept:
        before, version = kept["fields"], str(kept["version"])
    far, codes = np.abs(fields - before), flow.encode(fields) != flow.encode(before)
    quantile = np.mean([np.quantile(each, 0.95) for each in far])
    print(
        f"OpenCV {cv2.__version__} from {version}, {len(pairs)} pairs: mean {far.mean():.4f} px, "
        f"95 % {quantile:.4f} px, {codes.mean():.1%} of the bytes"
    )


def missed(size, found):
    """Messages for the targets that `tvl1` misses at a size, given the result of `measure`."""
    at = f"at {size[0]} x {size[1]}"
    ratio = found[REFERENCE][0] / found["tvl1"][0]
    lines = [] if found["tvl1"][3] else [f"tvl1 is not OpenCV {cv2.__version__}'s {at}"]
    if ratio < LEAST_RATIO:
        lines.append(f"tvl1 is {ratio:.2f} times as fast as OpenCV {at}, not {LEAST_RATIO}")
    return lines


def main(argv):
    """Prints a table for each size; the exit status."""
    del argv
    cv2.setNumThreads(1)
    root = pathlib.Path(_VIDEOS.value)
    paths = [root] if root.is_file() else [*prepare.find_videos(root).values()]
    chosen = np.unique(np.linspace(0, len(paths) - 1, _PAIRS.value).round().astype(int))
    if _KEEP.value:
        pairs = [pair for k in chosen if (pair := middle(paths[k], SIZES[0]))]
        compare(pairs, pathlib.Path(_KEEP.value))
        return 0
    flow.estimator("tvl1")
    wrong = []
    for size in SIZES:
        pairs = [pair for k in chosen if (pair := middle(paths[k], size))]
        found = measure(pairs)
        print(f"{size[0]} x {size[1]}, {len(pairs)} pairs, OpenCV {cv2.__version__}")
        print(f"{'':12s}{'ms a pair':>10s}{'times':>8s}{'mean px':>9s}{'95 %':>8s}")
        for method, (seconds, mean, high, equal) in found.items():
            row = f"{method:12s}{1000 * seconds:10.2f}{found[REFERENCE][0] / seconds:8.2f}"
            print(f"{row}{mean:9.4f}{high:8.4f}{'  equal' if equal else ''}", flush=True)
        wrong += missed(size, found)
    print("MISSED: " + "; ".join(wrong) + "." if wrong else "The target is met.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(app.run(main))
