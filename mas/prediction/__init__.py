"""Predictions of a fine-tuned network on unlabelled videos of any length.

for window in mas.predict("runs/actions", "videos"):
    print(window.video, window.start, window.end, window.name, window.probability)

    classifier.py  the network: its classes, clips and training frame rate
    sources.py     finds videos and names them
    footage.py     reads a file or an iterable of frames in a separate thread
    windows.py     cuts frames into windows; each frame is decoded and stored once
    stream.py      runs windows through the network in batches, in order
    segments.py    joins windows of one class
    writer.py      writes the files of one video, window by window
    results.py     the output folder; resumes after a stop
    page.py        pages with thumbnails and classes over time
    calls.py       `predict` yields windows; `write` writes a folder
"""

from mas.prediction.calls import predict, write
from mas.prediction.classifier import Classifier, check, open_classifier
from mas.prediction.segments import NONE, Segment, Track
from mas.prediction.settings import Report, Windows
from mas.prediction.stream import Window

__all__ = [
    "NONE",
    "Classifier",
    "Report",
    "Segment",
    "Track",
    "Window",
    "Windows",
    "check",
    "open_classifier",
    "predict",
    "write",
]
