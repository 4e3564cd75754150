"""Linear maps of a clip's frames: rotation with a crop, and affine maps."""

import math

import tensorflow as tf

from mas.augment import sampling
from mas.augment.sampling import check_clip, integers
from mas.checks import check_choice, check_range

FIXED = 2**16  # Pillow's nearest neighbour uses 1/65536 of a pixel

# Parameters of the authors' spatial transformer (DSM).
SCALE = (0.85, 1.15)
DEGREES = 45  # integers, exclusive
TRANSLATION = 0.3  # in units of half a frame
SHEAR = 0.3


def rotate_and_crop(clip, seed, size, degrees=10.0):
    """Rotates all frames by one random angle and crops a random square.

    Args:
        clip: uint8 (T, H, W, 3), not cropped; or flow, float32 (T, H, W, 2), whose vectors are
            rotated with the frames.
        seed: int32 (2,); the same seed gives the same result.
        size: side of the square in pixels, at most the shorter side of the frames.
        degrees: the angle is drawn from [-degrees, degrees], counter-clockwise; at most 180.

    Returns:
        (T, size, size, 3 or 2), equal to Pillow's `Image.rotate` (nearest neighbour, size kept,
        black corners) followed by a crop, pixel for pixel. Only pixels inside the crop are
        computed.

    Raises:
        ValueError: If an argument is out of range.

    Source: the basic augmentation in the authors' code of VTDL (arXiv 2008.02129) and DSM (AAAI
    2021). They rotate the stored frame and then resize it; here frames are stored, or read, at
    their final size. Rotating about the centre and scaling both axes by the same factor commute.
    The remaining differences are that nearest neighbours are pixels of the smaller frame and, if
    resizing changes the aspect ratio, in which of the two frames the rotation is rigid.
    """
    clip = check_clip(clip, flow=True)
    height, width = clip.shape[1:3]
    if not 0 < size <= min(height, width):
        raise ValueError(
            f"size must be in 1..{min(height, width)}, the shorter side of the clip. "
            f"Received: size={size}."
        )
    check_range("degrees", degrees, 0, 180)
    angle, top, left = draw_rotation(seed, (height, width), size, degrees)
    return apply_rotation(clip, angle, top, left, size)


def draw_rotation(seed, shape, size, degrees=10.0):
    """Draws the parameters of `rotate_and_crop` for frames of shape (height, width).

    Returns:
        Scalars: the angle in degrees, float32; top and left of the crop, int32.
    """
    numbers = tf.random.stateless_uniform((3,), seed)
    room = [side - size + 1 for side in shape]
    top, left = tf.unstack(integers(numbers[1:], [0, 0], room))
    return (2 * numbers[0] - 1) * degrees, top, left


def apply_rotation(clip, angle, top, left, size):
    """Rotates and crops a clip (T, H, W, 3 or 2) with the parameters from `draw_rotation`."""
    height, width = clip.shape[1:3]
    angle = tf.cast(angle, tf.float64) * (math.pi / 180)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    across, down = 0.5 - width / 2, 0.5 - height / 2  # from the frame's centre to the first pixel's
    rows, columns = top + tf.range(size)[:, None], left + tf.range(size)
    column = _fixed(width / 2 + cosine * across - sine * down)
    column += _fixed(cosine) * columns + _fixed(-sine) * rows
    row = _fixed(height / 2 + sine * across + cosine * down)
    row += _fixed(sine) * columns + _fixed(cosine) * rows
    column, row = column // FIXED, row // FIXED
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    found = sampling.nearest(clip, tf.where(inside, row * width + column, sampling.BLACK))
    if clip.shape[-1] == 2:  # u right, v down; the rotation is counter-clockwise
        found = tf.linalg.matvec(tf.cast([[cosine, sine], [-sine, cosine]], tf.float32), found)
    return found


def _fixed(value):
    return tf.cast(tf.floor(value * FIXED + 0.5), tf.int32)


def affine(clip, seed, kind="scale"):
    """Applies one random affine map to all frames: bilinear, black outside.

    Args:
        clip: uint8 (T, H, W, 3); or flow, float32 (T, H, W, 2), whose vectors are not changed.
        seed: int32 (2,); the same seed gives the same result.
        kind: one of AFFINE, see below.

    The map takes output positions to source positions. Coordinates run from -1 to 1 between the
    centres of the outermost pixels; U is the uniform distribution.

        scale           each axis by U(0.85, 1.15)
        released_scale  each axis by the cosine of that, 0.41 to 0.66: a slip in the authors' code
        rotation        by 0..44 degrees (integers); rigid only for square frames
        translation     each axis by U(0, 0.3); the content moves left and up
        shear           each axis by U(0, 0.3) times the other
        reflection      each axis mirrored with probability 1/2

    Returns:
        A clip with the dtype and shape of `clip`.

    Raises:
        ValueError: If an argument is out of range.

    Source: the spatial transformer in the authors' code of DSM (AAAI 2021), where only the scale is
    called, in a branch that never runs. The distribution of reflections is our choice.
    """
    clip = check_clip(clip, flow=True)
    check_choice("kind", kind, AFFINE)
    return apply_affine(clip, draw_affine(seed, kind))


def draw_affine(seed, kind="scale"):
    """Draws a matrix, float32 (2, 3), that maps (x, y, 1) to the source's x and y."""
    return tf.reshape(AFFINE[kind](tf.random.stateless_uniform((2,), seed)), (2, 3))


@tf.function(jit_compile=True)
def apply_affine(clip, matrix):
    """Applies a matrix, float32 (2, 3), from `draw_affine` to a clip."""
    height, width = clip.shape[1:3]
    half_height, half_width = (height - 1) / 2, (width - 1) / 2
    x = tf.linspace(-1.0, 1.0, width) if width > 1 else tf.zeros(1)
    y = (tf.linspace(-1.0, 1.0, height) if height > 1 else tf.zeros(1))[:, None]
    from_x, from_y = (row[0] * x + row[1] * y + row[2] for row in tf.unstack(matrix))
    return sampling.bilinear(clip, (from_y + 1) * half_height, (from_x + 1) * half_width)


def _scale(numbers):
    x, y = tf.unstack(SCALE[0] + (SCALE[1] - SCALE[0]) * numbers)
    return [x, 0.0, 0.0, 0.0, y, 0.0]


def _released_scale(numbers):
    x, _, _, _, y, _ = _scale(numbers)
    return [tf.cos(x), 0.0, 0.0, 0.0, tf.cos(y), 0.0]


def _rotation(numbers):
    angle = tf.cast(integers(numbers[0], 0, DEGREES), tf.float32) * (math.pi / 180)
    return [tf.cos(angle), -tf.sin(angle), 0.0, tf.sin(angle), tf.cos(angle), 0.0]


def _translation(numbers):
    return [1.0, 0.0, TRANSLATION * numbers[0], 0.0, 1.0, TRANSLATION * numbers[1]]


def _shear(numbers):
    return [1.0, SHEAR * numbers[0], 0.0, SHEAR * numbers[1], 1.0, 0.0]


def _reflection(numbers):
    x, y = tf.unstack(tf.where(numbers < 0.5, -1.0, 1.0))
    return [x, 0.0, 0.0, 0.0, y, 0.0]


AFFINE = {
    "scale": _scale,
    "released_scale": _released_scale,
    "rotation": _rotation,
    "translation": _translation,
    "shear": _shear,
    "reflection": _reflection,
}
