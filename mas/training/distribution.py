"""One device, several GPUs or several hosts, and which process writes."""

import functools
import json
import os

import tensorflow as tf

from mas.settings import STRATEGIES

HOSTS = ("chief", "worker")  # task types of TF_CONFIG that train


@functools.cache
def strategy(name="auto"):
    """The distribution strategy of this process, made once.

    Args:
        name: "auto": MultiWorkerMirroredStrategy where TF_CONFIG is set, else MirroredStrategy over
            all GPUs, else none. "mirrored": over all GPUs, or else over all logical CPUs. "none".

    Raises:
        ValueError: another name, or a TF_CONFIG that does not fit.
    """
    if name not in STRATEGIES:
        raise ValueError(f"strategy must be one of {list(STRATEGIES)}. Received: {name!r}.")
    if os.environ.get("TF_CONFIG"):
        _check_host(name, json.loads(os.environ["TF_CONFIG"]))
        return tf.distribute.MultiWorkerMirroredStrategy()
    devices = [device.name for device in tf.config.list_logical_devices("GPU")]
    if name == "mirrored" and not devices:
        devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    if name != "none" and devices:
        return tf.distribute.MirroredStrategy(devices)
    return tf.distribute.get_strategy()


def _check_host(name, config):
    """Refuses a TF_CONFIG under which two processes would write one run folder."""
    if name != "auto":
        raise ValueError(f"strategy must be auto where TF_CONFIG is set. Received: {name!r}.")
    kind = config.get("task", {}).get("type")
    if kind not in HOSTS:
        raise ValueError(
            f"the task of TF_CONFIG must have one of the types {list(HOSTS)}. Received: {kind!r}."
        )


def is_chief(strategy):
    """Whether this process writes the run folder: the chief of several hosts, or worker 0."""
    resolver = strategy.cluster_resolver
    if resolver is None:
        return True
    if "chief" in resolver.cluster_spec().jobs:
        return resolver.task_type == "chief"
    return not resolver.task_id


def barrier(strategy):
    """Waits until every host has come here; does nothing on a single one."""
    if strategy.cluster_resolver is not None:
        one = strategy.run(lambda: tf.constant(1.0))
        strategy.reduce(tf.distribute.ReduceOp.SUM, one, axis=None)
