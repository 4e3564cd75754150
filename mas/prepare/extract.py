"""One worker of `mas.prepare`: reads jobs as JSON lines, prepares a video each, answers in JSON.

A process of its own, so that a file which crashes the decoder takes down one worker and is named.
It ends when its input does: if `mas.prepare` is killed, no worker stays behind.
"""

import json
import os
import pathlib
import queue
import sys
import threading
import traceback

import cv2

from mas import flow, records, video
from mas.prepare.plan import Storage

# A video is one protocol buffer in its shard, and those end at 2 GiB (2**31 - 1 bytes, serialised).
# The last MiB is for what stands beside the images and their lengths: the id, the size, the tags.
MOST_BYTES = 2**31 - 2**20
BYTES_PER_FRAME = 12  # its three lengths


def extract(path, name, storage, most_bytes=None):
    """Decodes a video file and computes its flow.

    Args:
        path: the video file.
        name: its id.
        storage: a `Storage`.
        most_bytes: a video that takes more is refused, as soon as it does; None is no limit.

    Returns:
        A `records.Prepared`. Flow is computed on grey frames of the stored size.

    Raises:
        video.VideoError: the video cannot be used; the message says why.
    """
    if name != name.encode("utf-8", "replace").decode():
        raise video.VideoError("its name is not UTF-8")
    estimate = None if storage.flow == "none" else flow.estimator(storage.flow)
    result = records.Prepared(name, 0, 0, video.frame_rate(path), [], [], [])
    previous, stored = None, 0
    for rgb in video.frames(path, storage.size):
        images = {"rgb": cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)}
        if estimate:
            grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
            if previous is not None:
                code = flow.encode(estimate(previous, grey))
                images |= {"u": code[..., 0], "v": code[..., 1]}
            previous = grey
        stored += BYTES_PER_FRAME
        for part, image in images.items():
            getattr(result, part).append(_jpeg(image, storage.quality))
            stored += len(getattr(result, part)[-1])
        if most_bytes is not None and stored > most_bytes:
            raise video.VideoError(_too_large(result.frames, most_bytes))
    result.height, result.width = rgb.shape[:2]
    if result.frames < storage.min_frames:
        raise video.VideoError(
            f"shorter than one clip: {result.frames} frames, at least {storage.min_frames} wanted"
        )
    return result


def _too_large(frames, most_bytes):
    return (
        f"too large: its first {frames} frames take more than the {most_bytes} bytes that a shard "
        "holds of one video; prepare it in another output folder with a smaller size or with "
        "form=folders, or cut it into shorter videos"
    )


def _jpeg(image, quality):
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def run(job):
    """Carries out one job: {path, video, output, storage}.

    Returns:
        {"frames": number of frames stored} or {"error": the reason}.
    """
    try:
        storage = Storage(**job["storage"])
        most_bytes = MOST_BYTES if storage.form == "shards" else None
        prepared = extract(job["path"], job["video"], storage, most_bytes)
    except OSError as error:
        return {"error": error.strerror or str(error)}
    except video.VideoError as error:
        return {"error": str(error)}
    except Exception as error:  # whatever it is, the other videos go on
        return {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
    if storage.form == "shards":
        records.stage(prepared, pathlib.Path(job["output"]))
    else:
        records.write_folders(job["output"], prepared)
    return {"frames": prepared.frames}


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
    try:
        while True:
            answers.write(json.dumps(run(jobs.get())) + "\n")
            answers.flush()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
