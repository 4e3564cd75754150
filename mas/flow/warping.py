"""Warping of the second image by the flow, and linearisation of the residual.

OpenCV 5 samples with bicubic weights at the exact position, in fused multiply-adds. Here the image
and both derivatives are sampled at once, in the same order. OpenCV 4 uses the nearest of 32 x 32
weights, in orders that differ between versions. `is_opencv` tells whether `warp` equals the
installed version; if not, OpenCV warps and `linearise` does the rest.

`images` is a flat float32 array (height + 8, width + 8, 4): the image, its derivatives in x and y,
and a 0, with a border of zeros. Other arrays are those of `iterations`.
"""

import functools

import cv2
import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from mas.flow.compiled import HAS_FMA, entry, fma, helper
from mas.flow.steps import DX, DY, HALF, INVERSE, LEAST_GRADIENT, ONE, REST, ZERO, U, V

ir = cgutils.ir
BORDER = 4  # pixels reached by the taps of a position outside the image
CHANNELS = 4

_A = np.float32(-0.75)
_A2, _A3 = _A + np.float32(2), _A + np.float32(3)
_FAR = np.float32(BORDER - 1)  # pixels outside the image at which all taps are 0


@helper
def _weights(x):
    """Returns the four bicubic weights of a fraction, rounded as in OpenCV 5."""
    y = ONE - x
    before, after = y * y * x * _A, x * x * y * _A
    here = fma(fma(_A2, x, -_A3), x * x, ONE)
    return before, here, ONE - before - here - after, after


@intrinsic
def _sample(typing, images, first, step, in_x, in_y):
    """Returns weighted sums of 4 x 4 pixels from `first` on: (image, dx, dy), with SIMD."""
    result = types.UniTuple(types.float32, 3)

    def generate(context, builder, signature, arguments):
        array, first, step, *weights = arguments
        data = context.make_array(signature.args[0])(context, builder, array).data
        lanes = ir.VectorType(ir.FloatType(), CHANNELS)
        fused = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(lanes, [lanes] * 3), f"llvm.fma.v{CHANNELS}f32"
        )

        def spread(number):
            vector = ir.Constant(lanes, ir.Undefined)
            for lane in range(CHANNELS):
                vector = builder.insert_element(vector, number, ir.IntType(32)(lane))
            return vector

        def add(total, value, weight):
            product = [value, weight]
            return builder.call(fused, [*product, total]) if total else builder.fmul(*product)

        in_x, in_y = ([spread(builder.extract_value(w, k)) for k in range(4)] for w in weights)
        total = None
        for y_weight in in_y:
            row = None
            for x, x_weight in enumerate(in_x):
                place = builder.gep(data, [builder.add(first, first.type(x * CHANNELS))])
                pixel = builder.load(builder.bitcast(place, lanes.as_pointer()), align=4)
                row = add(row, pixel, x_weight)
            total = add(total, row, y_weight)
            first = builder.add(first, step)
        values = [builder.extract_element(total, ir.IntType(32)(lane)) for lane in range(3)]
        return context.make_tuple(builder, result, values)

    return result(images, first, step, in_x, in_y), generate


@helper
def _whole(x, most):
    """Returns a position, clamped to where all taps are 0, and the largest integer below it."""
    x = x if x > -_FAR else -_FAR
    x = x if x < most else most
    whole = np.int32(x)
    return x, np.int32(whole - np.int32(np.float32(whole) > x))


@helper
def _complete(here, dx, dy, warped, base, state, data):
    """Sets `data` for one pixel; `base` is its value in the first image."""
    gradient = dx * dx + dy * dy
    data[DX, here] = dx
    data[DY, here] = dy
    data[REST, here] = warped - dx * state[U, here] - dy * state[V, here] - base
    data[INVERSE, here] = ONE / gradient if gradient > LEAST_GRADIENT else ZERO


