"""Motion and appearance labels: the authors' values, a plain-loop reference, refusals."""

import importlib
import json

import numpy as np
import pytest
import statistics_reference as reference

from mas import statistics
from mas.statistics import regions

MOTION = statistics.motion_names((1, 2, 3), True)
APPEARANCE = statistics.appearance_names((1, 2, 3), True)


@pytest.mark.parametrize("pattern", [1, 2, 3])
def test_masks_equal_reference(pattern):
    for size in (8, 24, 112):
        masks, expected = regions.masks(pattern, size), reference.pixels(pattern, size)
        for mask, pixels in zip(masks, expected, strict=True):
            assert {tuple(p) for p in np.argwhere(mask)} == {tuple(map(int, p)) for p in pixels}


def test_label_names_are_in_label_order():
    first = ("p1_u_location", "p1_u_direction", "p1_v_location", "p1_v_direction", "p2_u_location")
    assert MOTION[:5] == first and MOTION[-2:] == ("u_frame", "v_frame")
    first = "diverse_location", "diverse_colour", "consistent_location", "consistent_colour"
    assert APPEARANCE[:4] == tuple(f"p1_{name}" for name in first)
    assert APPEARANCE[4] == "p2_diverse_location" and APPEARANCE[-1] == "colour"
    assert (len(MOTION), len(APPEARANCE)) == (14, 13)
    assert statistics.motion_names((), False) == statistics.appearance_names((), False) == ()
    assert statistics.motion_names((3,), False)[0] == "p3_u_location"


# ---- the authors' values -------------------------------------------------------------------------


def test_labels_equal_the_authors(shared, golden_inputs):
    """All labels of 24 seeded clips.

    The journal code takes wrong pixels for the colour of the 56-pixel ring (region 2 of pattern 2):
    such a colour would not be compared, but no golden clip has this ring as its most diverse or
    most consistent, which is asserted.
    """
    golden = json.loads((shared / "golden" / "labels.json").read_text())
    assert len(golden) == 24
    for expected in golden:
        rgb, flow = golden_inputs.clip(expected["seed"])
        assert statistics.motion(flow).tolist() == expected["motion"]
        assert statistics.appearance(rgb).tolist() == expected["appearance"]
        journal = expected["appearance_journal_code"]
        assert statistics.appearance(rgb, colour="mode").tolist() == journal
        recorded = dict(zip(APPEARANCE, journal, strict=True))
        assert recorded["p2_diverse_location"] != 2 != recorded["p2_consistent_location"]


# ---- the plain-loop reference --------------------------------------------------------------------

CASES = [  # size, frames, patterns, global labels
    (8, 2, (1, 2, 3), True),
    (16, 16, (1, 2, 3), True),
    (24, 5, (3, 1), False),
    (16, 4, (), True),
]


@pytest.mark.parametrize(("size", "frames", "patterns", "overall"), CASES)
def test_motion_equals_plain_loops(size, frames, patterns, overall):
    flow = np.random.default_rng(0).normal(0, 3, (frames - 1, size, size, 2)).astype(np.float32)
    labels = statistics.motion(flow, patterns, overall)
    assert labels.dtype == np.int32
    assert labels.tolist() == reference.motion(flow, patterns, overall)
    assert len(statistics.motion_names(patterns, overall)) == len(labels)


@pytest.mark.parametrize(("size", "frames", "patterns", "overall"), CASES)
@pytest.mark.parametrize("colour", statistics.COLOURS)
def test_appearance_equals_plain_loops(size, frames, patterns, overall, colour):
    rng = np.random.default_rng(size + frames)
    rgb = (rng.integers(0, 6, (frames, size, size, 3)) * 51).astype(np.uint8)
    rgb[:, : size // 2] = rgb[:1, : size // 2] // 2  # the upper half is dark, and moves less
    rgb[:, : size // 2, :, 0] += rng.integers(0, 2, (frames, size // 2, size), np.uint8)
    labels = statistics.appearance(rgb, patterns, overall, colour)
    assert labels.dtype == np.int32
    assert labels.tolist() == reference.appearance(rgb, patterns, overall, colour)
    assert len(statistics.appearance_names(patterns, overall)) == len(labels)
    for pattern in patterns:
        found, expected = statistics.overlap(rgb, pattern), reference.overlap(rgb, pattern)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


# ---- what is accepted ----------------------------------------------------------------------------


def test_array_layout_does_not_matter():
    rng = np.random.default_rng(5)
    flow = rng.normal(0, 1, (4, 16, 16, 2)).astype(np.float32)
    rgb = rng.integers(0, 256, (5, 16, 16, 3), np.uint8)
    motion, appearance = statistics.motion(flow), statistics.appearance(rgb)
    flow.flags.writeable = rgb.flags.writeable = False
    views = [np.asarray, np.asfortranarray, lambda array: array[:, ::-1].copy()[:, ::-1]]
    for view in views:
        np.testing.assert_array_equal(statistics.motion(view(flow)), motion)
        np.testing.assert_array_equal(statistics.appearance(view(rgb)), appearance)
    assert len(compiled("motion")["_boundaries"].signatures) == 1  # and no layout compiles again
    assert len(compiled("appearance")["_histograms"].signatures) == 1


@pytest.mark.parametrize("name", ["motion", "appearance"])
def test_compiled_loops_release_gil_and_are_cached(name):
    loops = compiled(name).values()
    assert len(loops) >= 3
    for loop in loops:
        assert loop.targetoptions["nogil"] and type(loop._cache).__name__ == "FunctionCache"


def compiled(name):
    """The compiled functions of a module of `mas.statistics`."""
    module = importlib.import_module(f"mas.statistics.{name}_labels")
    return {name: value for name, value in vars(module).items() if hasattr(value, "py_func")}


def refused(match, function, *arguments, **options):
    with pytest.raises(ValueError, match=match):
        function(*arguments, **options)


FLOW, RGB = np.zeros((3, 16, 16, 2), np.float32), np.zeros((3, 16, 16, 3), np.uint8)


def test_rejects_non_clips():
    """Another type, number of axes or channels, a non-square frame, no frames, no array."""
    for part in (FLOW.astype(float), FLOW[:0], FLOW[:, 8:], FLOW[..., :1], FLOW[0], [[1.0]]):
        refused("flow.*Received", statistics.motion, part)
        refused("flow.*Received", statistics.motion_boundaries, part)
    for part in (RGB.astype(float), RGB[:0], RGB[:, 8:], RGB[..., :2], RGB[0], None):
        refused("rgb.*Received", statistics.appearance, part)
        refused("rgb.*Received", statistics.overlap, part, 1)
    for value, place in ((np.nan, (0, 0, 0, 0)), (-np.inf, (2, 7, 8, 1))):
        flow = FLOW.copy()
        flow[place] = value
        refused("flow.*finite", statistics.motion, flow)


def test_rejects_unknown_settings():
    for size in (0, 4, 12, 20):
        refused(f"size={size}", statistics.motion, np.zeros((3, size, size, 2), np.float32))
        refused(f"size={size}", statistics.appearance, np.zeros((2, size, size, 3), np.uint8), ())
        refused(f"size={size}", regions.masks, 2, size)
    for patterns in [(0,), (1, 4), (1, 1), 1, "12", ([1],), None]:
        refused("patterns=", statistics.motion, FLOW, patterns)
        refused("patterns=", statistics.appearance, RGB, patterns)
        refused("patterns=", statistics.motion_names, patterns)
        refused("patterns=", statistics.appearance_names, patterns)
    refused("patterns=", regions.masks, 4, 16)
    refused("colour='hue'", statistics.appearance, RGB, colour="hue")
