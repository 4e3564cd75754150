"""A fine-tuned network with its classes, its clips and the storage of its training data."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from mas import accuracy, checks, files, lazy, lists, networks
from mas.checks import refuse
from mas.features import PlainClips, Sampling, extraction
from mas.forms import NUMBER, SIZE
from mas.networks import archive
from mas.prediction.settings import Windows
from mas.video.reading import FINEST_RATE

tf = lazy.module("tensorflow")
OUTPUT = "logits"


@dataclasses.dataclass(frozen=True)
class Stored:
    """How the training frames were stored, according to run.json.

    Attributes:
        known: whether the frame rate is known; it is not for frames extracted by other tools.
        sizes: (width, height) of the resizing steps before that of the clip.
        fps: frames per second that videos were resampled to; None: each video's own.
        deinterlace: whether interlaced video was deinterlaced.
    """

    known: bool = False
    sizes: tuple[tuple[int, int], ...] = ()
    fps: float | None = None
    deinterlace: bool = False

    def rate(self, windows: Windows) -> float | None:
        """Frames per second to resample videos to; None: each video's own."""
        return self.fps if windows.fps is None else windows.fps or None


@dataclasses.dataclass(frozen=True, eq=False)
class Classifier:
    """A fine-tuned network, ready to classify windows of video.

    Attributes:
        path: its .keras file.
        names: class names.
        task: `mas.features.PlainClips`, the clips it takes.
        stored: how its training frames were stored.
        fps: frames per second to resample videos to; None: each video's own.
        scores: function from uint8 (batch, T, S, S, 3) to probabilities, float32 (batch, classes).
    """

    path: pathlib.Path
    names: list[str]
    task: PlainClips
    stored: Stored
    fps: float | None
    scores: Callable[[np.ndarray], np.ndarray]

    def see(self, frame: np.ndarray) -> np.ndarray:
        """Resizes a frame as in training and crops its centre.

        Args:
            frame: uint8 (height, width, 3), R G B.

        Returns:
            uint8 (S, S, 3), a copy.
        """
        size = self.task.clip.size
        for wanted in (*self.stored.sizes, self.task.clip.resize):
            if frame.shape[1::-1] != tuple(wanted):
                frame = cv2.resize(frame, wanted, interpolation=cv2.INTER_LINEAR)
        top, left = self.task.places[0]
        return frame[top : top + size, left : left + size].copy()

    def text(self) -> str:
        """Describes the network's input and compares it with training, in sentences."""
        clip, stride = self.task.clip, self.task.stride
        width, height = clip.resize
        trained = networks.stride_of(self.path)
        same = "as in training" if trained == stride else f"in training: {trained or 'unknown'}"
        return (
            f"{len(self.names)} classes{_training(self.path)}. "
            f"Windows of {clip.frames} frames, stride {stride} ({same}), "
            f"{clip.size} x {clip.size} of {width} x {height}. {self._rate()}"
        )

    def _rate(self):
        of_stored = "each video's own" if self.stored.fps is None else f"{self.stored.fps:g}"
        trained = of_stored if self.stored.known else "unknown"
        taken = "each video's own" if self.fps is None else f"{self.fps:g}"
        same = "as in training" if taken == trained else f"in training: {trained}"
        return f"Frames per second: {taken} ({same})."


def check(model: networks.Source) -> None:
    """Checks that a network is a classifier of RGB frames, without loading it.

    Raises:
        FileNotFoundError: If there is no such network, or its run is unfinished.
        ValueError: If it is not a classifier, if it takes optical flow, or if the file is damaged.
    """
    path = _file(model)
    outputs = archive.config(path).get("config", {}).get("output_layers")
    if not isinstance(outputs, dict) or OUTPUT not in outputs:
        task = _run(path).get("task")
        what = f"a network of the task {task}" if isinstance(task, str) else "another network"
        allowed = "a classifier, as mas finetune writes it"
        raise ValueError(f"model must be {allowed}. Received: model={str(model)!r}, {what}.")
    if networks.described(path).modality != "rgb":
        raise ValueError(
            "model must take RGB frames: prediction does not compute optical flow. "
            f"Received: model={str(model)!r}, a network of optical flow."
        )


