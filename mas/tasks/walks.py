"""How a clip walks through its video, and what happens where the video ends.

restrict   it does not end: the clip stays inside
bounce     the clip plays back from the video's last frame
wrap       the clip begins again at the video's first frame (the authors of pace, VTDL and DSM)

Every clip that leaves its video does so by one of these, in training and in evaluation.
"""

import numpy as np

from mas.checks import refuse


def indices(frames, pace, start, length, loop):
    """The frames of a clip, counted from 0.

    Args:
        frames: of the clip.
        pace: int or `fractions.Fraction`: step from one frame to the next.
        start: the first frame, in 0..length - 1.
        length: frames of the video.
        loop: one of `LOOPS`; "restrict" is for clips that do not leave the video.

    Returns:
        int (frames,), in 0..length - 1.
    """
    counts = np.arange(frames) // pace.denominator  # steps taken so far
    return LOOPS[loop](counts, pace.numerator, start, length)


def _restrict(counts, step, start, length):
    del length
    return start + step * counts


def _wrap(counts, step, start, length):
    """After the last frame that a step reaches comes frame 0, where counting begins again."""
    first = (length - 1 - start) // step + 1  # frames before the first jump
    others = (length - 1) // step + 1  # frames from one jump to the next
    return np.where(counts < first, start + step * counts, step * ((counts - first) % others))


def _bounce(counts, step, start, length):
    """Forth and back, with frames 0 and length - 1 as turning points."""
    period = max(1, 2 * (length - 1))
    places = (start + step * counts) % period
    return np.minimum(places, period - places)


LOOPS = {"restrict": _restrict, "wrap": _wrap, "bounce": _bounce}


def check_flow(loop, modality):
    """Refuses clips of flow that turn round: fields would point forwards in a film run backwards.

    Raises:
        ValueError: they may.
    """
    if modality == "flow" and loop == "bounce":
        refuse("loop", "wrap or restrict with modality=flow", loop)
