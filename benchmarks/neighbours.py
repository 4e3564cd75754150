r"""Measures how many of a clip's nearest clips, from other groups, have its class.

    python benchmarks/neighbours.py --index=INDEX [--groups='/(\w+?)_'] [--top=10] [--whiten=32,0]

A video's folder is its class, because an index has no classes. --groups is a regular expression
that matches a video's group in its id, such as the actor. Clips of the query's group are excluded,
so that a hit is never a clip of the same recording. Every clip is a query. For comparison, make an
index of the same network with random weights: `mas index --random --seed=0`.

For each --whiten, fitted on the index's features, it prints the share of the --top nearest clips
that have the query's class, the same for the single nearest clip, and chance: the share of the
class among the clips that are not excluded.
"""

import argparse
import re
import sys

import numpy as np

from mas.index import Index, fitting, searching


def groups_of(index, pattern):
    """The match of an expression in the id of each clip's video: its first group, or all."""
    found = []
    for video in index.videos:
        match = re.search(pattern, video.video)
        if match is None:
            raise SystemExit(f"--groups must be found in every id. Received: {video.video}.")
        found.append(match.group(match.re.groups > 0))
    return np.array(found)[index.clips["video"]]


def shares(units, classes, groups, top):
    """(share of the class among the nearest, of the nearest one, by chance)."""
    near, first, chance = [], [], []
    for row, query in enumerate(units):
        others = np.flatnonzero(groups != groups[row])
        right = classes[others] == classes[row]
        best = searching.ranked(units[others] @ query, top)
        near.append(right[best].mean())
        first.append(right[best[0]])
        chance.append(right.mean())
    return np.mean(near), np.mean(first), np.mean(chance)


def main(arguments=None):
    """Exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--index", required=True)
    parser.add_argument("--groups", default=r"/(\w+?)_")
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--whiten", default="32,0")
    given = parser.parse_args(arguments)
    index = Index.open(given.index)
    values = index.features(slice(None))
    classes = np.array([video.video.rpartition("/")[0] for video in index.videos])
    classes, groups = classes[index.clips["video"]], groups_of(index, given.groups)
    print(f"{len(index)} clips of {len(set(classes))} classes and {len(set(groups))} groups")
    for count in map(int, given.whiten.split(",")):
        found = shares(fitting.fit(values, count)(values), classes, groups, given.top)
        name = f"whitened to {count}" if count else "raw"
        near, first, chance = (f"{100 * value:.1f} %" for value in found)
        print(f"{name:15} nearest {given.top}: {near}, nearest: {first}, by chance: {chance}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
