"""What a training runs on: one device, several GPUs or hosts, threads, arithmetic; who writes."""

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
    """The distribution strategy of this process, made once.

    Args:
        name: "auto": MultiWorkerMirroredStrategy where TF_CONFIG is set, else MirroredStrategy over
            all GPUs, else none. "mirrored": over all GPUs, or else over all logical CPUs. "none".

    Raises:
        ValueError: another name, or a TF_CONFIG that does not fit.
    """
    check_choice("strategy", name, STRATEGIES)
    if os.environ.get("TF_CONFIG"):
        if name != "auto":
            refuse("strategy", "auto where TF_CONFIG is set", name)
        hosts.read()  # refuses one under which two processes would write one run folder
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
    """Waits until every host has come here; does nothing on a single one."""
    if strategy.cluster_resolver is not None:
        one = strategy.run(lambda: tf.constant(1.0))
        strategy.reduce(tf.distribute.ReduceOp.SUM, one, axis=None)


def setup(plan: Plan, seed: int) -> tf.distribute.Strategy:
    """Threads, seeds and the strategy.

    Of several hosts the chief alone says what it does.

    Raises:
        ValueError: an arithmetic that this machine cannot do.
        PeerLost: a host has not come.
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
    """Lets TensorFlow's kernels use so many threads; 0 leaves it to TensorFlow.

    In a process where TensorFlow is at work already, their number can no longer change.
    """
    if not threads:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        logging.info("TensorFlow has started; the number of its threads stays the same.")


def _check_precision(plan):
    """Refuses what TensorFlow 2.21 cannot do on CPU.

    There a 3D convolution's kernel gets garbage for its bfloat16 gradient at times, except with
    XLA, and 3D pools are missing in float16.
    """
    good = ("float32", "mixed_bfloat16") if plan.jit else ("float32",)
    if plan.precision not in good and not tf.config.list_logical_devices("GPU"):
        refuse("precision", "float32 without a GPU, or mixed_bfloat16 with jit", plan.precision)


@contextlib.contextmanager
def arithmetic(precision: str):
    """Layers that are made inside compute in a precision."""
    earlier = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(earlier)
