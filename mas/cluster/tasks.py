"""Tasks on a Ray cluster that are retried when a worker dies."""

from __future__ import annotations

import collections
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from absl import logging

from mas.cluster import nodes

TRIES = 4  # attempts at a task whose worker dies
AHEAD = 2  # tasks submitted per core
WAIT = 5.0  # seconds between counts of the cores


class Call:
    """A function call on a node, like a future."""

    def __init__(self, ray: Any, answer: Any):
        """Takes the module `ray` and the object reference of the result."""
        self._ray, self._answer = ray, answer

    def done(self) -> bool:
        """Whether the result is available."""
        return bool(self._ray.wait([self._answer], timeout=0)[0])

    def result(self) -> Any:
        """Returns what the function returned, or raises what it raised."""
        try:
            return self._ray.get(self._answer)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError:
            raise RuntimeError(f"A worker died {TRIES} times.") from None


class Tasks:
    """Applies a function to items on the cluster, at least once per item.

    If a worker or its node dies, the task is retried after the others in the queue.
    """

    def __init__(self, ray: Any, function: Callable, most: int | None = None, **resources):
        """Creates an empty queue.

        Args:
            ray: the module yielded by `connected`.
            function: generator function of an item; Ray must be able to pickle both. It yields
                dicts: {"done": ...} reports progress, {"died": how} the death of a subprocess,
                {"failed": why} aborts all tasks, and any other dict is the result.
            most: maximum number of concurrent tasks; None means twice the number of cores.
            **resources: resources of a task, passed to `ray.remote`.
        """
        self._ray, self._most = ray, most
        self._task = ray.remote(max_retries=0, **{"num_cpus": 1, **resources})(function)
        self._queue: collections.deque = collections.deque()
        self._running: dict[Any, tuple[Any, int]] = {}  # stream of answers: item, tries
        self._looked, self._room = -WAIT, 0

    def submit(self, item: Any) -> None:
        """Appends an item to the queue."""
        self._queue.append((item, 1))

    def finished(self) -> Iterator[tuple[Any, dict]]:
        """Yields (item, progress or result) until the queue is empty.

        The result is {"died": how} if the last attempt failed.

        Raises:
            RuntimeError: If the function raises an exception or yields {"failed": why}.
        """
        while self._queue or self._running:
            while self._queue and len(self._running) < self._most_submitted():
                item, tries = self._queue.popleft()
                self._running[self._task.remote(item)] = item, tries
            streams, _ = self._ray.wait([*self._running], timeout=WAIT, fetch_local=False)
            for stream in streams:
                item, tries = self._running[stream]
                answer = self._next(stream)
                if "done" in answer:
                    yield item, answer
                    continue
                del self._running[stream]
                if "failed" in answer:
                    raise RuntimeError(answer["failed"])
                if "died" in answer and tries < TRIES:
                    self._queue.append((item, tries + 1))
                else:
                    yield item, answer

    def call(self, function: Callable, *arguments: Any) -> Call:
        """Starts a call; the function must be idempotent because it may be retried."""
        task = self._ray.remote(num_cpus=1, max_retries=TRIES - 1)(function)
        return Call(self._ray, task.remote(*arguments))

    def cancel(self) -> None:
        """Cancels all tasks and kills their workers."""
        for stream in self._running:
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.cancel(stream, force=True)
        self._queue.clear()
        self._running.clear()

    def _next(self, stream):
        """Returns what a task yields next, or how it ended."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(next(stream))
        except StopIteration:
            return {"failed": "A task ended without a result."}
        except errors.RayTaskError as error:
            return {"failed": f"A worker failed: {type(error.cause).__name__}: {error.cause}"}
        except errors.OutOfMemoryError:
            return {"died": "memory ran out"}
        except (errors.NodeDiedError, errors.LocalRayletDiedError):
            return {"died": "its node left"}
        except errors.RayError:
            return {"died": "it was killed"}

    def _most_submitted(self):
        """Returns the number of tasks to keep submitted, as nodes join and leave."""
        if self._most:
            return self._most
        if time.monotonic() - self._looked >= WAIT:
            before, self._looked = self._room, time.monotonic()
            self._room = AHEAD * nodes.count_cores(self._ray)
            if before and not self._room:
                logging.warning("The Ray cluster has no cores left; waiting for a node.")
        return max(self._room, 1)
