"""How far preparation is, counted in frames, and how long it will take."""

import math
import time

import tqdm
from absl import logging

from mas import lists

COUNTED = 500  # at most so many files are opened beforehand; the rest is taken for their mean
MEASURED = 5.0  # seconds of work that the estimate rests on
UNITS = (("day", 86400), ("hour", 3600), ("minute", 60))


class Progress:
    """A bar of frames. Its total rests on what containers declare, until each video has ended."""

    def __init__(self, jobs, workers, show=True):
        """Begins a bar.

        Args:
            jobs: what is to be done, a job a video.
            workers: how many work on them.
            show: whether there is a bar; without one, nothing is counted or said.
        """
        self._jobs, self._workers, self._show = jobs, min(workers, len(jobs)), show
        self._left, self._ended = len(jobs), 0  # videos, frames
        self._declared, self._sum = {}, 0  # {video: frames} of those left, and their sum
        self._mean = None  # of a video, in frames
        self._in_work = {}  # {video: frames so far}
        self._first = None  # (time, frames) of the first news
        self._dis = None  # seconds a frame would take with flow=dis
        self._bar = tqdm.tqdm(unit="frame", desc="prepare", mininterval=1, disable=not show)

    def __enter__(self):
        """The bar."""
        return self

    def __exit__(self, *error):
        """Ends the bar where it stands."""
        self._bar.close()

    def questions(self):
        """Jobs to ask beforehand, of workers: to open a video may crash the decoder already."""
        step = math.ceil(len(self._jobs) / COUNTED) or 1
        asked = [
            {**job, "ask": "count", "fps": job["storage"].get("fps")} for job in self._jobs[::step]
        ]
        if self._jobs and self._jobs[0]["storage"]["flow"].startswith("tvl1"):
            asked.append({**self._jobs[0], "ask": "dis"})
        return asked if self._show else []

    def note(self, job, answer):
        """Takes in what a worker answered: to a question, of a video in work, or of its end."""
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
        """(frames done, frames in all); the second is None as long as nothing is known."""
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
            self._say(self._bar.total, (done - before) / (now - start))
            self._show = False  # once

    def _say(self, total, rate):
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
    """A time in the unit that fits it.

    >>> duration(2247), duration(0.2), duration(86400)
    ('37 minutes', '1 second', '24 hours')
    """
    for unit, length in UNITS:
        if seconds >= 1.5 * length:
            return lists.counted(round(seconds / length), unit)
    return lists.counted(max(1, round(seconds)), "second")
