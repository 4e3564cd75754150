"""Measures the effect of the switches of `mas.tasks.Statistics` (docs/fidelity.md).

    mas prepare --videos=DIR --output=DATA --flow=dis
    python benchmarks/switches.py --data=DATA --clips=200

On clips of prepared videos, cropped at random as in training (seed 0), in percent:

* labels that change with colour=mode, for each of the seven colours; with journal in addition; with
  extra_flow; and, for mirrored clips, with negate_u=false;
* the share of the labels for the frames of largest motion in the motion loss of a network that
  predicts each label's mean, for each `scale`, in clips of 16 frames and of --long frames.
"""

import numpy as np
import tensorflow as tf
from absl import app, flags

from mas import clips, records, statistics, tasks
from mas.settings import Clip

FLAGS = flags.FLAGS
flags.DEFINE_string("data", None, "Prepared data set, with flow.", required=True)
flags.DEFINE_integer("clips", 200, "Clips of each length, at most.", lower_bound=2)
flags.DEFINE_integer("long", 64, "Frames of the longer clips.", lower_bound=17)
flags.DEFINE_integer("size", 112, "Side of the crop, in pixels.", lower_bound=8)

SCALES = ("numbers", "sixteen", "bins")


def read(data, task, count, size):
    """[(rgb, flow)] of clips, in random order."""
    examples = clips.examples(data, None, task.span, "consecutive", step=task.step)
    width, height = (size * 171 // 112, size * 128 // 112)
    reader = clips.Reader(data, examples, task, clips.Geometry((width, height), size))
    found = []
    for position in range(min(count, len(examples))):
        clip = reader.clip(tf.constant(0), tf.constant(position))
        found.append((clip["rgb"].numpy(), clip["flow"].numpy()))
    return found


def differing(first, second):
    """Percentage of rows in which each label differs."""
    return 100 * np.mean(np.array(first) != np.array(second), 0)


def share(labels, names):
    """Percentage of the squared distance from the mean due to the last two labels, the frames."""
    spread = np.var(np.array(labels, float), 0)
    frames = np.array([name.endswith("_frame") for name in names])
    return 100 * spread[frames].sum() / spread.sum()


def changed(found):
    """Prints which labels the switches change."""
    colours = np.array(["colour" in name for name in statistics.appearance_names()])
    by = {
        c: [statistics.appearance(rgb, colour=c) for rgb, _ in found] for c in ("octants", "mode")
    }
    parts = differing(by["octants"], by["mode"])
    names = np.array(statistics.appearance_names())[colours]
    print_line(f"colour=mode, {len(found)} clips", zip(names, parts[colours], strict=True))
    print_line("  all other labels", [("largest", parts[~colours].max())])
    odd = [statistics.appearance(rgb, colour="mode", journal=True) for rgb, _ in found]
    parts, rings = differing(by["mode"], odd)[colours], [name[:2] == "p2" for name in names]
    print_line("journal, beside it", zip(names[rings], parts[rings], strict=True))
    fields = len(found[0][0]) - 1
    plain = [statistics.motion(flow[:fields]) for _, flow in found]
    more = [statistics.motion(flow, fields=fields) for _, flow in found]
    print_line("extra_flow", zip(statistics.motion_names(), differing(plain, more), strict=True))
    mirrored = [np.ascontiguousarray(flow[:fields, :, ::-1]) for _, flow in found]
    negated = [statistics.motion(flow * np.float32([-1, 1])) for flow in mirrored]
    kept = [statistics.motion(flow) for flow in mirrored]
    parts = differing(negated, kept)
    print_line("negate_u=false, mirrored", zip(statistics.motion_names(), parts, strict=True))


def print_line(what, values):
    """Prints a line of percentages."""
    print(f"{what}: " + ", ".join(f"{name} {value:.0f}" for name, value in values), flush=True)


def main(_):
    """Reads and prints."""
    data = records.open_data(FLAGS.data, True)
    for frames in (16, FLAGS.long):
        clip = Clip(frames, FLAGS.size, (FLAGS.size * 171 // 112, FLAGS.size * 128 // 112))
        task = tasks.Statistics(extra_flow=frames == 16).bound(clip)
        found = read(data, task, FLAGS.clips, FLAGS.size)
        if frames == 16:
            changed(found)
        numbers = [statistics.motion(flow[: frames - 1]) for _, flow in found]
        for scale in SCALES:
            scaled = task.having(scale=scale)
            labels = [scaled.scaled("motion", row) for row in numbers]
            part = share(labels, statistics.motion_names())
            print_line(f"{frames} frames, {len(found)} clips, scale={scale}", [("frames", part)])


if __name__ == "__main__":
    app.run(main)