def _warp(stride, base, images, places, state, data):
    """Warps the second image by the flow and fills `data`.

    Args:
        stride: row stride of `state` and `data`.
        base: float32 (height, width), the first image.
        images: the second image and its derivatives.
        places: buffers, float32 (8, width) and int32 (width,).
        state: the flow.
        data: the result.
    """
    height, width = base.shape
    step = (width + 2 * BORDER) * CHANNELS
    far_x, far_y = np.float32(width) + _FAR - ONE - ONE, np.float32(height) + _FAR - ONE - ONE
    weights, firsts = places
    for y in range(height):
        row = (y + 1) * stride
        flow_u, flow_v = state[U, row : row + width], state[V, row : row + width]
        for x in range(width):
            at_x, left = _whole(np.float32(x) + flow_u[x], far_x)
            at_y, top = _whole(np.float32(y) + flow_v[x], far_y)
            firsts[x] = (top + BORDER - 1) * step + (left + BORDER - 1) * CHANNELS
            a, b, c, d = _weights(at_x - np.float32(left))
            weights[0, x], weights[1, x], weights[2, x], weights[3, x] = a, b, c, d
            a, b, c, d = _weights(at_y - np.float32(top))
            weights[4, x], weights[5, x], weights[6, x], weights[7, x] = a, b, c, d
        for x in range(width):
            warped, dx, dy = _sample(
                images,
                np.uintp(firsts[x]),
                np.uintp(step),
                (weights[0, x], weights[1, x], weights[2, x], weights[3, x]),
                (weights[4, x], weights[5, x], weights[6, x], weights[7, x]),
            )
            _complete(np.uintp(row + x), dx, dy, warped, base[y, x], state, data)


def _linearise(stride, base, state, data):
    """Completes `data`, whose first fields hold the warped derivatives and the warped image."""
    height, width = base.shape
    for y in range(height):
        for x in range(width):
            here = np.uintp((y + 1) * stride + x)
            warped = data[REST, here]
            _complete(here, data[DX, here], data[DY, here], warped, base[y, x], state, data)


def _differentiate(image, images):
    """Fills `images`; derivatives are central differences, with border pixels repeated."""
    height, width = image.shape
    for y in range(height):
        here, above, below = image[y], image[max(y - 1, 0)], image[min(y + 1, height - 1)]
        for x in range(width):
            at = ((y + BORDER) * (width + 2 * BORDER) + x + BORDER) * CHANNELS
            images[at] = here[x]
            images[at + 1] = HALF * (here[min(x + 1, width - 1)] - here[max(x - 1, 0)])
            images[at + 2] = HALF * (below[x] - above[x])


_FIELDS, _IMAGE, _FLAT = "float32[:, ::1]", "float32[:, ::1]", "float32[::1]"
_PLACES = f"Tuple(({_FIELDS}, int32[::1]))"
differentiate = entry(_differentiate, f"({_IMAGE}, {_FLAT})")
linearise = entry(_linearise, f"(intp, {_IMAGE}, {_FIELDS}, {_FIELDS})")
warp = HAS_FMA and entry(_warp, f"(intp, {_IMAGE}, {_FLAT}, {_PLACES}, {_FIELDS}, {_FIELDS})")


def size(shape: tuple[int, int]) -> int:
    """Returns the number of elements of `images` for images of a given shape."""
    return (shape[0] + 2 * BORDER) * (shape[1] + 2 * BORDER) * CHANNELS


def places(width: int) -> tuple[np.ndarray, np.ndarray]:
    """Creates the buffers that `warp` needs."""
    return np.zeros((8, width), np.float32), np.zeros(width, np.int32)


def planes(images: np.ndarray, shape: tuple[int, int]) -> list[np.ndarray]:
    """Returns the image and its derivatives, float32 (height, width) each, for OpenCV."""
    padded = images[: size(shape)].reshape(shape[0] + 2 * BORDER, -1, CHANNELS)
    inner = padded[BORDER:-BORDER, BORDER:-BORDER]
    return [np.ascontiguousarray(inner[..., k]) for k in range(3)]


@functools.cache
def is_opencv() -> bool:
    """Whether `warp` equals `remap` of the installed OpenCV on this processor, bit for bit."""
    if not warp:
        return False
    shape = height, width = 61, 64
    random = np.random.default_rng(0)
    image = random.uniform(0, 255, shape).astype(np.float32)
    images = np.zeros(size(shape), np.float32)
    differentiate(image, images)
    state, data = np.zeros((2, 6, (height + 1) * width), np.float32)
    flow = random.normal(0, 20, (2, *shape)).astype(np.float32)
    state[:2, width:] = flow.reshape(2, -1)
    warp(width, np.zeros_like(image), images, places(width), state, data)
    y, x = np.indices(shape, np.float32)
    maps = x + flow[U], y + flow[V]
    warped, *slopes = (cv2.remap(plane, *maps, cv2.INTER_CUBIC) for plane in planes(images, shape))
    rest = warped - slopes[0] * flow[U] - slopes[1] * flow[V]
    expected = np.stack([*slopes, rest]).reshape(3, -1)
    return data[:INVERSE, width:].tobytes() == expected.tobytes()
