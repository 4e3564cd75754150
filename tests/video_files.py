"""Small video files with known content, for the tests of decoding and preparation."""

import cv2
import numpy as np

from mas.prepare import extract

SIZE = (48, 32)  # width, height


def noise(frames, seed=0, size=SIZE):
    """uint8 (frames, height, width, 3): every pixel random."""
    shape = (frames, size[1], size[0], 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def texture(size=SIZE, seed=0, cell=6):
    """A smooth random grey image, float32 (height, width), that flow can be followed on."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (size[1] // cell, size[0] // cell))
    smooth = cv2.resize(coarse.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth, 0, 255)


def moving(frames, shift, size=SIZE, seed=0):
    """A texture that moves `shift` = (right, down) pixels a frame, uint8 R G B frames."""
    margin = 1 + frames * int(max(map(abs, shift)))
    width, height = size[0] + 2 * margin, size[1] + 2 * margin
    image = texture((width, height), seed).astype(np.uint8)
    images = []
    for t in range(frames):
        left, top = margin - t * shift[0], margin - t * shift[1]
        images.append(image[top : top + size[1], left : left + size[0]])
    return np.repeat(np.stack(images)[..., None], 3, axis=-1)


def write(path, images, codec="FFV1", rate=25.0):
    """Writes R G B frames; FFV1, in .avi and .mkv, gives back the very same values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = images.shape[1:3]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, (width, height))
    assert writer.isOpened()
    for image in images:
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def cut(path, length):
    """Cuts a file to `length` bytes, or to that share of it if it is a float."""
    data = path.read_bytes()
    length = int(length * len(data)) if isinstance(length, float) else length
    path.write_bytes(data[:length])
    return path


def tree(folder):
    """Every file below a folder with its bytes, less the lock: what two runs must agree in."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


class Inline:
    """A stand-in for `workers.Pool` that works in this process, quickly and in order."""

    def __init__(self, count):
        self.count = count

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def run(self, jobs):
        for job in jobs:
            yield job, extract.foresee(job) if "ask" in job else extract.run(job)
