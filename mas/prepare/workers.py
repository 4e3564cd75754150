"""Who carries out the jobs of `mas.prepare`: the contract, and a pool of `extract` processes."""

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
PATIENCE = 600  # seconds without news of a video: noise of 4096 x 2160 takes tvl1 32, OpenCV's 213


def cores():
    """How many cores this process may use; where the system does not tell, all that there are."""
    if hasattr(os, "sched_getaffinity"):  # on Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Engine:
    """Carries out jobs, each at least once, and yields their answers as they come: the contract.

    A job is what `extract.run` takes, as JSON can hold it. Whoever carries it out writes into a
    file of its own, which the answer names; its lasting name is the caller's to give. So a job
    that two workers carried out leaves one result, wherever the second is and whenever it ends.

        with Pool(count) as engine:
            for job, answer in engine.run(jobs):

    Leaving the `with` block, by an interruption too, cancels what is in work.

    Attributes:
        count: how many jobs are in work at a time, about.
    """

    count: int

    def __enter__(self):
        """The engine."""
        return self

    def __exit__(self, *error):
        """Cancels what is in work."""
        self.cancel()

    def run(self, jobs):
        """Yields (job, answer) for every job, in the order in which they end.

        Before, it may yield (job, {"done": ...}), as often as a worker tells how far it is. A job
        whose worker died or hung, and that nobody tries again, has the answer {"error": how}.

        Raises:
            RuntimeError: a worker could not do its own part, such as storing a result on a full
                disk, which is not a video's fault; the message holds its last words.
        """
        for job in jobs:
            self.submit(job)
        yield from self.finished()

    def submit(self, job):
        """Takes in a job, and does not wait for it."""
        raise NotImplementedError

    def finished(self):
        """Yields what `run` does until every job that was submitted has ended."""
        raise NotImplementedError

    def call(self, function, *arguments):
        """Begins a call of a function; what has `done()` and `result()`. Here, it is done then."""
        answer = concurrent.futures.Future()
        answer.set_result(function(*arguments))
        return answer

    def cancel(self):
        """Ends what is in work; a result that comes later is not taken."""
        raise NotImplementedError


class Died(Exception):
    """A worker ended over a job, by a signal or because it was silent; says how."""


class Worker:
    """One `extract` process, which carries out one job after the other."""

    def __init__(self, command=None, patience=PATIENCE):
        """Starts the process.

        Args:
            command: of another process than `extract`.
            patience: seconds of silence after which it is ended.
        """
        if command is None:  # it finds the modules that this process does
            words = f"import sys; sys.path[:] = {sys.path!r}; from mas.prepare import extract"
            command = [sys.executable, "-c", f"{words}; extract.main()"]
        self._patience, self._hung = patience, False
        # A file, because a pipe that nobody reads could fill up.
        self._words = tempfile.TemporaryFile("w+", errors="replace")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._words}
        # In a session of its own, so that Ctrl-C reaches the caller alone.
        self._process = subprocess.Popen([*command], text=True, start_new_session=True, **pipes)

    def ask(self, job):
        """Hands over a job; yields how far it is, {"done": ...}, and at last its answer.

        Raises:
            Died: the process ended; this worker is of no more use.
            files.WriteError: it could not store the result.
            RuntimeError: it could not do its own part; holds its last words.
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
        """Ends the process at once, from any thread."""
        self._process.kill()

    def end(self):
        """Ends the process by the end of its input, and waits for that."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._words.close()

    def _line(self):
        """What the process writes next; "" if it ends, or is ended because it is silent."""

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
        """What to raise in the place of a dead process's answer."""
        status = self._process.wait()
        self._words.seek(0)
        words = self._words.read().strip().splitlines()
        if status > 0:  # a Python error, not a crash inside the decoder
            return RuntimeError(f"A worker failed on {job['path']}: {(words or ['?'])[-1]}")
        if self._hung:
            return Died(f"{HUNG}: no frame in {self._patience} seconds")
        return Died(f"{CRASHED} (signal {-status})")


class Pool(Engine):
    """The engine of one machine: worker processes, of which a dead one is replaced.

    Whatever a worker died of, its video is the likely cause, and is not tried again.
    """

    def __init__(self, count, command=None, patience=PATIENCE):
        """Prepares `count` workers, which start when jobs are there: see `Worker`."""
        self.count, self._options = count, (command, patience)
        self._jobs, self._answers = queue.SimpleQueue(), queue.SimpleQueue()
        self._left = 0
        self._threads, self._workers = [], set()
        self._lock, self._stopped = threading.Lock(), False

    def submit(self, job):
        """Puts a job last."""
        self._jobs.put(job)
        self._left += 1

    def finished(self):
        """Starts as many workers as there are jobs for, and passes on what they answer."""
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
        """Ends all workers at once; nothing is written any more when this returns."""
        with self._lock:
            self._stopped = True  # no worker takes the place of these
            for worker in self._workers:
                worker.kill()
        for thread in self._threads:
            thread.join()

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
