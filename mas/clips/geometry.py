"""What every image of a clip goes through alike: resize, crop, flip."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Geometry:
    """From stored images to clips.

    Attributes:
        resize: (width, height) in pixels that every image takes first, bilinear, aspect ignored.
        size: side of the square that is cut out, in pixels.
        random: crop and flip at random (training) rather than cut the centre (test).
        flip: whether a random clip is mirrored with probability 1/2.
        whole: whether nothing is cut: the task crops for itself.
    """

    resize: tuple = (171, 128)
    size: int = 112
    random: bool = True
    flip: bool = True
    whole: bool = False

    def __post_init__(self):
        """Checks that the square fits.

        Raises:
            ValueError: it does not.
        """
        if not 0 < self.size <= min(self.resize):
            raise ValueError(
                f"size must be in 1..{min(self.resize)}, the shorter side of "
                f"resize={self.resize[0]}x{self.resize[1]}. Received: size={self.size}."
            )

    @property
    def window(self):
        """(height, width) of a clip."""
        return self.resize[::-1] if self.whole else (self.size, self.size)

    def draw(self, rng):
        """(top, left, flip) of one clip."""
        room = np.subtract(self.resize[::-1], self.window)
        if not self.random:
            return np.array([*room // 2, 0], np.int32)
        flip = rng.integers(2) if self.flip else 0
        return np.array([*rng.integers(0, room + 1), flip], np.int32)
