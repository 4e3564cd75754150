"""Curved maps of a clip's frames: local pushes and thin-plate splines."""

import functools

import numpy as np
import tensorflow as tf

from mas.augment import sampling
from mas.augment.sampling import check_clip, integers
from mas.checks import check_range

# In pixels of a 224 x 224 frame, the upper bound exclusive: the authors' code.
SIDE = 224
CENTRE = (60, 140)
PUSH = (10, 20)
REACH = 3  # pushes, from the centre to the border of the window


def push_warp(clip, seed, most=3):
    """Pushes the contents of one to three windows to the right and down, in all frames alike.

    Args:
        clip: uint8 (T, H, W, 3); or flow, float32 (T, H, W, 2), whose vectors stay as they are.
        seed: int32 (2,); the same seed, the same result.
        most: the number of pushes, one after another, is drawn from 1..most.

    Returns:
        Of the clip's type and shape; whole pixels, moved by at most half a push.

    Raises:
        ValueError: an argument is out of its range.

    Source: the spatial local disturbance that the released code of DSM (AAAI 2021) applies. A push
    by (p, q) at the centre (a, b), rows first, moves what comes to the place (x, y) by (p, q) times
    h = 0.5 / (3 (r / l)^4 + 1), cut off to whole pixels, with r the distance from (x, y) to
    (a + p, b + q) and l the length of the push, inside a window of three pushes about the centre.
    There centres are whole numbers of 60..139 and pushes of 10..19, made for 224 x 224; here the
    bounds 60, 140 and 10, 20 (exclusive) are scaled by the height for rows and the width for
    columns, and rounded. The authors warp normalised values, with one draw for a whole batch.
    """
    clip = check_clip(clip, flow=True)
    check_range("most", most, 1)
    return apply_pushes(clip, draw_pushes(seed, clip.shape[1:3], most))


def draw_pushes(seed, shape, most=3):
    """What `push_warp` does to frames of a shape (height, width).

    Returns:
        int32 (most, 4): row and column of the centre, push down and right. All 0: no push.
    """
    numbers = tf.random.stateless_uniform((1 + 4 * most,), seed)
    count = integers(numbers[0], 1, most + 1)
    low, high = zip(*[_scaled(b, side) for b in (CENTRE, PUSH) for side in shape], strict=True)
    pushes = integers(tf.reshape(numbers[1:], (most, 4)), low, high)
    return tf.where(tf.range(most)[:, None] < count, pushes, 0)


def _scaled(bounds, side):
    """Bounds at 224 -> at another side, with one number at least between them, not 0 for pushes."""
    low = max(int(bounds == PUSH), round(bounds[0] * side / SIDE))
    return low, max(low + 1, round(bounds[1] * side / SIDE))


def apply_pushes(clip, pushes):
    """The clip after the pushes that `draw_pushes` returns."""
    return sampling.nearest(clip, _pushed_places(pushes, *clip.shape[1:3]))


@tf.function(jit_compile=True)
def _pushed_places(pushes, height, width):
    """Number of the pixel that comes to each place: int32 (height, width)."""
    places = tf.range(height * width)
    for push in tf.unstack(pushes):
        places = tf.gather(places, tf.reshape(_sources(push, height, width), [-1]))
    return tf.reshape(places, (height, width))


def _sources(push, height, width):
    """The same for one push. Quotients of whole numbers in float64: they are cut off exactly."""
    row, column, down, right = tf.unstack(tf.cast(push, tf.float64))
    x = tf.range(height, dtype=tf.float64)[:, None]
    y = tf.range(width, dtype=tf.float64)
    length = (down**2 + right**2) ** 2  # l^4
    distance = ((x - row - down) ** 2 + (y - column - right) ** 2) ** 2  # r^4
    below = tf.maximum(2 * (3 * distance + length), 1.0)
    from_x = tf.clip_by_value(x - tf.floor(down * length / below), 0, height - 1)
    from_y = tf.clip_by_value(y - tf.floor(right * length / below), 0, width - 1)
    inside = (x >= row - REACH * down) & (x < row + REACH * down)
    inside &= (y >= column - REACH * right) & (y < column + REACH * right)
    return tf.cast(tf.where(inside, from_x * width + from_y, x * width + y), tf.int32)


def thin_plate_warp(clip, seed, points=5, reach=0.1):
    """Bends all frames alike, as a thin plate whose control points are moved at random.

    Args:
        clip: uint8 (T, H, W, 3); or flow, float32 (T, H, W, 2), whose vectors stay as they are.
        seed: int32 (2,); the same seed, the same result.
        points: control points along each axis, on a regular grid from border to border.
        reach: each control point's source is moved by U(-reach, reach) along both axes, as a share
            of half the frame.

    Returns:
        Of the clip's type and shape; bilinear, black where the source lies outside.

    Raises:
        ValueError: an argument is out of its range.

    Source: `Video_Warp` in the authors' code of DSM (AAAI 2021), which the paper's figures show
    and no call uses: kernel 0.5 r^2 log r^2 and an affine part, coordinates from -1 to 1 between
    the centres of the outermost pixels. There zero is the mean colour, for values are normalised
    before; here, as in the figures, it is black.
    """
    clip = check_clip(clip, flow=True)
    check_range("points", points, 2)
    check_range("reach", reach, 0)
    return apply_thin_plate(clip, draw_thin_plate(seed, points, reach))


def draw_thin_plate(seed, points=5, reach=0.1):
    """Float32 (points, points, 2): (x, y) from each control point, row by row, to its source."""
    return tf.random.stateless_uniform((points, points, 2), seed, -reach, reach)


@tf.function(jit_compile=True)
def apply_thin_plate(clip, offsets):
    """The clip bent by the offsets that `draw_thin_plate` returns."""
    height, width = clip.shape[1:3]
    points = offsets.shape[0]
    moved = tf.constant(_influence(height, width, points)) @ tf.reshape(offsets, (points**2, 2))
    moved = tf.reshape(moved, (height, width, 2))
    rows = tf.range(height, dtype=tf.float32)[:, None] + (height - 1) / 2 * moved[..., 1]
    columns = tf.range(width, dtype=tf.float32) + (width - 1) / 2 * moved[..., 0]
    return sampling.bilinear(clip, rows, columns)


@functools.lru_cache(maxsize=8)
def _influence(height, width, points):
    """How far each pixel follows each control point: float32 (height * width, points^2).

    An offset that is the same everywhere moves all pixels by it: each row has the sum 1.
    """
    control, pixels = _grid(points, points), _grid(height, width)
    affine = np.column_stack([np.ones(points**2), control])
    system = np.block([[_kernel(control, control), affine], [affine.T, np.zeros((3, 3))]])
    terms = np.column_stack([_kernel(pixels, control), np.ones(height * width), pixels])
    return (terms @ np.linalg.inv(system)[:, : points**2]).astype(np.float32)


def _grid(height, width):
    """(x, y) of a regular grid over [-1, 1]^2, row by row."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.column_stack([x.ravel(), y.ravel()])


def _kernel(ends, starts):
    """0.5 r^2 log r^2 between all ends and starts; 0 at r = 0."""
    square = np.square(ends[:, None] - starts).sum(-1)
    return 0.5 * square * np.log(np.where(square > 0, square, 1))
