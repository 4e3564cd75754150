"""Few labelled groups to train on, all others to test on."""

from __future__ import annotations

from collections.abc import Sequence

from mas.checks import refuse
from mas.lists import Entry


def few(
    entries: Sequence[Entry], groups: Sequence[str], count: int, most: int, seed: int = 0
) -> tuple[list[Entry], list[Entry]]:
    """The videos of some groups to train on, and those of the groups that are never trained on.

    >>> videos = [Entry(f"run/{name}", 0) for name in ("ann", "bob", "cy")]
    >>> train, test = few(videos, ["ann", "bob", "cy"], count=1, most=2, seed=1)
    >>> [entry.video for entry in train], [entry.video for entry in test]
    (['run/bob'], ['run/ann'])

    Args:
        entries: labelled videos.
        groups: the group of each.
        count: groups to train on.
        most: groups to train on in the largest of several comparisons: the test is the same in all.
        seed: of the choice: groups are taken in the order of their names, beginning with this one.

    Returns:
        (train, test), in the order of `entries`.

    Raises:
        ValueError: there are not more groups than `most`.
    """
    names = sorted(set(groups))
    if most >= len(names):
        refuse("few", f"fewer than the {len(names)} groups", most)
    turned = [names[(seed + place) % len(names)] for place in range(len(names))]
    chosen, held = turned[:count], turned[most:]

    def of(wanted):
        return [e for e, group in zip(entries, groups, strict=True) if group in wanted]

    return of(chosen), of(held)
