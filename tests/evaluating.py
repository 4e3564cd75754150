"""Small data sets, networks and features with known results, for the tests of evaluation."""

import csv
import json

import cv2
import keras
import numpy as np
import preparing

from mas import backbones, cli, features, lists, records

NETWORK = {"backbone": "c3d", "modality": "rgb", "width": 0.125, "preset": "rgb"}
NETWORK |= {"initializer": "he"}
CLIP = {"frames": 16, "size": 32, "resize": "44x32"}
SIDE, LENGTHS = 16, {"a/x": 9, "a/y": 4, "b/z": 12}


def grey(video, time):
    """The value of every pixel of a frame."""
    return 60 * list(LENGTHS).index(video) + 5 * time


def entries():
    """Entries of all videos; the folder is the label."""
    return [lists.Entry(video, int(video[0] == "b")) for video in LENGTHS]


def store(folder):
    """Stores videos as folders of JPEG files, whose frames have one `grey` each."""
    for video, length in LENGTHS.items():
        images = [np.full((SIDE, SIDE, 3), grey(video, t), np.uint8) for t in range(length)]
        files = [cv2.imencode(".jpg", image)[1].tobytes() for image in images]
        preparing.store(folder, records.Prepared(video, SIDE, SIDE, 25.0, files, [], []))
    records.write_description(folder, {"form": "folders", "method": "none"})
    return records.open_data(folder)


def mirror(frames=4, side=SIDE):
    """A network whose feature map is the clip itself, as floats."""
    clips = keras.Input((frames, side, side, 3), dtype="uint8")
    return keras.Model(clips, keras.layers.Rescaling(1.0)(clips), name="mirror")


def sampling(**other):
    """Sampling for `mirror`, without a crop."""
    return features.Sampling(**({"clips": 2, "resize": (SIDE, SIDE), "batch": 3} | other))


def write_run(folder, seed=1):
    """Writes a run folder with a small network."""
    keras.utils.set_random_seed(seed)
    folder.mkdir()
    backbones.backbone("c3d", (16, 32, 32, 3), 0.125, "rgb", "he").save(folder / "backbone.keras")
    (folder / "run.json").write_text(json.dumps({"network": NETWORK, "clip": CLIP}))
    return folder


def of(values, labels, videos=None, **facts):
    """Features; the default ids are a/0, a/1, ..."""
    videos = videos or [f"a/{number}" for number in range(len(values))]
    return features.Features(np.array(values, np.float32), videos, np.array(labels), facts)


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def evaluate(kind, *arguments):
    """The exit status of the command, in this process."""
    return cli.main("evaluate", kind, *map(str, arguments))
