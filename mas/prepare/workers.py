"""Engines that run the jobs of `mas.prepare`: the interface, and a pool of `extract` processes."""

import concurrent.futures
import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading

from mas import files

CRASHED, HUNG, DIED = "the decoder crashed", "the decoder hung", "the worker died"
PATIENCE = 600  # seconds without progress; a 4096 x 2160 frame of noise takes tvl1 32, OpenCV 213


def cores():
    """Number of cores this process may use; all cores if the system does not tell."""
    if hasattr(os, "sched_getaffinity"):  # on Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Engine:
    """Interface of engines: run each job at least once and yield the answers as they arrive.

    A job is the argument of `extract.run`, serialisable as JSON. Each execution writes its own
    temporary file, named in the answer; the caller gives it its final name. So a job that runs
    twice leaves one result.

        with Pool(count) as engine:
            for job, answer in engine.run(jobs):

    Leaving the `with` block, also by an interruption, cancels running jobs.

    Attributes:
        count: approximate number of concurrent jobs.
    """

    count: int

    def __enter__(self):
        """Returns the engine."""
        return self

    def __exit__(self, *error):
        """Cancels running jobs."""
        self.cancel()

    def run(self, jobs):
        """Yields (job, answer) for every job, in the order in which they finish.

        Before that, it may yield (job, {"done": ...}) any number of times to report progress. The
        answer of a job whose worker died or hung, after all retries, is {"error": reason}.

        Raises:
            RuntimeError: If a worker failed for a reason other than its video, such as a full
                disk; the message ends with the worker's last output.
        """
        for job in jobs:
            self.submit(job)
        yield from self.finished()

    def submit(self, job):
        """Queues a job; returns at once."""
        raise NotImplementedError

    def finished(self):
        """Yields as `run` until every submitted job is finished."""
        raise NotImplementedError

    def call(self, function, *arguments):
        """Calls a function; returns an object with `done()` and `result()`. Runs it here."""
        answer = concurrent.futures.Future()
        answer.set_result(function(*arguments))
        return answer

    def cancel(self):
        """Cancels running jobs; later results are ignored."""
        raise NotImplementedError


class Died(Exception):
    """A worker crashed or hung during a job; the message says which."""


class Worker:
    """One `extract` process, which runs one job after another."""

    def __init__(self, command=None, patience=PATIENCE):
        """Starts the process.

        Args:
            command: command of the process; None for `extract`.
            patience: seconds without output after which it is killed.
        """
        if command is None:  # with the import path of this process
            words = f"import sys; sys.path[:] = {sys.path!r}; from mas.prepare import extract"
            command = [sys.executable, "-c", f"{words}; extract.main()"]
        self._patience, self._hung = patience, False
        # A file, because an unread pipe could fill up.
        self._words = tempfile.TemporaryFile("w+", errors="replace")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._words}
        # In its own session, so that Ctrl-C reaches the caller only.
        self._process = subprocess.Popen([*command], text=True, start_new_session=True, **pipes)

    def ask(self, job):
        """Runs a job; yields its progress, {"done": ...}, and finally its answer.

        Raises:
            Died: If the process crashed or hung; this worker cannot be used again.
            files.WriteError: If it could not store the result.
            RuntimeError: If it failed otherwise; the message ends with its last output.
        """
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
        for line in iter(self._line, ""):
            answer = json.loads(line)
            if "unwritten" in answer:
                raise files.WriteError(*answer["unwritten"])
            yield answer
            if "done" not in answer:
                return
        raise self._death(job)

    def kill(self):
        """Kills the process; may be called from any thread."""
        self._process.kill()

    def end(self):
        """Closes the process's input and waits until it exits."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._words.close()

    def _line(self):
        """Next line of the process's output; "" if it exits or hangs."""

        def end():
            self._hung = True
            self.kill()

        watch = threading.Timer(self._patience, end)
        watch.daemon = True
        watch.start()
        try:
            return self._process.stdout.readline()
        finally:
            watch.cancel()

    def _death(self, job):
        """The exception to raise when the process died."""
        status = self._process.wait()
        self._words.seek(0)
        words = self._words.read().strip().splitlines()
        if status > 0:  # a Python error, not a crash inside the decoder
            return RuntimeError(f"A worker failed on {job['path']}: {(words or ['?'])[-1]}")
        if self._hung:
            return Died(f"{HUNG}: no frame in {self._patience} seconds")
        return Died(f"{CRASHED} (signal {-status})")


class Pool(Engine):
    """Runs jobs in worker processes on this machine, and replaces a worker that dies.

    The video of a dead worker is the likely cause, and is not tried again.
    """

    def __init__(self, count, command=None, patience=PATIENCE):
        """Creates a pool of `count` workers, which start with the first jobs: see `Worker`."""
        self.count, self._options = count, (command, patience)
        self._jobs, self._answers = queue.SimpleQueue(), queue.SimpleQueue()
        self._left = 0
        self._threads, self._workers = [], set()
        self._lock, self._stopped = threading.Lock(), False

    def submit(self, job):
        """Appends a job to the queue."""
        self._jobs.put(job)
        self._left += 1

    def finished(self):
        """Starts the workers and yields their answers."""
        for _ in range(min(self.count, self._left)):
            self._threads.append(threading.Thread(target=self._serve, daemon=True))
            self._threads[-1].start()
        while self._left:
            job, answer = self._answers.get()
            if isinstance(answer, Exception):
                raise answer
            self._left -= "done" not in answer
            yield job, answer

    def cancel(self):
        """Kills all workers; after it returns, nothing more is written."""
        with self._lock:
            self._stopped = True  # no worker is replaced
            for worker in self._workers:
                worker.kill()
        for thread in self._threads:
            thread.join()

    def _serve(self):
        """Feeds one worker until the queue is empty."""
        worker = None
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            try:
                worker = worker or self._start()
                for answer in worker.ask(job):
                    self._answers.put((job, answer))
            except Died as death:
                self._end(worker)
                worker = None
                self._answers.put((job, {"error": str(death)}))
            except Exception as error:
                self._answers.put((job, error))
                break
        if worker:
            self._end(worker)

    def _start(self):
        with self._lock:
            if self._stopped:
                raise RuntimeError("The pool has ended.")
            worker = Worker(*self._options)
            self._workers.add(worker)
            return worker

    def _end(self, worker):
        worker.end()
        with self._lock:
            self._workers.discard(worker)
