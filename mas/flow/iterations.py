"""The inner loop of TV-L1: iterations at one scale and warp.

Fields are flat arrays with rows of `stride` floats, a multiple of LANES larger than the width.
Image row y starts at (y + 1) * stride. The row above the image is 0, column `width` repeats the
last column, and the row below the image repeats the last row, so that differences need no special
case at borders. The image never reads anything further right.

* `state`, float32 (6, n): u, v, the dual fields p11, p12 of u, and p21, p22 of v.
* `data`, float32 (4, n): derivatives of the warped image in x and y, the rest of the residual (rho
  at u = v = 0), and 1 / (squared gradient) or 0, which only the fast form reads.

An iteration reads one state and writes another in one pass over memory. It computes u and v of a
row and, two rows behind, the dual fields, whose inputs are complete by then. The functions of rows
take the indices of row y: `here` in `state`, `source` in `data`, `target` in `new`.
"""

import numpy as np

from mas.flow.compiled import entry, fast_inner_loop, helper, inner_loop, loop
from mas.flow.steps import (
    DX,
    DY,
    INVERSE,
    NEXT,
    ONE,
    P11,
    P12,
    P21,
    P22,
    REST,
    STEP,
    TAUT,
    THETA,
    ZERO,
    U,
    V,
    change,
    first_primal,
    primal,
    rounded_scale,
    scale,
)

LANES = 16  # a multiple of the vector length of every processor
INNER = 30  # maximum number of iterations between two median filters
ROWS = 32  # kept between the two iterations of one pass
NEEDED = 5  # rows before y that are still needed


@loop
def _primal_row(count, stride, here, source, target, state, data, new, errors):
    """Updates the flow of `count` pixels of row y; adds the squared changes to `errors`."""
    above = here - stride
    for i in range(count):
        u, v = primal(state, data, here + i, above + i, source + i)
        errors[i] += change(state, u, v, here + i)
        new[U, target + i] = u
        new[V, target + i] = v


@loop
def _dual_row(count, stride, here, target, state, new):
    """Updates the dual fields of `count` pixels of row y - 2."""
    old, below = here - stride - stride, target - stride
    row = below - stride
    for i in range(count):
        m = row + i
        for k in range(2):  # u, v
            x, y = new[k, m + NEXT] - new[k, m], new[k, below + i] - new[k, m]
            divisor, _ = rounded_scale(x, y)
            first = P11 + 2 * k
            new[first, m] = (state[first, old + i] + TAUT * x) / divisor
            new[first + 1, m] = (state[first + 1, old + i] + TAUT * y) / divisor


@inner_loop
def _row(count, stride, here, source, target, state, data, new, errors):
    """Does `_primal_row` and `_dual_row`; returns whether dual fields are in doubt."""
    above, below = here - stride, target - stride
    old, row = above - stride, below - stride
    doubt = np.int32(0)
    for i in range(count):
        u, v = primal(state, data, here + i, above + i, source + i)
        errors[i] += change(state, u, v, here + i)
        new[U, target + i] = u
        new[V, target + i] = v
        m, n = row + i, old + i
        x, y = new[U, m + NEXT] - new[U, m], new[U, below + i] - new[U, m]
        divisor, other = scale(x, y)
        doubt = np.int32(doubt | np.int32(divisor != other))
        new[P11, m] = (state[P11, n] + TAUT * x) / divisor
        new[P12, m] = (state[P12, n] + TAUT * y) / divisor
        x, y = new[V, m + NEXT] - new[V, m], new[V, below + i] - new[V, m]
        divisor, other = scale(x, y)
        doubt = np.int32(doubt | np.int32(divisor != other))
        new[P21, m] = (state[P21, n] + TAUT * x) / divisor
        new[P22, m] = (state[P22, n] + TAUT * y) / divisor
    return doubt != 0


@fast_inner_loop
def _fast_row(count, stride, here, source, target, state, data, new, errors):
    """Does `_row` with float32 roots, one division for both fields, and any order of operations."""
    above, below = here - stride, target - stride
    old, row = above - stride, below - stride
    for i in range(count):
        j, k, s = here + i, above + i, source + i
        left = j - NEXT
        u, v, dx, dy = state[U, j], state[V, j], data[DX, s], data[DY, s]
        step = -(data[REST, s] + dx * u + dy * v) * data[INVERSE, s]
        step = min(max(step, -STEP), STEP)
        div_u = state[P11, j] - state[P11, left] + state[P12, j] - state[P12, k]
        div_v = state[P21, j] - state[P21, left] + state[P22, j] - state[P22, k]
        du, dv = step * dx + THETA * div_u, step * dy + THETA * div_v
        errors[i] += du * du + dv * dv
        new[U, target + i] = u + du
        new[V, target + i] = v + dv
        m, n = row + i, old + i
        ux, uy = new[U, m + NEXT] - new[U, m], new[U, below + i] - new[U, m]
        vx, vy = new[V, m + NEXT] - new[V, m], new[V, below + i] - new[V, m]
        u_scale = ONE + TAUT * np.sqrt(ux * ux + uy * uy)
        v_scale = ONE + TAUT * np.sqrt(vx * vx + vy * vy)
        inverse = ONE / (u_scale * v_scale)
        new[P11, m] = (state[P11, n] + TAUT * ux) * (inverse * v_scale)
        new[P12, m] = (state[P12, n] + TAUT * uy) * (inverse * v_scale)
        new[P21, m] = (state[P21, n] + TAUT * vx) * (inverse * u_scale)
        new[P22, m] = (state[P22, n] + TAUT * vy) * (inverse * u_scale)


