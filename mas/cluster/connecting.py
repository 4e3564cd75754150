"""Connections to a Ray cluster, existing or started on this machine."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from absl import logging as absl_logging

from mas.checks import refuse
from mas.cluster import nodes

PACKAGE = "mas-video[cluster]"
ADDRESSES = "auto, local or HOST:PORT"
ANSWERS = 30  # seconds to wait for a cluster to respond
OBJECTS = 80 * 2**20  # bytes of the object store of a local cluster; little passes through it


def check(engine: str, address: str | None) -> None:
    """Checks the engine and its address without importing Ray.

    Args:
        engine: "ray", or an engine that takes no address.
        address: see `connected`.

    Raises:
        ValueError: If the address is malformed, or given with an engine other than "ray".
        ImportError: If Ray is not installed.
    """
    if engine != "ray":
        if address is not None:
            refuse("engine", "ray with an address", engine)
        return
    address = address or os.environ.get("RAY_ADDRESS") or None
    if address is not None and not re.fullmatch(r"auto|local|[^\s/:]+:\d{1,5}", address):
        refuse("address", ADDRESSES, address)
    if importlib.util.find_spec("ray") is None:
        raise ImportError(
            f"engine=ray needs Ray: pip install '{PACKAGE}'. Received: Ray is not installed."
        )


@contextlib.contextmanager
def connected(address: str | None = None, cores: int | None = None) -> Iterator[Any]:
    """Connects to a Ray cluster for the duration of a `with` block.

    Args:
        address: "auto" for the running cluster of this machine, HOST:PORT of a head node, or
            "local" to start a cluster on this machine for the block. None means RAY_ADDRESS if
            set, else "local".
        cores: number of cores of a local cluster.

    Yields:
        The module `ray`. An existing connection of the process is used and left open.

    Raises:
        ValueError, ImportError: See `check`.
        ConnectionError: If no cluster responds at the address within `ANSWERS` seconds.
    """
    check("ray", address)
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would send usage statistics
    import ray

    if ray.is_initialized():
        yield ray
        return
    if address != "local":
        _check_reachable(address)
    options: dict[str, Any] = {"address": address}
    if address == "local":
        options |= {"num_cpus": cores, "object_store_memory": OBJECTS, "include_dashboard": False}
    try:
        with _keep_signals(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations in future versions of Ray
            ray.init(**options, logging_level=logging.ERROR, log_to_driver=False)
        with contextlib.suppress(AttributeError):  # otherwise reports of dead workers go to stdout
            ray._private.worker._worker_logs_enabled = False
        _log_cluster(ray, address)
        yield ray
    finally:
        ray.shutdown()


def _check_reachable(address):
    """Checks that a cluster responds; `ray.init` would block for minutes and ignore Ctrl-C."""
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
        found = (tried.stderr.strip().splitlines() or ["?"])[-1].rstrip(".")
    hint = "" if "RAY_AUTH_MODE" in os.environ else ", or it requires a token (RAY_AUTH_MODE=token)"
    raise ConnectionError(f"No Ray cluster answers at {address}{hint}. Received: {found}.")


@contextlib.contextmanager
def _keep_signals():
    """Restores the process's SIGTERM handler, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    earlier = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _log_cluster(ray, address):
    count, cores = len(nodes.alive(ray)), nodes.count_cores(ray)
    where = "started here" if address == "local" else f"at {ray.get_runtime_context().gcs_address}"
    parts = [f"{n} {word}{'s' * (n != 1)}" for n, word in ((count, "node"), (cores, "core"))]
    absl_logging.info("Ray %s, %s: %s.", ray.__version__, where, ", ".join(parts))
