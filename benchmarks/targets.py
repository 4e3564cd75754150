r"""Measures how well the targets of MAS alone classify a video: no network, no training.

    python benchmarks/targets.py --data=DATA [--groups='/(\w+?)_'] [--stride=2]

DATA is a prepared data set with flow. A video's folder is its class. A video is described by its
statistics, averaged over ten evenly spaced clips of 16 x 56 x 56. A linear probe and the nearest
neighbour classify these numbers, one group left out at a time, as `mas study` does with features.
Videos that are shorter than a clip are left out. Also printed is how much of the variance of the
statistics lies between videos: a network can predict that part by recognising the video.

The result is no limit for a network: it sees more than the targets, and may learn less.
"""

import argparse
import sys

import numpy as np

import mas
from mas import clips, evaluate, features


def statistics_of(data, stride):
    """Returns {branch: (videos, clips, labels)} and the ids of the videos."""
    size = mas.Clip(16, 56, (85, 64))
    task = mas.tasks.Statistics(stride=stride).bound(size, mas.Network())
    examples = clips.examples(data, None, task.span, how="uniform", count=10)
    geometry = clips.Geometry(size.resize, size.size, random=False)
    reader = clips.Reader(data, examples, task, geometry, shuffle=False)
    batches = [{k: v.numpy() for k, v in targets.items()} for _, targets in reader.once(16, None)]
    numbers = sorted(set(examples.videos.tolist()))
    found = {
        branch: np.stack([values[examples.videos == number] for number in numbers])
        for branch in batches[0]
        for values in [np.concatenate([batch[branch] for batch in batches])]
    }
    return found, [data.videos[number] for number in numbers]


def between_videos(values):
    """Share of the variance of (videos, clips, labels) that lies between videos, 0 to 1."""
    return values.mean(1).var(0).sum() / max(values.var((0, 1)).sum(), 1e-12)


def main(arguments=None):
    """Prints the accuracies and the share of each branch and returns 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--groups", default=r"/(\w+?)_")
    parser.add_argument("--stride", type=int, default=2)
    given = parser.parse_args(arguments)
    found, videos = statistics_of(mas.open_data(given.data), given.stride)
    folders = [video.rpartition("/")[0] for video in videos]
    classes = sorted(set(folders))
    labels = [classes.index(folder) for folder in folders]
    print(f"{len(videos)} videos of {len(classes)} classes")
    for branch, values in found.items():
        print(f"{branch:11} {100 * between_videos(values):.1f} % of the variance between videos")
    means = {branch: values.mean(1) for branch, values in found.items()}
    for branch, values in (*means.items(), ("both", np.hstack(list(means.values())))):
        scaled = (values - values.mean(0)) / np.maximum(values.std(0), 1e-6)
        rows = features.Features(scaled, videos, labels)
        linear, nearest = (
            100 * evaluate.Probe(name, groups=given.groups)(videos=rows).accuracy
            for name in ("linear", "knn")
        )
        print(f"{branch:11} linear probe {linear:.1f} %, nearest neighbour {nearest:.1f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
