"""A worker of `mas.prepare`: reads jobs as JSON lines, prepares a video for each, answers in JSON.

It runs in its own process: a file that crashes the decoder kills one worker only, and is named.
It exits when its input ends, so killing `mas.prepare` leaves no workers behind.
"""

import dataclasses
import functools
import itertools
import json
import os
import queue
import sys
import threading
import time
import traceback
import uuid

import cv2
import numpy as np

from mas import files, flow, lists, records, video
from mas.prepare.plan import STORED, Storage

# A shard stores a video as one protocol buffer, which is limited to 2**31 - 1 bytes serialised.
# One MiB is reserved for what is not images or their lengths: the id, the size, the tags.
MOST_BYTES = 2**31 - 2**20
BYTES_PER_FRAME = 12  # its three lengths
NEWS_EVERY = 0.5  # seconds between progress lines
TIMED = 8  # frames
# Flow has long runs of equal differences: RLE takes two thirds of the bytes of zlib's default.
PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)


def extract(path, name, storage, most_bytes=None, tell=None, damaged=None):
    """Decodes a video file and computes its flow.

    Args:
        path: the video file.
        name: id of the video.
        storage: a `Storage`.
        most_bytes: size limit of a stored video; None is no limit.
        tell: called after each frame with the number of frames so far.
        damaged: called with a description of the damage, if `storage` allows damaged files.

    Returns:
        A `records.Prepared`. Flow is computed on grey frames of the size in `storage`.

    Raises:
        video.VideoError: If the video cannot be used; the message says why.
    """
    if name != name.encode("utf-8", "replace").decode():
        raise video.VideoError("its name is not UTF-8")
    rate = storage.fps or video.frame_rate(path)
    result = records.Prepared(name, 0, 0, rate, [], [], [])
    stored, frames = 0, _decoded(path, storage, damaged)
    for (result.height, result.width), images in _encoded(frames, storage):
        for part, image in images.items():
            getattr(result, part).append(image)
        stored += BYTES_PER_FRAME + sum(map(len, images.values()))
        if most_bytes is not None and stored > most_bytes:
            raise video.VideoError(
                f"too large: more than the {most_bytes} bytes a shard can hold of one video, at "
                f"frame {result.frames}; prepare it in another output folder with a smaller size "
                "or with form=folders, or cut it into shorter videos"
            )
        if tell:
            tell(result.frames)
    if result.frames < storage.min_frames:
        raise video.VideoError(
            f"shorter than one clip: {lists.counted(result.frames, 'frame')}, at least "
            f"{storage.min_frames} needed"
        )
    return result


def _decoded(path, storage, damaged=None):
    options = {"deinterlace": storage.deinterlace, "fps": storage.fps}
    damaged = damaged if storage.allow_damaged else None
    return video.frames(path, storage.reduced_from or storage.size, damaged=damaged, **options)


@functools.cache
def _estimator(method):
    """The worker's flow estimator, whose buffers are reused from video to video."""
    return flow.estimator(method)


def _encoded(frames, storage):
    """Yields ((height, width), {part: image file}) per frame; the first has `rgb` only."""
    estimate = None if storage.flow == "none" else _estimator(storage.flow)
    if estimate:
        estimate.restart()
    reduced = storage.form == "shards" and storage.reduced_from
    for rgb in frames:
        images = {"rgb": cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)}
        field = estimate and estimate.follow(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
        if field is not None:
            code = flow.encode(field)
            images |= {"u": code[..., 0], "v": code[..., 1]}
        files = {name: _jpeg(image, storage) for name, image in images.items()}
        if reduced:
            files = {name: _reduced(file, name, storage) for name, file in files.items()}
        yield storage.size[::-1] if reduced else rgb.shape[:2], files


def _jpeg(image, storage):
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, storage.quality])[1].tobytes()


def _reduced(file, name, storage):
    """Decodes and resizes an image (bilinear, 8 bits), as the authors' code reads its folders.

    A frame is encoded as JPEG again. Flow is stored as PNG: the labels come from its differences,
    which a second JPEG compression would change.
    """
    image = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    image = cv2.resize(image, storage.size, interpolation=cv2.INTER_LINEAR)
    return _jpeg(image, storage) if name == "rgb" else cv2.imencode(".png", image, PNG)[1].tobytes()


def run(job, tell=None):
    """Runs one job: {path, video, output, storage}.

    Returns:
        {"frames": number of stored frames, "damage": what is missing, "part": the file or folder
        they are stored in, OUTPUT plus a unique suffix}, or {"error": reason}.
    """
    damage = []
    try:
        storage = Storage(**job["storage"])
        most_bytes = MOST_BYTES if storage.form == "shards" else None
        prepared = extract(job["path"], job["video"], storage, most_bytes, tell, damage.append)
    except OSError as error:
        return {"error": error.strerror or str(error)}
    except video.VideoError as error:
        return {"error": str(error)}
    except Exception as error:  # any error concerns this video only
        return {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
    part = f"{job['output']}.{uuid.uuid4().hex}.part"  # unique across machines
    stage = records.stage if storage.form == "shards" else records.stage_folders
    with files.writing(part, sum(map(len, (*prepared.rgb, *prepared.u, *prepared.v)))):
        stage(prepared, part)
    return {"frames": prepared.frames, "damage": "; ".join(damage), "part": part}


def foresee(job):
    """Estimates a video's cost for the progress bar: {path, ask}.

    Returns:
        For ask="count", {"declared": frames according to the container, 0 if unknown; at `fps` if
        the job has it}. For ask="dis", {"dis": seconds per frame with flow=dis}. {} on failure.
    """
    try:
        if job["ask"] == "count":
            return {"declared": video.declared_frames(job["path"], job.get("fps"))}
        storage = dataclasses.replace(Storage(**job["storage"]), flow="dis", flow_size=STORED)
        files = _encoded(_decoded(job["path"], storage), storage)
        next(files)  # opens the file
        start = time.perf_counter()
        count = sum(1 for _ in itertools.islice(files, TIMED))
        return {"dis": (time.perf_counter() - start) / count}
    except Exception:  # `run` will report it
        return {}


def main():
    """Answers each input line with one line; exits at once when the input ends."""
    cv2.setNumThreads(1)  # one worker, one core
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries may write there
    jobs = queue.SimpleQueue()
    threading.Thread(target=_work, args=(jobs, answers), daemon=True).start()
    for line in sys.stdin:
        jobs.put(json.loads(line))
    os._exit(0)


def _work(jobs, answers):
    told = time.monotonic()

    def send(answer):
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    def tell(frames):
        nonlocal told
        if time.monotonic() - told >= NEWS_EVERY:
            told = time.monotonic()
            send({"done": frames})

    try:
        while True:
            job = jobs.get()
            try:
                send(foresee(job) if "ask" in job else run(job, tell))
            except files.WriteError as error:
                send({"unwritten": (error.errno, error.strerror, error.filename, error.need)})
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
