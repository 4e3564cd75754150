"""The stored forms, read at random."""

from __future__ import annotations

import functools
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from absl import logging

from mas import checks, lists
from mas.files import PathLike
from mas.records.layout import (
    DESCRIPTION,
    FLOW_FOLDER,
    FRAME_FILE,
    FRAME_FILES,
    RGB_FOLDER,
    check_frames,
    read_failures,
    read_index,
    shard_path,
)
from mas.records.videos import Videos


def open_data(data: PathLike, flow: bool = False) -> Data:
    """Opens a prepared data set of either form, or a folder of video files.

    Args:
        data: the folder.
        flow: whether flow is needed: then data without are refused, video files before they are
            measured.

    Returns:
        A `Shards`, `Folders` or `Videos`: `videos` (list of ids), `lengths` (int array, frames of
        each), `sizes` (int array, height and width of each; None if unknown), `has_flow`,
        `failures` ({path: reason} of the videos that could not be prepared or read), and
        `decoded`, which tells where frames come from: `read(number, frames, flow_frames)` gives
        JPEG files of the two prepared forms, `frames(number, frames, size)` pixels of `Videos`;
        and `rate(number)`, frames per second, 0.0 if unknown.

    Raises:
        FileNotFoundError: there is no such folder, or nothing in it is of any of these forms.
        ValueError: preparation was interrupted, no video file can be read, or they lack flow.

    >>> import tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> (folder / "jpegs_256" / "walk" / "ann").mkdir(parents=True)
    >>> (folder / "jpegs_256" / "walk" / "ann" / "frame000001.jpg").touch()
    >>> open_data(folder).videos
    ['walk/ann']
    """
    root = checks.path("data", data, "a folder")
    found = _prepared(root) if root.is_dir() else None
    if found is None:
        try:
            videos, ignored = lists.find_videos(root)
        except ValueError:
            raise FileNotFoundError(
                f"data must be a folder that mas.prepare wrote, one with {RGB_FOLDER}/ and "
                f"{FLOW_FOLDER}/, or one of video files. Received: {root}"
                f"{'' if root.is_dir() else ', which is no folder'}."
            ) from None
    if flow and not (found and found.has_flow):
        lack = "was prepared without" if found else "holds video files"
        raise ValueError(
            "data must hold optical flow: prepare the videos with flow=tvl1 or dis. "
            f"Received: {root}, which {lack}."
        )
    if found is not None:
        return found
    if ignored:
        files = lists.counted(len(ignored), "file")
        logging.info("Ignored %s without a video extension, such as %s.", files, ignored[0])
    return Videos(root, videos)


def opened(data: Any, flow: bool = False) -> Any:
    """A data set, opened as `open_data` does where it was given as a folder.

    Raises:
        FileNotFoundError, ValueError: as `open_data`; or it is neither.
    """
    if isinstance(data, str | os.PathLike):
        return open_data(data, flow)
    if not hasattr(data, "videos"):
        allowed = "what mas.prepare_videos or mas.open_data returned, or a folder"
        checks.refuse("data", allowed, data)
    return data


def _prepared(root):
    """The data set of a prepared form; None where a folder holds none."""
    form = _described(root).get("form")
    if form in READERS:
        return READERS[form](root)
    if (root / "plan.json").is_file():
        raise ValueError(
            f"{root} must be a finished data set. Received: one whose preparation was interrupted; "
            "prepare the same videos again, and it resumes."
        )
    return Folders(root) if (root / RGB_FOLDER).is_dir() else None


def settings(data: Data) -> dict[str, Any]:
    """What the images of an opened data set are: {form, size, method, quality}, as far as known.

    And fps and deinterlace, where videos were resampled or deinterlaced.
    """
    known = _described(data.data)
    names = [name for name in ("form", "size", "method", "quality") if name in known]
    names += [name for name in ("fps", "deinterlace") if known.get(name)]
    return {name: known[name] for name in names} or {"form": type(data).__name__.lower()}


