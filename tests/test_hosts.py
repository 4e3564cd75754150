"""Several hosts: errors in TF_CONFIG and missing hosts are named."""

import json
import socket
import sys
import threading
import time

import pytest
import tensorflow as tf

from mas import cli
from mas.training import errors, hosts

WORKERS = {"worker": ["a:2222", "b:2222"]}


def config(cluster=WORKERS, **task):
    return json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 0} | task})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("}{", "TF_CONFIG must be JSON"),
        ("[" * 10**5, "TF_CONFIG must be JSON"),
        ("[]", r"TF_CONFIG must be a JSON object.*\[\]"),
        ("3", "TF_CONFIG must be a JSON object.*3"),
        ('{"cluster": []}', r"cluster of TF_CONFIG must be a JSON object.*\[\]"),
        ('{"cluster": {}, "task": "worker"}', "task of TF_CONFIG must be a JSON object.*'worker'"),
        ("{}", "task type .* one of .*None"),
        (config(type="evaluator"), "task type .* one of .*'evaluator'"),
        (config(type=["worker"]), r"task type .* one of .*\['worker'\]"),
        (config(index=2), r"index of .*TF_CONFIG must be a whole number in 0..1.*=2"),
        (config(index=-1), "index of .*TF_CONFIG must be .*=-1"),
        (config(index=None), "index of .*TF_CONFIG must be .*None"),
        (config(index=True), "index of .*TF_CONFIG must be .*True"),
        (config(index="zero"), "index of .*TF_CONFIG must be .*'zero'"),
        (config(type="chief"), "index of .*must be of a cluster with a chief"),
        (config(cluster={}), "index of .*must be of a cluster with a worker"),
        (config({"worker": "a:2222"}), "cluster of TF_CONFIG must be a list .*'a:2222'"),
        (config({"worker": []}), "cluster of TF_CONFIG must be a list"),
        (config({"worker": ["a"]}), "must be addresses of the form HOST:PORT.*'a'"),
        (config({"worker": ["a:0"]}), "must be addresses of the form HOST:PORT.*'a:0'"),
        (config({"worker": ["a:99999"]}), "must be addresses of the form HOST:PORT.*'a:99999'"),
        (config({"worker": [3]}), "must be addresses of the form HOST:PORT.*3"),
        (config({"worker": ["a:1", "a:1"]}), "must be addresses without duplicates.*'a:1'"),
        (config(WORKERS | {"ps": ["c:1"]}), "must be a dict with the keys.*'ps'"),
        (config(WORKERS | {"chief": ["c:1", "d:1"]}), "must be a cluster with one chief at most"),
    ],
)
def test_bad_tf_config_is_reported(monkeypatch, text, words):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=words) as error:
        hosts.read()
    assert "\n" not in str(error.value) and len(str(error.value)) < 600


def test_good_tf_config_is_accepted(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert hosts.read() is None
    monkeypatch.setenv("TF_CONFIG", config(WORKERS | {"chief": ["[::1]:7"]}, index="1"))
    found = hosts.read()
    assert found[:2] == ("worker", 1)
    assert found.peers == {("worker", 0): "a:2222", ("chief", 0): "[::1]:7"}


def free():
    """An address that does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def pair(monkeypatch):
    """A cluster of this process and a missing one; returns the missing address."""
    own, other = free(), free()
    monkeypatch.setenv("TF_CONFIG", config({"worker": [own, other]}))
    return other


def test_missing_host_is_named(pair, monkeypatch, caplog):
    monkeypatch.setattr(hosts, "PATIENCE", 0.1)
    words = (
        f"within peer_timeout=0.5 s. Received: no answer from worker 1 at {pair}. Start the same"
    )
    with pytest.raises(hosts.PeerLost, match=words):
        hosts.gather(hosts.read(), 0.5)
    assert caplog.text.count(f"Waiting for worker 1 at {pair}.") == 1


def test_hosts_connect_in_any_order(pair):
    """The first one listens until the second has joined."""
    here = hosts.read()
    there = here._replace(number=1)
    first = threading.Thread(target=hosts.gather, args=(here, 30))
    first.start()
    time.sleep(0.1)
    hosts.gather(there, 30)
    with socket.create_server(("127.0.0.1", int(pair.rpartition(":")[2]))):  # as TensorFlow's
        first.join(20)
    assert not first.is_alive()


def test_single_host_and_port_in_use(pair, monkeypatch):
    hosts.gather(None, 0)
    alone = hosts.read()._replace(addresses={"worker": [free()]})
    hosts.gather(alone, 0)
    own = hosts.read().addresses["worker"][0]
    with socket.create_server(("127.0.0.1", int(own.rpartition(":")[2]))):
        with pytest.raises(ValueError, match=f"port of {own}, .* must be free. Received: Address"):
            hosts.gather(hosts.read(), 1)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tf.errors.UnavailableError, "Error reported from /job:worker/task:1: unhealthy"),
        (tf.errors.UnavailableError, "/job:worker/replica:0/task:0 of this process"),
        (tf.errors.DeadlineExceededError, "Deadline Exceeded"),
        (tf.errors.CancelledError, "Collective ops is aborted by: something"),
    ],
)
def test_dead_host_is_named_with_status_3(pair, monkeypatch, caplog, kind, words):
    def run(arguments):
        with errors.reading():
            raise kind(None, None, f"{words}\nmore lines")

    monkeypatch.setitem(cli.COMMANDS, "lose", "")
    monkeypatch.setitem(sys.modules, "mas.cli.lose", type(sys)("lose"))
    sys.modules["mas.cli.lose"].run = run
    assert cli.main("lose") == 3
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("Every host must run until the training ends.")
    assert f"no answer from worker 1 at {pair}" in said and "the run resumes" in said


def test_other_errors_are_unchanged(pair, monkeypatch):
    with pytest.raises(tf.errors.InvalidArgumentError), errors.reading():
        raise tf.errors.InvalidArgumentError(None, None, "of a kernel")
    with pytest.raises(ValueError, match="v_1 lacks a frame"), errors.reading():
        raise tf.errors.UnknownError(None, None, "ValueError: v_1 lacks a frame")
    with pytest.raises(ValueError, match="smaller batch, size or width. Received: OOM when"):
        with errors.reading():
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nmore")
    monkeypatch.delenv("TF_CONFIG")
    with pytest.raises(tf.errors.UnavailableError), errors.reading():
        raise tf.errors.UnavailableError(None, None, "x")
