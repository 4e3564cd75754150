"""Video files -> RGB frames. The only user of the decoder."""

import os
import struct

import cv2

# The decoder's own messages go nowhere: what cannot be read is reported by VideoError instead.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # looked up when a file is opened
# OpenCV 4 has the function at the top, OpenCV 5 in a module of its own; 0 is silence.
(getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel)(0)

# A container's frame count is often an estimate (one good clip of 167 frames declares 183), so
# only a larger shortfall counts as a loss where the container does not tell its own length.
LEAST_SHARE = 0.8


class VideoError(ValueError):
    """A video file that cannot be read in full; the message is the reason, without the path."""


def frames(path, size=None):
    """Yields the frames of a video file in order.

    Args:
        path: file of any container and codec that OpenCV's FFmpeg reads.
        size: (width, height) in pixels to resize to, bilinear, aspect ignored; None keeps the size.

    Yields:
        uint8 (height, width, 3), R G B.

    Raises:
        VideoError: the file cannot be opened, holds no frames, or ends before it should. The last
            is known only after the last frame was yielded.
    """
    capture = _open(path)
    try:
        declared, decoded = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0
        while True:
            there, frame = capture.read()
            if not there:
                break
            decoded += 1
            if size is not None and frame.shape[1::-1] != tuple(size):
                frame = cv2.resize(frame, tuple(size), interpolation=cv2.INTER_LINEAR)
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()
    _check_end(path, declared, decoded)


def frame_rate(path):
    """Frames per second as the container declares them; 0.0 where it does not."""
    capture = _open(path)
    rate = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return float(rate)


def write(path, images, rate=25.0):
    """Writes RGB frames as an MPEG-4 video file (.avi or .mp4).

    Args:
        path: the file to write.
        images: uint8 (frames, height, width, 3), R G B.
        rate: frames per second.

    Raises:
        VideoError: the file cannot be written.
    """
    height, width = images.shape[1:3]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), rate, (width, height))
    if not writer.isOpened():
        raise VideoError(f"cannot be written: {path}")
    for image in images:
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()


def missing_bytes(path):
    """Bytes that a file's container declares but the file does not hold: 0 if whole or unknown.

    Understands RIFF (avi), ISO base media (mp4, mov, m4v) and EBML (mkv, webm).
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        start = file.read(12)
        if start[:4] == b"RIFF" and len(start) == 12:
            end = struct.unpack("<I", start[4:8])[0] + 8
        elif start[4:8] == b"ftyp":
            end = _iso_end(file, size)
        elif start[:4] == b"\x1a\x45\xdf\xa3":
            end = _ebml_end(file)
        else:
            end = size
    return max(0, end - size)


def _open(path):
    with open(path, "rb") as file:  # a missing or forbidden file says so itself
        if not file.read(1):
            raise VideoError("the file is empty")
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        lost = missing_bytes(path)
        raise VideoError(
            f"truncated: {lost} bytes that the container declares are missing"
            if lost
            else "not a video that the decoder can open"
        )
    return capture


def _check_end(path, declared, decoded):
    lost = missing_bytes(path)
    if not (decoded or lost):
        raise VideoError("holds no frame that can be decoded")
    if not decoded or (lost and decoded < declared) or decoded < LEAST_SHARE * declared:
        raise VideoError(f"truncated: {decoded} of {declared} declared frames can be decoded")


def _iso_end(file, size):
    """Where the last top-level box of an ISO base media file ends."""
    position = 0
    while position < size:
        file.seek(position)
        header = file.read(16)
        if len(header) < 8:
            return position + 8
        length = struct.unpack(">I", header[:4])[0]
        if length == 1 and len(header) == 16:
            length = struct.unpack(">Q", header[8:16])[0]
        if length < 8:  # 0: the box runs to the end of the file
            return size
        position += length
    return position


def _ebml_end(file):
    """Where the segment of a Matroska file ends, by its own account; 0 if it does not say."""
    file.seek(4)
    length, unknown = _ebml_length(file)
    file.seek(length, os.SEEK_CUR)
    if unknown or file.read(4) != b"\x18\x53\x80\x67":
        return 0
    length, unknown = _ebml_length(file)
    return 0 if unknown else file.tell() + length


def _ebml_length(file):
    """Reads one variable-length size: (value, whether it means `unknown`)."""
    first = file.read(1)
    if not first or not first[0]:
        return 0, True
    extra = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0x7F >> extra)]) + file.read(extra), "big")
    return value, value == (1 << (7 * (extra + 1))) - 1
