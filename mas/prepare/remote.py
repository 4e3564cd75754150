"""The engine of a Ray cluster: each of its tasks asks an `extract` process of its own node.

So a video that crashes the decoder, or hangs, is named as by the pool. What Ray loses is its own:
workers that are killed, nodes that leave; their videos are tried again.
"""

from __future__ import annotations

import contextlib
import os
import pathlib

from mas import cluster, files
from mas.prepare import environment, workers

MODULES = {"mas": "mas", "OpenCV": "cv2", "PyAV": "av"}  # of one version everywhere
_worker: workers.Worker | None = None  # of a Ray worker; it stays from task to task


def carry_out(item):
    """What runs on a node: yields for one (job, needs) what `cluster.Tasks` knows."""
    global _worker
    job, needs = item
    problem = cluster.lacks_here(needs)
    if problem:
        yield {"failed": problem}
        return
    _worker = _worker or workers.Worker()
    try:
        yield from _worker.ask(job)
    except workers.Died as death:
        _worker.end()
        _worker = None
        yield {"error" if str(death).startswith(workers.HUNG) else "died": str(death)}
    except (files.WriteError, RuntimeError) as error:
        yield {"failed": str(error)}


def _checked(needs, function, arguments):
    problem = cluster.lacks_here(needs)
    if problem:
        raise RuntimeError(problem)
    return function(*arguments)


class Ray(workers.Engine):
    """The engine of a Ray cluster; a job whose worker dies is tried three times more."""

    def __init__(self, address, count, mark, reads, method):
        """Prepares to connect.

        Args:
            address: see `cluster.connected`.
            count: jobs at a time, or None.
            mark: the lock of the shared folder, by which nodes know it; see `cluster.needs`.
            reads: files that nodes must see.
            method: of flow.
        """
        self._address, self._most, self._method = address, count, method
        files.sync(mark)  # what is not closed need not be seen elsewhere
        token = pathlib.Path(mark).read_text("utf-8")
        self._needs = cluster.needs(MODULES, reads, os.path.abspath(mark), token)

    def __enter__(self):
        """Connects, and lets all nodes look for what they need."""
        with contextlib.ExitStack() as stack:
            connected = cluster.connected(self._address, self._most or workers.cores())
            ray = stack.enter_context(connected)
            cluster.check_nodes(ray, self._needs)
            self._note(ray)
            self._tasks = cluster.Tasks(ray, carry_out, self._most)
            self._connection = stack.pop_all()
        self.count = self._most or max(1, cluster.count_cores(ray))
        return self

    def _note(self, ray):
        """Records what nodes compute with, where this machine computes with other."""
        here = environment.current(self._method)
        for _, there in cluster.on_each(ray, environment.current, self._method):
            if isinstance(there, dict) and there != here:
                environment.note(pathlib.Path(self._needs["mark"]).parent, there)

    def __exit__(self, *error):
        """Cancels what is in work, and leaves the cluster."""
        with self._connection:
            self.cancel()

    def submit(self, job):
        """Puts a job last."""
        self._tasks.submit((job, self._needs))

    def finished(self):
        """Hands out jobs, and passes on what is answered."""
        for (job, _), answer in self._tasks.finished():
            how = answer.get("died")
            if how and not how.startswith(workers.CRASHED):
                how = f"{workers.DIED} {cluster.TRIES} times: {how}"
            yield job, {"error": how} if how else answer

    def call(self, function, *arguments):
        """Begins a call on a node; a worker that dies is replaced three times."""
        return self._tasks.call(_checked, self._needs, function, arguments)

    def cancel(self):
        """Ends the tasks in work; Ray ends their workers, and those their processes."""
        self._tasks.cancel()
