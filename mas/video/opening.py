"""Opens a video file and chooses the stream to decode."""

from __future__ import annotations

import os
import re
from typing import Any

from mas import files, lazy
from mas.files import PathLike
from mas.video import containers

av = lazy.module("av")

# Supported containers, by FFmpeg's names. Excludes formats that refer to other files or addresses
# (concat, hls, dash), and formats that accept arbitrary bytes as frames.
FORMATS = (
    "avi,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mpeg,mpegts,mpegvideo,m4v,h264,hevc,obu,mjpeg,vc1,"
    "flv,live_flv,asf,gif,ogg,dv,mxf,nut,rm,ivf,yuv4mpegpipe,wtv,nsv"
)
MOST_PIXELS = 2**26  # per frame, 8192 x 8192, so that a damaged size does not exhaust memory
DEFAULT, ATTACHED = 1, 1 << 10  # AV_DISPOSITION_*
NO_FRAME = "contains no frame that can be decoded"


class VideoError(ValueError):
    """Raised for a video file that cannot be read in full; gives the reason, without the path."""


def decoder() -> str:
    """Returns the name and version of the decoder."""
    return f"PyAV {av.__version__} with FFmpeg {av.ffmpeg_version_info}"


def open_container(path: PathLike) -> Any:
    """Opens a file.

    Returns:
        An `av.container.InputContainer`.

    Raises:
        VideoError: If the path is not a regular file, or the file is empty or not a video.
        OSError: If the file does not exist or cannot be read.
    """
    kind = files.special(path)
    if kind:
        raise VideoError(f"is {kind}, not a video file")
    with open(path, "rb") as file:  # raises PermissionError for unreadable files
        if not file.read(1):
            raise VideoError("the file is empty")
    options: dict[str, Any] = {
        "container_options": {"format_whitelist": FORMATS, "protocol_whitelist": "file"},
        "options": {"max_pixels": str(MOST_PIXELS)},  # opening may decode a frame
    }
    if int(av.__version__.split(".")[0]) < 19:  # later versions keep metadata that is not UTF-8
        options["metadata_errors"] = "replace"
    try:
        # Absolute, because FFmpeg takes text before a colon at the start as a protocol.
        return av.open(os.path.abspath(path), **options)
    except av.error.FFmpegError as error:
        raise VideoError(_why_nothing(path, "not a video that the decoder can open")) from error


def _why_nothing(path, otherwise):
    """Explains why there is nothing to decode."""
    lost = containers.missing_bytes(path)
    missing = f"truncated: {lost} bytes that the container declares are missing"
    return missing if lost else otherwise


def choose(container: Any, path: PathLike) -> Any:
    """Chooses the video stream that a player shows: the default one, else the largest.

    Returns:
        An `av.VideoStream` with a decoder.

    Raises:
        VideoError: If there is no video stream, only a cover picture, or no stream that can be
            decoded.
    """
    streams = [stream for stream in container.streams if stream.type == "video"]
    pictures = [stream for stream in streams if not stream.disposition.value & ATTACHED]
    if streams and not pictures:
        raise VideoError("contains a cover picture but no video")
    if not pictures:
        sound = any(stream.type == "audio" for stream in container.streams)
        raise VideoError("contains sound but no video" if sound else _why_nothing(path, NO_FRAME))
    chosen = [stream for stream in pictures if stream.disposition.value & DEFAULT] or pictures
    decoded = [stream for stream in chosen if stream.codec_context is not None]
    if not decoded:
        name = codec_name(container, chosen[0], path)
        raise VideoError(f"its codec, {name}, cannot be decoded by {decoder()}")
    return max(decoded, key=lambda stream: (stream.width * stream.height, -stream.index))


def codec_name(container: Any, stream: Any, path: PathLike) -> str:
    """Returns the codec of a stream, by FFmpeg's name or the file's own."""
    if stream.codec_context is not None:
        return stream.codec_context.codec.canonical_name
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)  # level at which FFmpeg describes a file
    try:
        lines = container.dumps_format()
    finally:
        av.logging.set_level(level)
    described = re.search(rf"Stream #0:{stream.index}\b.*?Video: ([^,\n]+)", lines)
    name = described.group(1) if described else "none"
    if name != "none":
        return name.removeprefix("none ").strip("()")
    with open(path, "rb") as file:  # Matroska has its own names
        found = re.search(rb"\x86[\x80-\xbf](V_[\x20-\x7e]+)", file.read(2**16))
    return found.group(1).decode() if found else "unknown"
