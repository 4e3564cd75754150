"""Converts stored images to the pixels of a clip."""

import cv2
import numpy as np
import tensorflow as tf

from mas import records

# The JPEG inverse transform that gives the same pixels as OpenCV, so that labels do not depend on
# the reader.
ACCURATE = "INTEGER_ACCURATE"
JPEG = b"\xff\xd8"  # first bytes of a JPEG file


def decode(data, number, part, indices, images):
    """Decodes images without checksums in Python, where damaged ones can be reported.

    Args:
        data: an open data set.
        number: index of the video.
        part: rgb, u or v.
        indices: frame indices.
        images: image files of these frames.

    Returns:
        uint8 (frames, height, width, 3), or 1 channel if `part` is not rgb; empty without frames.

    Raises:
        records.DamagedError: If an image cannot be decoded, or its size differs from the first
            one's.
    """
    found = []
    for frame, image in zip(indices, images, strict=True):
        pixels = records.decode(image, 3 if part == "rgb" else 1)
        if pixels is None or found and pixels.shape != found[0].shape:
            place = (data.path(number, part, frame), data.videos[number], frame)
            size = "an image of a different size than the first one of the clip"
            raise records.damaged(*place, image if pixels is None else size)
        found.append(pixels)
    return np.stack(found) if found else np.zeros(0, np.uint8)


def cut(images, count, channels, geometry, fits, drawn):
    """Resizes, crops and flips images: uint8 (count, height, width, channels).

    Resizing is bilinear by OpenCV, as in the authors' code and `mas.prepare`.

    Args:
        images: JPEG or PNG files, string (count,), or uint8 (count, height, width, channels).
        count: number of images.
        channels: number of channels.
        geometry: a `Geometry`.
        fits: whether all images already have the size from which clips are cropped.
        drawn: result of `Geometry.draw`, int32 (3,).
    """
    if images.dtype == tf.string:
        images.set_shape((count,))

    def whole():
        found = _resized(images, count, channels, geometry, fits)
        begin = tf.concat([[0], drawn[:2], [0]], 0)
        return tf.slice(found, begin, (count, *geometry.window, channels))

    def window():
        return _windows(images, count, tf.concat([drawn[:2], geometry.window], 0))

    if fits and channels == 1 and images.dtype == tf.string:
        # For colour images, pixels at the edge of the window would differ.
        found = tf.cond(tf.strings.substr(images[0], 0, 2) == JPEG, window, whole)
        found = tf.ensure_shape(found, (count, *geometry.window, channels))
    else:
        found = whole()
    return tf.cond(drawn[2] == 1, lambda: tf.reverse(found, [2]), lambda: found)


def _windows(files, count, window):
    """Decodes only a window of grey JPEG files."""
    parts = [
        tf.io.decode_and_crop_jpeg(files[i], window, channels=1, dct_method=ACCURATE)
        for i in range(count)
    ]
    return tf.stack(parts)


def _resized(images, count, channels, geometry, fits):
    if images.dtype == tf.string:
        images = tf.stack(
            [
                tf.io.decode_jpeg(images[i], channels=channels, dct_method=ACCURATE)  # also PNG
                for i in range(count)
            ]
        )
    width, height = size = geometry.resize

    def resize(images):
        found = [cv2.resize(image, size, interpolation=cv2.INTER_LINEAR) for image in images]
        return np.stack(found).reshape(count, height, width, channels)

    if not fits:
        images = tf.numpy_function(resize, [images], tf.uint8, stateful=False)
    return tf.ensure_shape(images, (count, height, width, channels))
