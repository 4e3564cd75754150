"""Compares the time of each augmentation in `mas.augment` with that of decoding the clip.

    python benchmarks/augment.py

Each function changes generated clips of 16 x 112 x 112 (`rotate_and_crop` itself crops them from
171 x 128) in the map of a tf.data pipeline, with one thread and with two; TensorFlow uses one
thread per operation. The same run times the decoding of 16 JPEG frames of 171 x 128, as in the
reader. The functions take turns; the medians are printed in milliseconds of wall time per clip.
"nothing" returns the clip unchanged.

Target: no function takes more than twice as long as decoding, with one thread. Exit status: 0 if it
is met, else 1, and the last line says why. Other processes slow the functions down: check the load
average.
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
    """Makes the inputs of the functions, as a dict: stored, files, rgb and flow of CLIPS clips."""
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
    """Decodes the stored frames of a clip."""
    del seed
    return tf.stack(
        [tf.io.decode_jpeg(f, 3, dct_method=ACCURATE) for f in tf.unstack(clip["files"])]
    )


def functions():
    """{name: function of (clip, seed)}, with decoding first."""
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
    """An endless pipeline of results, from a pool of threads."""
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
    """Wall time per result."""
    start = time.perf_counter()
    for _ in range(STREAM):
        next(results)
    return 1e3 * (time.perf_counter() - start) / STREAM


def measure(clips):
    """{name: median milliseconds for each number of threads}."""
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
    """Messages for the functions that miss the target."""
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
    print("MISSED: " + "; ".join(found) if found else "The target is met.")
    return int(bool(found))


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(1)
    sys.exit(main())
