"""Motion labels of hand-made clips."""

import cv2
import numpy as np
import pytest

from mas import statistics
from mas.statistics import regions

MOTION = statistics.motion_names((1, 2, 3), True)


def named(names, labels):
    return dict(zip(names, labels.tolist(), strict=True))


def field(size=16, frames=3):
    return np.zeros((frames, size, size, 2), np.float32)


def test_boundaries_of_a_ramp_are_minus_six_in_its_direction():
    flow = field(frames=2)
    flow[0, ..., 0] = np.arange(16)  # u grows by 1 a column in one field, by 2 a row in the other
    flow[1, ..., 0] = 2 * np.arange(16)[:, None]
    m_u, m_v = statistics.motion_boundaries(flow)
    assert m_u.shape == (2, 16, 16) and m_u.dtype == np.float32
    border = np.full(16, 6.0)
    border[[0, -1]] = 3  # reflected: half the difference
    np.testing.assert_array_equal(m_u[0], np.tile(-border, (16, 1)))
    np.testing.assert_array_equal(m_u[1], np.tile(-2 * border[:, None], (1, 16)))
    np.testing.assert_array_equal(m_v, 0)


def test_moving_square_is_located():
    """The labels are the cell, ring and triangle that contain its top and left edges."""
    for top, left, *expected in [
        (26, 2, 5, 4, 1),
        (10, 26, 2, 3, 2),
        (2, 34, 3, 4, 3),
        (18, 57, 8, 4, 4),
        (34, 18, 10, 2, 5),
        (42, 26, 10, 2, 6),
        (58, 42, 15, 4, 7),
        (34, 50, 12, 3, 8),
        (29, 29, 6, 1, 1),
    ]:
        flow = field(64)
        flow[:, top : top + 4, left : left + 4, 1] = 1.5  # its boundary is one pixel further out
        labels = named(MOTION, statistics.motion(flow))
        assert [labels[f"p{pattern}_v_location"] for pattern in (1, 2, 3)] == expected
        assert [labels[name] for name in MOTION if "u" in name.split("_")] == [0] * 7


@pytest.mark.parametrize(("offset", "further"), [(10, 0), (35, 1)])
def test_directions_are_shared_between_the_two_nearest_bins(offset, further):
    """A slope towards 45 k + 10 degrees fills bin k most; towards 45 k + 35, the next."""
    y, x = np.mgrid[:32, :32].astype(np.float32)
    for octant in range(8):
        flow, angle = field(32), np.deg2rad(45 * octant + offset)
        # True convolution turns derivatives by 180 degrees: a falling u has a positive one.
        flow[..., 0] = -(np.cos(angle) * x + np.sin(angle) * y)
        flow[..., 1] = -flow[..., 0]
        labels = named(MOTION, statistics.motion(flow, (1, 2, 3), True))
        expected = (octant + further) % 8 + 1
        for pattern in (1, 2, 3):
            assert labels[f"p{pattern}_u_direction"] == expected
            assert labels[f"p{pattern}_v_direction"] == (expected + 3) % 8 + 1


def test_regions_are_compared_by_mean():
    flow = field(32, 1)
    flow[0, ..., 0] = np.arange(32)  # magnitude 6, at the left and right border 3
    magnitude = np.hypot(*statistics.motion_boundaries(flow)[0])
    sums = [magnitude[mask].sum() for mask in regions.masks(2, 32)]
    assert sums == [384, 1152, 1920, 2496]
    assert named(MOTION, statistics.motion(flow))["p2_u_location"] == 1


def test_largest_motion_is_at_bursts():
    flow = field(16, 15)
    flow[:, 4:8, 4:8] = 0.5
    flow[6, 4:8, 4:8, 0] = 3
    flow[11, 4:8, 4:8, 1] = -3
    labels = named(MOTION, statistics.motion(flow))
    assert (labels["u_frame"], labels["v_frame"]) == (7, 12)


def test_ties_give_first_frame_and_region():
    flow = field(16, 4)
    flow[:, 1:3, 1:3, 0] = flow[:, 1:3, 13:15, 0] = 1
    labels = named(MOTION, statistics.motion(flow))
    assert (labels["u_frame"], labels["p1_u_location"], labels["p3_u_location"]) == (1, 1, 1)


def test_uniform_flow_counts_as_no_motion():
    flow = field(24, 15)
    flow += np.random.default_rng(0).normal(0, 7, (15, 1, 1, 2)).astype(np.float32)
    assert not statistics.motion_boundaries(flow).any()
    assert statistics.motion(flow).tolist() == [0] * 14


def test_cancelling_boundaries_give_frame_but_no_location():
    flow = field(16, 2)
    flow[0, 4:8, 4:8, 1] = -1.3
    flow[1, 4:8, 4:8, 1] = 1.3
    labels = named(MOTION, statistics.motion(flow))
    assert labels == {**dict.fromkeys(MOTION, 0), "v_frame": 1}


def test_angle_just_below_360_degrees_is_in_first_bin():
    flow = field(16, 2)
    flow[0, ..., 0] = -np.arange(16)
    flow[1, ..., 0] = 1e-9 * np.arange(16)[:, None]
    m_u, _ = statistics.motion_boundaries(flow)
    assert (m_u[0] > 0).all() and (m_u[1] < 0).all()
    assert np.isin(cv2.cartToPolar(*m_u, angleInDegrees=True)[1], (0, 360)).any()  # rounded
    labels = named(MOTION, statistics.motion(flow))
    assert [labels[f"p{pattern}_u_direction"] for pattern in (1, 2, 3)] == [1, 1, 1]
