"""Frame indices of a clip, and policies for clips that reach the end of their video.

restrict   clips stay inside the video
bounce     clips play backwards from the last frame
wrap       clips restart at the first frame (the authors of pace, VTDL and DSM)

Training and evaluation both use these policies.
"""

import numpy as np

from mas.checks import refuse


def indices(frames, pace, start, length, loop):
    """Returns the frame indices of a clip, from 0.

    Args:
        frames: clip length in frames.
        pace: step between frames, int or `fractions.Fraction`.
        start: first frame, in 0..length - 1.
        length: number of frames of the video.
        loop: one of `LOOPS`; "restrict" requires a clip that stays inside the video.

    Returns:
        int (frames,), in 0..length - 1.
    """
    counts = np.arange(frames) // pace.denominator  # steps taken so far
    return LOOPS[loop](counts, pace.numerator, start, length)


def _restrict(counts, step, start, length):
    del length
    return start + step * counts


def _wrap(counts, step, start, length):
    """Restarts at frame 0 after the last frame that a step reaches."""
    first = (length - 1 - start) // step + 1  # frames before the first jump
    others = (length - 1) // step + 1  # frames from one jump to the next
    return np.where(counts < first, start + step * counts, step * ((counts - first) % others))


def _bounce(counts, step, start, length):
    """Plays forwards and backwards, turning at frames 0 and length - 1."""
    period = max(1, 2 * (length - 1))
    places = (start + step * counts) % period
    return np.minimum(places, period - places)


LOOPS = {"restrict": _restrict, "wrap": _wrap, "bounce": _bounce}


def check_flow(loop, modality):
    """Rejects flow clips that may turn: fields would point forwards in a video played backwards.

    Raises:
        ValueError: If clips of flow may turn.
    """
    if modality == "flow" and loop == "bounce":
        refuse("loop", "wrap or restrict with modality=flow", loop)
