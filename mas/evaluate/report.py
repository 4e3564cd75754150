"""What a protocol found: an object, a paragraph fit for a paper, and the files of both."""

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
    "overlapping": "each half a clip after the one before",
}
_CROPS = {
    1: "centre crop",
    3: "three crops along the longer side",
    5: "five crops, the centre and the corners,",
}
_POOLINGS = {
    "average": "the mean over frames and space of the last convolution's map",
    "max": "the maximum in each of 1 x 2 x 2 parts (frames, height, width) of the last "
    "convolution's map",
    "pool5": "the last convolution's map behind a pool of 2 x 2 x 2 (pool5), flattened",
    "fc6": "the first fully connected layer of its heads (fc6)",
}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What a protocol found. Every number is an attribute, by its name in `numbers`.

    Attributes:
        kind: name of the protocol and of its files.
        accuracy: the main number.
        text: a paragraph fit for a paper.
        numbers: everything that was measured, and the settings: KIND.json.
        matrices: {folder below: (`mas.accuracy.Accuracy`, class names)}; "" is the main test.
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
        """A number by its name; else what the `Accuracy` of the main test holds."""
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

        What an earlier call left in the folder is replaced, with a word in the log.

        Args:
            folder: where to; made if it is not there.

        Returns:
            The folder.

        Raises:
            ValueError: it cannot be made, or not be written to.
        """
        folder = writable(folder, "folder")
        earlier = _settings(folder, self.kind)
        if earlier is not None:
            same = earlier == _plain(self.settings)
            say, whose = (logging.info, "the same") if same else (logging.warning, "other")
            say("%s held results of %s settings; they are replaced.", folder, whose)
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
        folder: where to.
        kind: name of the evaluation and of both files.
        text: what was done and found.
        numbers: everything that was measured; NumPy's values and arrays are taken too. NaN becomes
            null.
    """
    content = _plain({"kind": kind, "paragraph": text, **numbers})
    files.write(pathlib.Path(folder, f"{kind}.txt"), f"{text}\n")
    files.write_json(pathlib.Path(folder, f"{kind}.json"), content, allow_nan=False)


def vacant(folder: PathLike, result: Result) -> pathlib.Path:
    """FOLDER, or FOLDER_2 and so on: the first without results of other settings."""
    first = pathlib.Path(folder)
    for number in itertools.count(1):
        found = first if number == 1 else first.with_name(f"{first.name}_{number}")
        earlier = _settings(found, result.kind)
        if earlier is None or earlier == _plain(result.settings):
            break
    if found != first:
        logging.info("%s holds results of other settings; these go to %s.", first, found)
    return found


def _settings(folder, kind):
    """The settings of the results in a folder; None without results."""
    try:
        return files.read_json(pathlib.Path(folder, f"{kind}.json")).get("settings", {})
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}


def writable(path: PathLike, name: str = "output") -> pathlib.Path:
    """The folder of some results, as a path; refused before work starts rather than after it.

    Raises:
        ValueError: it cannot be made, or not be written to.
    """
    path = checks.path(name, path)
    there = next(above for above in (path, *path.absolute().parents) if above.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(
            f"{name} must be a folder that can be written to. Received: {name}='{path}'."
        )
    return path


def describe(facts: dict[str, Any]) -> str:
    """Sentences on the network, its weights, and the clips of a video.

    Args:
        facts: of a `mas.features.Features`.
    """
    if "network" not in facts:
        return "How the features were made is not known."
    sentences = [f"Network: {facts['network']}, {weights(facts)}.", clips(facts)]
    pooling = _POOLINGS[facts["pooling"]]
    sentences.append(f"A video's features: {pooling}, mean over its clips.")
    if facts.get("whitened"):
        sentences.append(f"They are{whitened(facts['whitened'], 'themselves')[1:]}.")
    return " ".join([*sentences, *failures(facts)])


def whitened(count: int, fitted: str) -> str:
    """What whitening was done, as the end of a sentence; "" for none.

    Args:
        count: numbers that are kept; 0 is no whitening.
        fitted: what the PCA was fitted on, in words.
    """
    return f", whitened to {count} numbers by a PCA of {fitted}" if count else ""


def failures(facts: dict[str, Any]) -> list[str]:
    """A sentence on the videos that are left out, if there are any."""
    count = len(facts["failures"])
    return [f"Left out: {lists.counted(count, 'video')} that failed."] if count else []


def weights(facts: dict[str, Any]) -> str:
    """Where the weights come from, in words."""
    if "weights" not in facts:
        return "weights of unknown origin"
    source = f"{facts['model']} (sha256 {facts['digest'][:12]})"
    if facts["weights"] == "random":
        return f"that of {source} at random initialisation, seed {facts['seed']}"
    return f"weights of {source}"


def clips(facts: dict[str, Any]) -> str:
    """The clips of a video, and whether the network was trained on such."""
    least, most = facts["clips"]
    count = f"{least}" if least == most else f"{least} to {most}"
    size, (width, height) = facts["size"], facts["resize"]
    stride = facts.get("stride", 1)
    text = (
        f"Clips: {count} of each video, {_HOWS[facts['how']]}, {facts['frames']} frames of "
        f"{facts['modality']}{f', stride {stride}' if stride > 1 else ''}, "
        f"{_CROPS[facts.get('crops', 1)]} {size} x {size} of {width} x {height}"
    )
    text += ", the middle frame repeated." if facts["static"] else "."
    return " ".join(filter(None, [text, _beside_training(facts)]))


def _beside_training(facts):
    """Whether the clips are such as those of the training; "" where its run cannot be asked."""
    try:
        source = facts["model"]
        known, stride = networks.described(source), networks.stride_of(source)
        saved = map(networks.file(source).with_name, (networks.BACKBONE, networks.MODEL))
        digests = [files.digest(path) for path in saved if path.is_file()]
    except (KeyError, OSError, TypeError, ValueError):
        return ""
    if stride is None or facts.get("digest") not in digests:
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
        return f"Other than in training: {', '.join(others)}; {colours} as there."
    return f"Frames, stride, size and {colours} are those of the training."


def _plain(value):
    """The value as JSON can hold it."""
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
