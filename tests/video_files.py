"""Small video files with known content, for the tests of decoding and preparation."""

from fractions import Fraction

import av
import cv2
import numpy as np

from mas.prepare import extract, workers

SIZE = (48, 32)  # width, height


def noise(frames, seed=0, size=SIZE):
    """uint8 (frames, height, width, 3): every pixel random."""
    shape = (frames, size[1], size[0], 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def texture(size=SIZE, seed=0, cell=6):
    """A smooth random grey image for optical flow, float32 (height, width)."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (size[1] // cell, size[0] // cell))
    smooth = cv2.resize(coarse.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth, 0, 255)


def moving(frames, shift, size=SIZE, seed=0):
    """A texture that moves by `shift` = (right, down) pixels per frame; uint8 R G B frames."""
    margin = 1 + frames * int(max(map(abs, shift)))
    width, height = size[0] + 2 * margin, size[1] + 2 * margin
    image = texture((width, height), seed).astype(np.uint8)
    images = []
    for t in range(frames):
        left, top = margin - t * shift[0], margin - t * shift[1]
        images.append(image[top : top + size[1], left : left + size[0]])
    return np.repeat(np.stack(images)[..., None], 3, axis=-1)


def write(path, images, codec="FFV1", rate=25.0):
    """Writes R G B frames; with FFV1, in .avi and .mkv, all values are preserved."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = images.shape[1:3]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, (width, height))
    assert writer.isOpened()
    for image in images:
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def coded(frames, size=(64, 48)):
    """Images that encode their number: bit k is the brightness of the k-th column of blocks."""
    bits = (np.arange(frames)[:, None] >> np.arange(8)) & 1
    columns = np.repeat(40 + 170 * bits, size[0] // 8, axis=1).astype(np.uint8)
    return np.broadcast_to(columns[:, None, :, None], (frames, size[1], size[0], 3))


def numbers(images):
    """Decodes the numbers of `coded` images, also after compression or resizing."""
    bright = np.stack(np.array_split(np.mean(images, axis=(1, 3)), 8, axis=1)).mean(2) > 125
    return (bright.T @ (1 << np.arange(8))).tolist()


def encode(path, *streams, muxer=None, sound=0, **muxing):
    """Writes a file of any container.

    Args:
        path: the file.
        *streams: for each of its streams `film(...)`.
        muxer: FFmpeg's name of the container; None goes by the path.
        sound: seconds of silence, as a last stream.
        **muxing: options of the container.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=muxer, options=muxing) as container:
        writers = [(_add(container, **stream), stream) for stream in streams]
        silence = container.add_stream("aac", rate=8000) if sound else None
        for stream, about in writers:
            for number, image in enumerate(about["images"]):
                frame = _frame(image, stream, about)
                frame.pts, frame.time_base = about["times"][number], Fraction(1, 1000)
                container.mux(stream.encode(frame))
        for stream in [stream for stream, _ in writers]:
            container.mux(stream.encode(None))
        for start in range(0, int(sound * 8000), 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.pts, frame.sample_rate = start, 8000
            container.mux(silence.encode(frame))
        if sound:
            container.mux(silence.encode(None))
    return path


def film(images, codec="mpeg4", pixels="yuv420p", rate=25, times=None, **options):
    """One stream of `encode`.

    Args:
        images: of R G B.
        codec: FFmpeg's name of the encoder.
        pixels: FFmpeg's name of their form.
        rate: frames per second.
        times: of each, in ms; None is at the rate.
        **options: of the encoder, but for ours: `disposition` of the stream, `colours` (matrix and
            range, FFmpeg's numbers), and `size`, with which images are planes of Y, U and V.
    """
    times = [round(1000 * n / rate) for n in range(len(images))] if times is None else times
    ours = {name: options.pop(name, None) for name in ("disposition", "colours", "size")}
    known = {"images": images, "codec": codec, "pixels": pixels, "rate": rate, "times": times}
    return {**known, **ours, "options": options}


def _add(container, images, codec, pixels, rate, times, disposition, colours, size, options):
    stream = container.add_stream(codec, rate=rate, options=options)
    stream.width, stream.height = size or images[0].shape[1::-1]
    stream.pix_fmt = pixels
    if colours:
        stream.codec_context.colorspace, stream.codec_context.color_range = colours
    if times != [round(1000 * n / rate) for n in range(len(images))]:
        stream.codec_context.time_base = Fraction(1, 1000)
    if disposition is not None:
        stream.disposition = disposition
    return stream


def _frame(image, stream, about):
    if about["size"]:
        return av.VideoFrame.from_ndarray(image, format=about["pixels"])
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")


def cut(path, length):
    """Truncates a file to `length` bytes, or to a share of it if `length` is a float."""
    data = path.read_bytes()
    length = int(length * len(data)) if isinstance(length, float) else length
    path.write_bytes(data[:length])
    return path


def tree(folder):
    """{path: bytes} of every file below a folder except the lock, to compare two runs."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


class Inline(workers.Engine):
    """A stand-in for `workers.Pool` that works in this process, quickly and in order."""

    def __init__(self, count):
        self.count = count

    def cancel(self):
        pass

    def run(self, jobs):
        for job in jobs:
            yield job, extract.foresee(job) if "ask" in job else extract.run(job)