def open_classifier(
    model: networks.Source,
    windows: Windows | None = None,
    classes: Any = None,
) -> Classifier:
    """Opens a fine-tuned network.

    Args:
        model: `mas.Run` or run folder of `mas.finetune`; or its model.keras, or another .keras file
            with the output "logits".
        windows: stride and frame rate; by default as in training.
        classes: class names in the order of the labels, or a file of them; by default the run's,
            or numbers if it has none.

    Raises:
        FileNotFoundError: As in `check`, or if there is no such file of names.
        ValueError: As in `check`, or if the numbers of names and classes differ.
    """
    check(model)
    path, windows = _file(model), windows or Windows()
    stored, known = stored_of(path), networks.described(path).clip
    task = Sampling(stride=windows.stride).task(known, "rgb", networks.stride_of(path))
    network = networks.load(path)
    extraction.check_shape(network, task)
    count = network.output[OUTPUT].shape[-1]
    function = extraction.compiled(
        lambda clips: tf.nn.softmax(tf.cast(network(clips, training=False)[OUTPUT], tf.float32)),
        task,
    )

    def scores(clips):
        found = function(tf.constant(clips)).numpy()
        if not np.isfinite(found).all():
            raise FloatingPointError(f"{path} must give finite numbers. Received: NaN.")
        return found

    rate = stored.rate(windows)
    return Classifier(path, _names(classes, path, count), task, stored, rate, scores)


def _file(model):
    networks.file(model, "model")
    return networks.with_heads(model)


def _names(classes, path, count):
    if classes is None:
        found = _run(path).get("classes")
        named = isinstance(found, list) and all(isinstance(name, str) for name in found)
        if named and len(found) == count:
            return found
    names = accuracy.class_names(classes, count - 1)
    if len(names) != count:
        refuse("classes", f"{count} names, one for each output of {path}", names)
    return names


def _run(path):
    """Reads the run.json next to a network; {} without one."""
    file = path.with_name(networks.RUN)
    beside = path.name in (networks.BACKBONE, networks.MODEL) and file.is_file()
    return files.read_json(file, networks.MOST_RUN) if beside else {}


def _training(path):
    """Number of training clips and the training list, if known."""
    known = _run(path)
    identity, file = known.get("identity"), known.get("train_list")
    count = identity.get("clips") if isinstance(identity, dict) else None
    text = f", trained on {lists.counted(count, 'clip')}" if isinstance(count, int) else ""
    return f"{text} of {file}" if text and isinstance(file, str) else text


def stored_of(path: pathlib.Path) -> Stored:
    """Reads from run.json how the training frames were stored.

    The file may come from an untrusted source, so invalid values count as unknown.
    """
    identity = _run(path).get("identity")
    data = identity.get("data") if isinstance(identity, dict) else None
    if not isinstance(data, dict):
        return Stored()
    names = ("flow_size", "size") if data.get("form") == "shards" else ("flow_size",)
    sizes = (_size(data.get(name)) for name in names)
    rate = checks.Option(form=NUMBER, least=1 / FINEST_RATE, most=1000)
    try:
        fps = data.get("fps") and rate.convert("fps", data.get("fps"))
    except ValueError:
        fps = None
    own = data.get("form") == "videos" or "method" in data  # of mas prepare
    return Stored(own, tuple(filter(None, sizes)), fps, data.get("deinterlace") is True)


def _size(value):
    """(width, height) in pixels; None if the value is not a valid size."""
    try:
        size = SIZE.convert(value)
    except (TypeError, ValueError):
        return None
    return size if max(size) <= 2**13 else None
