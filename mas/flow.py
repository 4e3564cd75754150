"""Two frames -> optical flow, and the 8-bit code in which flow is stored."""

import cv2
import numpy as np

BOUND = 20.0  # pixels per frame; larger flow is clipped: the authors' code, Feichtenhofer's data
METHODS = ("tvl1", "dis")


def estimator(method):
    """A function of two grey frames that returns their flow.

    Args:
        method: "tvl1" (dual TV-L1, the papers' choice) or "dis" (dense inverse search: some 150
            times faster, smoother).

    Returns:
        f(previous, next): uint8 (height, width) each -> float32 (height, width, 2), u right and v
        down, in pixels per frame.

    Raises:
        ValueError: for another method.
        RuntimeError: this OpenCV has no TV-L1.
    """
    if method == "tvl1":
        if not hasattr(cv2, "optflow"):
            raise RuntimeError(
                "TV-L1 flow needs opencv-contrib-python-headless as the only OpenCV package. "
                f"Received: OpenCV {cv2.__version__} without cv2.optflow."
            )
        algorithm = cv2.optflow.DualTVL1OpticalFlow_create()
    elif method == "dis":
        algorithm = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    else:
        raise ValueError(f"flow must be one of {list(METHODS)}. Received: flow={method!r}.")
    return lambda previous, following: algorithm.calc(previous, following, None)


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
