"""Times the augmentations of `mas.augment` against decoding the clip that they change.

    python benchmarks/augment.py

Every function changes generated clips of 16 x 112 x 112 (cut by `rotate_and_crop` itself out of
171 x 128) inside the map of a tf.data pipeline, once with one thread and once with two; TensorFlow
takes one thread for each operation. What cannot be avoided is timed beside it in the same run: to
decode the 16 JPEG frames of 171 x 128, as the reader does. Rounds alternate between the functions;
the medians are printed, in milliseconds of the clock a clip. "nothing" hands the clip through.

Required is that no function takes longer than twice the decoding, with one thread. Exit status: 1
where one does, as the last line then says, else 0. Others at work on the machine cost time: look at
the load average.
"""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is imported

import numpy as np
import tensorflow as tf

from mas import augment, sample
from mas.clips.pixels import ACCURATE

STORED, SIZE, FRAMES, CLIPS = (171, 128), 112, 16, 12
ROUNDS, STREAM = 5, 40  # clips of a function in each round
QUALITY = 95
MOST_RATIO = 2.0  # of the time of decoding
THREADS = (1, 2)


def make_clips():
    """A dict of what the functions take, of CLIPS clips: stored, files, rgb and flow."""
    motions = sorted(sample.MOTIONS)
    stored = np.stack([sample.clip(motions[i % 6], i, FRAMES, STORED) for i in range(CLIPS)])
    files = [[tf.io.encode_jpeg(f, quality=QUALITY).numpy() for f in clip] for clip in stored]
    flow = np.random.default_rng(0).normal(0, 3, (CLIPS, FRAMES - 1, SIZE, SIZE, 2))
    return {
        "stored": stored,
        "files": np.array(files, object),
        "rgb": stored[:, :, :SIZE, :SIZE],
        "flow": flow.astype(np.float32),
    }


def decode(clip, seed):
    """The stored frames of a clip from their files."""
    del seed
    return tf.stack(
        [tf.io.decode_jpeg(f, 3, dct_method=ACCURATE) for f in tf.unstack(clip["files"])]
    )


def functions():
    """{name: function of a clip and a seed}, decoding first."""
    named = {"decoding": decode, "nothing": lambda clip, seed: clip["rgb"]}
    simple = ("colour_jitter", "push_warp", "thin_plate_warp")
    for name in (*simple, "insert_frames", "swap_frames", "break_frames"):
        named[name] = _of_pixels(getattr(augment, name))
    named["colour_jitter, basic"] = _of_pixels(augment.colour_jitter, **augment.BASIC_JITTER)
    named["rotate_and_crop"] = lambda clip, seed: augment.rotate_and_crop(
        clip["stored"], seed, SIZE
    )
    for kind in augment.AFFINE:
        named[f"affine, {kind}"] = _of_pixels(augment.affine, kind=kind)
    named["intra_mixup"] = lambda clip, seed: augment.intra_mixup(clip["rgb"], seed, seed)
    for form in (1, 2):
        named[f"flow_warp, form {form}"] = _of_flow(form)
    return named


def _of_pixels(function, **options):
    return lambda clip, seed: function(clip["rgb"], seed, **options)


def _of_flow(form):
    return lambda clip, seed: augment.flow_warp(clip["rgb"], clip["flow"], seed, form=form)


def pipeline(function, clips, threads):
    """Results without end, by a pool of so many threads."""
    numbers = tf.data.Dataset.range(2**30, output_type=tf.int32)
    data = tf.data.Dataset.from_tensor_slices(clips).cache().repeat()
    results = tf.data.Dataset.zip(data, numbers).map(
        lambda clip, number: function(clip, tf.stack([number, 1])), num_parallel_calls=threads
    )
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    options.autotune.enabled = False  # its threads would take part, and end slowly
    return iter(results.with_options(options))


def milliseconds(results):
    """Of the clock, for each result."""
    start = time.perf_counter()
    for _ in range(STREAM):
        next(results)
    return 1e3 * (time.perf_counter() - start) / STREAM


def measure(clips):
    """{name: median milliseconds with each number of threads}."""
    runs = {
        (name, threads): pipeline(function, clips, threads)
        for name, function in functions().items()
        for threads in THREADS
    }
    for results in runs.values():  # compiles; the source copies its clips in the first pass
        for _ in range(CLIPS + 1):
            next(results)
    times = {run: [] for run in runs}
    for _ in range(ROUNDS):
        for run, results in runs.items():
            times[run].append(milliseconds(results))
    return {name: [np.median(times[name, n]) for n in THREADS] for name in functions()}


def missed(ratios):
    """What to say of each function whose ratio to decoding is too large."""
    return [
        f"{name} takes {ratio:.2f} of the time of decoding, not at most {MOST_RATIO}"
        for name, ratio in ratios.items()
        if ratio > MOST_RATIO
    ]


def main():
    """Measures and prints; returns the exit status."""
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
    times = measure(make_clips())
    ratios = {name: one / times["decoding"][0] for name, (one, _) in times.items()}
    print(f"{'ms a clip':24s} 1 thread  2 threads  1 thread / decoding")
    for name, (one, two) in times.items():
        print(f"{name:24s} {one:8.2f} {two:10.2f} {ratios[name]:20.2f}")
    found = missed(ratios)
    print("MISSED: " + "; ".join(found) if found else "The target is kept.")
    return int(bool(found))


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(1)
    sys.exit(main())
