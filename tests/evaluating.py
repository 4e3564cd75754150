"""Small data sets, networks and feature files whose numbers are known: for tests of evaluation."""

import json

import cv2
import keras
import numpy as np

from mas import backbones, lists, records
from mas.evaluate import features

NETWORK = {"backbone": "c3d", "modality": "rgb", "width": 0.125, "preset": "rgb"}
NETWORK |= {"initializer": "he"}
CLIP = {"frames": 16, "size": 32, "resize": "44x32"}
COMMAND = "mas/evaluate/__main__.py"
SIDE, LENGTHS = 16, {"a/x": 9, "a/y": 4, "b/z": 12}


def grey(video, time):
    """The value of every pixel of a frame."""
    return 60 * list(LENGTHS).index(video) + 5 * time


def entries():
    """All videos, those of one folder with one label."""
    return [lists.Entry(video, int(video[0] == "b")) for video in LENGTHS]


def store(folder):
    """Videos in folders of JPEG files, each frame of one `grey`."""
    for video, length in LENGTHS.items():
        images = [np.full((SIDE, SIDE, 3), grey(video, t), np.uint8) for t in range(length)]
        files = [cv2.imencode(".jpg", image)[1].tobytes() for image in images]
        records.write_folders(folder, records.Prepared(video, SIDE, SIDE, 25.0, files, [], []))
    records.write_description(folder, {"form": "folders", "method": "none"})
    return records.open_data(folder)


def mirror(frames=4, side=SIDE):
    """A network whose map is the clip itself, as floats."""
    clips = keras.Input((frames, side, side, 3), dtype="uint8")
    return keras.Model(clips, keras.layers.Rescaling(1.0)(clips), name="mirror")


def settings(**other):
    known = {"clips": 2, "frames": 4, "size": SIDE, "resize": (SIDE, SIDE), "batch": 3}
    return features.Settings(**(known | other))


def write_run(folder, seed=1, **clip):
    """A run folder with a small network."""
    keras.utils.set_random_seed(seed)
    shape = (16, 32, 32, 3)
    folder.mkdir()
    backbones.backbone("c3d", shape, 0.125, "rgb", "he").save(folder / "backbone.keras")
    (folder / "run.json").write_text(json.dumps({"network": NETWORK, "clip": CLIP | clip}))
    return folder


def write_features(path, values, labels, videos=None, **facts):
    """A feature file; without ids they are a/0, a/1, ..."""
    values = np.array(values, np.float32)
    videos = videos or [f"a/{number}" for number in range(len(values))]
    features.save(path, features.Features(values, videos, np.array(labels), facts))
    return path


def evaluate(script, kind, *arguments):
    """The exit status of the command in this process."""
    with script(COMMAND, kind, *arguments) as module:
        return module.main([COMMAND, kind])


def sample_flags(folder, run, *names):
    """--model and --data of the sample data, and a list for each name, test.txt where not train."""
    lists_of = [
        f"--{n}={folder / ('train' if n[:2] in ('tr', 'ga') else 'test')}.txt" for n in names
    ]
    return [f"--model={run}", f"--data={folder / 'data'}", *lists_of]
