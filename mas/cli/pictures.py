"""Pictures of a few fixed clips for TensorBoard while a network trains."""

import numpy as np
from absl import logging

from mas import clips, prepare, visualize
from mas.cli.definitions import FLAGS
from mas.visualize import reading

TIMES = 20  # of a run at most: a picture takes a second or so


def painter(reader, backbone, run, epochs):
    """A function of (epoch, step) that draws where the network looks, some `TIMES` in a run.

    The first time, the labels of clips with flow are drawn as well: they never change.

    Args:
        reader: the `clips.Reader` of the training.
        backbone: its network.
        run: the `run_folder.RunFolder`.
        epochs: of the whole run.

    Returns:
        The function, or None with --pictures=0 or where no video holds a clip.
    """
    shown = _clips(reader.data, FLAGS.frames, FLAGS.pictures) if FLAGS.pictures else []
    if not shown:
        return None
    every, drawn = max(1, epochs // TIMES), []

    def draw(epoch, step):
        if epoch % every and epoch != epochs:
            return
        labels = FLAGS.frames == 16 and FLAGS.size % 8 == 0 and not drawn
        run.images(visualize.clip_pictures(shown, backbone, statistics=labels), step)
        drawn.append(epoch)

    return draw


def _clips(data, frames, count):
    """The first frames of a few videos, evenly spaced in the data set; cut at the centre."""
    geometry = clips.Geometry(prepare.parse_size(FLAGS.resize), FLAGS.size, random=False)
    long = np.flatnonzero(data.lengths >= frames)
    places = np.unique(np.linspace(0, max(0, len(long) - 1), count).astype(int))
    try:
        videos = [data.videos[number] for number in long[places[: len(long)]]]
        return [reading.clip(data, video, 0, frames, geometry) for video in videos]
    except ValueError as error:  # a file that broke since; training says so where it meets it
        logging.warning("No pictures for TensorBoard: %s", error)
        return []
