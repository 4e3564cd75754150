"""Prepares a folder of videos for training: decodes and resizes them and computes optical flow.

    data = prepare_videos("videos", "data")

It can be killed and restarted at any time. It repeats only the videos that were in progress, and
the result is byte for byte that of an uninterrupted run. The bytes of flow depend on the version
of OpenCV and on the processor: see `environment`.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from absl import logging

from mas import lists, locks, records
from mas.checks import check_choice, check_range
from mas.files import PathLike
from mas.prepare import dataset, plan, sources
from mas.prepare.plan import Storage

ENGINES = ("pool", "ray")

__all__ = ["Storage", "find_videos", "prepare_videos"]


def prepare_videos(
    videos: PathLike,
    output: PathLike,
    *,
    flow: str = Storage.flow,
    size: tuple[int, int] | None = Storage.size,
    form: str = Storage.form,
    quality: int = Storage.quality,
    min_frames: int = Storage.min_frames,
    fps: float | None = Storage.fps,
    deinterlace: bool = Storage.deinterlace,
    flow_size: tuple[int, int] | str = Storage.flow_size,
    allow_damaged: bool = Storage.allow_damaged,
    update: bool = Storage.update,
    list: PathLike | Sequence[lists.Entry] | None = None,
    columns: str | Sequence[str] = "video,label",
    workers: int | None = None,
    engine: str = "pool",
    address: str | None = None,
    progress: bool = True,
) -> records.Data:
    """Prepares a folder of videos: decodes and resizes them and computes optical flow.

    It can be stopped at any time. The same call resumes, and redoes the videos that were in
    progress.

    Args:
        videos: folder of video files, at any depth.
        output: folder of the data set: new, empty, or started by an earlier call.
        flow: "tvl1" as in the papers, "tvl1_fast", "tvl1_opencv" or "dis" (compared at
            `mas.flow.estimator`), or "none".
        size: stored (width, height) in pixels; None keeps each file's own size.
        form: "shards" or "folders"; see `mas.records`.
        quality: JPEG quality of frames and flow, 1..100.
        min_frames: shortest video to accept, in frames.
        fps: frame rate to resample to, in frames per second; None keeps every frame.
        deinterlace: whether to deinterlace (bwdif, same frame count); otherwise a frame keeps the
            lines of both fields.
        flow_size: (width, height) in pixels at which flow is computed. In form "shards", frames
            and flow are then resized to `size`, as the authors' code does when reading; in form
            "folders" they keep this size, like the authors' folders. "stored" computes flow at
            the stored size: cheaper, with different labels. "auto" keeps the data set's choice; a
            new one takes (340, 256) for tvl1 if `size` is smaller, else "stored".
        allow_damaged: whether to keep the part that decodes of a truncated or damaged file;
            OUTPUT/damaged.csv lists what is missing. Otherwise such a file is a failure.
        update: whether to prepare videos again whose file has changed in size or time; otherwise
            a warning names them.
        list: path of a list, or a sequence of `lists.Entry`: prepare only these videos.
        columns: columns of the list.
        workers: worker processes, or concurrent tasks on a cluster; None uses one per core.
        engine: "pool", processes on this machine, or "ray", a Ray cluster (docs/scale.md).
        address: address of the cluster: HOST:PORT of its head, or "auto" for the one this machine
            belongs to; None takes RAY_ADDRESS or starts a cluster on this machine for this call.
        progress: whether to show a progress bar.

    Returns:
        The data set, as `records.open_data` opens it. Its `failures` is {absolute path: reason}
        for the videos of this call. OUTPUT/failures.csv also lists failures of earlier calls with
        other videos, until the video is prepared or its file changes or disappears.

    Raises:
        ValueError: If a setting is not allowed, `videos` or `list` name no videos, or the output
            folder has other contents, was started with other settings, or cannot hold a video
            whose id is a folder of other videos.
        RuntimeError: If another process is using the folder, a result cannot be stored, or this
            OpenCV has no TV-L1.
        OSError: If the disk is full or the folder is not writable; the message names the path and
            the space needed. The same call resumes.

    >>> import tempfile
    >>> from mas import sample
    >>> folder = tempfile.mkdtemp()
    >>> _ = sample.write(folder, videos=2, test=1, frames=16, size=(44, 32))
    >>> data = prepare_videos(
    ...     f"{folder}/videos", f"{folder}/data", flow="dis", size=(44, 32), progress=False
    ... )
    >>> len(data.videos), data.failures
    (12, {})
    """
    storage = Storage(
        flow=flow,
        size=size,
        form=form,
        quality=quality,
        min_frames=min_frames,
        fps=fps,
        deinterlace=deinterlace,
        flow_size=flow_size,
        allow_damaged=allow_damaged,
        update=update,
    )
    check_choice("engine", engine, ENGINES)
    if workers is not None:
        check_range("workers", workers, least=1)
    locks.check(output, "mas.prepare")  # before the search for files, which may take long
    found = sources.keep_ids(output, plan.videos(output), find_videos(videos))
    entries = lists.entries_of(list, columns, found)
    if entries is not None:
        found = {entry.video: found[entry.video] for entry in entries}
    return dataset.prepare(found, output, storage, workers, progress, engine, address)


def find_videos(folder: PathLike) -> dict[str, pathlib.Path]:
    """Finds the video files below a folder with `lists.find_videos`, and logs what it ignores.

    Returns:
        {id: path}, sorted by id.
    """
    videos, ignored = lists.find_videos(folder)
    if ignored:
        files = lists.counted(len(ignored), "file")
        logging.info("Ignoring %s without a video extension, such as %s.", files, ignored[0])
    return {name: pathlib.Path(folder, file) for name, file in videos.items()}
