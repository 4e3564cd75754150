"""Measures whether prediction on long videos keeps the network busy and memory constant.

    python benchmarks/predict.py [--minutes=10] [--size=112] [--model=RUN]

It writes a video of one minute and one of `--minutes`, with 160 x 120 pixels and 25 frames per
second, and predicts each in a separate process, including tables and pages. The network is a C3D
with batch norm at a quarter of its width, with random weights, on 16 x 112 x 112; or that of
`--model`. From time to time, prediction pauses, and the network alone is timed on decoded windows.

Exit status: 1 if prediction reaches less than LEAST_SHARE of the network's windows per second, or
if the long video takes more than MOST_GROWTH times the peak memory of the short one; else 0.
"""

import dataclasses
import itertools
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import av
import numpy as np
from absl import app, flags

LEAST_SHARE = 0.9  # of the windows a second of the network alone
MOST_GROWTH = 1.05  # of the peak memory
SIZE, RATE = (160, 120), 25
SHORT = 1.0  # minutes
DECODED, BATCH = 128, 16  # windows that the network alone answers again and again, so many at once
SECONDS, EVERY = 10, 1000  # that it does so each time; windows of the video between two times
CLASSES, WIDTH, FRAMES = 10, 0.25, 16

_MINUTES = flags.DEFINE_float("minutes", 10, "Length of the long video, in minutes.", 0.01)
_SIZE = flags.DEFINE_integer("size", 112, "Side of the windows in pixels.", 16)
_MODEL = flags.DEFINE_string("model", None, "Run of mas finetune; by default a random network.")
_MEASURED = flags.DEFINE_string("measured", None, "Internal: measure one video.")


def write_video(path, seconds):
    """A video of a texture that moves, in MPEG-4."""
    width, height = SIZE
    texture = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    texture = np.tile(texture.repeat(8, 0).repeat(8, 1), (1, 2, 1))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE, bit_rate=400_000)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(round(seconds * RATE)):
            image = np.ascontiguousarray(texture[:, number % width :][:, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def write_run(folder, size):
    """A run folder of a small classifier with random weights."""
    from mas import networks, tasks
    from mas.settings import Clip, Network

    network, clip = (
        Network("c3d_bn", width=WIDTH, preset="standard"),
        Clip(FRAMES, size, networks.resize_for(size)),
    )
    backbone = networks.build(network, clip.shape("rgb"))
    folder.mkdir(parents=True)
    backbone.save(folder / networks.BACKBONE)
    task = tasks.Classify(CLASSES).bound(clip, network)
    task.model(backbone).save(folder / networks.MODEL)
    known = {"task": "classify", "network": network.values(), "clip": clip.values()}
    (folder / networks.RUN).write_text(json.dumps(known))


def measure(model, path):
    """Measures one video in this process: {windows, alone, predicted, share, cpu, peak}."""
    from mas import prediction

    classifier = prediction.open_classifier(model)
    clips = _decoded(classifier, path)
    classifier.scores(clips[:BATCH])  # so that the graph is there
    pauses = Pauses(classifier.scores, clips)
    classifier = dataclasses.replace(classifier, scores=pauses)
    with tempfile.TemporaryDirectory() as folder:
        start = _now()
        prediction.write(classifier, path, pathlib.Path(folder, "out"))
        taken = _now() - start - pauses.taken
        (table,) = pathlib.Path(folder, "out", "windows").glob("*.csv")
        count = table.read_bytes().count(b"\n") - 1
    alone = pauses.answered / pauses.taken
    predicted = (count - pauses.count * 2 * BATCH) / taken  # without what a pause let decode
    share, cpu = predicted / alone
    rates = {"alone": alone[0], "predicted": predicted[0], "share": share, "cpu": cpu}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"windows": count, **rates, "peak": peak}


def _now():
    """Seconds, and CPU seconds of this process."""
    return np.array([time.perf_counter(), time.process_time()])


def _decoded(classifier, path):
    """Windows of a video, as input for the network."""
    from mas import video
    from mas.prediction import windows

    frames = ((at, classifier.see(image)) for at, image in video.timed(path))
    cuts = itertools.islice(windows.cut(frames, classifier.task.frames), DECODED)
    return np.stack([cut.frames for cut in cuts])


class Pauses:
    """Calls the network, and pauses from time to time to time the network alone.

    So both are timed under the same load of the machine.
    """

    def __init__(self, scores, clips):
        """Takes the network, and decoded windows."""
        self.scores, self.clips = scores, clips
        self.seen = self.count = self.answered = 0
        self.taken = np.zeros(2)

    def __call__(self, batch):
        """The network's answer."""
        self.seen += len(batch)
        if self.seen >= self.count * EVERY:
            self._pause()
        return self.scores(batch)

    def _pause(self):
        start = _now()
        while (passed := _now() - start)[0] < SECONDS:
            first = self.answered % max(1, len(self.clips) - BATCH + 1)
            self.answered += len(self.scores(self.clips[first : first + BATCH]))
        self.count += 1
        self.taken += passed


def missed(short, long):
    """Messages for the targets that are missed."""
    growth = long["peak"] / short["peak"]
    found = []
    if long["share"] < LEAST_SHARE:
        found.append(f"{long['share']:.2f} of the network alone, not {LEAST_SHARE}")
    if growth > MOST_GROWTH:
        found.append(f"{growth:.2f} times the memory of the short video, not {MOST_GROWTH}")
    return found


def in_a_process(model, path):
    """Runs `measure` in a separate process, so that its peak memory is that of one video."""
    command = [sys.executable, __file__, f"--model={model}", f"--measured={path}"]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    return json.loads(answer.splitlines()[-1])


def main(_):
    """Measures both videos; returns the exit status."""
    if _MEASURED.value:
        print(json.dumps(measure(_MODEL.value, _MEASURED.value)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        model = _MODEL.value or pathlib.Path(folder, "run")
        if not _MODEL.value:
            write_run(model, _SIZE.value)
        print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
        results = []
        for minutes in (SHORT, _MINUTES.value):
            path = pathlib.Path(folder, f"minutes_{minutes:g}.avi")
            write_video(path, 60 * minutes)
            found = in_a_process(model, path)
            results.append(found)
            print(
                f"{minutes:g} minutes, {found['windows']} windows: {found['predicted']:.1f} a "
                f"second, the network alone {found['alone']:.1f}, so {found['share']:.2f} of it "
                f"({found['cpu']:.2f} by CPU time); peak memory {found['peak']:.0f} MiB"
            )
    found = missed(*results)
    print("MISSED: " + "; ".join(found) if found else "The targets are met.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(app.run(main))
