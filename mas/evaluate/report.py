"""What every evaluation leaves behind: a paragraph fit for a paper, and all its numbers."""

import json
import math
import os
import pathlib

import numpy as np
from absl import logging

from mas import files

_HOWS = {
    "uniform": "evenly spaced",
    "consecutive": "all non-overlapping ones",
    "overlapping": "each half a clip after the one before",
}
_POOLINGS = {
    "average": "the mean over frames and space",
    "max": "the maximum in each of 1 x 2 x 2 parts (frames, height, width)",
}


def describe(facts):
    """Sentences on the network, its weights, and the clips of a video.

    Args:
        facts: of a `Features` (or those of its parts that are known).
    """
    if "network" not in facts:
        return "How the features were made is not known."
    sentences = [f"Network: {facts['network']}, {weights(facts)}.", clips(facts)]
    pooling = _POOLINGS[facts["pooling"]]
    sentences.append(
        f"A video's features: {pooling} of the last convolution's map, mean over its clips."
    )
    if facts["failures"]:
        sentences.append(f"{len(facts['failures'])} videos failed and are left out.")
    return " ".join(sentences)


def weights(facts):
    """Where the weights come from, in words."""
    if "weights" not in facts:
        return "weights of unknown origin"
    source = f"{facts['model']} (sha256 {facts['digest'][:12]})"
    if facts["weights"] == "random":
        return f"that of {source} at random initialisation, seed {facts['seed']}"
    return f"weights of {source}"


def clips(facts):
    """The clips of a video, in a sentence."""
    least, most = facts["clips"]
    count = f"{least}" if least == most else f"{least} to {most}"
    size, (width, height) = facts["size"], facts["resize"]
    stride = facts.get("stride", 1)
    every = f", one of every {stride}" if stride > 1 else ""
    text = (
        f"Clips: {count} of each video, {_HOWS[facts['how']]}, {facts['frames']} frames of "
        f"{facts['modality']}{every}, centre crop {size} x {size} of {width} x {height}"
    )
    return text + (", the middle frame repeated." if facts["static"] else ".")


def folder(flags, kind):
    """The folder of a kind's results.

    --output, or runs/evaluate_KIND_NAME: NAME is that of the run folder or .keras file, with
    _random where its weights are not used; without a network that of the first .npz file.

    Args:
        flags: absl's.
        kind: name of the evaluation.

    Raises:
        ValueError: as `writable`.
    """
    if flags.output:
        return writable(flags.output)
    files = [getattr(flags, name) for name in ("queries", "test_list", "list")]
    source = flags.model or next((path for path in files if path), kind)
    path = pathlib.Path(source)
    if path.name in ("backbone.keras", "model.keras"):
        path = path.absolute().parent
    name = path.resolve().name if path.is_dir() else path.stem
    return writable(f"runs/evaluate_{kind}_{name}" + ("_random" if flags.random else ""))


def writable(path):
    """The folder of some results, as a path; refused before work starts rather than after it.

    Raises:
        ValueError: it cannot be made, or not be written to.
    """
    path = pathlib.Path(path)
    there = next(above for above in (path, *path.absolute().parents) if above.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"output must be a folder that can be written to. Received: {path}.")
    return path


def write(folder, kind, paragraph, numbers):
    """Writes FOLDER/KIND.txt, the paragraph, and FOLDER/KIND.json, and logs the paragraph.

    Args:
        folder: where to; made if it is not there.
        kind: name of the evaluation and of both files.
        paragraph: what was done and found.
        numbers: dict of everything that was measured; NumPy's values and arrays are taken too. NaN
            becomes null.
    """
    folder = pathlib.Path(folder)
    content = _plain({"kind": kind, "paragraph": paragraph, **numbers})
    text = json.dumps(content, indent=2, allow_nan=False)
    files.write(folder / f"{kind}.txt", f"{paragraph}\n".encode("utf-8", "surrogateescape"))
    files.write(folder / f"{kind}.json", f"{text}\n".encode())
    logging.info("%s\nWrote %s and %s.json.", paragraph, folder / f"{kind}.txt", kind)


def _plain(value):
    """The value as JSON can hold it."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
