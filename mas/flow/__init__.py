"""Two frames -> optical flow, and the 8-bit code in which flow is stored."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from mas import lazy

numba = lazy.module("numba")

BOUND = 20.0  # pixels per frame; larger flow is clipped: the authors' code, Feichtenhofer's data
METHODS = ("tvl1", "tvl1_fast", "tvl1_opencv", "dis")
VERSION = 1  # of the flow of this room; another one where it gives other bytes


class Estimator:
    """Estimates flow: between two frames, or from frame to frame of a video. Of one thread.

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
        """An estimator that has seen no frame."""
        self._last: tuple[tuple[int, ...], Any] | None = None

    def __call__(self, previous: np.ndarray, following: np.ndarray) -> np.ndarray:
        """The flow between two frames.

        Args:
            previous: grey frame, uint8 (height, width).
            following: the next one.

        Returns:
            float32 (height, width, 2), u right and v down, in pixels per frame.

        Raises:
            ValueError: the frames are not grey, or not of one size.
        """
        return self._between(self._seen(previous), self._seen(following))

    def follow(self, frame: np.ndarray) -> np.ndarray | None:
        """The flow from the frame before to this one; None for the first of a video.

        What is made of a frame serves both its flows: 1 to 2 % faster than calls with pairs.

        Raises:
            ValueError: the frame is not grey, or not of the size of the one before.
        """
        last, self._last = self._last, self._seen(frame)
        return None if last is None else self._between(last, self._last)

    def restart(self) -> None:
        """The next frame is the first of another video."""
        self._last = None

    def _seen(self, frame):
        if frame.ndim != 2 or frame.dtype != np.uint8:
            received = f"{frame.dtype} {frame.shape}"
            raise ValueError(f"frame must be uint8 (height, width). Received: frame={received}.")
        return frame.shape, self._prepared(frame)

    def _between(self, first, second):
        if first[0] != second[0]:
            raise ValueError(f"frame must be of {first[0]} as before. Received: frame={second[0]}.")
        return self._flow(first[1], second[1])

    def _prepared(self, frame):
        """What is made of one frame alone."""
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
        if first.shape != self._shape:  # an algorithm keeps the number of scales of its first frame
            self._shape, self._algorithm = first.shape, self._make()
        return self._algorithm.calc(first, second, None)


def estimator(method: str) -> Estimator:
    """Makes an estimator of flow.

    Args:
        method: "tvl1", dual TV-L1, the papers' choice: bit for bit OpenCV's, 8 to 11 times as fast;
            "tvl1_fast", the same with sums and roots rounded otherwise, 1.3 times as fast again,
            and no farther from it than OpenCV's versions are from each other; "tvl1_opencv",
            OpenCV's own; or "dis", dense inverse search, ten times as fast as "tvl1", and smoother.

    Raises:
        ValueError: for another method.
        RuntimeError: this OpenCV has no TV-L1, for "tvl1_opencv".
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
    """Whose a method is, and of which version.

    >>> made_by("tvl1")
    'mas.flow 1'
    """
    if method == "tvl1":
        return f"mas.flow {VERSION}"
    if method == "tvl1_fast":  # rounds as the compiler likes
        return f"mas.flow {VERSION}, Numba {numba.__version__}"
    return f"OpenCV {cv2.__version__}"


def compiles(method: str) -> bool:
    """Whether `estimator` has to compile first: some ten seconds, once on a machine."""
    if not method.startswith("tvl1") or method == "tvl1_opencv":
        return False
    from mas.flow import compiled

    return not compiled.is_kept()


def encode(flow):
    """Flow in pixels per frame -> its 8-bit code, nearest value, clipped to [-20, 20].

    The common writer truncates, which doubles the largest error; both decode alike.
    """
    code = np.rint((np.asarray(flow) + BOUND) * (255 / (2 * BOUND)))
    return np.clip(code, 0, 255).astype(np.uint8)


def decode(code):
    """8-bit code -> float32 flow in pixels per frame: code * 40 / 255 - 20.

    `code` may be a NumPy array or a TensorFlow tensor of a float type.
    """
    if isinstance(code, np.ndarray):
        code = code.astype(np.float32)
    return code * (2 * BOUND) / 255.0 - BOUND
