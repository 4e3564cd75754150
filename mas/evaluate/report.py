"""Results of protocols: an object, a paragraph for a paper, and files."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import pathlib
from typing import Any

import numpy as np
from absl import logging

from mas import accuracy, checks, files, lists, networks
from mas.accuracy import Accuracy
from mas.files import PathLike
from mas.settings import Clip

_HOWS = {
    "uniform": "evenly spaced",
    "consecutive": "all non-overlapping ones",
    "overlapping": "one every half clip",
}
_CROPS = {
    1: "centre crop",
    3: "three crops along the longer side",
    5: "five crops, the centre and the corners,",
}
_POOLINGS = {
    "average": "the last feature map, averaged over time and space",
    "max": "the maxima of the last feature map in 1 x 2 x 2 parts (time, height, width)",
    "pool5": "the last feature map after 2 x 2 x 2 max pooling (pool5), flattened",
    "fc6": "the first fully connected layer of the heads (fc6)",
}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Result:
    """Result of a protocol. Every entry of `numbers` is also an attribute.

    Attributes:
        kind: name of the protocol and of its files.
        accuracy: the main number.
        text: a paragraph for a paper.
        numbers: all measurements and settings, as written to KIND.json.
        matrices: {subfolder: (`mas.accuracy.Accuracy`, class names)}; "" is the main test.
        tables: {csv file: (header, rows)}.
        unit: what the matrices count.
    """

    kind: str
    accuracy: float
    text: str
    numbers: dict[str, Any]
    matrices: dict[str, tuple[Accuracy, list[str]]] = dataclasses.field(default_factory=dict)
    tables: dict[str, Any] = dataclasses.field(default_factory=dict)
    unit: str = "videos"

    def __getattr__(self, name: str) -> Any:
        """An entry of `numbers`, or an attribute of the main test's `Accuracy`."""
        numbers = self.__dict__.get("numbers", {})
        if name in numbers:
            return numbers[name]
        main = self.__dict__.get("matrices", {}).get("")
        if name.startswith("_") or main is None:
            raise AttributeError(f"a result of {self.__dict__.get('kind')} has no {name!r}")
        return getattr(main[0], name)

    def __repr__(self) -> str:
        """The protocol and the main number."""
        return f"Result({self.kind}: accuracy {self.accuracy:.4f})"

    def write(self, folder: PathLike) -> pathlib.Path:
        """Writes KIND.txt, KIND.json, and the tables and pictures of the protocol.

        It replaces earlier results in the folder and logs that it does.

        Args:
            folder: folder to write to; created if missing.

        Returns:
            The folder.

        Raises:
            ValueError: If the folder cannot be created or written to.
        """
        folder = writable(folder, "folder")
        earlier = _settings(folder, self.kind)
        if earlier is not None:
            same = earlier == _plain(self.settings)
            say, whose = (logging.info, "the same") if same else (logging.warning, "other")
            say("Replacing the results in %s, which had %s settings.", folder, whose)
        for below, (found, names) in self.matrices.items():
            (folder / below).mkdir(parents=True, exist_ok=True)
            accuracy.write(found, names, folder / below, self.unit)
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in self.tables.items():
            files.write_csv(folder / name, *table)
        write(folder, self.kind, self.text, self.numbers)
        return folder


def write(folder: PathLike, kind: str, text: str, numbers: dict[str, Any]) -> None:
    """Writes FOLDER/KIND.txt, the paragraph, and FOLDER/KIND.json.

    Args:
        folder: folder to write to.
        kind: name of the evaluation and of both files.
        text: the paragraph.
        numbers: all measurements; may contain NumPy values and arrays. NaN becomes null.
    """
    content = _plain({"kind": kind, "paragraph": text, **numbers})
    files.write(pathlib.Path(folder, f"{kind}.txt"), f"{text}\n")
    files.write_json(pathlib.Path(folder, f"{kind}.json"), content, allow_nan=False)


def vacant(folder: PathLike, result: Result) -> pathlib.Path:
    """FOLDER, FOLDER_2, ...: the first one without results of other settings."""
    first = pathlib.Path(folder)
    for number in itertools.count(1):
        found = first if number == 1 else first.with_name(f"{first.name}_{number}")
        earlier = _settings(found, result.kind)
        if earlier is None or earlier == _plain(result.settings):
            break
    if found != first:
        logging.info("%s has results with other settings: writing to %s.", first, found)
    return found


def _settings(folder, kind):
    """Settings of the results in a folder; None without results."""
    try:
        return files.read_json(pathlib.Path(folder, f"{kind}.json")).get("settings", {})
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}


