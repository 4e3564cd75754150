"""Nonlinear warps of a clip's frames: local pushes and thin-plate splines."""

import functools

import numpy as np
import tensorflow as tf

from mas.augment import sampling
from mas.augment.sampling import check_clip, integers
from mas.checks import check_range

# In pixels of a 224 x 224 frame, with exclusive upper bounds, as in the authors' code.
SIDE = 224
CENTRE = (60, 140)
PUSH = (10, 20)
REACH = 3  # half the side of the window, in pushes


def push_warp(clip, seed, most=3):
    """Pushes the content of one to three windows right and down, the same in all frames.

    Args:
        clip: uint8 (T, H, W, 3); or flow, float32 (T, H, W, 2), whose vectors are not changed.
        seed: int32 (2,); the same seed gives the same result.
        most: the number of successive pushes is drawn from 1..most.

    Returns:
        A clip with the dtype and shape of `clip`; whole pixels, moved by at most half a push.

    Raises:
        ValueError: If an argument is out of range.

    Source: the spatial local disturbance in the released code of DSM (AAAI 2021). A push by (p, q)
    at the centre (a, b), rows first, shifts the source of (x, y) by (p, q) times h = 0.5 / (3 (r /
    l)^4 + 1), truncated to whole pixels, where r is the distance from (x, y) to (a + p, b + q) and
    l is the length of the push, inside a window that extends three pushes from the centre. For 224
    x 224, centres are integers in 60..139 and pushes in 10..19. Here the bounds 60, 140 and 10, 20
    (exclusive) are scaled by height for rows and width for columns, and rounded. The authors warp
    normalised values, with one draw per batch.
    """
    clip = check_clip(clip, flow=True)
    check_range("most", most, 1)
    return apply_pushes(clip, draw_pushes(seed, clip.shape[1:3], most))


def draw_pushes(seed, shape, most=3):
    """Draws the parameters of `push_warp` for frames of shape (height, width).

    Returns:
        int32 (most, 4): row and column of the centre, push down and right; all 0 for no push.
    """
    numbers = tf.random.stateless_uniform((1 + 4 * most,), seed)
    count = integers(numbers[0], 1, most + 1)
    low, high = zip(*[_scaled(b, side) for b in (CENTRE, PUSH) for side in shape], strict=True)
    pushes = integers(tf.reshape(numbers[1:], (most, 4)), low, high)
    return tf.where(tf.range(most)[:, None] < count, pushes, 0)


def _scaled(bounds, side):
    """Scales bounds from side 224; keeps at least one integer between them, nonzero for pushes."""
    low = max(int(bounds == PUSH), round(bounds[0] * side / SIDE))
    return low, max(low + 1, round(bounds[1] * side / SIDE))


def apply_pushes(clip, pushes):
    """Applies the pushes from `draw_pushes` to a clip."""
    return sampling.nearest(clip, _pushed_places(pushes, *clip.shape[1:3]))


@tf.function(jit_compile=True)
def _pushed_places(pushes, height, width):
    """Returns the source index of each pixel, int32 (height, width)."""
    places = tf.range(height * width)
    for push in tf.unstack(pushes):
        places = tf.gather(places, tf.reshape(_sources(push, height, width), [-1]))
    return tf.reshape(places, (height, width))


def _sources(push, height, width):
    """Does the same for one push; float64 quotients of integers make truncation exact."""
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
    """Warps all frames with the same thin-plate spline, whose control points move at random.

    Args:
        clip: uint8 (T, H, W, 3); or flow, float32 (T, H, W, 2), whose vectors are not changed.
        seed: int32 (2,); the same seed gives the same result.
        points: number of control points along each axis, on a regular grid from border to border.
        reach: each control point's source moves by U(-reach, reach) along both axes, in units of
            half the frame.

    Returns:
        A clip with the dtype and shape of `clip`; bilinear, black where the source is outside.

    Raises:
        ValueError: If an argument is out of range.

    Source: `Video_Warp` in the authors' code of DSM (AAAI 2021), which is shown in the paper's
    figures but never called: kernel 0.5 r^2 log r^2 and an affine part, with coordinates from -1 to
    1 between the centres of the outermost pixels. There values are normalised first, so 0 is the
    mean colour; here it is black, as in the figures.
    """
    clip = check_clip(clip, flow=True)
    check_range("points", points, 2)
    check_range("reach", reach, 0)
    return apply_thin_plate(clip, draw_thin_plate(seed, points, reach))


def draw_thin_plate(seed, points=5, reach=0.1):
    """Draws the offset (x, y) of each control point's source, float32 (points, points, 2)."""
    return tf.random.stateless_uniform((points, points, 2), seed, -reach, reach)


@tf.function(jit_compile=True)
def apply_thin_plate(clip, offsets):
    """Warps a clip by the offsets from `draw_thin_plate`."""
    height, width = clip.shape[1:3]
    points = offsets.shape[0]
    moved = tf.constant(_influence(height, width, points)) @ tf.reshape(offsets, (points**2, 2))
    moved = tf.reshape(moved, (height, width, 2))
    rows = tf.range(height, dtype=tf.float32)[:, None] + (height - 1) / 2 * moved[..., 1]
    columns = tf.range(width, dtype=tf.float32) + (width - 1) / 2 * moved[..., 0]
    return sampling.bilinear(clip, rows, columns)


@functools.lru_cache(maxsize=8)
def _influence(height, width, points):
    """Returns the weight of each control point at each pixel: float32 (height * width, points^2).

    Rows sum to 1, so constant offsets move all pixels by that offset.
    """
    control, pixels = _grid(points, points), _grid(height, width)
    affine = np.column_stack([np.ones(points**2), control])
    system = np.block([[_kernel(control, control), affine], [affine.T, np.zeros((3, 3))]])
    terms = np.column_stack([_kernel(pixels, control), np.ones(height * width), pixels])
    return (terms @ np.linalg.inv(system)[:, : points**2]).astype(np.float32)


def _grid(height, width):
    """Returns (x, y) of a regular grid over [-1, 1]^2, row by row."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.column_stack([x.ravel(), y.ravel()])


def _kernel(ends, starts):
    """Returns 0.5 r^2 log r^2 between all ends and starts; 0 at r = 0."""
    square = np.square(ends[:, None] - starts).sum(-1)
    return 0.5 * square * np.log(np.where(square > 0, square, 1))
