"""Progress of the preparation in frames, and an estimate of its duration."""

import math
import time

import tqdm
from absl import logging

from mas import lists

COUNTED = 500  # files to open beforehand, at most; the others count as their mean
MEASURED = 5.0  # seconds of work before the estimate
UNITS = (("day", 86400), ("hour", 3600), ("minute", 60))


class Progress:
    """A progress bar of frames; its total is an estimate from the containers' frame counts."""

    def __init__(self, jobs, workers, show=True):
        """Starts a bar.

        Args:
            jobs: the jobs, one per video.
            workers: number of workers.
            show: whether to show the bar; without it, nothing is counted or logged.
        """
        self._jobs, self._workers, self._show = jobs, min(workers, len(jobs)), show
        self._left, self._ended = len(jobs), 0  # videos, frames
        self._declared, self._sum = {}, 0  # {video: frames} of remaining videos, and their sum
        self._mean = None  # frames per video
        self._in_work = {}  # {video: frames so far}
        self._first = None  # (time, frames) of the first news
        self._dis = None  # seconds per frame with flow=dis
        self._bar = tqdm.tqdm(unit="frame", desc="prepare", mininterval=1, disable=not show)

    def __enter__(self):
        """Returns the bar."""
        return self

    def __exit__(self, *error):
        """Closes the bar."""
        self._bar.close()

    def questions(self):
        """Jobs that estimate the total. Workers run them: opening a video may crash the decoder."""
        step = math.ceil(len(self._jobs) / COUNTED) or 1
        asked = [
            {**job, "ask": "count", "fps": job["storage"].get("fps")} for job in self._jobs[::step]
        ]
        if self._jobs and self._jobs[0]["storage"]["flow"].startswith("tvl1"):
            asked.append({**self._jobs[0], "ask": "dis"})
        return asked if self._show else []

    def note(self, job, answer):
        """Updates the bar from a worker's answer: an estimate, progress, or the end of a video."""
        video = job["video"]
        if "ask" in job:
            self._dis = answer.get("dis", self._dis)
            if answer.get("declared"):
                self._declared[video] = answer["declared"]
                self._sum += answer["declared"]
                self._mean = self._sum / len(self._declared)
            return
        if "done" in answer:
            self._in_work[video] = answer["done"]
        else:
            self._ended += max(answer.get("frames", 0), self._in_work.pop(video, 0))
            self._sum -= self._declared.pop(video, 0)
            self._left -= 1
        self._refresh()

    def frames(self):
        """(frames done, total frames); the total is None while it is unknown."""
        done = self._ended + sum(self._in_work.values())
        if self._mean is None:
            return done, None if self._left else done
        total = self._ended + self._sum + (self._left - len(self._declared)) * self._mean
        return done, max(done, round(total))

    def _refresh(self):
        done, self._bar.total = self.frames()
        ended, videos = len(self._jobs) - self._left, lists.counted(len(self._jobs), "video")
        self._bar.set_postfix_str(f"{ended} of {videos}", refresh=False)
        self._bar.update(done - self._bar.n)
        now = time.monotonic()
        self._first = self._first or (now, done)
        start, before = self._first
        if self._show and now - start >= MEASURED and done >= before + 2 * self._workers:
            self._log_estimate(self._bar.total, (done - before) / (now - start))
            self._show = False  # once

    def _log_estimate(self, total, rate):
        if total is None:
            return
        text = f"About {duration(total / rate)}: {total} frames, {rate:.1f} frames/s on "
        text += lists.counted(self._workers, "worker")
        if self._dis:
            dis = duration(total * self._dis / self._workers)
            text += f"; with flow=dis, which is smoother, about {dis}"
        with tqdm.tqdm.external_write_mode():
            logging.info("%s.", text)


def duration(seconds):
    """Text of a duration in seconds, in a suitable unit.

    >>> duration(2247), duration(0.2), duration(86400)
    ('37 minutes', '1 second', '24 hours')
    """
    for unit, length in UNITS:
        if seconds >= 1.5 * length:
            return lists.counted(round(seconds / length), unit)
    return lists.counted(max(1, round(seconds)), "second")
