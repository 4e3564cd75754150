"""A fine-tuned network on videos without labels, of any length.

for window in mas.predict("runs/actions", "videos"):
    print(window.video, window.start, window.end, window.name, window.probability)

    classifier.py  the network: its classes, its clips, the frame rate of its training
    sources.py     paths -> videos with names
    footage.py     a file, or frames from elsewhere, read by a thread of its own
    windows.py     frames -> windows, each frame decoded and held once
    stream.py      windows -> batches -> the network's answers, in order
    segments.py    windows of one class, joined
    writer.py      the files of one video, written as its windows come
    results.py     the folder of all videos, whole or not there; what resumes
    page.py        thumbnails over time, the classes below
    calls.py       the two calls: windows as they come, and a folder of results
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
