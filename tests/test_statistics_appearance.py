"""Appearance labels of hand-made clips."""

import numpy as np
import pytest

from mas import statistics
from mas.statistics import regions

APPEARANCE = statistics.appearance_names((1, 2, 3), True)

OCTANTS = {  # R G B
    1: (0, 127, 255),
    2: (20, 128, 128),
    3: (200, 0, 130),
    4: (128, 128, 128),
    5: (127, 127, 127),
    6: (3, 250, 90),
    7: (255, 0, 0),
    8: (128, 200, 127),
}


@pytest.mark.parametrize("colour", statistics.COLOURS)
def test_still_clip_of_one_colour(colour):
    for octant, value in OCTANTS.items():
        rgb = np.broadcast_to(np.array(value, np.uint8), (5, 48, 48, 3))
        labels = statistics.appearance(rgb, colour=colour)
        assert labels.tolist() == [1, octant] * 6 + [octant]  # all equal: the first region


def test_changing_cell_is_most_diverse_and_still_cell_most_consistent():
    for cell, octant, value in (
        (1, 2, (40, 210, 200)),
        (7, 7, (200, 50, 40)),
        (16, 2, (9, 210, 200)),
    ):
        mask = regions.masks(1, 32)[cell - 1]
        rgb = np.zeros((6, 32, 32, 3), np.uint8)
        rgb[:, mask] = value
        rgb[4, mask] = np.array(value) + 3
        labels = dict(zip(APPEARANCE, statistics.appearance(rgb).tolist(), strict=True))
        assert (labels["p1_diverse_location"], labels["p1_diverse_colour"]) == (cell, octant)
        assert labels["p1_consistent_colour"] == labels["colour"] == 5
        rgb[:, mask] = value
        rgb[:, ~mask] = np.random.default_rng(cell).integers(0, 256, (6, 960, 3))
        labels = dict(zip(APPEARANCE, statistics.appearance(rgb).tolist(), strict=True))
        assert (labels["p1_consistent_location"], labels["p1_consistent_colour"]) == (cell, octant)


def test_overlap_of_one_changed_pixel_in_closed_form():
    """The pixel is on a diagonal: both triangles count it, and their 36 pixels differ by one."""
    rgb = np.zeros((4, 16, 16, 3), np.uint8)
    rgb[2, 3, 3] = 200
    expected = np.ones(8)
    expected[:2] = 35 / 37
    np.testing.assert_allclose(statistics.overlap(rgb, 3), expected, rtol=1e-15)
    rgb[2, 3, 3] = (0, 0, 200)
    expected[:2] = (1 + 1 + 35 / 37) / 3
    np.testing.assert_allclose(statistics.overlap(rgb, 3), expected, rtol=1e-15)


def test_fullest_octant_may_differ_from_octant_of_mode():
    rgb = np.empty((2, 16, 16, 3), np.uint8)
    rgb[:, :6] = (0, 0, 255)  # 6 rows of one blue, 10 rows of 10 reds
    rgb[:, 6:] = [[[200 + row, 0, 0]] for row in range(10)]
    assert statistics.appearance(rgb, ())[0] == 7
    assert statistics.appearance(rgb, (), colour="mode")[0] == 1


def test_mode_ties_give_smallest_value():
    rgb = np.zeros((2, 8, 8, 3), np.uint8)
    rgb[0], rgb[1] = (255, 255, 10), (0, 0, 128)
    assert statistics.appearance(rgb, (), colour="mode")[0] == 8
