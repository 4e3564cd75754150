"""Extracts features on a Ray cluster: splits the list into parts and returns values in its order.

A part consists of whole batches, so each clip shares its batch with the same clips as in a single
process, and the features are the same, byte for byte.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mas import cluster, lazy, networks
from mas.features import extraction, means
from mas.features.sampling import Sampling
from mas.prepare import workers

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy.module("tensorflow")

# Modules whose versions must agree on all nodes.
MODULES = {"mas": "mas", "TensorFlow": "tensorflow", "Keras": "keras"}
MODULES |= {"OpenCV": "cv2", "PyAV": "av"}
MOST = 8  # batches per part, at most
SHARES = 4  # parts per core, at least, if there are enough batches


@contextlib.contextmanager
def values_there(
    source: networks.Source,
    data: Any,
    sampling: Sampling,
    random: bool,
    seed: int,
    address: str | None,
) -> Iterator[means.Source]:
    """Source for `means.over_clips` that computes values on a cluster.

    Args:
        source: run or .keras file.
        data: an opened data set.
        sampling: which clips to use; `threads` is the number of cores per part, 0 means 1.
        random: whether to replace the learned weights by random ones.
        seed: seed of the random weights.
        address: see `cluster.connected`.

    Raises:
        RuntimeError: If a node lacks a requirement, or a worker dies repeatedly.
    """
    source = os.path.abspath(source)
    reads = [os.fspath(networks.file(source)), os.path.abspath(data.data)]
    if not os.path.isabs(data.data):
        reads.append(os.getcwd())  # the workers change to this folder
    needs = cluster.needs(MODULES, reads)
    threads = sampling.threads or 1
    known = json.dumps([uuid.uuid4().hex, source, sampling.values(), random, seed, threads])
    with cluster.connected(address, workers.cores()) as ray:
        cluster.check_nodes(ray, needs)
        shared = ray.put((os.getcwd(), data))

        def values(examples):
            tasks = cluster.Tasks(ray, _carry_out, num_cpus=threads)
            parts = _parts(examples, sampling.batch, cluster.count_cores(ray))
            for number, part in enumerate(parts):
                tasks.submit((number, part, known, shared, needs))
            try:
                yield from _in_order(tasks)
            finally:
                tasks.cancel()

        yield values


def _parts(examples, batch, cores):
    batches = -(-len(examples) // batch)
    size = batch * max(1, min(MOST, batches // (SHARES * max(1, cores))))
    return [examples[first : first + size] for first in range(0, len(examples), size)]


def _in_order(tasks):
    """Yields the values of the parts in order, up to the first failure."""
    waiting, following = {}, 0
    for (number, *_), answer in tasks.finished():
        if "died" in answer:
            raise RuntimeError(f"A worker died {cluster.TRIES} times: {answer['died']}.")
        waiting[number] = answer
        while following in waiting:
            answer = waiting.pop(following)
            yield from answer["values"]
            if answer["failure"]:
                yield means.Failure(*answer["failure"])
                return
            following += 1


_kept: dict[str, Any] = {}  # a worker's source for one `values_there`, reused between parts


def _carry_out(item):
    """Computes one part on a node."""
    _, examples, known, shared, needs = item
    problem = cluster.lacks_here(needs)
    if problem:
        yield {"failed": problem}
        return
    if known not in _kept:
        _kept.clear()
        _kept[known] = _source(known, shared)
    found: dict[str, Any] = {"values": [], "failure": None}
    for values in _kept[known](examples):
        if isinstance(values, means.Failure):
            found["failure"] = tuple(values)
        else:
            found["values"].append(values)
    yield found


def _source(known, shared):
    import ray

    _, source, chosen, random, seed, threads = json.loads(known)
    with contextlib.suppress(RuntimeError):  # TensorFlow is already running in this worker
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    folder, data = ray.get(shared)
    if not os.path.isabs(data.data):
        os.chdir(folder)
    sampling = Sampling(**chosen)
    modality, clip = extraction.modality_of(source)
    task = sampling.task(clip, modality, extraction.stride_of(source))
    network = extraction.load_network(source, sampling, task, random, seed)
    return means.values_here(extraction.function_of(network, sampling, task), data, sampling, task)
