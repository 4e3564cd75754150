"""Extracts, stores and whitens the features of videos from a network.

features = mas.features.extract("runs/mas_c3d", "data", "test.txt", mas.features.Sampling())
features.values, features.videos, features.labels
mas.features.save("test.npz", features)
"""

from mas.features.extraction import (
    ENGINES,
    extract,
    file_of,
    function_of,
    load_network,
    modality_of,
    stride_of,
)
from mas.features.sampling import PlainClips, Sampling
from mas.features.storage import Features, check_output, load, save
from mas.features.whitening import check_whiten, whitened, whitening

__all__ = [
    "ENGINES",
    "Features",
    "PlainClips",
    "Sampling",
    "check_output",
    "check_whiten",
    "extract",
    "file_of",
    "function_of",
    "load",
    "load_network",
    "modality_of",
    "save",
    "stride_of",
    "whitened",
    "whitening",
]
