"""A Ray cluster: how it is found, what its nodes must have, and tasks whose workers may die.

    with cluster.connected("auto") as ray:
        cluster.check_nodes(ray, cluster.needs({"OpenCV": "cv2"}))
        tasks = cluster.Tasks(ray, function)

Files are shared by all nodes, and alone carry data: an answer is a few numbers.
"""

from __future__ import annotations

import collections
import contextlib
import importlib
import importlib.util
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from absl import logging as absl_logging

from mas.checks import refuse

PACKAGE = "mas-video[cluster]"
ADDRESSES = "auto, local or HOST:PORT"
ANSWERS = 30  # seconds in which a cluster must answer
LOOKS = 120  # seconds in which each node must have looked at what it needs
TRIES = 4  # of a task whose worker dies
AHEAD = 2  # tasks that are handed out, for each core
WAIT = 5.0  # seconds between two looks at how many cores there are
OBJECTS = 80 * 2**20  # bytes of Ray's object store where it is started here: little goes through


def check(address: str | None) -> None:
    """Refuses an address that is none, and a machine without Ray, before anything heavy is loaded.

    Raises:
        ValueError: the address has another form.
        ImportError: Ray is not installed.
    """
    if address is not None and not re.fullmatch(r"auto|local|[^\s/:]+:\d{1,5}", address):
        refuse("address", ADDRESSES, address)
    if importlib.util.find_spec("ray") is None:
        raise ImportError(f"engine=ray needs Ray: pip install '{PACKAGE}'. Received: no ray here.")


@contextlib.contextmanager
def connected(address: str | None = None, cores: int | None = None) -> Iterator[Any]:
    """Ray, connected to a cluster for the length of a `with` block.

    Args:
        address: "auto" for the cluster of this machine, HOST:PORT of its head, or "local", which
            starts one on this machine for the block alone. None: what RAY_ADDRESS says, else
            "local".
        cores: of the one that is started here.

    Yields:
        The module `ray`. Where the process was connected already, it stays so.

    Raises:
        ValueError, ImportError: see `check`.
        ConnectionError: nobody answers at the address, within `ANSWERS` seconds.
    """
    check(address)
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    import ray

    if ray.is_initialized():
        yield ray
        return
    if address != "local":
        _knock(address)
    options: dict[str, Any] = {"address": address}
    if address == "local":
        options |= {"num_cpus": cores, "object_store_memory": OBJECTS, "include_dashboard": False}
    try:
        with _own_signals():
            ray.init(**options, logging_level=logging.ERROR, log_to_driver=False)
        with contextlib.suppress(
            AttributeError
        ):  # what nodes report of dead workers goes to stdout
            ray._private.worker._worker_logs_enabled = False
        _say(ray, address)
        yield ray
    finally:
        ray.shutdown()


def _knock(address):
    """Sees whether a cluster answers; Ray itself would wait for minutes, deaf to Ctrl-C."""
    if address != "auto":
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), ANSWERS).close()
        except (OSError, OverflowError) as error:
            raise ConnectionError(f"No Ray cluster answers at {address}: {error}.") from None
    words = "import ray, sys; ray.init(sys.argv[1], logging_level='ERROR', log_to_driver=False)"
    command = [sys.executable, "-c", words, address]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, timeout=ANSWERS)
    except subprocess.TimeoutExpired:
        found = f"nothing within {ANSWERS} seconds"
    else:
        if not tried.returncode:
            return
        found = (tried.stderr.strip().splitlines() or ["?"])[-1]
    raise ConnectionError(f"No Ray cluster answers at {address}. Received: {found}.")


@contextlib.contextmanager
def _own_signals():
    """Keeps the process's handler of SIGTERM, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    earlier = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _say(ray, address):
    nodes, cores = len(_nodes(ray)), count_cores(ray)
    where = "started here" if address == "local" else f"at {ray.get_runtime_context().gcs_address}"
    text = f"Ray {ray.__version__}, {where}: {nodes} node{'s' * (nodes > 1)}, {cores} cores."
    absl_logging.info("%s", text)


def _nodes(ray):
    return [node for node in ray.nodes() if node["Alive"]]


def count_cores(ray: Any) -> int:
    """How many cores the nodes offer now."""
    return int(ray.cluster_resources().get("CPU", 0))


# What a node must have.


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
        for node in _nodes(ray)
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


# Tasks.


class Tasks:
    """Carries out a function of one item on the cluster, each item at least once.

    A task whose worker dies, alone or with its node, is tried again, behind the others.
    """

    def __init__(self, ray: Any, function: Callable, most: int | None = None, **resources):
        """Prepares to carry out.

        Args:
            ray: as `connected` yields it.
            function: generator function of an item, both of which Ray can send. It yields dicts;
                {"done": ...} is news, {"died": how} the death of something below it, {"failed":
                why} ends the run, and any other is the answer.
            most: tasks at a time; None is twice as many as there are cores.
            **resources: of a task, as Ray has them.
        """
        self._ray, self._most = ray, most
        self._task = ray.remote(max_retries=0, **{"num_cpus": 1, **resources})(function)
        self._queue: collections.deque = collections.deque()
        self._running: dict[Any, tuple[Any, int]] = {}  # stream of answers: item, tries
        self._looked, self._room = -WAIT, 0

    def submit(self, item: Any) -> None:
        """Puts an item last."""
        self._queue.append((item, 1))

    def finished(self) -> Iterator[tuple[Any, dict]]:
        """Yields (item, news or answer) until no item is left; {"died": how} after the last try.

        Raises:
            RuntimeError: the function raised an exception, or answered {"failed": why}.
        """
        while self._queue or self._running:
            while self._queue and len(self._running) < self._rooms():
                item, tries = self._queue.popleft()
                self._running[self._task.remote(item)] = item, tries
            streams, _ = self._ray.wait([*self._running], timeout=WAIT, fetch_local=False)
            for stream in streams:
                item, tries = self._running[stream]
                answer = self._next(stream)
                if "done" in answer:
                    yield item, answer
                    continue
                del self._running[stream]
                if "failed" in answer:
                    raise RuntimeError(answer["failed"])
                if "died" in answer and tries < TRIES:
                    self._queue.append((item, tries + 1))
                else:
                    yield item, answer

    def cancel(self) -> None:
        """Ends the tasks in work, and their workers."""
        for stream in self._running:
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.cancel(stream, force=True)
        self._queue.clear()
        self._running.clear()

    def _next(self, stream):
        """What a task yields next, or what became of it."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(next(stream))
        except StopIteration:
            return {"failed": "A task ended without an answer."}
        except errors.RayTaskError as error:
            return {"failed": f"A worker failed: {type(error.cause).__name__}: {error.cause}"}
        except errors.OutOfMemoryError:
            return {"died": "memory ran out"}
        except (errors.NodeDiedError, errors.LocalRayletDiedError):
            return {"died": "its node left"}
        except errors.RayError:
            return {"died": "it was killed"}

    def _rooms(self):
        """How many tasks may be handed out: nodes come and go."""
        if self._most:
            return self._most
        if time.monotonic() - self._looked >= WAIT:
            before, self._looked = self._room, time.monotonic()
            self._room = AHEAD * count_cores(self._ray)
            if before and not self._room:
                absl_logging.warning("No Ray node with a core is left; waiting for one.")
        return max(self._room, 1)
