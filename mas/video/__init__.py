"""Video files -> RGB frames. The only user of the decoder, PyAV.

    opening.py      from a path to the stream that is decoded
    film.py         an open file: its pictures in order, what is missing of them
    containers.py   whether a file is all there, by its own account
    pictures.py     one picture: colours, orientation, size
    reading.py      all frames in order, deinterlaced or resampled
    access.py       some frames, by jumps
    writing.py      the other way round

A video is whole when all pictures that its container holds decode. How long it says it is, or how
long its sound is, is no evidence.
"""

from mas.video.access import Facts, measure, pick
from mas.video.containers import missing_bytes
from mas.video.opening import VideoError, decoder
from mas.video.reading import declared_frames, frame_rate, frames
from mas.video.writing import write

__all__ = [
    "Facts",
    "VideoError",
    "declared_frames",
    "decoder",
    "frame_rate",
    "frames",
    "measure",
    "missing_bytes",
    "pick",
    "write",
]
