"""Generates a small data set of real video files: textured shapes that move over a background.

Its classes are motions, so appearance alone cannot tell them apart. The quick start and the tests
use it.
"""

from __future__ import annotations

import filecmp
import hashlib
import os

import cv2
import numpy as np

from mas import checks, files, lists, video
from mas.checks import check_choice, check_range
from mas.files import PathLike

FRAMES = 32  # per video
# Velocity (right, down) in pixels per frame, growth per frame, rotation in degrees per frame.
MOTIONS = {
    "down": ((0, 1.5), 0, 0),
    "grow": ((0, 0), 0.04, 0),
    "left": ((-1.5, 0), 0, 0),
    "right": ((1.5, 0), 0, 0),
    "turn": ((0, 0), 0, 12),
    "up": ((0, -1.5), 0, 0),
}


def clip(
    motion: str, seed: int, frames: int = FRAMES, size: tuple[int, int] = (85, 64)
) -> np.ndarray:
    """Generates the frames of one video.

    Args:
        motion: one of `MOTIONS`.
        seed: seed of texture, shape, start and speed.
        frames: number of frames.
        size: (width, height) in pixels.

    Returns:
        uint8 (frames, height, width, 3), R G B.

    Raises:
        ValueError: If `motion` is unknown.

    >>> clip("left", seed=0).shape
    (32, 64, 85, 3)
    """
    check_choice("motion", motion, sorted(MOTIONS))
    rng = np.random.default_rng([seed, sorted(MOTIONS).index(motion)])
    width, height = size
    # A bright shape on a dark background: the motion stands out, not the texture.
    background, texture = 0.4 * _texture(rng, size), 130 + 0.5 * _texture(rng, size)
    direction, growth, turn = MOTIONS[motion]
    speed = rng.uniform(0.7, 1.3)
    velocity = np.array(direction) * speed
    middle = np.array([width, height]) * rng.uniform(0.4, 0.6, 2)
    start: np.ndarray = middle - velocity * frames / 2
    side = height * rng.uniform(0.16, 0.24)
    images = []
    for t in range(frames):
        scale = 1 + growth * speed * t
        turned = cv2.getRotationMatrix2D((width / 2, height / 2), turn * speed * t, scale)
        matrix = np.asarray(turned, np.float64)
        matrix[:, 2] += start + velocity * t - np.array([width, height]) / 2
        shape = np.zeros((height, width), np.uint8)
        corner = (int(width / 2 - side), int(height / 2 - side * 0.6))
        cv2.rectangle(shape, corner, (width - corner[0], height - corner[1]), 1, -1)
        inside = cv2.warpAffine(shape, matrix, size, flags=cv2.INTER_NEAREST)[..., None] > 0
        moved = cv2.warpAffine(texture, matrix, size, borderMode=cv2.BORDER_REFLECT)
        noise = rng.normal(0, 2, background.shape)
        images.append(np.clip(np.where(inside, moved, background) + noise, 0, 255).astype(np.uint8))
    return np.stack(images)


def _texture(rng, size):
    coarse = rng.uniform(0, 255, (7, 9, 3)).astype(np.float32)
    return np.clip(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), 0, 255)


def write(
    folder: PathLike,
    videos: int = 6,
    test: int = 2,
    frames: int = FRAMES,
    size: tuple[int, int] = (85, 64),
) -> str:
    """Writes the data set: FOLDER/videos/MOTION/NAME.avi, train.txt, test.txt and classes.txt.

    The same call writes the same bytes, so it is safe to repeat, even after it was killed.
    `prepare` recognises videos by name and skips those it has: include the returned digest in the
    name of the prepared folder, or it may still hold the videos of another version.

    Args:
        folder: folder to write to; created if missing.
        videos: videos per motion, each with its own texture.
        test: how many of them go to test.txt.
        frames: frames per video.
        size: (width, height) in pixels.

    Returns:
        A digest of the videos, 8 hexadecimal digits. Another version of this module, or of the
        encoder, may write other videos.

    Raises:
        ValueError: If `test` leaves a list empty, or FOLDER/videos contains other files, which
            would be prepared too.

    >>> import tempfile
    >>> len(write(tempfile.mkdtemp(), videos=2, test=1, frames=4))
    8
    """
    check_range("test", test, least=1, most=videos - 1)
    root, digest = checks.path("folder", folder), hashlib.sha256()
    names = {m: [f"{m}/{m}_{number:02d}" for number in range(videos)] for m in sorted(MOTIONS)}
    _refuse_others(root / "videos", {f"{name}.avi" for group in names.values() for name in group})
    train: list[lists.Entry] = []
    held: list[lists.Entry] = []
    for label, (motion, group) in enumerate(names.items()):
        (root / "videos" / motion).mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(group):
            unfinished = root / "unfinished.avi"
            video.write(unfinished, clip(motion, number, frames, size))
            digest.update(hashlib.sha256(unfinished.read_bytes()).digest())
            _place(unfinished, root / "videos" / f"{name}.avi")
            (held if number < test else train).append(lists.Entry(name, label))
    lists.write(root / "train.txt", train)
    lists.write(root / "test.txt", held)
    files.write(root / "classes.txt", "\n".join(names) + "\n")
    return digest.hexdigest()[:8]


def _place(new, path):
    """Moves a file into place unless unchanged, so that data prepared from it stay valid."""
    if path.is_file() and filecmp.cmp(new, path, shallow=False):
        new.unlink()
    else:
        os.replace(new, path)


def _refuse_others(folder, names):
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    if found - names:
        others = lists.counted(len(found - names), "other file")
        raise ValueError(
            f"{folder} must contain only the generated videos. Received: {others}, such as "
            f"{min(found - names)}; if an earlier version wrote them, delete them."
        )
