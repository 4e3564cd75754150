"""What one iteration of TV-L1 does to one pixel, in OpenCV's order of float32 operations.

Arrays and indices are those of `iterations`, which calls these functions in its loops.

Sources: C. Zach, T. Pock, H. Bischof, "A duality based approach for realtime TV-L1 optical flow",
DAGM 2007; J. Sanchez, E. Meinhardt-Llopis, G. Facciolo, "TV-L1 optical flow estimation", IPOL 2013,
https://doi.org/10.5201/ipol.2013.26; OpenCV's documentation of `cv2.optflow`. OpenCV's order of
operations, and where it rounds, was measured.
"""

import numpy as np

from mas.flow.compiled import HAS_FMA, fma, helper

U, V, P11, P12, P21, P22 = range(6)
DX, DY, REST, INVERSE = range(4)

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
THETA = np.float32(0.3)
STEP = np.float32(0.15 * 0.3)  # lambda * theta
TAUT = np.float32(0.25 / 0.3)  # tau / theta
LEAST_GRADIENT = np.float32(1.1920929e-07)
NEXT = np.uintp(1)  # unsigned, as all indices: a negative one would count from the end

# Of `_bounded_scale`. UP keeps the rounding errors of squares that matter from being denormal: they
# are slow, and not exact. DOUBT is some 10 times the error of the whole, as a part of a correction.
_UP, _TAUT_DOWN = np.float32(2**24), np.float32(TAUT / 2**24)
_TINY = np.float32(1e-16)  # 2**-102 as a gradient's square: nothing
_LESS, _MORE = np.float32(1 - 2**-16), np.float32(1 + 2**-16)


@helper
def rounded_scale(x, y):
    """1 + taut * g, twice, where g is the float32 of the float64 root of x * x + y * y."""
    a, b = np.float64(x), np.float64(y)
    scale = ONE + TAUT * np.float32(np.sqrt(a * a + b * b))
    return scale, scale


@helper
def _bounded_scale(x, y):
    """Two numbers that `rounded_scale` lies between: all but always, they are the same.

    A float64 root takes as long as all else in an iteration. Here the float32 root is corrected by
    what its square lacks of x * x + y * y, which two float32 numbers hold to within 2**-45.
    """
    x, y = x * _UP, y * _UP
    xx, yy = x * x, y * y
    larger = xx if xx > yy else yy
    smaller = yy if xx > yy else xx
    square = larger + smaller
    missing = (fma(x, x, -xx) + fma(y, y, -yy)) + (smaller - (square - larger))
    root = np.sqrt(square + _TINY)
    correction = (fma(-root, root, square) + missing) * (HALF / root)
    least, most = fma(correction, _LESS, root), fma(correction, _MORE, root)
    return ONE + _TAUT_DOWN * least, ONE + _TAUT_DOWN * most


scale = _bounded_scale if HAS_FMA else rounded_scale


@helper
def _data_step(u, v, dx, dy, rest):
    """(u, v) after the thresholding step on the data term."""
    rho = rest + (dx * u + dy * v)
    gradient = dx * dx + dy * dy
    limit = STEP * gradient
    step = -rho / gradient
    step = step if gradient > LEAST_GRADIENT else ZERO
    step = -STEP if rho > limit else step
    step = STEP if rho < -limit else step
    return u + step * dx, v + step * dy


@helper
def primal(state, data, here, above, source):
    """(u, v) of a pixel: its index and that of the pixel above in `state`, its index in `data`."""
    u, v = _data_step(
        state[U, here], state[V, here], data[DX, source], data[DY, source], data[REST, source]
    )
    left = here - NEXT
    u += THETA * ((state[P11, here] - state[P11, left]) + (state[P12, here] - state[P12, above]))
    v += THETA * ((state[P21, here] - state[P21, left]) + (state[P22, here] - state[P22, above]))
    return u, v


@helper
def first_primal(state, data, here, above, source):
    """`primal` of the first column, where OpenCV adds in another order."""
    u, v = _data_step(
        state[U, here], state[V, here], data[DX, source], data[DY, source], data[REST, source]
    )
    u += THETA * ((state[P11, here] + state[P12, here]) - state[P12, above])
    v += THETA * ((state[P21, here] + state[P22, here]) - state[P22, above])
    return u, v


@helper
def change(state, u, v, here):
    """Squared change of a pixel's flow."""
    du, dv = u - state[U, here], v - state[V, here]
    return du * du + dv * dv
