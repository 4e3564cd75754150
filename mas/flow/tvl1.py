"""Dual TV-L1 flow: pyramid, warps and medians.

Bit for bit OpenCV's `DualTVL1OpticalFlow` with its default parameters, of whichever version is
installed: it resizes and takes medians here, too. Sources: see `steps`.
"""

from __future__ import annotations

import cv2
import numpy as np

from mas.flow import warping
from mas.flow.iterations import LANES, ROWS, minimise
from mas.flow.steps import DX, DY, REST, U, V

SCALES = 5
RATIO = 0.8  # between two scales
SMALLEST = 16  # pixels: no scale below the frame's own has a smaller side
WARPS = 5
OUTER = 10  # medians in a warp, at most
MEDIAN = 5  # pixels
CHANGE = 0.01  # pixels: a flow that changes less in the mean has converged
LARGE = 48 * 1024  # pixels of which the fields, 64 bytes each, do not fit a core's own cache
PAGE, STAGGER = 1024, 80  # float32 numbers: see `_fields`


class Tvl1:
    """TV-L1 between frames of any sizes; its memory is made once for each size in a row."""

    def __init__(self, fast: bool = False):
        """Makes an estimator for one thread.

        Args:
            fast: whether sums and roots may be rounded otherwise than OpenCV's.
        """
        self._fast = fast
        self._scales: list[_Scale] = []

    def pyramid(self, frame: np.ndarray) -> list[np.ndarray]:
        """The scales of a frame, uint8 (height, width), from its own on: float32 images."""
        images: list[np.ndarray] = [frame.astype(np.float32)]
        while len(images) < SCALES:
            image = cv2.resize(images[-1], None, fx=RATIO, fy=RATIO, interpolation=cv2.INTER_LINEAR)
            if min(image.shape) < SMALLEST:
                break
            images.append(image)
        return images

    def between(self, first: list[np.ndarray], second: list[np.ndarray]) -> np.ndarray:
        """The flow between two pyramids of one size: float32 (height, width, 2)."""
        if [scale.shape for scale in self._scales] != [image.shape for image in first]:
            self._scales = [_Scale(image.shape, self._fast) for image in first]
        coarser = None
        for scale, *images in reversed([*zip(self._scales, first, second, strict=True)]):
            scale.begin(coarser)
            scale.solve(*images)
            coarser = scale
        return np.dstack([self._scales[0].flow(k) for k in (U, V)])


class _Scale:
    """One scale: its flow and dual fields, and the memory that it works in."""

    def __init__(self, shape, fast):
        self.shape = height, width = shape
        self._fast = fast
        self._stride = (width + LANES) // LANES * LANES  # at least one column more than the image
        size = (height + 2) * self._stride
        self._state, self._new = _fields(6, size), _fields(6, size)
        self._data, self._errors = _fields(4, size), _fields(2, self._stride)
        self._between = _fields(6, (ROWS + 1) * self._stride)
        border = 2 * warping.BORDER
        self._images = _fields(1, (height + border) * (width + border) * warping.CHANNELS)[0]
        self._places = warping.places(width)
        self._y, self._x = np.indices(shape, np.float32)
        self._limit = float(np.float32(CHANGE**2 * height * width))

    def flow(self, index):
        """The image of u or v."""
        return self._image(self._state[index])

    def _image(self, field):
        height, width = self.shape
        rows = field[: (height + 2) * self._stride].reshape(-1, self._stride)
        return rows[1 : height + 1, :width]

    def begin(self, coarser):
        """Begins with no flow, or that of the next coarser scale, and no dual fields."""
        self._state.fill(0)
        for index in (U, V) if coarser else ():
            flow = cv2.resize(coarser.flow(index), self.shape[::-1])
            np.multiply(flow, np.float32(1 / RATIO), out=self.flow(index))

    def solve(self, first, second):
        """Improves the flow, warp by warp."""
        warping.differentiate(second, self._images)
        planes = None if warping.is_opencv() else warping.planes(self._images, self.shape)
        for _ in range(WARPS):
            self._warp(first, planes)
            above, outer = True, 0
            while above and outer < OUTER:
                for flow in (self.flow(U), self.flow(V)):
                    cv2.medianBlur(flow, MEDIAN, flow)
                above = self._minimise()
                outer += 1

    def _warp(self, first, planes):
        """Linearises the second image where the flow points to."""
        if not planes:
            warping.warp(self._stride, first, self._images, self._places, self._state, self._data)
            return
        maps = self._x + self.flow(U), self._y + self.flow(V)
        for plane, index in zip(planes, (REST, DX, DY), strict=True):
            cv2.remap(plane, *maps, cv2.INTER_CUBIC, self._image(self._data[index]))
        warping.linearise(self._stride, first, self._state, self._data)

    def _minimise(self):
        """The inner loop; whether the flow still changes."""
        swapped, above = minimise(
            self._fast,
            self._state[0].size > LARGE,
            *self.shape,
            self._stride,
            self._limit,
            self._state,
            self._data,
            self._new,
            self._errors,
            self._between,
        )
        if swapped:
            self._state, self._new = self._new, self._state
        return above


def _fields(count, size):
    """Zeros (count, at least size); each field begins a cache line, at its own place of a page.

    Loads wait for stores to the same place of another page.
    """
    size += (STAGGER - size) % PAGE
    memory = np.zeros(count * size + PAGE, np.float32)
    first = -(memory.ctypes.data // memory.itemsize) % PAGE
    return memory[first : first + count * size].reshape(count, size)
