"""Converts decoded frames to RGB arrays, the way a player shows them."""

from __future__ import annotations

import numpy as np

from mas import lazy
from mas.video.opening import VideoError

av = lazy.module("av")
cv2 = lazy.module("cv2")

UNSPECIFIED = 2  # AVCOL_TRC_*, AVCOL_PRI_*


class Pictures:
    """Converts the frames of one video: colours, orientation, size.

    YUV is converted with the matrix (BT.601, BT.709, BT.2020) and range of each frame; the defaults
    are BT.601 and limited range, as in FFmpeg. Transfer functions and primaries are ignored: high
    dynamic range is not tone-mapped. The display matrix is applied to the nearest quarter turn,
    with mirroring. The pixel aspect ratio is ignored.
    """

    def __init__(self, size: tuple[int, int] | None = None):
        """Starts a video.

        Args:
            size: (width, height) in pixels to resize to, bilinear, without keeping the aspect
                ratio; None means the size of the first frame.
        """
        from av.video.reformatter import VideoReformatter

        self._size, self._reformatter = size, VideoReformatter()

    def rgb(self, frame) -> np.ndarray:
        """Converts a frame to uint8 (height, width, 3), R G B.

        Raises:
            VideoError: If the pixel format cannot be converted.
        """
        frame.color_trc = frame.color_primaries = UNSPECIFIED
        try:
            converted = self._reformatter.reformat(frame, format="rgb24", threads=1)
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoError(f"pixel format {frame.format.name} cannot be read") from error
        image = oriented(converted.to_ndarray(), display_matrix(frame))
        self._size = self._size or image.shape[1::-1]
        if image.shape[1::-1] != tuple(self._size):
            return cv2.resize(image, tuple(self._size), interpolation=cv2.INTER_LINEAR)
        return np.ascontiguousarray(image)


def display_matrix(frame) -> np.ndarray | None:
    """Returns the (3, 3) display matrix of a frame, or None if it has none."""
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # the frame has side data that PyAV does not know
        a, b = ((1, 0), (0, -1), (-1, 0), (0, 1))[round(frame.rotation / 90) % 4]
        return np.array([[a, b, 0], [-b, a, 0], [0, 0, 1]])  # `rotation` does not include mirroring
    return None if data is None else np.frombuffer(data, np.int32).reshape(3, 3)


def oriented(image: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """Applies a display matrix to an image (height, width, ...), to the nearest quarter turn.

    The point (x, y), x right and y down, maps to (x, y, 1) @ matrix (ISO/IEC 14496-12, section
    6.2.2). Translation is ignored.
    """
    if matrix is None:
        return image
    (a, b), (c, d) = matrix[:2, :2].astype(np.int64)
    if abs(a) + abs(d) < abs(b) + abs(c):  # x and y change places
        image, a, d = image.swapaxes(0, 1), c, b
    return image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
