"""Writes RGB frames to a video file."""

from __future__ import annotations

import os

import numpy as np

from mas import lazy
from mas.files import PathLike
from mas.video.opening import VideoError

cv2 = lazy.module("cv2")


def write(path: PathLike, images: np.ndarray, rate: float = 25.0) -> None:
    """Writes RGB frames as an MPEG-4 video file (.avi or .mp4).

    Args:
        path: path of the file.
        images: uint8 (frames, height, width, 3), R G B.
        rate: frames per second.

    Raises:
        VideoError: If the file cannot be written.
    """
    # Silence OpenCV. The function is at the top level in OpenCV 4 and in a module in OpenCV 5.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    (getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel)(0)
    height, width = images.shape[1:3]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), rate, (width, height))
    if not writer.isOpened():
        raise VideoError(f"cannot be written: {path}")
    for image in images:
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()
