"""Several hosts: TF_CONFIG is checked by name, and a host that is missing is named."""

import json
import os
import socket
import sys
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
        ("{}", "one of the types .*None"),
        (config(type="evaluator"), "one of the types .*'evaluator'"),
        (config(type=["worker"]), r"one of the types .*\['worker'\]"),
        (config(index=2), r"index of .*TF_CONFIG must be a whole number in 0..1.*=2"),
        (config(index=-1), "index of .*TF_CONFIG must be .*=-1"),
        (config(index=None), "index of .*TF_CONFIG must be .*None"),
        (config(index=True), "index of .*TF_CONFIG must be .*True"),
        (config(index="zero"), "index of .*TF_CONFIG must be .*'zero'"),
        (config(type="chief"), "index of .*must be of a cluster with a chief"),
        (config(cluster={}), "index of .*must be of a cluster with a worker"),
        (config({"worker": "a:2222"}), "cluster of TF_CONFIG must be a list .*'a:2222'"),
        (config({"worker": []}), "cluster of TF_CONFIG must be a list"),
        (config({"worker": ["a"]}), "must be addresses HOST:PORT.*'a'"),
        (config({"worker": ["a:0"]}), "must be addresses HOST:PORT.*'a:0'"),
        (config({"worker": ["a:99999"]}), "must be addresses HOST:PORT.*'a:99999'"),
        (config({"worker": [3]}), "must be addresses HOST:PORT.*3"),
        (config({"worker": ["a:1", "a:1"]}), "must be each address once.*'a:1'"),
        (config(WORKERS | {"ps": ["c:1"]}), "must be hosts by their types.*'ps'"),
        (config(WORKERS | {"chief": ["c:1", "d:1"]}), "must be one chief at most"),
    ],
)
def test_a_wrong_tf_config_is_named(monkeypatch, text, words):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=words) as error:
        hosts.read()
    assert "\n" not in str(error.value) and len(str(error.value)) < 600


def test_a_right_tf_config(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert hosts.read() is None
    monkeypatch.setenv("TF_CONFIG", config(WORKERS | {"chief": ["[::1]:7"]}, index="1"))
    found = hosts.read()
    assert found[:2] == ("worker", 1)
    assert found.peers == {("worker", 0): "a:2222", ("chief", 0): "[::1]:7"}


@pytest.fixture
def pair(monkeypatch):
    """A cluster of this process and one whose address nobody answers at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setenv("TF_CONFIG", config({"worker": ["127.0.0.1:1", address]}))
    return address


def test_a_host_that_never_comes_is_named(pair, monkeypatch, caplog):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    with hosts.waiting(hosts.read(), 0.2):
        while not ended:
            time.sleep(0.01)
    assert ended == [3]
    assert f"Waiting for worker 1 at {pair}" in caplog.text
    assert f"within peer_timeout=0.2 s. Received: no word from worker 1 at {pair}." in caplog.text


def test_hosts_that_come_are_not_waited_for(pair, monkeypatch, caplog):
    monkeypatch.setattr(os, "_exit", lambda status: pytest.fail("ended"))
    with hosts.waiting(hosts.read(), 0.05):
        pass
    with hosts.waiting(None, 0.05):
        time.sleep(0.1)
    assert not caplog.text


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tf.errors.UnavailableError, "Error reported from /job:worker/task:1: unhealthy"),
        (tf.errors.UnavailableError, "/job:worker/replica:0/task:0 of this process"),
        (tf.errors.DeadlineExceededError, "Deadline Exceeded"),
        (tf.errors.CancelledError, "Collective ops is aborted by: something"),
    ],
)
def test_a_host_that_dies_is_named_with_status_3(pair, monkeypatch, caplog, kind, words):
    def run(arguments):
        with errors.reading():
            raise kind(None, None, f"{words}\nmore lines")

    monkeypatch.setitem(cli.COMMANDS, "lose", "")
    monkeypatch.setitem(sys.modules, "mas.cli.lose", type(sys)("lose"))
    sys.modules["mas.cli.lose"].run = run
    assert cli.main("lose") == 3
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("Every host must stay until the training ends.")
    assert f"no more from worker 1 at {pair}" in said and "the run resumes" in said


def test_other_errors_stay_what_they_are(pair, monkeypatch):
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
