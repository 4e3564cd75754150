"""Records the libraries and processor a data set was computed with: flow's bytes depend on them.

`made_with` in plan.json and dataset.json is a list of objects, one per distinct environment, that
of the first call first. Earlier versions did not record it.

    opencv        version
    decoder       versions of PyAV and FFmpeg
    flow          method and implementation: the version of `mas.flow`, or OpenCV
    instructions  processor type, and the instruction sets that OpenCV uses
"""

from __future__ import annotations

import pathlib
import platform

import cv2
from absl import logging

from mas import flow, video
from mas.prepare import plan


def current(method: str) -> dict[str, str]:
    """The environment of this process, for a flow method or "none"."""
    return {
        "opencv": cv2.__version__,
        "decoder": video.decoder(),
        "flow": method if method == "none" else f"{method} of {flow.made_by(method)}",
        "instructions": instructions(),
    }


def instructions() -> str:
    """Processor type, and the instruction sets that OpenCV uses.

    >>> instructions().split()[0] == platform.machine()
    True
    """
    # "*" marks sets chosen at run time, "?" sets the processor does not have.
    sets = [name.lstrip("*") for name in cv2.getCPUFeaturesLine().split() if name[-1] != "?"]
    return " ".join([platform.machine(), *sets])


def note(root: pathlib.Path, now: dict[str, str]) -> list[dict[str, str]]:
    """Records the environment of this call; warns if it differs from an earlier one.

    Args:
        root: folder of a data set that has a plan.
        now: result of `current`, on this or another machine.

    Returns:
        All environments of the data set.
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
                "%s was started with %s. This call has %s: the same video may give different "
                "bytes.",
                *(root, old, new),
            )
    if now not in known:
        known = [*known, now]
        plan.keep_made_with(root, known)
    return known
