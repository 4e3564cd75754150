"""Pictures of a few fixed clips for TensorBoard while a network trains."""

from __future__ import annotations

import numpy as np
from absl import logging

from mas import clips
from mas.visualize import reading
from mas.visualize.pictures import clip_pictures

TIMES = 20  # of a run at most: a picture takes a second or so


class TrainingPictures:
    """A callback of `mas.pretrain` and `mas.finetune`: draws where the network looks.

    Some `TIMES` in a run. The first time, the labels of clips with flow are drawn as well: they
    never change.

    Args:
        count: how many clips, evenly spaced in the data set.
    """

    def __init__(self, count: int = 2):
        """See the class."""
        self.count = count

    def __call__(self, reader, backbone, run, plan):
        """A function of (epoch, step) that draws; None where no video holds a clip."""
        clip = reader.task.clip
        shown = self._clips(reader.data, clip)
        if not shown:
            return None
        every, drawn = max(1, plan.epochs // TIMES), []

        def draw(epoch, step):
            if epoch % every and epoch != plan.epochs:
                return
            labels = clip.frames == 16 and clip.size % 8 == 0 and not drawn
            run.images(clip_pictures(shown, backbone, statistics=labels), step)
            drawn.append(epoch)

        return draw

    def _clips(self, data, clip):
        """The first frames of a few videos; cut at the centre."""
        geometry = clips.Geometry(clip.resize, clip.size, random=False)
        long = np.flatnonzero(data.lengths >= clip.frames)
        places = np.unique(np.linspace(0, max(0, len(long) - 1), self.count).astype(int))
        try:
            videos = [data.videos[number] for number in long[places[: len(long)]]]
            return [reading.clip(data, video, 0, clip.frames, geometry) for video in videos]
        except ValueError as error:  # a file that broke since; training says so where it meets it
            logging.warning("No pictures for TensorBoard: %s", error)
            return []
