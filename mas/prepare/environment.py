"""What a data set is computed with. The bytes of flow depend on it, so they say so.

plan.json and dataset.json have `made_with`, a list of objects: first that of the call which began,
then each other one under which videos were prepared. Earlier versions recorded none.

    opencv        version
    decoder       versions of PyAV and FFmpeg
    flow          method, and by whom: the version of `mas.flow`'s own, or OpenCV
    instructions  the kind of processor, and the instruction sets that OpenCV uses of it
"""

from __future__ import annotations

import pathlib
import platform

import cv2
from absl import logging

from mas import flow, video
from mas.prepare import plan


def current(method: str) -> dict[str, str]:
    """What this process computes with, for a method of flow or none."""
    return {
        "opencv": cv2.__version__,
        "decoder": video.decoder(),
        "flow": method if method == "none" else f"{method} of {flow.made_by(method)}",
        "instructions": instructions(),
    }


def instructions() -> str:
    """The kind of processor, and the instruction sets that OpenCV uses of it.

    >>> instructions().split()[0] == platform.machine()
    True
    """
    # "*" marks sets chosen at run time, "?" sets that the processor lacks.
    sets = [name.lstrip("*") for name in cv2.getCPUFeaturesLine().split() if name[-1] != "?"]
    return " ".join([platform.machine(), *sets])


def note(root: pathlib.Path, now: dict[str, str]) -> list[dict[str, str]]:
    """Records what videos of this call are computed with; warns where others are with other.

    Args:
        root: folder of a data set that has a plan.
        now: what `current` gives, here or on another machine.

    Returns:
        All that the data set's videos are computed with.
    """
    known = plan.made_with(root)
    for before in known:
        names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if names:
            old, new = (
                ", ".join(f"{name}={values.get(name)}" for name in names)
                for values in (before, now)
            )
            logging.warning(
                "%s was begun with %s. This call has %s: the same video may give other bytes.",
                *(root, old, new),
            )
    if now not in known:
        known = [*known, now]
        plan.keep_made_with(root, known)
    return known
