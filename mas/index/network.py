"""The network of an index: what the index says of it, and from clips to features."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import numpy as np

from mas import features, files, networks, records


def facts_of(
    source: networks.Source, sampling: features.Sampling, data: Any, random: bool, seed: int
) -> dict[str, Any]:
    """What an index says of the network and its clips.

    Raises:
        FileNotFoundError: there is no such network.
        ValueError: it takes no clips of known size.
    """
    modality, known = features.modality_of(source)
    task = sampling.task(known, modality, features.stride_of(source))
    path = features.file_of(source, sampling)
    chosen = sampling.values() | task.clip.values() | {"stride": task.stride}
    names = ("how", "clips", "pooling", "static", "frames", "stride", "size", "resize", "crops")
    # Prepared at one rate: the file of a query is brought to it, too.
    more = {"modality": modality, "fps": records.settings(data).get("fps")}
    found = {
        "network": {
            "model": os.path.abspath(source),
            "digest": files.digest(path),
            "weights": "random" if random else "loaded",
            "seed": seed if random else None,
        },
        "sampling": {name: chosen[name] for name in names} | more,
        "frames": task.span,
        "trained": _trained(path),
    }
    return json.loads(json.dumps(found))  # as it is read again


def _trained(path: pathlib.Path) -> dict[str, Any]:
    """What run.json and flags.txt beside a network say of its training; {} without."""
    run = path.with_name(networks.RUN)
    if not run.is_file():
        return {}
    known = files.read_json(run, networks.MOST_RUN)
    identity = known.get("identity")
    found = {"task": str(known.get("task")), "epochs": known.get("finished_epochs")}
    found["clips"] = identity.get("clips") if isinstance(identity, dict) else None
    notes = run.with_name("flags.txt")
    text = files.read_text(notes, "replace") if notes.is_file() else ""
    for line in text.splitlines():
        if line.startswith("--data="):
            found["data"] = line.removeprefix("--data=")
    return found


class Network:
    """The network of an index, from clips to features.

    Attributes:
        task: what it sees: a `features.PlainClips`.
        sampling: which clips of a video, and what is kept of each.
        batch: clips that go through it together.
    """

    def __init__(
        self,
        source: networks.Source,
        facts: dict[str, Any],
        sampling: features.Sampling | None = None,
    ):
        """Loads it.

        Args:
            source: run folder or .keras file.
            facts: of the index.
            sampling: says how it runs; by default as usual.

        Raises:
            FileNotFoundError: there is no such network.
            ValueError: it is another one than that of the index.
        """
        known = facts["network"]
        self.sampling = sampling or sampling_of(facts)
        found = files.digest(features.file_of(source, self.sampling))
        if found != known["digest"]:
            raise ValueError(
                f"model must be the network that the index was made with, {known['model']}. "
                f"Received: model={os.fspath(source)!r}, which is another."
            )
        modality, clip = features.modality_of(source)
        self.task, self.batch = self.sampling.task(clip, modality), self.sampling.batch
        options = (known["weights"] == "random", known["seed"] or 0)
        network = features.load_network(source, self.sampling, self.task, *options)
        self.function = features.function_of(network, self.sampling, self.task)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """float32 (n, D) of clips as the network takes them."""
        return self.function(batch).numpy()

    def clip(self, frames: np.ndarray) -> np.ndarray:
        """The clip of a stretch of resized frames, uint8 (span, H, W, 3)."""
        chosen = frames[self.task.sample(len(frames), 0)[0]]
        if self.task.crops > 1:
            return chosen
        (top, left), size = self.task.places[0], self.task.clip.size
        return chosen[:, top : top + size, left : left + size]


def sampling_of(facts: dict[str, Any]) -> features.Sampling:
    """The sampling that an index says."""
    chosen = dict(facts["sampling"])
    del chosen["modality"], chosen["fps"]
    return features.Sampling(**chosen | {"resize": tuple(chosen["resize"])})
