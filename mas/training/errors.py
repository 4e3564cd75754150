"""Translates TensorFlow's errors into messages that a user can act on."""

from __future__ import annotations

import contextlib
import re

import tensorflow as tf

from mas.training import hosts

_OWN = re.compile(r"\b(?:Value|Index|FileNotFound|Permission|OS)Error: (.+)")


@contextlib.contextmanager
def reading():
    """Context that unwraps errors of the input pipeline, which TensorFlow wraps.

    Raises:
        ValueError: If reading failed, or memory is too small.
        PeerLost: If another host is lost.
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
                "batch, clip and network must fit in memory: use a smaller batch, size or width. "
                f"Received: {words}."
            ) from error
        raise
