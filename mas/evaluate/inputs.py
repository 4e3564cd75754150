"""Inputs of a protocol: features, or a network with lists of videos.

Videos and labels are read before features are extracted, so that errors in them show at once.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from absl import logging

from mas import accuracy, features, files, lists, networks, records
from mas.checks import check_seed, refuse
from mas.features import Features, Sampling
from mas.features.means import labels_of

# "Features from the last conv layer" (CVPR 2019, sections 4.4 and 4.5) are most likely the 4096
# numbers of C3D's fifth pooling, its usual features; their mean would lose the spatial layout.
LAST_CONVOLUTION = "pool5"

Videos = str | os.PathLike | Sequence[lists.Entry] | Features | None
Classes = Sequence[str] | str | os.PathLike | None


@dataclasses.dataclass(frozen=True)
class Side:
    """Videos of one list, or of one file of features.

    Attributes:
        name: path of the list or file; else the name of the parameter.
        path: path of the list or file, if given as one.
        listed: path of the list, if known; class names may be next to it.
        videos: ids, each once.
        labels: int (videos,); -1 is unlabelled.
        features: function without arguments that extracts, or returns, their `Features`.
    """

    name: str
    path: str | None
    listed: str | None
    videos: list[str]
    labels: np.ndarray
    features: Callable[[], Features]

    def described(self, found: Features) -> str:
        """Text with the number of videos and their list."""
        count = lists.counted(len(found.videos), "video")
        return f"{count} ({self.path})" if self.path else count

    def labelled(self, classes: int = 2) -> Side:
        """Returns itself, after checking that all videos have labels of enough classes.

        Raises:
            ValueError: If a video has no label, or there are fewer than `classes` classes.
        """
        if np.min(self.labels) < 0:
            video = self.videos[int(np.argmin(self.labels))]
            raise ValueError(
                f"{self.name}: every video must have a label. Received: {video} without a label."
            )
        found = len(np.unique(self.labels))
        if found < classes:
            raise ValueError(
                f"{self.name} must contain {classes} classes or more. Received: {found} class, "
                f"label {self.labels[0]}."
            )
        return self


class Inputs:
    """A network, its data set and its clips; source and data are None if features are given.

    Args:
        source: `mas.Run`, run folder, .keras file of a backbone, or a keras.Model.
        data: an opened data set, or its folder.
        sampling: which clips of a video to use.
        random: whether to replace the learned weights by random ones.
        seed: seed of the random weights.
        columns: columns of the lists, or the name of a preset.
        cache: whether to keep features in the user's cache folder.
        overlapping: whether to override `sampling` with overlapping clips and, unless it sets
            another pooling, pool5 features: as in CVPR 2019.
    """

    def __init__(
        self,
        source: Any,
        data: Any,
        sampling: Sampling | None = None,
        random: bool = False,
        seed: int = 0,
        columns: str = "video,label",
        cache: bool = True,
        overlapping: bool = False,
    ):
        """See the class."""
        if not (sampling is None or isinstance(sampling, Sampling)):
            refuse("sampling", "a mas.features.Sampling", sampling)
        check_seed(seed)
        self.source, self._data = source, data
        self.sampling = sampling or Sampling()
        if overlapping and source is not None:
            if self.sampling.clips != Sampling().clips:
                logging.warning("The clips overlap: ignoring clips=%d.", self.sampling.clips)
            self.sampling = dataclasses.replace(self.sampling, how="overlapping")
        if source is not None:
            pooling = self.sampling.pooling or (LAST_CONVOLUTION if overlapping else "average")
            self.sampling = dataclasses.replace(self.sampling, pooling=pooling)
        self.random, self.seed, self.columns, self.cache = random, seed, columns, cache

    @functools.cached_property
    def data(self) -> Any:
        """The opened data set.

        Raises:
            ValueError: If source or data is missing, or they do not fit together.
        """
        for name, value in (("source", self.source), ("data", self._data)):
            if value is None:
                refuse(name, "given with a list of videos", value)
        modality, known = features.modality_of(self.source)
        self.sampling.task(known, modality, features.stride_of(self.source))  # checks the clips
        return records.opened(self._data, modality == "flow")

    def sides(self, **given: Videos) -> list[Side]:
        """The sides of a comparison, from arguments named as the protocol's parameters.

        Raises:
            ValueError: If one is neither a list nor features, a list has no network, or a network
                is given although all sides are features.
        """
        found = [self._side(name, videos) for name, videos in given.items()]
        if all(is_features(videos) for videos in given.values()):
            clips = None if _affecting(self.sampling) == _affecting(Sampling()) else self.sampling
            unused = {"source": self.source, "data": self._data, "sampling": clips}
            for name, value in (unused | {"random": self.random or None}).items():
                if value is not None:
                    refuse(name, "left out with features", value)
        return found

    def _side(self, parameter, videos):
        path = os.fspath(videos) if isinstance(videos, str | os.PathLike) else None
        name = path or parameter
        if is_features(videos):
            known = videos if isinstance(videos, Features) else features.load(videos)
            listed = known.facts.get("list") or path
            return Side(name, path, listed, known.videos, known.labels, lambda: known)
        if videos is None:
            refuse(parameter, "a list of videos, or features", videos)
        labels = labels_of(lists.entries_of(videos, self.columns, self.data.videos, parameter))

        def make():
            options = {"random": self.random, "seed": self.seed, "columns": self.columns}
            return features.extract(
                self.source, self.data, videos, self.sampling, cache=self.cache, **options
            )

        return Side(name, path, path, list(labels), np.array(list(labels.values())), make)

    def settings(self, protocol: Any, **given: Videos) -> dict[str, Any]:
        """All settings that affect a result, serialisable as JSON."""
        return {
            **protocol.values(),
            "model": _path(self.source),
            "data": _path(getattr(self._data, "data", self._data)),
            **{name: _named(videos) for name, videos in given.items()},
            "sampling": self.source and _affecting(self.sampling),
            "random": self.random,
            "seed": self.seed,
            "columns": self.columns,
        }


def _affecting(sampling):
    """Settings that affect the features, not only how they are computed."""
    known = sampling.options()
    return {name: value for name, value in sampling.values().items() if not known[name].free}


def is_features(videos: Videos) -> bool:
    """Whether the argument is features or the path of a features file, not a list."""
    path = isinstance(videos, str | os.PathLike) and os.fspath(videos).endswith(".npz")
    return path or isinstance(videos, Features)


def _path(value):
    """Path of a run or a folder; name of a keras.Model."""
    path = isinstance(value, str | os.PathLike)
    return os.fspath(value) if path else value and getattr(value, "name", str(value))


def _named(videos):
    """A path, or a digest of features or entries."""
    if videos is None or isinstance(videos, str | os.PathLike):
        return videos and os.fspath(videos)
    if isinstance(videos, Features):
        content = np.ascontiguousarray(videos.values).tobytes() + repr(videos.videos).encode()
    else:
        content = repr(list(videos)).encode()
    return hashlib.sha256(content).hexdigest()


def class_names(classes: Classes, side: Side, source: Any, highest: int) -> list[str]:
    """Class names in label order.

    Args:
        classes: names, or a file of them; None looks next to the list and in the run.
        side: the videos.
        source: source of the network.
        highest: highest label.

    Raises:
        ValueError: If there are fewer names than classes.
    """
    return accuracy.class_names(classes, highest, side.listed, known_names(source))


def known_names(source: Any) -> list[str] | None:
    """Class names in a run's run.json; None if there are none."""
    if not isinstance(source, str | os.PathLike):
        return None
    path = pathlib.Path(source)
    if not (path.is_dir() or path.name in (networks.BACKBONE, networks.MODEL)):
        return None
    described = (path if path.is_dir() else path.parent) / networks.RUN
    if not described.is_file():
        return None
    known = files.read_json(described, networks.MOST_RUN).get("classes")
    if known is not None and not (
        isinstance(known, list) and all(isinstance(name, str) for name in known)
    ):
        raise ValueError(f"{described} must list class names. Received: {str(known)[:60]}.")
    return known


def check_alike(first: Features, second: Features, names: Sequence[str]) -> None:
    """Checks that two sets of features come from the same network and pooling.

    Args:
        first: one set of features.
        second: the other set.
        names: names of both in error messages.

    Raises:
        ValueError: If dimensions or facts differ, or one of them was whitened by itself.
    """
    for name, part in zip(names, (first, second), strict=True):
        if part.facts.get("whitened") and first.videos != second.videos:
            raise ValueError(
                f"{name} must not be whitened: after a PCA of their own, features cannot be "
                "compared with others. Whiten them in the evaluation instead."
            )
    both: dict[str, list] = {"width": [part.values.shape[1] for part in (first, second)]}
    for name in ("digest", "weights", "seed", "pooling"):
        if name in first.facts and name in second.facts:
            both[name] = [part.facts[name] for part in (first, second)]
    for name, (one, other) in both.items():
        if one != other:
            raise ValueError(
                f"{names[0]} and {names[1]} must be features of the same network and pooling. "
                f"Received: {name} {one} and {other}."
            )
