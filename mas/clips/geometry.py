"""The geometry of a clip: resize, crop and flip, the same for all its images."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Geometric preprocessing of stored images.

    Attributes:
        resize: (width, height) in pixels to which images are resized first, bilinear, without
            keeping the aspect ratio.
        size: side of the square crop in pixels.
        random: whether to crop and flip at random (training) or crop the centre (test).
        flip: whether a random clip is mirrored with probability 1/2.
        whole: whether to skip the crop, because the task crops.
    """

    resize: tuple = (171, 128)
    size: int = 112
    random: bool = True
    flip: bool = True
    whole: bool = False

    def __post_init__(self):
        """Checks that the crop fits into the frame.

        Raises:
            ValueError: If it does not.
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
        """Draws (top, left, flip) for a clip."""
        room = np.subtract(self.resize[::-1], self.window)
        if not self.random:
            return np.array([*room // 2, 0], np.int32)
        flip = rng.integers(2) if self.flip else 0
        return np.array([*rng.integers(0, room + 1), flip], np.int32)
