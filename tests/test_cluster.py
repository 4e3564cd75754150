"""Ray clusters: addresses, requirements of nodes, nodes that leave."""

import importlib.util
import os
import re
import socket
import time

import pytest

from mas import cli, cluster
from mas.cluster import connecting

NO_RAY = "needs Ray: pip install 'mas-video[cluster]'"
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason=NO_RAY)


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:port", "head:1 2"])
def test_rejects_malformed_addresses(address, monkeypatch):
    with pytest.raises(ValueError, match=f"address must be auto, local or .*{address!r}"):
        cluster.check("ray", address)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ValueError, match=f"address must be auto, local or .*{address!r}"):
        cluster.check("ray", None)
    with pytest.raises(ValueError, match="engine must be ray with an address. .*'pool'"):
        cluster.check("pool", "auto")
    cluster.check("pool", None)


def test_missing_ray_is_reported_with_install_command(monkeypatch, caplog, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (tmp_path / "a.avi").write_text("")
    words = [f"--videos={tmp_path}", f"--output={tmp_path / 'data'}", "--engine=ray"]
    assert cli.main("prepare", *words) == 2
    (line,) = caplog.messages
    assert "pip install 'mas-video[cluster]'" in line
    assert not (tmp_path / "data").exists()


@needs_ray
def test_unanswered_address_is_reported(monkeypatch):
    """Nothing listens at the address, or it accepts and never answers."""
    monkeypatch.setattr(connecting, "ANSWERS", 1)
    start = time.monotonic()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        for words in ("refused", "nothing within 1 seconds"):
            with pytest.raises(ConnectionError, match=f"answers at {address}.*{words}"):
                with cluster.connected(address):
                    pass
            listener.listen()
    assert time.monotonic() - start < 20


# What a node lacks.


def shared_folder(tmp_path):
    (tmp_path / "mark").write_text("token")
    return cluster.needs({"mas": "mas"}, [str(tmp_path)], str(tmp_path / "mark"), "token")


def test_complete_node_passes_requirements(tmp_path):
    assert cluster.lacks(shared_folder(tmp_path)) is None
    assert os.listdir(tmp_path) == ["mark"]
    assert cluster.lacks(cluster.needs({})) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"versions": {"X": ("mas", "9.9")}}, r"has X [\d.]+, but this machine has 9\.9"),
        ({"versions": {"X": ("no_such", "1")}}, "cannot import no_such"),
        ({"reads": ["/no/video"]}, "does not see /no/video"),
        ({"mark": "/no/data/mark"}, "does not see /no/data, which all nodes must share"),
        ({"token": "another"}, "sees a different folder at /"),
        ({"mark": "/proc/sys/kernel/ostype", "token": "Linux\n"}, "cannot write to /proc/sys"),
    ],
)
def test_missing_requirements_of_node_are_named(tmp_path, change, words):
    assert re.match(words, cluster.lacks(shared_folder(tmp_path) | change))


@needs_ray
@pytest.mark.slow
def test_work_survives_leaving_node(tmp_path):
    """Of two nodes with one core each, one dies during work; a third one joins."""
    from ray.cluster_utils import Cluster

    def work(item):
        import time

        yield {"done": 0}
        time.sleep(0.5)
        yield {"end": item}

    known = {"num_cpus": 1, "object_store_memory": connecting.OBJECTS}
    nodes = Cluster(initialize_head=True, head_node_args=known)
    try:
        second = nodes.add_node(**known)
        with cluster.connected(nodes.address) as ray:
            tasks = cluster.Tasks(ray, work)
            for item in range(12):
                tasks.submit(item)
            ended = []
            for item, answer in tasks.finished():
                if "end" in answer:
                    ended.append(item)
                if len(ended) == 3 and second:
                    nodes.remove_node(second, allow_graceful=False)
                    second = nodes.add_node(**known) and None
            assert sorted(ended) == list(range(12))
    finally:
        nodes.shutdown()
