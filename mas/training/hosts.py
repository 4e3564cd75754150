"""Several hosts: reads TF_CONFIG and reports missing hosts.

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
STATUS = 3  # exit status of a process that lost a host
PATIENCE = 10  # seconds before the missing hosts are logged
_ADDRESS = re.compile(r"(\[[^\]\s]+\]|[^\s:/]+):(\d{1,5})")
_TASK = re.compile(r"/job:(\w+)/(?:replica:\d+/)?task:(\d+)")
ADVICE = "Start the same command again on every host of TF_CONFIG: the run resumes."


class PeerLost(RuntimeError):
    """Another host has exited, is unreachable, or never joined."""

    status = STATUS


class Cluster(NamedTuple):
    """The hosts of a training.

    Attributes:
        kind: task type of this process.
        number: index of this process among its type, from 0.
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
        """Text that lists these peers; without any, all peers as alternatives."""
        told = [f"{kind} {n} at {self.peers[kind, n]}" for kind, n in tasks or self.peers]
        return (" and " if tasks else " or ").join(told)


def read() -> Cluster | None:
    """Reads and checks TF_CONFIG; None if it is not set.

    Raises:
        ValueError: If TF_CONFIG is invalid.
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
            f"the task type of TF_CONFIG must be one of {list(TYPES)}. Received: {kind!r}."
        )
    _check_addresses(cluster)
    given, count = task.get("index"), len(cluster.get(kind, ()))
    index = (
        int(str(given)) if re.fullmatch(r"\d{1,9}", str(given)) else -1
    )  # TensorFlow accepts text, too
    if not 0 <= index < count:
        allowed = f"a whole number in 0..{count - 1}" if count else f"of a cluster with a {kind}"
        refuse("the task index of TF_CONFIG", allowed, given)
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
            refuse(name, f"a dict with the keys {list(TYPES)}", kind)
        if not isinstance(addresses, list) or not addresses:
            refuse(name, f"a list of HOST:PORT for {kind}", addresses)
        if kind == "chief" and len(addresses) > 1:
            refuse(name, "a cluster with one chief at most", addresses)
        every += addresses
    for address in every:
        found = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
        if not found or not 0 < int(found[2]) < 65536:
            refuse(name, "addresses of the form HOST:PORT", address)
        if every.count(address) > 1:
            refuse(name, "addresses without duplicates", address)


def gather(cluster: Cluster | None, seconds: float) -> None:
    """Waits until every host is up. TensorFlow alone would wait for an hour and ignore Ctrl-C.

    Each host listens at its own address until it has reached the others. Then TensorFlow's server
    listens there, so a slower host still gets an answer.

    Args:
        cluster: the hosts; None for a single host.
        seconds: time limit.

    Raises:
        PeerLost: If a host does not join; the message names it.
        ValueError: If the port of this process is in use.
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
                    f"Every host must join within peer_timeout={seconds:g} s. Received: no answer "
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
    """The `PeerLost` for an error of TensorFlow caused by a lost host; else None."""
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
        f"Every host must run until the training ends. Received: no answer from "
        f"{cluster.named(tasks)}; see the last lines of its log. {ADVICE}"
    )
