"""Optical flow between two frames, and the 8-bit code in which flow is stored."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from mas import lazy

numba = lazy.module("numba")

BOUND = 20.0  # pixels per frame at which flow is clipped (authors' code, Feichtenhofer's data)
METHODS = ("tvl1", "tvl1_fast", "tvl1_opencv", "dis")
VERSION = 1  # of our TV-L1; increased whenever its output changes


class Estimator:
    """Estimates flow between two frames, or along the frames of a video. For use by one thread.

    >>> right = np.zeros((48, 64), np.uint8)
    >>> right[16:32, 20:40], left = 200, np.roll(right, -1, 1)
    >>> estimate = estimator("dis")
    >>> estimate(left, right).shape
    (48, 64, 2)
    >>> estimate.follow(left)
    >>> estimate.follow(right).shape
    (48, 64, 2)
    """

    def __init__(self) -> None:
        """Creates an estimator that has seen no frame."""
        self._last: tuple[tuple[int, ...], Any] | None = None

    def __call__(self, previous: np.ndarray, following: np.ndarray) -> np.ndarray:
        """Computes the flow between two frames.

        Args:
            previous: grey frame, uint8 (height, width).
            following: next grey frame, of the same size.

        Returns:
            float32 (height, width, 2), u right and v down, in pixels per frame.

        Raises:
            ValueError: If the frames are not grey or differ in size.
        """
        return self._between(self._seen(previous), self._seen(following))

    def follow(self, frame: np.ndarray) -> np.ndarray | None:
        """Returns the flow from the previous frame to this one; None for the first of a video.

        Reuses what was computed for the previous frame; 1 to 2 % faster than calls with pairs.

        Raises:
            ValueError: If the frame is not grey, or its size differs from the previous frame's.
        """
        last, self._last = self._last, self._seen(frame)
        return None if last is None else self._between(last, self._last)

    def restart(self) -> None:
        """Forgets the previous frame; the next one starts a new video."""
        self._last = None

    def _seen(self, frame):
        if frame.ndim != 2 or frame.dtype != np.uint8:
            received = f"{frame.dtype} {frame.shape}"
            raise ValueError(f"frame must be uint8 (height, width). Received: frame={received}.")
        return frame.shape, self._prepared(frame)

    def _between(self, first, second):
        if first[0] != second[0]:
            allowed = f"of shape {first[0]} like the last one"
            raise ValueError(f"frame must be {allowed}. Received: frame={second[0]}.")
        return self._flow(first[1], second[1])

    def _prepared(self, frame):
        """Computes what depends on one frame only."""
        return frame

    def _flow(self, first, second):
        raise NotImplementedError


class _Tvl1(Estimator):
    def __init__(self, fast):
        super().__init__()
        from mas.flow.tvl1 import Tvl1  # imports Numba, and compiles or loads the loops

        algorithm = Tvl1(fast)
        self._prepared, self._flow = algorithm.pyramid, algorithm.between


class _OpenCV(Estimator):
    def __init__(self, make):
        super().__init__()
        self._make, self._shape = make, None

    def _flow(self, first, second):
        if first.shape != self._shape:  # OpenCV keeps the number of scales of the first frame
            self._shape, self._algorithm = first.shape, self._make()
        return self._algorithm.calc(first, second, None)


def estimator(method: str) -> Estimator:
    """Creates an estimator of optical flow.

    Args:
        method: "tvl1" is dual TV-L1, as in the papers; bit for bit OpenCV's and 8 to 11 times as
            fast. "tvl1_fast" rounds sums and roots differently and is a further 1.3 times as fast;
            it differs from "tvl1" no more than OpenCV's versions differ from each other.
            "tvl1_opencv" is OpenCV's own TV-L1. "dis" is dense inverse search, 7 to 8
            times as fast as "tvl1" at the same size; its flow is smoother.

    Raises:
        ValueError: If the method is unknown.
        RuntimeError: If "tvl1_opencv" is requested and OpenCV was built without TV-L1.
    """
    if method in ("tvl1", "tvl1_fast"):
        return _Tvl1(method == "tvl1_fast")
    if method == "tvl1_opencv":
        if not hasattr(cv2, "optflow"):
            raise RuntimeError(
                "OpenCV's TV-L1 needs opencv-contrib-python-headless as the only OpenCV package. "
                f"Received: OpenCV {cv2.__version__} without cv2.optflow."
            )
        return _OpenCV(_opencv_tvl1)
    if method == "dis":
        return _OpenCV(_opencv_dis)
    raise ValueError(f"flow must be one of {list(METHODS)}. Received: flow={method!r}.")


def _opencv_tvl1():
    return cv2.optflow.DualTVL1OpticalFlow_create()


def _opencv_dis():
    return cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)


def made_by(method: str) -> str:
    """Returns the library that implements a method, and its version.

    >>> made_by("tvl1")
    'mas.flow 1'
    """
    if method == "tvl1":
        return f"mas.flow {VERSION}"
    if method == "tvl1_fast":  # rounding depends on the compiler
        return f"mas.flow {VERSION}, Numba {numba.__version__}"
    return f"OpenCV {cv2.__version__}"


def compiles(method: str) -> bool:
    """Whether `estimator` must first compile; this takes about ten seconds, once per machine."""
    if not method.startswith("tvl1") or method == "tvl1_opencv":
        return False
    from mas.flow import compiled

    return not compiled.is_kept()


def encode(flow):
    """Encodes flow in pixels per frame as 8 bits: rounded to nearest, clipped to [-20, 20].

    Other writers commonly truncate, which doubles the largest error. Both decode the same way.
    """
    code = np.rint((np.asarray(flow) + BOUND) * (255 / (2 * BOUND)))
    return np.clip(code, 0, 255).astype(np.uint8)


def decode(code):
    """Decodes 8-bit codes to float32 flow in pixels per frame: code * 40 / 255 - 20.

    `code` may be a NumPy array or a TensorFlow tensor of floating-point type.
    """
    if isinstance(code, np.ndarray):
        code = code.astype(np.float32)
    return code * (2 * BOUND) / 255.0 - BOUND
