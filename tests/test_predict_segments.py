"""Joined windows of one class: closed forms, and a plain loop instead of the heap."""

import numpy as np
import pytest

from mas.prediction.segments import NONE, Track, _joined


def track(labels, probabilities=None, length=2.0, step=1.0):
    found = Track()
    for number, label in enumerate(labels):
        share = 0.9 if probabilities is None else probabilities[number]
        found.add(number * step, number * step + length, label, share)
    return found


def parts(found):
    return [(part.label, part.start, part.end, part.windows) for part in found]


def test_window_covers_nearest_time():
    found = track([0, 0, 1, 1, 0])
    assert found.bounds(6.0).tolist() == [0, 1.5, 2.5, 3.5, 4.5, 6]
    assert parts(found.segments(6.0)) == [(0, 0, 2.5, 2), (1, 2.5, 4.5, 2), (0, 4.5, 6, 1)]


def test_single_window_covers_video():
    assert parts(track([3]).segments(7.0)) == [(3, 0, 7, 1)]
    assert Track().segments(7.0) == []


def test_unlikely_windows_have_no_class():
    shares = [0.9, 0.4, 0.5, 0.8]
    found = track([0, 0, 1, 1], shares).segments(5.0, threshold=0.5)
    assert parts(found) == [(0, 0, 1.5, 1), (NONE, 1.5, 2.5, 1), (1, 2.5, 5, 2)]
    assert [part.probability for part in found] == pytest.approx([0.9, 0.4, 0.65])


def test_short_segment_joins_longer_neighbour():
    labels = [0] * 5 + [1] + [2] * 3
    found = track(labels).segments(10.0, min_seconds=1.5)
    assert parts(found) == [(0, 0, 6.5, 6), (2, 6.5, 10, 3)]
    assert found[0].probability == pytest.approx(0.9)


def test_adjacent_segments_of_one_class_merge():
    found = track([0, 0, 1, 0, 0, 0]).segments(7.0, min_seconds=1.5)
    assert parts(found) == [(0, 0, 7, 6)]


def test_probability_is_mean_over_windows_of_class():
    found = track([0, 0, 1, 0], [0.6, 0.8, 1.0, 0.7]).segments(5.0, min_seconds=1.5)
    assert found[0].probability == pytest.approx(0.7)


def reference(labels, bounds, least):
    """The reference, a plain loop: the shortest first; ties by position."""
    found = [[n, label, bounds[n], bounds[n + 1]] for n, label in enumerate(labels)]
    while len(found) > 1:
        lengths = [part[3] - part[2] for part in found]
        place = int(np.argmin(lengths))
        if lengths[place] >= least:
            break
        sides = [s for s in (place - 1, place + 1) if 0 <= s < len(found)]
        found[place][1] = found[max(sides, key=lambda side: (lengths[side], -side))][1]
        joined = [found[0]]
        for part in found[1:]:
            if part[1] == joined[-1][1]:
                joined[-1][3] = part[3]
            else:
                joined.append(part)
        found = joined
    return [(part[0], part[1]) for part in found]


@pytest.mark.parametrize("seed", range(20))
def test_joins_equal_plain_loop(seed):
    rng = np.random.default_rng(seed)
    labels = np.cumsum(rng.integers(1, 4, 60)) % 4  # each other than the one before
    bounds = np.concatenate([[0], np.cumsum(rng.integers(1, 9, 60))]).astype(float)
    least = float(rng.integers(1, 30))
    assert _joined(labels.tolist(), bounds.tolist(), least) == reference(labels, bounds, least)
