"""A folder of video files -> a prepared data set: decoded, resized, with optical flow.

    data = prepare_videos("videos", "data")

Can be killed at any moment and started again: it repeats at most the videos that were in work, and
what it leaves is the same, byte for byte, as after an undisturbed run. The bytes of flow depend on
the version of OpenCV and on the processor: see `environment`.
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
    """Prepares a folder of videos: decoded, resized, with optical flow.

    May be stopped at any moment, and the same call resumes: an interruption ends the workers at
    once, and whatever is half-written is prepared again.

    Args:
        videos: folder of video files, at any depth.
        output: folder of the data set; new, empty, or one that an earlier call began.
        flow: "tvl1", as in the papers, "tvl1_fast", "tvl1_opencv" or "dis" (`mas.flow.estimator`
            tells them apart), or "none".
        size: stored (width, height) in pixels; None keeps the file's own.
        form: "shards" or "folders"; see `mas.records`.
        quality: JPEG quality of frames and flow, 1..100.
        min_frames: videos with fewer frames are refused.
        fps: frames per second that videos are resampled to by their times; None keeps every frame.
        deinterlace: whether interlaced frames become progressive (bwdif), as many; else the lines
            of both fields stay in one frame.
        flow_size: (width, height) in pixels at which flow is computed. Frames and flow are then
            resized to `size`, as the authors' code does when it reads, or stay so in form
            "folders", as in the authors' folders. "stored" is the stored size: cheaper, with other
            labels. "auto" is as the data set was begun; a new one takes (340, 256) for tvl1 where
            `size` is smaller, else "stored".
        allow_damaged: whether files that are cut or damaged are taken as far as they decode;
            OUTPUT/damaged.csv says what they lack. Else they are among the failures.
        update: whether videos are prepared again whose file has changed since, by size or time;
            else they are named and stay as they are.
        list: prepare only these videos: path of a list, or a sequence of `lists.Entry`.
        columns: of the list.
        workers: worker processes, or tasks at a time on a cluster; None takes one a core.
        engine: "pool", processes of this machine, or "ray", a Ray cluster (docs/scale.md).
        address: of that cluster, "auto" for the one that this machine belongs to, or HOST:PORT of
            its head; None takes RAY_ADDRESS or starts one on this machine for this call.
        progress: whether to show a bar.

    Returns:
        The data set, as `records.open_data` opens it; `failures` is {absolute path: reason} of
        these videos alone. OUTPUT/failures.csv names those of earlier calls with other videos,
        too: such a line goes when a call prepares its video, or its file changes or is gone.

    Raises:
        ValueError: a setting is not allowed, `videos` or `list` name no videos, or the folder
            holds something else, was begun with other settings, or cannot take the videos in
            folders because one's id is a folder of others.
        RuntimeError: another process is at work in the folder, a result cannot be stored, or this
            OpenCV has no TV-L1.
        OSError: the disk is full or the folder cannot be written to; names the path and what it
            needs. The same call resumes.

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
    locks.check(output, "mas.prepare")  # before a long list of files is looked for
    found = sources.keep_ids(output, plan.videos(output), find_videos(videos))
    entries = lists.entries_of(list, columns, found)
    if entries is not None:
        found = {entry.video: found[entry.video] for entry in entries}
    return dataset.prepare(found, output, storage, workers, progress, engine, address)


def find_videos(folder: PathLike) -> dict[str, pathlib.Path]:
    """Finds the video files below a folder: `lists.find_videos`, and says what it ignores.

    Returns:
        dict from id to path, sorted by id.
    """
    videos, ignored = lists.find_videos(folder)
    if ignored:
        files = lists.counted(len(ignored), "file")
        logging.info("Ignored %s without a video extension, such as %s.", files, ignored[0])
    return {name: pathlib.Path(folder, file) for name, file in videos.items()}
