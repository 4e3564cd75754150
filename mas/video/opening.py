"""From a path to the stream of pictures that is decoded, or the reason why there is none."""

from __future__ import annotations

import os
import re
from typing import Any

from mas import files, lazy
from mas.files import PathLike
from mas.video import containers

av = lazy.module("av")

# The containers that are opened, by FFmpeg's names: none that names further files or addresses
# (concat, hls, dash), and none that takes any bytes for pictures.
FORMATS = (
    "avi,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mpeg,mpegts,mpegvideo,m4v,h264,hevc,obu,mjpeg,vc1,"
    "flv,live_flv,asf,gif,ogg,dv,mxf,nut,rm,ivf,yuv4mpegpipe,wtv,nsv"
)
MOST_PIXELS = 2**26  # of a picture, 8192 x 8192: a damaged size must not take all memory
DEFAULT, ATTACHED = 1, 1 << 10  # AV_DISPOSITION_*
NO_FRAME = "holds no frame that can be decoded"


class VideoError(ValueError):
    """A video file that cannot be read in full; the message is the reason, without the path."""


def decoder() -> str:
    """The decoder and its version."""
    return f"PyAV {av.__version__} with FFmpeg {av.ffmpeg_version_info}"


def open_container(path: PathLike) -> Any:
    """Opens a file.

    Returns:
        An `av.container.InputContainer`.

    Raises:
        VideoError: it is no file, empty, or no video.
        OSError: it is not there, or may not be read.
    """
    kind = files.special(path)
    if kind:
        raise VideoError(f"is {kind}, no video file")
    with open(path, "rb") as file:  # a forbidden file says so itself
        if not file.read(1):
            raise VideoError("the file is empty")
    options = {
        "container_options": {"format_whitelist": FORMATS, "protocol_whitelist": "file"},
        "options": {"max_pixels": str(MOST_PIXELS)},  # to open may mean to decode a picture
        "metadata_errors": "replace",
    }
    try:
        # Absolute: FFmpeg takes what stands before a colon at the start for a protocol.
        return av.open(os.path.abspath(path), **options)
    except av.error.FFmpegError as error:
        raise VideoError(_nothing(path, "not a video that the decoder can open")) from error


def _nothing(path, otherwise):
    """Why there is nothing to decode."""
    lost = containers.missing_bytes(path)
    missing = f"truncated: {lost} bytes that the container declares are missing"
    return missing if lost else otherwise


def choose(container: Any, path: PathLike) -> Any:
    """The stream of pictures that a player shows: the default one, else the largest.

    Returns:
        An `av.VideoStream` with a decoder.

    Raises:
        VideoError: there is none, only a cover, or none that can be decoded.
    """
    streams = [stream for stream in container.streams if stream.type == "video"]
    pictures = [stream for stream in streams if not stream.disposition.value & ATTACHED]
    if streams and not pictures:
        raise VideoError("holds a cover picture, no video")
    if not pictures:
        sound = any(stream.type == "audio" for stream in container.streams)
        raise VideoError("holds sound, no video" if sound else _nothing(path, NO_FRAME))
    chosen = [stream for stream in pictures if stream.disposition.value & DEFAULT] or pictures
    decoded = [stream for stream in chosen if stream.codec_context is not None]
    if not decoded:
        name = codec_name(container, chosen[0], path)
        raise VideoError(f"its codec, {name}, cannot be decoded by {decoder()}")
    return max(decoded, key=lambda stream: (stream.width * stream.height, -stream.index))


def codec_name(container: Any, stream: Any, path: PathLike) -> str:
    """The codec of a stream, as FFmpeg calls it or as the file does."""
    if stream.codec_context is not None:
        return stream.codec_context.codec.canonical_name
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)  # at which FFmpeg describes a file
    try:
        lines = container.dumps_format()
    finally:
        av.logging.set_level(level)
    described = re.search(rf"Stream #0:{stream.index}\b.*?Video: ([^,\n]+)", lines)
    name = described.group(1) if described else "none"
    if name != "none":
        return name.removeprefix("none ").strip("()")
    with open(path, "rb") as file:  # Matroska has names of its own
        found = re.search(rb"\x86[\x80-\xbf](V_[\x20-\x7e]+)", file.read(2**16))
    return found.group(1).decode() if found else "unknown"