def writable(path: PathLike, name: str = "output") -> pathlib.Path:
    """Checks, before work starts, that a folder for results can be written; returns its path.

    Raises:
        ValueError: If the folder cannot be created or written to.
    """
    path = checks.path(name, path)
    there = next(above for above in (path, *path.absolute().parents) if above.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{name} must be a writable folder. Received: {name}='{path}'.")
    return path


def describe(facts: dict[str, Any]) -> str:
    """Describes the network, its weights and the clips of a video, in sentences.

    Args:
        facts: facts of a `mas.features.Features`.
    """
    if "network" not in facts:
        return "The origin of the features is unknown."
    sentences = [f"Network: {facts['network']}, {weights(facts)}.", clips(facts)]
    pooling = _POOLINGS[facts["pooling"]]
    sentences.append(f"Features: {pooling}; averaged over the clips of a video.")
    if facts.get("whitened"):
        sentences.append(f"They are{whitened(facts['whitened'], 'themselves')[1:]}.")
    return " ".join([*sentences, *failures(facts)])


def whitened(count: int, fitted: str) -> str:
    """Describes the whitening, as the end of a sentence; "" without whitening.

    Args:
        count: dimensions that are kept; 0 means no whitening.
        fitted: text that says what the PCA was fitted to.
    """
    dimensions = lists.counted(count, "dimension")
    return f", whitened to {dimensions} by a PCA of {fitted}" if count else ""


def failures(facts: dict[str, Any]) -> list[str]:
    """A sentence on the videos that were skipped, if there are any."""
    count = len(facts["failures"])
    return [f"Skipped: {lists.counted(count, 'unreadable video')}."] if count else []


def weights(facts: dict[str, Any]) -> str:
    """Describes the origin of the weights, and how their epoch was chosen."""
    if "weights" not in facts:
        return "weights of unknown origin"
    source = f"{facts['model']} (sha256 {facts['digest'][:12]})"
    if facts["weights"] == "random":
        return f"that of {source} at random initialisation, seed {facts['seed']}"
    return f"weights of {source}{_validation(facts)}"


def _validation(facts):
    """How validation chose the network, as the end of a sentence; "" without validation."""
    try:
        known = _run(facts)["validation"]
        epoch, videos, tested = (int(known[name]) for name in ("epoch", "videos", "tested"))
    except (KeyError, TypeError, ValueError):
        return ""
    also = f", {tested} of them also test videos of that run" if tested else ""
    return f", of epoch {epoch}, the best on {lists.counted(videos, 'validation video')}{also}"


def clips(facts: dict[str, Any]) -> str:
    """Describes the clips of a video, and compares them with those of the training."""
    least, most = facts["clips"]
    count = f"{least}" if least == most else f"{least} to {most}"
    size, (width, height) = facts["size"], facts["resize"]
    stride = facts.get("stride", 1)
    text = (
        f"Clips: {count} per video, {_HOWS[facts['how']]}, {facts['frames']} frames of "
        f"{facts['modality']}{f', stride {stride}' if stride > 1 else ''}, "
        f"{_CROPS[facts.get('crops', 1)]} {size} x {size} of {width} x {height}"
    )
    text += ", with the middle frame repeated." if facts["static"] else "."
    return " ".join(filter(None, [text, _compared_with_training(facts)]))


def _compared_with_training(facts):
    """Compares the clips with those of the training; "" if its run is not available."""
    if _run(facts) is None:
        return ""
    try:
        known, stride = networks.described(facts["model"]), networks.stride_of(facts["model"])
    except (OSError, TypeError, ValueError):
        return ""
    if stride is None:
        return ""
    now, then = {"stride": 1, **facts}, {**known.clip.values(), "stride": stride}
    texts = {name: option.form.text for name, option in Clip.options().items()} | {"stride": str}
    others = [
        f"{name} {text(now[name])} (training: {text(then[name])})"
        for name, text in texts.items()
        if text(now[name]) != text(then[name])
    ]
    rgb = known.network and known.modality == "rgb"
    colours = f"colours (preset {known.network.preset})" if rgb else "values"
    if others:
        return f"Different from training: {', '.join(others)}; the same {colours}."
    return f"Frames, stride, size and {colours} are those of the training."


def _run(facts):
    """The run.json of the network in the facts; None if it is gone or now has another network."""
    try:
        path = networks.file(facts["model"])
        saved = [path.with_name(name) for name in (networks.BACKBONE, networks.MODEL)]
        if facts["digest"] in [files.digest(each) for each in saved if each.is_file()]:
            return files.read_json(path.with_name(networks.RUN), networks.MOST_RUN)
    except (KeyError, OSError, TypeError, ValueError):
        pass
    return None


def _plain(value):
    """Converts a value to JSON types."""
    if isinstance(value, Accuracy):
        value = {**vars(value), "mean_class": value.mean_class}
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
