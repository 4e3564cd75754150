"""The network of an index: its description, and its features of clips."""

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
    """Describes the network and the clips of an index.

    Raises:
        FileNotFoundError: If there is no such network.
        ValueError: If the network's clip size is unknown.
    """
    modality, known = features.modality_of(source)
    task = sampling.task(known, modality, features.stride_of(source))
    path = features.file_of(source, sampling)
    chosen = sampling.values() | task.clip.values() | {"stride": task.stride}
    names = ("how", "clips", "pooling", "static", "frames", "stride", "size", "resize", "crops")
    # If the videos were prepared at one rate, query files are resampled to it, too.
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
    return json.loads(json.dumps(found))  # as it is after reading


def _trained(path: pathlib.Path) -> dict[str, Any]:
    """Describes a network's training from its run.json and flags.txt; {} without them."""
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
        task: `features.PlainClips`, the clips it takes.
        sampling: which clips of a video, and which features.
        batch: clips per batch.
    """

    def __init__(
        self,
        source: networks.Source,
        facts: dict[str, Any],
        sampling: features.Sampling | None = None,
    ):
        """Loads the network.

        Args:
            source: run folder or .keras file.
            facts: the index's facts.
            sampling: sampling with batch size and threads; by default that of the index.

        Raises:
            FileNotFoundError: If there is no such network.
            ValueError: If it is not the network of the index.
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
        """float32 (n, D): features of a batch of clips, uint8 (n, T, H, W, 3)."""
        return self.function(batch).numpy()

    def clip(self, frames: np.ndarray) -> np.ndarray:
        """Takes a clip from a stretch of resized frames, uint8 (span, H, W, 3)."""
        chosen = frames[self.task.sample(len(frames), 0)[0]]
        if self.task.crops > 1:
            return chosen
        (top, left), size = self.task.places[0], self.task.clip.size
        return chosen[:, top : top + size, left : left + size]


def sampling_of(facts: dict[str, Any]) -> features.Sampling:
    """The sampling of an index."""
    chosen = dict(facts["sampling"])
    del chosen["modality"], chosen["fps"]
    return features.Sampling(**chosen | {"resize": tuple(chosen["resize"])})
