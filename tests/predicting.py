"""A classifier with known answers and videos of known brightness, for tests of prediction."""

import csv
import json
import shutil

import keras
import numpy as np
import video_files

SIZE, RESIZE, FRAMES = 8, (12, 8), 4
NAMES = ["dark", "<b>bright</b>"]
SLOPE = 8.0


def write_run(folder, names=NAMES, task="classify", output="logits", **data):
    """A run folder whose network tells bright clips from dark ones.

    The logits are -v and v with v = SLOPE (mean / 255 - 1/2), so P(bright) = 1 / (1 + exp(-2 v)).
    """
    describe(folder, names, task, **data)
    clips = keras.Input((FRAMES, SIZE, SIZE, 3), dtype="uint8")
    mean = keras.layers.GlobalAveragePooling3D()(keras.layers.Rescaling(1 / 255)(clips))
    dense = keras.layers.Dense(2, name=output)
    model = keras.Model(clips, {output: dense(mean)})
    dense.set_weights([np.outer(np.ones(3) / 3, [-SLOPE, SLOPE]), np.array([SLOPE, -SLOPE]) / 2])
    model.save(folder / "model.keras")
    shutil.copy(folder / "model.keras", folder / "backbone.keras")
    return folder


def describe(folder, names=NAMES, task="classify", **data):
    """Writes the run.json of such a run; returns the path of its network."""
    folder.mkdir(parents=True)
    clip = {"frames": FRAMES, "size": SIZE, "resize": list(RESIZE)}
    known = {"task": task, "clip": clip, "network": {"modality": "rgb"}, "options": {}}
    known |= {"classes": names, "identity": {"data": {"form": "videos", **data}}}
    (folder / "run.json").write_text(json.dumps(known))
    return folder / "model.keras"


def bright(values):
    """P(bright) of a clip whose frames have these grey values, 0 to 255."""
    return 1 / (1 + np.exp(-2 * SLOPE * (np.mean(values) / 255 - 0.5)))


def grey(values, size=(24, 16)):
    """uint8 (frames, height, width, 3), each frame of one value."""
    shape = (len(values), size[1], size[0], 3)
    return np.broadcast_to(np.array(values, np.uint8)[:, None, None, None], shape).copy()


def film(path, values, rate=25.0):
    """A video file of grey frames, lossless."""
    return video_files.write(path, grey(values), rate=rate)


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
