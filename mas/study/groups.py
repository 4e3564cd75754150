"""Splits labelled videos into a few groups for training and the others for testing."""

from __future__ import annotations

from collections.abc import Sequence

from mas.checks import refuse
from mas.lists import Entry


def few(
    entries: Sequence[Entry], groups: Sequence[str], count: int, most: int, seed: int = 0
) -> tuple[list[Entry], list[Entry]]:
    """Picks the videos of a few groups for training and of unused groups for testing.

    >>> videos = [Entry(f"run/{name}", 0) for name in ("ann", "bob", "cy")]
    >>> train, test = few(videos, ["ann", "bob", "cy"], count=1, most=2, seed=1)
    >>> [entry.video for entry in train], [entry.video for entry in test]
    (['run/bob'], ['run/ann'])

    Args:
        entries: labelled videos.
        groups: the group of each video.
        count: number of training groups.
        most: largest `count` of a comparison; groups beyond it form the test set for every
            `count`.
        seed: index of the first training group; groups are taken in alphabetical order from there.

    Returns:
        (train, test), in the order of `entries`.

    Raises:
        ValueError: If there are not more than `most` groups.
    """
    names = sorted(set(groups))
    if most >= len(names):
        refuse("few", f"fewer than the {len(names)} groups", most)
    turned = [names[(seed + place) % len(names)] for place in range(len(names))]
    chosen, held = turned[:count], turned[most:]

    def of(wanted):
        return [e for e, group in zip(entries, groups, strict=True) if group in wanted]

    return of(chosen), of(held)
