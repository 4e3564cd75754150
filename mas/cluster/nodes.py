"""Nodes of a Ray cluster: counting them, and checking their software and shared folders."""

from __future__ import annotations

import importlib
import json
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

LOOKS = 120  # seconds a node may take to check its requirements


def alive(ray: Any) -> list[dict[str, Any]]:
    """Returns Ray's description of each live node."""
    return [node for node in ray.nodes() if node["Alive"]]


def count_cores(ray: Any) -> int:
    """Returns the number of cores currently in the cluster."""
    return int(ray.cluster_resources().get("CPU", 0))


def needs(
    modules: Mapping[str, str], reads: Sequence[str] = (), mark: str | None = None, token: str = ""
) -> dict:
    """Returns the requirements that `lacks` checks on a node.

    Args:
        modules: {name: module}; the versions must match those of this process.
        reads: absolute paths that must exist.
        mark: absolute path of a file in a folder that all nodes share and can write to.
        token: content of that file, to detect a different folder with the same path.
    """
    versions = {n: (m, importlib.import_module(m).__version__) for n, m in modules.items()}
    return {"versions": versions, "reads": [*reads], "mark": mark, "token": token}


def _make_lacks():
    """Returns a function that Ray pickles by value, so it also runs on nodes without `mas`."""

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
                return f"has {name} {found}, but this machine has {wanted}"
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
            return f"sees a different folder at {folder}, which all nodes must share"
        trial = os.path.join(folder, f"{uuid.uuid4().hex}.tmp")
        try:
            open(trial, "x").close()
            os.unlink(trial)
        except OSError as error:
            return f"cannot write to {folder} ({error.strerror})"
        return None

    return lacks


# Returns the first unmet requirement, or None.
lacks: Callable[[Mapping], str | None] = _make_lacks()


_looked: dict[str, str | None] = {}


def lacks_here(needs: Mapping) -> str | None:
    """Returns an error message if this node lacks something; for nodes that join late."""
    text = json.dumps(needs)
    if text not in _looked:
        _looked[text] = lacks(needs)
    problem = _looked[text]
    return problem and f"Ray node {socket.gethostname()} {problem}."


def check_nodes(ray: Any, needs: Mapping) -> None:
    """Checks the requirements on every node.

    Args:
        ray: the module yielded by `connected`.
        needs: see `needs`.

    Raises:
        RuntimeError: If a node does not meet a requirement.
    """
    answers = on_each(ray, _make_lacks(), needs)
    found = [(node, problem) for node, problem in answers if problem]
    if found:
        node, problem = found[0]
        if isinstance(problem, Exception):
            problem = f"cannot be checked ({problem})"
        count = f"{len(found)} of {len(answers)}"
        raise RuntimeError(f"{count} Ray nodes cannot be used: {node} {problem}.")


def on_each(ray: Any, function: Callable, *arguments: Any) -> list[tuple[str, Any]]:
    """Calls a function on every node and returns (address, result or exception) for each.

    Nodes that leave during the call are omitted.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

    task = ray.remote(num_cpus=0, max_retries=0)(function)
    asked = {
        task.options(scheduling_strategy=On(node["NodeID"], soft=False)).remote(*arguments): node
        for node in alive(ray)
    }
    ray.wait([*asked], num_returns=len(asked), timeout=LOOKS)
    found = []
    for answer, node in asked.items():
        try:
            value = ray.get(answer, timeout=0)
        except ray.exceptions.GetTimeoutError:
            value = TimeoutError(f"no response within {LOOKS} seconds")
        except ray.exceptions.RayTaskError as error:
            value = error.cause
        except ray.exceptions.RayError:
            continue
        found.append((node["NodeManagerAddress"], value))
    return found
