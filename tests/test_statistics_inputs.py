"""What the labels accept and refuse, and that a pipeline may call them from its threads."""

import importlib

import numpy as np
import pytest
import tensorflow as tf

from mas import statistics
from mas.statistics import regions


def field(size=16, frames=3):
    return np.zeros((frames, size, size, 2), np.float32)


# ---- what is accepted ----------------------------------------------------------------------------


def test_layout_of_the_arrays_does_not_matter():
    rng = np.random.default_rng(5)
    flow = rng.normal(0, 1, (4, 16, 16, 2)).astype(np.float32)
    rgb = rng.integers(0, 256, (5, 16, 16, 3), np.uint8)
    motion, appearance = statistics.motion(flow), statistics.appearance(rgb)
    views = [np.asfortranarray, lambda array: array[:, ::-1].copy()[:, ::-1]]
    for view in views:
        np.testing.assert_array_equal(statistics.motion(view(flow)), motion)
        np.testing.assert_array_equal(statistics.appearance(view(rgb)), appearance)
    flow.flags.writeable = rgb.flags.writeable = False
    np.testing.assert_array_equal(statistics.motion(flow), motion)
    np.testing.assert_array_equal(statistics.appearance(rgb), appearance)
    assert len(compiled("motion")["_boundaries"].signatures) == 1  # and no layout compiles anew
    assert len(compiled("appearance")["_histograms"].signatures) == 1


@pytest.mark.parametrize(
    "flow",
    [
        np.zeros((3, 16, 16, 2)),
        np.zeros((0, 16, 16, 2), np.float32),
        np.zeros((3, 16, 24, 2), np.float32),
        np.zeros((3, 16, 16, 3), np.float32),
        np.zeros((16, 16, 2), np.float32),
        [[1.0]],
    ],
)
def test_what_is_no_flow_is_refused(flow):
    with pytest.raises(ValueError, match=r"flow must be a float32 array .* Received: "):
        statistics.motion(flow)
    with pytest.raises(ValueError, match=r"flow must be a float32 array .* Received: "):
        statistics.motion_boundaries(flow)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0, 0, 0), (2, 7, 8, 1)])
def test_flow_that_is_not_finite_is_refused(value, place):
    flow = field()
    flow[place] = value
    with pytest.raises(ValueError, match="flow must be finite"):
        statistics.motion(flow)


@pytest.mark.parametrize(
    "rgb",
    [
        np.zeros((3, 16, 16, 3)),
        np.zeros((0, 16, 16, 3), np.uint8),
        np.zeros((3, 16, 24, 3), np.uint8),
        np.zeros((3, 16, 16, 4), np.uint8),
        np.zeros((16, 16, 3), np.uint8),
        None,
    ],
)
def test_what_is_no_clip_is_refused(rgb):
    with pytest.raises(ValueError, match=r"rgb must be a uint8 array .* Received: "):
        statistics.appearance(rgb)
    with pytest.raises(ValueError, match=r"rgb must be a uint8 array .* Received: "):
        statistics.overlap(rgb, 1)


@pytest.mark.parametrize("size", [0, 4, 12, 20])
def test_sizes_that_the_patterns_do_not_divide_are_refused(size):
    message = f"size must be a positive multiple of 8. Received: size={size}"
    with pytest.raises(ValueError, match=message):
        statistics.motion(field(size))
    with pytest.raises(ValueError, match=message):
        statistics.appearance(np.zeros((2, size, size, 3), np.uint8), ())
    with pytest.raises(ValueError, match=message):
        regions.masks(2, size)


@pytest.mark.parametrize("patterns", [(0,), (1, 4), (1, 1), 1, "12", ([1],), None])
def test_unknown_patterns_are_refused(patterns):
    for call in (
        lambda: statistics.motion(field(), patterns),
        lambda: statistics.appearance(np.zeros((2, 16, 16, 3), np.uint8), patterns),
        lambda: statistics.motion_names(patterns),
        lambda: statistics.appearance_names(patterns),
    ):
        with pytest.raises(ValueError, match=r"patterns must be .*\[1, 2, 3\]. Received: "):
            call()
    with pytest.raises(ValueError, match=r"patterns must be .*\[1, 2, 3\]. Received: "):
        regions.masks(4, 16)


def test_an_unknown_colour_is_refused():
    with pytest.raises(ValueError, match=r"colour must be one of .* Received: colour='hue'"):
        statistics.appearance(np.zeros((2, 16, 16, 3), np.uint8), colour="hue")


# ---- in a pipeline -------------------------------------------------------------------------------


def test_labels_are_the_same_inside_tf_data():
    rng = np.random.default_rng(9)
    flow = rng.normal(0, 2, (6, 3, 16, 16, 2)).astype(np.float32)
    rgb = rng.integers(0, 256, (6, 4, 16, 16, 3), np.uint8)

    def labels(clip, field):
        return (
            tf.py_function(lambda tensor: statistics.motion(tensor.numpy()), [field], tf.int32),
            tf.py_function(lambda tensor: statistics.appearance(tensor.numpy()), [clip], tf.int32),
        )

    data = tf.data.Dataset.from_tensor_slices((rgb, flow)).map(labels, num_parallel_calls=2)
    for number, (motion, appearance) in enumerate(data.as_numpy_iterator()):
        np.testing.assert_array_equal(motion, statistics.motion(flow[number]))
        np.testing.assert_array_equal(appearance, statistics.appearance(rgb[number]))
    assert number == 5


@pytest.mark.parametrize("name", ["motion", "appearance"])
def test_compiled_loops_release_the_lock_and_are_kept(name):
    loops = compiled(name).values()
    assert len(loops) >= 3
    for loop in loops:
        assert loop.targetoptions["nogil"] and type(loop._cache).__name__ == "FunctionCache"


def compiled(name):
    """The compiled functions of a module of `mas.statistics`, which is hidden by its function."""
    module = importlib.import_module(f"mas.statistics.{name}")
    return {name: value for name, value in vars(module).items() if hasattr(value, "py_func")}
