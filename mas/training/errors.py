"""Errors of TensorFlow in the words of whoever can do something about them."""

from __future__ import annotations

import contextlib
import re

import tensorflow as tf

from mas.training import hosts

_OWN = re.compile(r"\b(?:Value|Index|FileNotFound|Permission|OS)Error: (.+)")


@contextlib.contextmanager
def reading():
    """Gives errors of the input pipeline, which TensorFlow wraps, in their own words again.

    Raises:
        ValueError: such an error; or memory does not suffice.
        PeerLost: another host is gone.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if own := _OWN.search(error.message):
            raise ValueError(own.group(1)) from error
        if lost := hosts.lost(error):
            raise lost from error
        if isinstance(error, tf.errors.ResourceExhaustedError):
            words = error.message.splitlines()[0][:200].rstrip(".")
            raise ValueError(
                "batch, clip and network must fit in memory: take a smaller batch, size or width. "
                f"Received: {words}."
            ) from error
        raise
