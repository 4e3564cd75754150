"""Stored images -> pixels of a clip."""

import numpy as np
import tensorflow as tf

from mas import records

# Of JPEG's inverse transforms the one whose pixels equal OpenCV's, so that labels do not depend on
# the reader.
ACCURATE = "INTEGER_ACCURATE"


def decode(data, number, part, indices, images):
    """Pixels of images that no checksum vouches for: in Python, where a damaged one can be named.

    Args:
        data: an opened data set.
        number: of the video.
        part: rgb, u or v.
        indices: of the frames.
        images: their files.

    Returns:
        uint8 (frames, height, width, 3), or 1 where `part` is not rgb; empty without frames.

    Raises:
        records.DamagedError: an image cannot be decoded, or has another size than the first.
    """
    found = []
    for frame, image in zip(indices, images, strict=True):
        pixels = records.decode(image, 3 if part == "rgb" else 1)
        if pixels is None or found and pixels.shape != found[0].shape:
            place = (data.path(number, part, frame), data.videos[number], frame)
            size = "one of another size than others of its video"
            raise records.damaged(*place, image if pixels is None else size)
        found.append(pixels)
    return np.stack(found) if found else np.zeros(0, np.uint8)


def cut(images, count, channels, geometry, fits, drawn):
    """Images -> uint8 (count, height, width, channels), resized, cropped and flipped.

    Args:
        images: JPEG files, string (count,), or uint8 (count, height, width, channels).
        count: how many there are.
        channels: of each.
        geometry: a `Geometry`.
        fits: whether all have the size that clips are cut from.
        drawn: what `Geometry.draw` drew, int32 (3,).
    """
    size = geometry.window
    if images.dtype == tf.string:
        images.set_shape((count,))
    if fits and channels == 1 and images.dtype == tf.string:
        # In colour, pixels at the window's edge would differ.
        window = tf.concat([drawn[:2], size], 0)
        found = [
            tf.io.decode_and_crop_jpeg(images[i], window, channels=1, dct_method=ACCURATE)
            for i in range(count)
        ]
        found = tf.ensure_shape(tf.stack(found), (count, *size, channels))
    else:
        begin = tf.concat([[0], drawn[:2], [0]], 0)
        found = tf.slice(
            _resized(images, count, channels, geometry, fits), begin, (count, *size, channels)
        )
    return tf.cond(drawn[2] == 1, lambda: tf.reverse(found, [2]), lambda: found)


def _resized(images, count, channels, geometry, fits):
    if images.dtype == tf.string:
        images = tf.stack(
            [
                tf.io.decode_jpeg(images[i], channels=channels, dct_method=ACCURATE)
                for i in range(count)
            ]
        )
    width, height = geometry.resize
    if fits:
        return tf.ensure_shape(images, (count, height, width, channels))
    images = tf.ensure_shape(images, (count, None, None, channels))
    return tf.cast(tf.round(tf.image.resize(images, (height, width))), tf.uint8)
