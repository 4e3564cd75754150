"""Sets up devices, hosts, threads and precision, and decides which process writes."""

import contextlib
import functools
import os

import keras
import tensorflow as tf
from absl import logging

from mas.checks import check_choice, refuse
from mas.settings import STRATEGIES, Plan
from mas.training import hosts


@functools.cache
def strategy(name="auto"):
    """The distribution strategy of this process, created once.

    Args:
        name: "auto": MultiWorkerMirroredStrategy if TF_CONFIG is set, else MirroredStrategy on all
            GPUs, else no strategy. "mirrored": on all GPUs, or on all logical CPUs without GPUs.
            "none": no strategy.

    Raises:
        ValueError: If the name is unknown or TF_CONFIG is invalid.
    """
    check_choice("strategy", name, STRATEGIES)
    if os.environ.get("TF_CONFIG"):
        if name != "auto":
            refuse("strategy", "auto when TF_CONFIG is set", name)
        hosts.read()  # raises if two processes would write the same run folder
        return tf.distribute.MultiWorkerMirroredStrategy()
    devices = [device.name for device in tf.config.list_logical_devices("GPU")]
    if name == "mirrored" and not devices:
        devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    if name != "none" and devices:
        return tf.distribute.MirroredStrategy(devices)
    return tf.distribute.get_strategy()


def is_chief(strategy):
    """Whether this process writes the run folder: the chief of several hosts, or worker 0."""
    resolver = strategy.cluster_resolver
    if resolver is None:
        return True
    if "chief" in resolver.cluster_spec().jobs:
        return resolver.task_type == "chief"
    return not resolver.task_id


def barrier(strategy):
    """Waits until every host has reached this call; does nothing on a single host."""
    if strategy.cluster_resolver is not None:
        one = strategy.run(lambda: tf.constant(1.0))
        strategy.reduce(tf.distribute.ReduceOp.SUM, one, axis=None)


def setup(plan: Plan, seed: int) -> tf.distribute.Strategy:
    """Sets threads and seeds, and returns the strategy.

    With several hosts, only the chief logs its progress.

    Raises:
        ValueError: If this machine does not support the precision.
        PeerLost: If a host does not join.
    """
    limit_threads(plan.threads)
    if not strategy.cache_info().currsize:
        hosts.gather(hosts.read(), plan.peer_timeout)
    found = strategy(plan.strategy)
    if not is_chief(found):
        logging.set_verbosity(logging.WARNING)
    keras.utils.set_random_seed(seed)
    _check_precision(plan)
    return found


def limit_threads(threads: int) -> None:
    """Limits the threads of TensorFlow's kernels; 0 leaves the number to TensorFlow.

    It has no effect in a process where TensorFlow is already running.
    """
    if not threads:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        logging.info("TensorFlow is already running: its number of threads cannot change.")


def _check_precision(plan):
    """Raises ValueError for precisions that TensorFlow 2.21 does not support on CPU.

    On CPU, bfloat16 gradients of 3D convolution kernels are sometimes garbage without XLA, and
    float16 lacks 3D pooling.
    """
    good = ("float32", "mixed_bfloat16") if plan.jit else ("float32",)
    if plan.precision not in good and not tf.config.list_logical_devices("GPU"):
        refuse("precision", "float32 without a GPU, or mixed_bfloat16 with jit", plan.precision)


@contextlib.contextmanager
def arithmetic(precision: str):
    """Context in which new layers compute with a given precision."""
    earlier = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(earlier)
