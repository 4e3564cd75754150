"""Dual TV-L1 flow: image pyramid, warps and median filters.

Bit for bit equal to OpenCV's `DualTVL1OpticalFlow` with default parameters, for any installed
version, which also does the resizing and median filtering here. Sources: see `steps`.
"""

from __future__ import annotations

import cv2
import numpy as np

from mas.flow import warping
from mas.flow.iterations import LANES, ROWS, minimise
from mas.flow.steps import DX, DY, REST, U, V

SCALES = 5
RATIO = 0.8  # between adjacent scales
SMALLEST = 16  # pixels; shortest side of a scale below full resolution
WARPS = 5
OUTER = 10  # maximum number of median filters per warp
MEDIAN = 5  # pixels
CHANGE = 0.01  # pixels; mean change at which the flow has converged
LARGE = 48 * 1024  # pixels, at 64 bytes each, that do not fit a core's own cache
PAGE, STAGGER = 1024, 80  # float32 numbers: see `_fields`


class Tvl1:
    """TV-L1 between frames of any size; reuses its memory while the size stays the same."""

    def __init__(self, fast: bool = False):
        """Creates an estimator for one thread.

        Args:
            fast: whether sums and roots may be rounded differently from OpenCV.
        """
        self._fast = fast
        self._scales: list[_Scale] = []

    def pyramid(self, frame: np.ndarray) -> list[np.ndarray]:
        """Returns the scales of a frame, uint8 (height, width), from fine to coarse, in float32."""
        images: list[np.ndarray] = [frame.astype(np.float32)]
        while len(images) < SCALES:
            image = cv2.resize(images[-1], None, fx=RATIO, fy=RATIO, interpolation=cv2.INTER_LINEAR)
            if min(image.shape) < SMALLEST:
                break
            images.append(image)
        return images

    def between(self, first: list[np.ndarray], second: list[np.ndarray]) -> np.ndarray:
        """Computes the flow between two pyramids of equal size: float32 (height, width, 2)."""
        shapes = [image.shape for image in first]
        if [scale.shape for scale in self._scales] != shapes:
            memory = _Memory(shapes[0])
            self._scales = [_Scale(shape, memory, self._fast) for shape in shapes]
        flow: list[np.ndarray] = []
        for scale, *images in reversed([*zip(self._scales, first, second, strict=True)]):
            flow = scale.solve(flow, *images)
        return np.dstack(flow)


class _Memory:
    """Buffers shared by all scales, as large as the finest one needs."""

    def __init__(self, shape):
        height, width = shape
        stride = _stride(width)
        size = (height + 2) * stride
        self.state, self.new = _fields(6, size), _fields(6, size)
        self.data, self.errors = _fields(4, size), _fields(2, stride)
        self.between = _fields(6, (ROWS + 1) * stride)
        self.images = np.zeros(warping.size(shape), np.float32)
        self.places = warping.places(width)


class _Scale:
    """One scale of a pair of frames."""

    def __init__(self, shape, memory, fast):
        self.shape = height, width = shape
        self._memory, self._fast, self._stride = memory, fast, _stride(width)
        self._y, self._x = np.indices(shape, np.float32)
        self._limit = float(np.float32(CHANGE**2 * height * width))

    def solve(self, coarser, first, second):
        """Computes the flow [u, v] between two images, starting from the coarser scale's flow."""
        memory = self._memory
        memory.state[:, : (self.shape[0] + 2) * self._stride] = 0
        memory.new[:, : self._stride] = 0
        memory.images[: warping.size(self.shape)] = 0
        for index, field in enumerate(coarser):
            field = cv2.resize(field, self.shape[::-1])
            np.multiply(field, np.float32(1 / RATIO), out=self._image(memory.state[index]))
        warping.differentiate(second, memory.images)
        planes = None if warping.is_opencv() else warping.planes(memory.images, self.shape)
        for _ in range(WARPS):
            self._warp(first, planes)
            above, outer = True, 0
            while above and outer < OUTER:
                for flow in self._flow():
                    cv2.medianBlur(flow, MEDIAN, flow)
                above = self._minimise()
                outer += 1
        return [flow.copy() for flow in self._flow()]

    def _flow(self):
        """Returns the images of u and v."""
        return [self._image(self._memory.state[index]) for index in (U, V)]

    def _image(self, field):
        height, width = self.shape
        rows = field[: (height + 2) * self._stride].reshape(-1, self._stride)
        return rows[1 : height + 1, :width]

    def _warp(self, first, planes):
        """Warps the second image by the current flow and linearises it there."""
        memory = self._memory
        state, data = memory.state, memory.data
        if not planes:
            warping.warp(self._stride, first, memory.images, memory.places, state, data)
            return
        u, v = self._flow()
        maps = self._x + u, self._y + v
        for plane, index in zip(planes, (REST, DX, DY), strict=True):
            cv2.remap(plane, *maps, cv2.INTER_CUBIC, self._image(data[index]))
        warping.linearise(self._stride, first, state, data)

    def _minimise(self):
        """Runs the inner loop; returns whether the flow still changes."""
        memory = self._memory
        swapped, above = minimise(
            self._fast,
            self.shape[0] * self._stride > LARGE,
            *self.shape,
            self._stride,
            self._limit,
            memory.state,
            memory.data,
            memory.new,
            memory.errors,
            memory.between,
        )
        if swapped:
            memory.state, memory.new = memory.new, memory.state
        return above


def _stride(width):
    """Returns the row stride of the fields, at least one more than the width."""
    return (width + LANES) // LANES * LANES


def _fields(count, size):
    """Returns zeros (count, size or more); each field is aligned, at its own offset within a page.

    Loads stall on stores to the same offset in another page.
    """
    size += (STAGGER - size) % PAGE
    memory = np.zeros(count * size + PAGE, np.float32)
    first = -(memory.ctypes.data // memory.itemsize) % PAGE
    return memory[first : first + count * size].reshape(count, size)
