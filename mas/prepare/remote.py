"""The Ray engine: each Ray task uses an `extract` process on its own node.

A video that crashes or hangs the decoder is thus reported as by the pool. If Ray loses a worker or
a node, its videos are tried again.
"""

from __future__ import annotations

import contextlib
import os
import pathlib

from mas import cluster, files
from mas.prepare import environment, workers

MODULES = {"mas": "mas", "OpenCV": "cv2", "PyAV": "av"}  # versions must agree on all nodes
_worker: workers.Worker | None = None  # kept by a Ray worker between tasks


def carry_out(item):
    """Runs one (job, needs) on a node; yields the answers that `cluster.Tasks` expects."""
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
    """Runs jobs on a Ray cluster; retries a job whose worker dies three times."""

    def __init__(self, address, count, mark, reads, method):
        """Prepares to connect.

        Args:
            address: see `cluster.connected`.
            count: number of concurrent jobs, or None.
            mark: lock file of the shared folder, by which nodes recognise it; see
                `cluster.needs`.
            reads: files that every node must be able to read.
            method: flow method.
        """
        self._address, self._most, self._method = address, count, method
        files.sync(mark)  # other nodes may not see unflushed data
        token = pathlib.Path(mark).read_text("utf-8")
        self._needs = cluster.needs(MODULES, reads, os.path.abspath(mark), token)

    def __enter__(self):
        """Connects and checks that all nodes have what they need."""
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
        """Records the environments of nodes that differ from this machine."""
        here = environment.current(self._method)
        for _, there in cluster.on_each(ray, environment.current, self._method):
            if isinstance(there, dict) and there != here:
                environment.note(pathlib.Path(self._needs["mark"]).parent, there)

    def __exit__(self, *error):
        """Cancels running jobs and disconnects."""
        with self._connection:
            self.cancel()

    def submit(self, job):
        """Appends a job to the queue."""
        self._tasks.submit((job, self._needs))

    def finished(self):
        """Distributes jobs and yields their answers."""
        for (job, _), answer in self._tasks.finished():
            how = answer.get("died")
            if how and not how.startswith(workers.CRASHED):
                how = f"{workers.DIED} {cluster.TRIES} times: {how}"
            yield job, {"error": how} if how else answer

    def call(self, function, *arguments):
        """Starts a call on a node; retries it three times if the worker dies."""
        return self._tasks.call(_checked, self._needs, function, arguments)

    def cancel(self):
        """Cancels running tasks; Ray stops their workers, which stop their processes."""
        self._tasks.cancel()
