"""A pool of `mas.prepare.extract` processes."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading

CRASHED, HUNG = "the decoder crashed", "the decoder hung"
PATIENCE = 600  # seconds without news of a video: noise of 4096 x 2160 takes tvl1 32, OpenCV's 213


def cores():
    """How many cores this process may use; where the system does not tell, all that there are."""
    if hasattr(os, "sched_getaffinity"):  # on Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Pool:
    """Runs jobs in worker processes and yields their answers as they come.

    A worker that dies over a job, or is silent for too long, is replaced, and the job's answer says
    so. Leaving the `with` block, by an interruption too, ends all workers at once.
    """

    def __init__(
        self, count, command=(sys.executable, "-m", "mas.prepare.extract"), patience=PATIENCE
    ):
        """Prepares `count` workers; they start with `run`."""
        self._count, self._command, self._patience = count, list(command), patience
        self._jobs, self._answers = queue.SimpleQueue(), queue.SimpleQueue()
        self._threads, self._workers = [], set()
        self._lock, self._stopped = threading.Lock(), False

    def __enter__(self):
        """The pool."""
        return self

    def __exit__(self, *error):
        """Ends what is in work; nothing is written any more when this returns."""
        with self._lock:
            self._stopped = True  # no worker takes the place of these
            for worker in self._workers:
                worker.kill()
        for thread in self._threads:
            thread.join()

    def run(self, jobs):
        """Yields (job, answer) for every job, in the order in which they end.

        Before, it may yield (job, {"done": ...}), as often as a worker tells how far it is.

        Raises:
            RuntimeError: a worker could not do its own part, such as storing a result on a full
                disk, which is not a video's fault; the message holds its last words.
        """
        left = 0
        for job in jobs:
            self._jobs.put(job)
            left += 1
        for _ in range(min(self._count, left)):
            self._threads.append(threading.Thread(target=self._serve, daemon=True))
            self._threads[-1].start()
        while left:
            job, answer = self._answers.get()
            if isinstance(answer, Exception):
                raise answer
            left -= "done" not in answer
            yield job, answer

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
                answer = self._ask(worker, job)
                if answer is None:
                    lost, worker = worker, None
                    answer = self._crash(lost, job)
                self._answers.put((job, answer))
            except Exception as error:
                self._answers.put((job, error))
                break
        if worker:
            self._end(worker)

    def _start(self):
        # A file, because a pipe that nobody reads could fill up.
        words = tempfile.TemporaryFile("w+", errors="replace")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": words}
        with self._lock:
            if self._stopped:
                raise RuntimeError("The pool has ended.")
            # In a session of its own, so that Ctrl-C reaches this process alone.
            worker = subprocess.Popen(self._command, text=True, start_new_session=True, **pipes)
            self._workers.add(worker)
        worker.words, worker.hung = words, False
        return worker

    def _ask(self, worker, job):
        """Hands a job to a worker, passes on how far it is; its answer, or None if it died."""
        with contextlib.suppress(BrokenPipeError):
            worker.stdin.write(json.dumps(job) + "\n")
            worker.stdin.flush()
        for line in iter(lambda: self._line(worker), ""):
            answer = json.loads(line)
            if "done" not in answer:
                return answer
            self._answers.put((job, answer))
        return None

    def _line(self, worker):
        """What a worker writes next; "" if it ends, or is ended because it is silent."""

        def end():
            worker.hung = True
            worker.kill()

        watch = threading.Timer(self._patience, end)
        watch.daemon = True
        watch.start()
        try:
            return worker.stdout.readline()
        finally:
            watch.cancel()

    def _crash(self, worker, job):
        """The answer in the place of a dead worker's."""
        status = worker.wait()
        worker.words.seek(0)
        words = worker.words.read().strip().splitlines()
        self._end(worker)
        if status > 0:  # a Python error, not a crash inside the decoder
            raise RuntimeError(f"A worker failed on {job['path']}: {(words or ['?'])[-1]}")
        if worker.hung:
            return {"error": f"{HUNG}: no frame in {self._patience} seconds"}
        return {"error": f"{CRASHED} (signal {-status})"}

    def _end(self, worker):
        with contextlib.suppress(BrokenPipeError):
            worker.stdin.close()
        worker.wait()
        worker.stdout.close()
        worker.words.close()
        with self._lock:
            self._workers.discard(worker)
