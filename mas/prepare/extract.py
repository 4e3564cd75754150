"""One worker of `mas.prepare`: reads jobs as JSON lines, prepares a video each, answers in JSON.

A process of its own, so that a file which crashes the decoder takes down one worker and is named.
It ends when its input does: if `mas.prepare` is killed, no worker stays behind.
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

# A video is one protocol buffer in its shard, and those end at 2 GiB (2**31 - 1 bytes, serialised).
# The last MiB is for what stands beside the images and their lengths: the id, the size, the tags.
MOST_BYTES = 2**31 - 2**20
BYTES_PER_FRAME = 12  # its three lengths
NEWS_EVERY = 0.5  # seconds between two lines that tell how far a video is
TIMED = 8  # frames
# Runs of equal differences are what flow has most of: two thirds of the bytes of zlib's default.
PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)


def extract(path, name, storage, most_bytes=None, tell=None, damaged=None):
    """Decodes a video file and computes its flow.

    Args:
        path: the video file.
        name: its id.
        storage: a `Storage`.
        most_bytes: a video that takes more is refused, as soon as it does; None is no limit.
        tell: function that is called with the number of frames after each.
        damaged: function that is called with what the file lacks, where `storage` allows it.

    Returns:
        A `records.Prepared`. Flow is computed on grey frames of the size that `storage` says.

    Raises:
        video.VideoError: the video cannot be used; the message says why.
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
                f"too large: more than the {most_bytes} bytes that a shard holds of one video, at "
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
    """A worker's: it keeps its memory from video to video."""
    return flow.estimator(method)


def _encoded(frames, storage):
    """Yields ((height, width), {part: image file}) of each frame; the first has `rgb` alone."""
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
    """An image of the authors' folders, read as their code reads it: resized, bilinear, in 8 bits.

    A frame becomes a JPEG file again. Flow stays as it was read, in a PNG file: labels follow from
    its differences, and a second JPEG would change them.
    """
    image = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    image = cv2.resize(image, storage.size, interpolation=cv2.INTER_LINEAR)
    return _jpeg(image, storage) if name == "rgb" else cv2.imencode(".png", image, PNG)[1].tobytes()


def run(job, tell=None):
    """Carries out one job: {path, video, output, storage}.

    Returns:
        {"frames": number of frames stored, "damage": what the file lacks, "part": what they are
        stored in, OUTPUT and an ending of its own} or {"error": the reason}.
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
    except Exception as error:  # it is this video's alone, whatever it is
        return {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
    part = f"{job['output']}.{uuid.uuid4().hex}.part"  # nobody else's, on this machine or another
    stage = records.stage if storage.form == "shards" else records.stage_folders
    with files.writing(part, sum(map(len, (*prepared.rgb, *prepared.u, *prepared.v)))):
        stage(prepared, part)
    return {"frames": prepared.frames, "damage": "; ".join(damage), "part": part}


def foresee(job):
    """What a video will cost, for the bar: {path, ask}.

    Returns:
        For "count", {"declared": frames}, at `fps` if the job has it, as the container has it, 0
        if it does not tell; for a `Storage` as "dis", {"dis": seconds a frame would take with
        flow=dis}. {} if it fails.
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
    except Exception:  # `run` meets it again, and names it
        return {}


def main():
    """Answers one line for each line read; ends at once when the input does."""
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
