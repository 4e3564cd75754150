"""Video files -> RGB frames. The only user of the decoder."""

import dataclasses
import os
import struct

import cv2
import numpy as np

# The decoder's own messages go nowhere: what cannot be read is reported by VideoError instead.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # looked up when a file is opened
# OpenCV 4 has the function at the top, OpenCV 5 in a module of its own; 0 is silence.
(getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel)(0)

# A container's frame count is often an estimate (one good clip of 167 frames declares 183), so
# only a larger shortfall counts as a loss where the container does not tell its own length.
LEAST_SHARE = 0.8

# For a jump OpenCV goes to the last key frame that is at least so many frames before the one that
# is wanted, and decodes from there.
LEAD = 16

# Several files at a time are faster than several threads on each.
ONE_THREAD = (cv2.CAP_PROP_N_THREADS, 1)

DECODER = f"OpenCV {cv2.__version__}"


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
            yield _rgb(frame, size)
    finally:
        capture.release()
    _check_end(path, declared, decoded)


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a whole video file holds.

    Attributes:
        frames: how many can be decoded.
        height: of the first, in pixels.
        width: of the first, in pixels.
        jump: how many frames further on a frame must lie for a jump to skip some of those between;
            0 if jumps do not lead to the very frame that is wanted.
    """

    frames: int
    height: int
    width: int
    jump: int


def measure(path):
    """Decodes a file from end to end, for its `Facts`.

    Nothing less will do: containers estimate their frame count, and OpenCV finds a frame by its
    time, which fails where the frame rate varies or the container does not tell times. Jumps count
    as right where every frame has the time that its number says, and jumps to two frames gave the
    same pixels as going there.

    Raises:
        VideoError: as for `frames`.
    """
    capture = _open(path, ONE_THREAD)
    try:
        declared, decoded, regular = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0, True
        samples = dict.fromkeys((declared // 2, declared * 7 // 8))
        while capture.grab():
            regular = regular and _is_at(capture, decoded)
            if not decoded:
                height, width = _retrieve(capture, decoded).shape[:2]
            if decoded in samples:
                samples[decoded] = _retrieve(capture, decoded)
            decoded += 1
    finally:
        capture.release()
    _check_end(path, declared, decoded)
    exact = regular and all(
        image is not None and np.array_equal(_jump(path, index), image)
        for index, image in samples.items()
    )
    return Facts(decoded, height, width, LEAD + _longest_run(path) if exact else 0)


def pick(path, indices, size=None, jump=0):
    """Decodes some frames of a video file, and what it must on the way to them.

    Args:
        path: the file.
        indices: of the frames, counted from 0, in any order, also repeated.
        size: (width, height) as for `frames`.
        jump: of the file's `Facts`; 0 goes through it from the start.

    Returns:
        uint8 (len(indices), height, width, 3), R G B: equal to what `frames` yields.

    Raises:
        VideoError: the file cannot be opened, or a frame cannot be decoded.
    """
    found, following = {}, 0
    capture = _open(path, ONE_THREAD)
    try:
        for index in sorted(set(map(int, indices))):
            if jump and index - following >= jump:
                capture.set(cv2.CAP_PROP_POS_FRAMES, index)
                if not (capture.grab() and _is_at(capture, index)):
                    return pick(path, indices, size)  # from the start, then
            elif not all(capture.grab() for _ in range(following, index + 1)):
                raise VideoError(f"frame {index} cannot be decoded")
            found[index], following = _retrieve(capture, index, size), index + 1
    finally:
        capture.release()
    return np.stack([found[int(index)] for index in indices])


def frame_rate(path):
    """Frames per second as the container declares them; 0.0 where it does not."""
    capture = _open(path)
    rate = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return float(rate)


def declared_frames(path):
    """How many frames the container declares, often an estimate; 0 where it does not."""
    capture = _open(path)
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    capture.release()
    return max(0, int(count))


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


def _rgb(frame, size):
    if size is not None and frame.shape[1::-1] != tuple(size):
        frame = cv2.resize(frame, tuple(size), interpolation=cv2.INTER_LINEAR)
    return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def _retrieve(capture, index, size=None):
    """The frame that was grabbed last."""
    there, frame = capture.retrieve()
    if not there:
        raise VideoError(f"frame {index} cannot be decoded")
    return _rgb(frame, size)


def _is_at(capture, index):
    """Whether the frame that was grabbed last has the time of that frame."""
    time, rate = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, capture.get(cv2.CAP_PROP_FPS)
    return abs(time * rate - index) < 0.5


def _jump(path, index):
    """One frame, by a jump however near it is; None if that fails."""
    capture = _open(path, ONE_THREAD)
    capture.set(cv2.CAP_PROP_POS_FRAMES, index)
    there, frame = capture.read()
    capture.release()
    return _rgb(frame, None) if there else None


def _longest_run(path):
    """The most frames from one key frame, at which decoding can begin, to the next or the end."""
    capture, longest, run = _open(path, [cv2.CAP_PROP_FORMAT, -1]), 0, 0  # packets, not decoded
    while capture.grab():
        run = 0 if capture.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME) == 1 else run + 1
        longest = max(longest, run + 1)
    capture.release()
    return longest


def _open(path, options=()):
    """A `cv2.VideoCapture`."""
    with open(path, "rb") as file:  # a missing or forbidden file says so itself
        if not file.read(1):
            raise VideoError("the file is empty")
    # Absolute: FFmpeg takes what stands before a colon at the start for a protocol.
    capture = cv2.VideoCapture(os.path.abspath(path), cv2.CAP_FFMPEG, list(options))
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
