"""A pool of `mas.prepare.extract` processes."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading

CRASHED = "the decoder crashed"


def cores():
    """How many cores this process may use; where the system does not tell, all that there are."""
    if hasattr(os, "sched_getaffinity"):  # on Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Pool:
    """Runs jobs in worker processes and yields their answers as they come.

    A worker that dies over a job is replaced, and the job's answer names the exit status.
    """

    def __init__(self, count, command=(sys.executable, "-m", "mas.prepare.extract")):
        """Prepares `count` workers; they start with `run`."""
        self._count, self._command = count, list(command)
        self._jobs, self._answers = queue.SimpleQueue(), queue.SimpleQueue()

    def run(self, jobs):
        """Yields (job, answer) for every job, in the order in which they end.

        An error while storing an answer's result (a full disk, say) is not a video's fault: it
        raises here.

        Raises:
            RuntimeError: a worker could not do its own part; the message holds its last words.
        """
        jobs = list(jobs)
        for job in jobs:
            self._jobs.put(job)
        for _ in range(min(self._count, len(jobs))):
            threading.Thread(target=self._serve, daemon=True).start()
        try:
            for _ in jobs:
                job, answer = self._answers.get()
                if isinstance(answer, Exception):
                    raise answer
                yield job, answer
        finally:
            with contextlib.suppress(queue.Empty):
                while True:  # after an error no worker takes up another job
                    self._jobs.get_nowait()

    def _serve(self):
        """Feeds one worker until no job is left."""
        worker = None
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            try:
                worker = worker or self._start()
                self._answers.put((job, self._ask(worker, job)))
                if worker.poll() is not None:
                    worker = None
            except Exception as error:
                self._answers.put((job, error))
                break
        if worker:
            worker.stdin.close()
            worker.wait()

    def _start(self):
        # A file, because a pipe that nobody reads could fill up.
        words = tempfile.TemporaryFile("w+", errors="replace")
        pipe = subprocess.PIPE
        worker = subprocess.Popen(
            self._command, stdin=pipe, stdout=pipe, stderr=words, text=True, start_new_session=True
        )
        worker.words = words
        return worker

    @staticmethod
    def _ask(worker, job):
        try:
            worker.stdin.write(json.dumps(job) + "\n")
            worker.stdin.flush()
            line = worker.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            return json.loads(line)
        status = worker.wait()
        worker.words.seek(0)
        words = worker.words.read().strip().splitlines()
        if status > 0:  # a Python error, not a crash inside the decoder
            raise RuntimeError(f"A worker failed on {job['path']}: {(words or ['?'])[-1]}")
        return {"error": f"{CRASHED} (signal {-status})"}