def _described(root):
    """What mas.prepare wrote about a data set; {} if it did not, or something else did."""
    try:
        known = json.loads((root / DESCRIPTION).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


class Shards:
    """A data set in TFRecord shards, read at random."""

    decoded = False

    def __init__(self, data: PathLike):
        """Reads every index of the data set."""
        self.data, self.failures = pathlib.Path(data), read_failures(data)
        self.videos: list[str] = []
        self._shards: list[int] = []
        numbers = []
        for index in sorted(self.data.glob("videos-*.csv")):
            for row in read_index(index):
                self.videos.append(row[0])
                self._shards.append(int(index.stem.split("-")[1]))
                numbers.append(row[1:])
        table = np.array(numbers, np.int64).reshape(-1, 5)
        self.lengths, self.sizes, self._places = table[:, 0], table[:, 1:3], table[:, 3:]

    @functools.cached_property
    def has_flow(self) -> bool:
        """Whether flow was prepared as well."""
        text = (self.data / DESCRIPTION).read_text(encoding="utf-8")
        return json.loads(text)["method"] != "none"

    def read(
        self, number: int, frames: Sequence[int], flow_frames: Sequence[int] = ()
    ) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """The JPEG files of some frames of one video.

        Args:
            number: of the video in `videos`.
            frames: indices of the RGB frames, counted from 0, in any order.
            flow_frames: indices of the frames whose flow (to the next frame) is read.

        Returns:
            (rgb, u, v): lists of bytes.

        Raises:
            IndexError: the video has no such frame.
            ValueError: the shard ends early.
        """
        check_frames(self, number, frames, flow_frames)
        lengths_at, images_at = self._places[number]
        wanted = np.concatenate([frames, flow_frames]).astype(int)
        first, last = wanted.min(), wanted.max() + 1
        with open(shard_path(self.data, self._shards[number]), "rb", buffering=0) as file:
            lengths = np.frombuffer(_read_at(file, lengths_at, 12 * last), "<u4")
            ends = np.cumsum(lengths, dtype=np.int64)
            starts = ends - lengths
            base = starts[3 * first]
            block = _read_at(file, images_at + base, ends[-1] - base)

        def cut(indices, part):
            places = [3 * frame + part for frame in indices]
            return [block[starts[place] - base : ends[place] - base] for place in places]

        return cut(frames, 0), cut(flow_frames, 1), cut(flow_frames, 2)

    def rate(self, number: int) -> float:
        """Frames per second of a video, 0.0 if unknown; its shard is read up to there."""
        import tensorflow as tf

        shard = self._shards[number]
        examples = tf.data.TFRecordDataset(str(shard_path(self.data, shard)))
        example = next(examples.skip(number - self._shards.index(shard)).as_numpy_iterator())
        feature = tf.train.Example.FromString(example).features.feature
        return float(feature["rate"].float_list.value[0])


def _read_at(file, start, count):
    data = os.pread(file.fileno(), count, start)
    if len(data) != count:
        raise ValueError(
            f"{file.name} must hold {count} bytes from byte {start} on. Received: {len(data)}."
        )
    return data


class Folders:
    """A data set in folders of JPEG files, read at random."""

    decoded = False

    def __init__(self, data: PathLike):
        """Lists every folder of frames below jpegs_256/ and counts its files.

        The first video tells how all frames are named: as one of `FRAME_FILES`.
        """
        self.data, self.failures = pathlib.Path(data), read_failures(data)
        found = sorted(self._walk(self.data / RGB_FOLDER))
        self.videos = [video for video, _ in found]
        self._frame_file = self._named(self.data / RGB_FOLDER / found[0][0]) if found else None
        self.lengths = np.array([length for _, length in found], np.int64)
        self.sizes = None  # known only once a file is decoded
        self.has_flow = all((self.data / FLOW_FOLDER / part).is_dir() for part in "uv")

    def _walk(self, folder, prefix=""):
        count, below = 0, []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    if not (entry.name.startswith(".") and entry.name.endswith(".tmp")):
                        below.append(entry.name)
                elif entry.name.endswith(".jpg"):
                    count += 1
        if count:
            yield prefix, count
        for name in below:
            yield from self._walk(pathlib.Path(folder, name), f"{prefix}/{name}".lstrip("/"))

    def _named(self, folder):
        """The first of `FRAME_FILES` that frame 1 has; ours if it has none, and reading fails."""
        named = (name for name in FRAME_FILES if (folder / name.format(1)).is_file())
        return next(named, FRAME_FILE)

    def _flow_folder(self, component, video):
        """The flow of `Class/video` may lie in `video` alone: the journal code's layout."""
        parent = self.data / FLOW_FOLDER / component
        nested = parent / video
        return nested if nested.is_dir() else parent / video.rsplit("/", 1)[-1]

    def read(
        self, number: int, frames: Sequence[int], flow_frames: Sequence[int] = ()
    ) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """The JPEG files of some frames of one video: as `Shards.read`."""

        def load(folder, indices, name=FRAME_FILE):
            return [(folder / name.format(index + 1)).read_bytes() for index in indices]

        check_frames(self, number, frames, flow_frames)
        video = self.videos[number]
        flow = [
            load(self._flow_folder(component, video), flow_frames) if len(flow_frames) else []
            for component in ("u", "v")
        ]
        return load(self.data / RGB_FOLDER / video, frames, self._frame_file), *flow

    def rate(self, number: int) -> float:
        """Frames per second of a video: unknown, 0.0."""
        return 0.0


READERS = {"shards": Shards, "folders": Folders}
Data: TypeAlias = "Shards | Folders | Videos"


def read_shard(data, number):
    """Serialised examples of one shard by video id: {} if it was not finished."""
    index = shard_path(data, number).with_suffix(".csv")
    if not index.is_file():
        return {}
    import tensorflow as tf

    videos = [row[0] for row in read_index(index)]
    examples = tf.data.TFRecordDataset(str(shard_path(data, number))).as_numpy_iterator()
    return dict(zip(videos, examples, strict=True))
