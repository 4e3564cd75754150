"""Tasks on a Ray cluster, whose workers may die."""

from __future__ import annotations

import collections
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from absl import logging

from mas.cluster import nodes

TRIES = 4  # of a task whose worker dies
AHEAD = 2  # tasks that are handed out, for each core
WAIT = 5.0  # seconds between two looks at how many cores there are


class Call:
    """A call on a node."""

    def __init__(self, ray: Any, answer: Any):
        """Of Ray, and the reference of its answer."""
        self._ray, self._answer = ray, answer

    def done(self) -> bool:
        """Whether `result` is there."""
        return bool(self._ray.wait([self._answer], timeout=0)[0])

    def result(self) -> Any:
        """What the function returned; raises what it raised."""
        try:
            return self._ray.get(self._answer)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError:
            raise RuntimeError(f"A worker died {TRIES} times.") from None


class Tasks:
    """Carries out a function of one item on the cluster, each item at least once.

    A task whose worker dies, alone or with its node, is tried again, behind the others.
    """

    def __init__(self, ray: Any, function: Callable, most: int | None = None, **resources):
        """Prepares to carry out.

        Args:
            ray: as `connected` yields it.
            function: generator function of an item, both of which Ray can send. It yields dicts;
                {"done": ...} is news, {"died": how} the death of something below it, {"failed":
                why} ends the run, and any other is the answer.
            most: tasks at a time; None is twice as many as there are cores.
            **resources: of a task, as Ray has them.
        """
        self._ray, self._most = ray, most
        self._task = ray.remote(max_retries=0, **{"num_cpus": 1, **resources})(function)
        self._queue: collections.deque = collections.deque()
        self._running: dict[Any, tuple[Any, int]] = {}  # stream of answers: item, tries
        self._looked, self._room = -WAIT, 0

    def submit(self, item: Any) -> None:
        """Puts an item last."""
        self._queue.append((item, 1))

    def finished(self) -> Iterator[tuple[Any, dict]]:
        """Yields (item, news or answer) until no item is left; {"died": how} after the last try.

        Raises:
            RuntimeError: the function raised an exception, or answered {"failed": why}.
        """
        while self._queue or self._running:
            while self._queue and len(self._running) < self._rooms():
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
        """Begins a call that leaves the same if it is carried out twice."""
        task = self._ray.remote(num_cpus=1, max_retries=TRIES - 1)(function)
        return Call(self._ray, task.remote(*arguments))

    def cancel(self) -> None:
        """Ends the tasks in work, and their workers."""
        for stream in self._running:
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.cancel(stream, force=True)
        self._queue.clear()
        self._running.clear()

    def _next(self, stream):
        """What a task yields next, or what became of it."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(next(stream))
        except StopIteration:
            return {"failed": "A task ended without an answer."}
        except errors.RayTaskError as error:
            return {"failed": f"A worker failed: {type(error.cause).__name__}: {error.cause}"}
        except errors.OutOfMemoryError:
            return {"died": "memory ran out"}
        except (errors.NodeDiedError, errors.LocalRayletDiedError):
            return {"died": "its node left"}
        except errors.RayError:
            return {"died": "it was killed"}

    def _rooms(self):
        """How many tasks may be handed out: nodes come and go."""
        if self._most:
            return self._most
        if time.monotonic() - self._looked >= WAIT:
            before, self._looked = self._room, time.monotonic()
            self._room = AHEAD * nodes.count_cores(self._ray)
            if before and not self._room:
                logging.warning("No Ray node with a core is left; waiting for one.")
        return max(self._room, 1)
