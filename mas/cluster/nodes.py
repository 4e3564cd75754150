"""The nodes of a Ray cluster: how many there are, and whether each has what work needs."""

from __future__ import annotations

import importlib
import json
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

LOOKS = 120  # seconds in which each node must have looked at what it needs


def alive(ray: Any) -> list[dict[str, Any]]:
    """What Ray knows of each node."""
    return [node for node in ray.nodes() if node["Alive"]]


def count_cores(ray: Any) -> int:
    """How many cores the nodes offer now."""
    return int(ray.cluster_resources().get("CPU", 0))


def needs(
    modules: Mapping[str, str], reads: Sequence[str] = (), mark: str | None = None, token: str = ""
) -> dict:
    """What a node must have: see `lacks`.

    Args:
        modules: {name: module} whose versions must be those of this process.
        reads: absolute paths that must be there.
        mark: absolute path of a file whose folder all nodes share and write in.
        token: what that file holds, so that another folder of the same name is noticed.
    """
    versions = {n: (m, importlib.import_module(m).__version__) for n, m in modules.items()}
    return {"versions": versions, "reads": [*reads], "mark": mark, "token": token}


def _looker():
    """A function that Ray sends as it is, so that it also runs where `mas` is not installed."""

    def lacks(needs):
        import importlib
        import os
        import uuid

        for name, (module, wanted) in needs["versions"].items():
            try:
                found = importlib.import_module(module).__version__
            except ImportError as error:
                return f"cannot import {module} ({error})"
            if found != wanted:
                return f"has {name} {found}, and this machine {wanted}"
        for path in needs["reads"]:
            if not os.path.exists(path):
                return f"does not see {path}, which all nodes must share"
        if needs["mark"] is None:
            return None
        folder = os.path.dirname(needs["mark"])
        try:
            with open(needs["mark"]) as file:
                seen = file.read()
        except OSError as error:
            return f"does not see {folder}, which all nodes must share ({error.strerror})"
        if seen != needs["token"]:
            return f"sees another folder as {folder}, which all nodes must share"
        trial = os.path.join(folder, f"{uuid.uuid4().hex}.tmp")
        try:
            open(trial, "x").close()
            os.unlink(trial)
        except OSError as error:
            return f"cannot write in {folder} ({error.strerror})"
        return None

    return lacks


lacks: Callable[[Mapping], str | None] = _looker()  # what the machine lacks, or None


_looked: dict[str, str | None] = {}


def lacks_here(needs: Mapping) -> str | None:
    """What this node lacks, as an error: for its tasks, as nodes come after `check_nodes`, too."""
    text = json.dumps(needs)
    if text not in _looked:
        _looked[text] = lacks(needs)
    problem = _looked[text]
    return problem and f"Ray node {socket.gethostname()} {problem}."


def check_nodes(ray: Any, needs: Mapping) -> None:
    """Lets every node look for what it needs.

    Args:
        ray: as `connected` yields it.
        needs: see `needs`.

    Raises:
        RuntimeError: a node lacks something; names both.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

    look = ray.remote(num_cpus=0, max_retries=0)(_looker())
    asked = {
        look.options(scheduling_strategy=On(node["NodeID"], soft=False)).remote(needs): node
        for node in alive(ray)
    }
    done, late = ray.wait([*asked], num_returns=len(asked), timeout=LOOKS)
    found = {task: "does not answer" for task in late}
    for task in done:
        try:
            problem = ray.get(task)
        except ray.exceptions.RayTaskError as error:
            problem = f"cannot look ({error.cause})"
        except ray.exceptions.RayError:  # it has left
            problem = None
        if problem:
            found[task] = problem
    if found:
        task, problem = next(iter(found.items()))
        node, count = asked[task]["NodeManagerAddress"], f"{len(found)} of {len(asked)}"
        raise RuntimeError(f"{count} Ray nodes cannot take part: {node} {problem}.")
