"""One iteration of TV-L1 for one pixel, in OpenCV's order of float32 operations.

Arrays and indices are those of `iterations`, whose loops call these functions.

Sources: C. Zach, T. Pock, H. Bischof, "A duality based approach for realtime TV-L1 optical flow",
DAGM 2007; J. Sanchez, E. Meinhardt-Llopis, G. Facciolo, "TV-L1 optical flow estimation", IPOL 2013,
https://doi.org/10.5201/ipol.2013.26; OpenCV's documentation of `cv2.optflow`. OpenCV's order of
operations and rounding was determined by measurement.
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
NEXT = np.uintp(1)  # unsigned like all indices: negative ones would wrap around

# For `_bounded_scale`. _UP keeps relevant rounding errors of squares from being denormal, which is
# slow and inexact. _LESS and _MORE allow for about 10 times the total error of the correction.
_UP, _TAUT_DOWN = np.float32(2**24), np.float32(TAUT / 2**24)
_TINY = np.float32(1e-16)  # 2**-102 as a squared gradient: negligible
_LESS, _MORE = np.float32(1 - 2**-16), np.float32(1 + 2**-16)


@helper
def rounded_scale(x, y):
    """Returns 1 + taut * g, twice; g is sqrt(x * x + y * y) in float64, rounded to float32."""
    a, b = np.float64(x), np.float64(y)
    scale = ONE + TAUT * np.float32(np.sqrt(a * a + b * b))
    return scale, scale


@helper
def _bounded_scale(x, y):
    """Returns a lower and an upper bound of `rounded_scale`, which are almost always equal.

    A float64 root takes as long as everything else in an iteration. Here the float32 root is
    corrected by the rounding error of its square, which two float32 numbers hold to within 2**-45.
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
    """Returns (u, v) after the thresholding step on the data term."""
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
    """Returns the new (u, v) of a pixel, from its index and the index above it."""
    u, v = _data_step(
        state[U, here], state[V, here], data[DX, source], data[DY, source], data[REST, source]
    )
    left = here - NEXT
    u += THETA * ((state[P11, here] - state[P11, left]) + (state[P12, here] - state[P12, above]))
    v += THETA * ((state[P21, here] - state[P21, left]) + (state[P22, here] - state[P22, above]))
    return u, v


@helper
def first_primal(state, data, here, above, source):
    """Does `primal` for the first column, where OpenCV adds in a different order."""
    u, v = _data_step(
        state[U, here], state[V, here], data[DX, source], data[DY, source], data[REST, source]
    )
    u += THETA * ((state[P11, here] + state[P12, here]) - state[P12, above])
    v += THETA * ((state[P21, here] + state[P22, here]) - state[P22, above])
    return u, v


@helper
def change(state, u, v, here):
    """Returns the squared change of a pixel's flow."""
    du, dv = u - state[U, here], v - state[V, here]
    return du * du + dv * dv
