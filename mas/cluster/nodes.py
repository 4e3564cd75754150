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
    answers = on_each(ray, _looker(), needs)
    found = [(node, problem) for node, problem in answers if problem]
    if found:
        node, problem = found[0]
        if isinstance(problem, Exception):
            problem = f"cannot look ({problem})"
        count = f"{len(found)} of {len(answers)}"
        raise RuntimeError(f"{count} Ray nodes cannot take part: {node} {problem}.")


def on_each(ray: Any, function: Callable, *arguments: Any) -> list[tuple[str, Any]]:
    """Calls a function on every node; (address, what it returned or raised) of each.

    Nodes that leave meanwhile are not among them.
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
            value = TimeoutError(f"no answer within {LOOKS} seconds")
        except ray.exceptions.RayTaskError as error:
            value = error.cause
        except ray.exceptions.RayError:
            continue
        found.append((node["NodeManagerAddress"], value))
    return found
