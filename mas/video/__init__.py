"""Decodes video files to RGB frames. The only user of PyAV.

    opening.py      opens a file and chooses the stream to decode
    film.py         an open file: its frames in order, and what is missing
    containers.py   checks whether a file is complete, from its container alone
    pictures.py     one frame: colours, orientation, size
    reading.py      all frames in order, optionally deinterlaced or resampled
    access.py       selected frames, by seeking
    writing.py      writes video files

A video is whole if all frames in its container decode. The declared duration and the length of the
sound are not reliable.
"""

from mas.video.access import Facts, measure, pick
from mas.video.containers import missing_bytes
from mas.video.opening import VideoError, decoder
from mas.video.reading import declared_frames, frame_rate, frames, timed
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
    "timed",
    "write",
]