@helper
def _edges(width, stride, here, source, target, state, data, new):
    """Updates the first pixel of row y, returns its squared change, and repeats the last pixel."""
    u, v = first_primal(state, data, here, here - stride, source)
    new[U, target] = u
    new[V, target] = v
    last = target + np.uintp(width)
    new[U, last] = new[U, last - NEXT]
    new[V, last] = new[V, last - NEXT]
    return change(state, u, v, here)


@helper
def _copy(count, source, target, first, last, fields):
    """Copies `count` numbers of fields first to last - 1."""
    for k in range(first, last):
        for i in range(count):
            fields[k, target + i] = fields[k, source + i]


# Rows are processed twice in one function, because calls that pass arrays count references.
@helper
def _iterate(fast, twice, size, kept, state, data, middle, new, errors):
    """Does one iteration, from `state` to `middle`, or two in one pass over memory, to `new`.

    The second iteration follows two rows behind the first. `middle` contains at least `kept` rows;
    when it is full, the rows that are still needed move to its start.

    Returns:
        The sums of squared changes of both iterations, not in OpenCV's order of summation.
    """
    height, width, stride = size[0], size[1], np.uintp(size[2])
    count = np.uintp((width + LANES - 1) // LANES * LANES)
    errors[:] = ZERO
    ours, theirs = errors[0], errors[1]
    middle[P11:, :stride] = ZERO
    first = second = 0.0
    gone = 0  # rows discarded from `middle`
    for y in range(1, height + (5 if twice else 3)):
        if y - gone == kept:
            gone += kept - NEEDED
            still = np.uintp(kept - NEEDED) * stride
            _copy((NEEDED + 1) * stride, still, np.uintp(0), U, P22 + 1, middle)
        here, target = np.uintp(y) * stride, np.uintp(y - gone) * stride
        if y <= height:
            if y < 3:
                _primal_row(count, stride, here, here, target, state, data, middle, ours)
            elif fast:
                _fast_row(count, stride, here, here, target, state, data, middle, ours)
            elif _row(count, stride, here, here, target, state, data, middle, ours):
                _dual_row(count, stride, here, target, state, middle)
            first += _edges(width, stride, here, here, target, state, data, middle)
            if y == height:
                _copy(count + NEXT, target, target + stride, U, P11, middle)
        elif 2 < y < height + 3:
            _dual_row(count, stride, here, target, state, middle)
        if twice and y > 2:
            here -= stride + stride
            target -= stride + stride
            if y < height + 3:
                if y < 5:
                    _primal_row(count, stride, target, here, here, middle, data, new, theirs)
                elif fast:
                    _fast_row(count, stride, target, here, here, middle, data, new, theirs)
                elif _row(count, stride, target, here, here, middle, data, new, theirs):
                    _dual_row(count, stride, target, here, middle, new)
                second += _edges(width, stride, target, here, here, middle, data, new)
                if y == height + 2:
                    _copy(count + NEXT, here, here + stride, U, P11, new)
            elif y > 4:
                _dual_row(count, stride, target, here, middle, new)
    return first + _total(width, ours), second + _total(width, theirs)


@helper
def _total(width, errors):
    """Returns the sum of the columns' errors, except the first column's."""
    total = 0.0
    for x in range(1, width):
        total += errors[x]
    return total


@helper
def _serial_error(size, state, new):
    """Returns the sum of squared changes in OpenCV's order: float32, one pixel after another."""
    height, width, stride = size
    error = ZERO
    for y in range(1, height + 1):
        for here in range(y * stride, y * stride + width):
            error += change(state, new[U, here], new[V, here], here)
    return np.float64(error)


def _minimise(fast, paired, height, width, stride, limit, state, data, new, errors, between):
    """Iterates at most INNER times, until the flow changes by at most `limit`.

    Sums of n float32 numbers in different orders agree to within n / 2**24, so almost always any
    order decides whether the limit is exceeded. If it does not, OpenCV's order is used. Iterations
    are done in pairs while the first of a pair is not expected to be the last. If it was the last,
    or in case of doubt, both are repeated one at a time.

    Args:
        fast: whether to use the fast form.
        paired: whether to do two iterations per pass over memory, which is faster for large images
            and gives the same result.
        height: image height in pixels.
        width: image width in pixels.
        stride: row stride of the arrays.
        limit: limit for the sum of squared changes.
        state: initial state.
        data: terms of the warped image.
        new: buffer with the shape of `state`.
        errors: buffer, float32 (2, stride).
        between: buffer, float32 (6, (ROWS + 1) * stride).

    Returns:
        (whether the result is in `new`, whether the last change was above the limit).
    """
    size = (height, width, stride)
    terms = (height + 1) * (width + 1) / 2.0**24
    slack = terms / (1 - terms) if terms < 0.5 else 1.0
    count, passes, error, expected = 0, 0, np.inf, np.inf
    while error > limit and count < INNER:
        twice = paired and expected > limit and count + 2 <= INNER
        middle, last, kept = (between, new, ROWS) if twice else (new, between, height + 9)
        first, second = _iterate(fast, twice, size, kept, state, data, middle, last, errors)
        before, error = (first, second) if twice else (error, first)
        clear = abs(error - limit) > slack * error
        if twice and not (clear and before > limit * (1 + slack)):
            error, expected = np.inf, 0.0
            continue
        if not (twice or fast or clear):
            error = _serial_error(size, state, new)
        state, new = new, state
        count, passes = count + (2 if twice else 1), passes + 1
        expected = error * min(error / before, 1.0)
    return passes % 2 == 1, error > limit


_FIELDS = "float32[:, ::1]"
minimise = entry(
    _minimise, f"(boolean, boolean, intp, intp, intp, float64, {', '.join([_FIELDS] * 5)})"
)
