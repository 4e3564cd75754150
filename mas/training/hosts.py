"""Several hosts: what TF_CONFIG says of them, and what to say of one that is missing.

TF_CONFIG='{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}'
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from typing import Any, NamedTuple

import tensorflow as tf
from absl import logging

from mas.checks import refuse

TYPES = ("chief", "worker")  # task types of TF_CONFIG that train
STATUS = 3  # of a process that lost a host
PATIENCE = 10  # seconds until it is said who is waited for
_ADDRESS = re.compile(r"(\[[^\]\s]+\]|[^\s:/]+):(\d{1,5})")
_TASK = re.compile(r"/job:(\w+)/(?:replica:\d+/)?task:(\d+)")
ADVICE = "Start the same command on every host of TF_CONFIG again: the run resumes."


class PeerLost(RuntimeError):
    """Another host has ended, cannot be reached, or never came."""

    status = STATUS


class Cluster(NamedTuple):
    """The hosts of a training.

    Attributes:
        kind: task type of this process.
        number: its place among those, from 0.
        addresses: {task type: [HOST:PORT]}.
    """

    kind: str
    number: int
    addresses: dict[str, list[str]]

    @property
    def peers(self) -> dict[tuple[str, int], str]:
        """{(task type, index): HOST:PORT} of the other processes."""
        every = {(k, n): a for k, found in self.addresses.items() for n, a in enumerate(found)}
        return {task: address for task, address in every.items() if task != self[:2]}

    def named(self, tasks) -> str:
        """Some of the peers in words; one of all, where none is known."""
        told = [f"{kind} {n} at {self.peers[kind, n]}" for kind, n in tasks or self.peers]
        return (" and " if tasks else " or ").join(told)


def read() -> Cluster | None:
    """What TF_CONFIG says, checked before TensorFlow sees it; None where it is not set.

    Raises:
        ValueError: it is not that of hosts that train; says what must be, and what came.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        return None
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"TF_CONFIG must be JSON. Received: {error}.") from None
    cluster, task = (_dict(config, "TF_CONFIG", name) for name in ("cluster", "task"))
    kind = task.get("type")
    if kind not in TYPES:
        raise ValueError(
            f"the task of TF_CONFIG must have one of the types {list(TYPES)}. Received: {kind!r}."
        )
    _check_addresses(cluster)
    given, count = task.get("index"), len(cluster.get(kind, ()))
    index = (
        int(str(given)) if re.fullmatch(r"\d{1,9}", str(given)) else -1
    )  # TensorFlow takes text, too
    if not 0 <= index < count:
        allowed = f"a whole number in 0..{count - 1}" if count else f"of a cluster with a {kind}"
        refuse("the index of the task of TF_CONFIG", allowed, given)
    return Cluster(kind, index, cluster)


def _dict(config, name, part) -> dict[str, Any]:
    found = config.get(part, {}) if isinstance(config, dict) else config
    if not isinstance(found, dict):
        refuse(f"{part} of {name}" if isinstance(config, dict) else name, "a JSON object", found)
    return found


def _check_addresses(cluster):
    name = "the cluster of TF_CONFIG"
    every = []
    for kind, addresses in cluster.items():
        if kind not in TYPES:
            refuse(name, f"hosts by their types, {list(TYPES)}", kind)
        if not isinstance(addresses, list) or not addresses:
            refuse(name, f"a list of HOST:PORT for {kind}", addresses)
        if kind == "chief" and len(addresses) > 1:
            refuse(name, "one chief at most", addresses)
        every += addresses
    for address in every:
        found = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
        if not found or not 0 < int(found[2]) < 65536:
            refuse(name, "addresses HOST:PORT", address)
        if every.count(address) > 1:
            refuse(name, "each address once", address)


def gather(cluster: Cluster | None, seconds: float) -> None:
    """Waits until every host has come: TensorFlow would wait for an hour, deaf to all signals.

    Each listens at its own address until it has reached the others. Then TensorFlow's server takes
    the place, so that a slower host finds somebody there as well.

    Args:
        cluster: the hosts; None for one alone.
        seconds: to wait.

    Raises:
        PeerLost: one has not come; names it.
        ValueError: the port of this process is not free.
    """
    if cluster is None or not cluster.peers:
        return
    began, said = time.monotonic(), False
    with _listening(cluster.addresses[cluster.kind][cluster.number]):
        missing = list(cluster.peers)
        while missing := [task for task in missing if not _answers(cluster.peers[task])]:
            waited = time.monotonic() - began
            if waited >= seconds:
                raise PeerLost(
                    f"Every host must come within peer_timeout={seconds:g} s. Received: no word "
                    f"from {cluster.named(missing)}. Start the same command on every host of "
                    "TF_CONFIG."
                )
            if waited >= PATIENCE and not said:
                logging.warning("Waiting for %s.", cluster.named(missing))
                said = True
            time.sleep(0.2)


def _listening(address):
    port = int(address.rpartition(":")[2])
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        return socket.create_server(("", port), family=family, dualstack_ipv6=both)
    except OSError as error:
        raise ValueError(
            f"the port of {address}, this process in TF_CONFIG, must be free. "
            f"Received: {error.strerror}."
        ) from None


def _answers(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
    except OSError:
        return False
    return True


def lost(error: tf.errors.OpError) -> PeerLost | None:
    """What an error of TensorFlow says of a lost host; None where it says something else."""
    kinds = (tf.errors.UnavailableError, tf.errors.DeadlineExceededError, tf.errors.AbortedError)
    cluster = read()
    if cluster is None or not cluster.peers:
        return None
    if not (isinstance(error, kinds) or "Collective ops is aborted" in error.message):
        return None
    told = [(kind, int(index)) for kind, index in _TASK.findall(error.message)]
    tasks = [task for task in dict.fromkeys(told) if task in cluster.peers] or [
        task for task, address in cluster.peers.items() if not _answers(address)
    ]
    return PeerLost(
        f"Every host must stay until the training ends. Received: no more from "
        f"{cluster.named(tasks)}, whose own last words say why. {ADVICE}"
    )
