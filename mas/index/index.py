"""An open index: its clips and their vectors."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mas import checks, features, files, lists, locks, networks, records
from mas.checks import check_range
from mas.index import approximate as approximation
from mas.index import building, fitting, queries, searching, storage
from mas.index.network import Network, facts_of, sampling_of

BLOCK = 8192  # clips at a time


class Index:
    """Clips of videos and their features, stored on disk.

        index = mas.Index.open("index")
        for first, block in index.blocks():    # float32 (n, K), of length 1
            ...
        index.video(7), index.seconds[7]       # video id and start time of the clip in row 7

    Each clip has a row, counted from 0. Clips of one video are in consecutive rows, in order of
    time. Rows do not change when the index grows.

    Attributes:
        path: the folder.
        facts: how the index was made, as JSON values: network, sampling, frames (number of video
            frames that a clip spans), trained.
        videos: list of `Video`: id, folder, frames, rate per second (0.0: unknown) and clips.
        clips: (n,) with the fields video (number in `videos`), first (frame) and scale.
        vectors: float16 (n, D), memory-mapped: features divided by the clip's scale. `features`
            returns the features themselves.
        unit: float16 (n, K), memory-mapped: whitened features of length 1. Their inner products
            are the cosines that a search compares.
        whitens: whether the features are whitened.
        failures: {id: reason} of the videos left out by the `build` or `add` that returned this
            object.
        whitening: function from features (n, D) to float32 (n, K) of length 1.
    """

    def __init__(self, path: pathlib.Path, state: dict[str, Any], check: bool, model: Any = None):
        """See `open`."""
        self.path = path
        self.failures: dict[str, str] = {}
        compared = state.get("compared")
        try:
            storage.verify(path, state["files"], check)
            if compared is None:
                raise ValueError(
                    f"{path} must be a finished index. Received: an unfinished one; the same "
                    "mas index command resumes."
                )
            storage.verify(path, compared["files"], check)
            self._load(path, state, compared, model)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            state_file = path / storage.STATE
            raise storage.damaged(state_file, "be unchanged", repr(error)) from None

    def _load(self, path, state, compared, model):
        self.facts = state["facts"]
        self.model = self.facts["network"]["model"] if model is None else model
        count = compared["clips"]  # a running `build` may have added more
        vectors, clips = fitting.arrays(path, state)
        self.vectors, self.clips = vectors[:count], clips[:count]
        self.videos = storage.read_videos(path, state["files"][storage.VIDEOS][0])
        shape = (count, compared["width"])
        self.unit_file = fitting.unit_name(compared)
        self.unit = storage.mapped(path / self.unit_file, storage.HALF, shape)
        self.whitening = fitting.read(path, compared, state["width"])
        self.whitens = not self.whitening.plain
        rates = np.array([video.rate for video in self.videos])[self.clips["video"]]
        with np.errstate(divide="ignore", invalid="ignore"):
            self.seconds = np.where(rates > 0, self.clips["first"] / rates, np.nan)

    @classmethod
    def open(
        cls, path: str | os.PathLike, check: bool = True, model: networks.Source | None = None
    ) -> Index:
        """Opens an index.

        Args:
            path: the folder.
            check: whether to read all files and check their checksums, which takes about half a
                second per GB; otherwise only file sizes are checked.
            model: path of the network if it was moved. It is loaded when a query or `add` needs
                it.

        Raises:
            FileNotFoundError: If there is no index.
            ValueError: If the index is damaged, unfinished or has another version. The message
                names the file.
        """
        root = checks.path("index", path, "the folder of an index")
        state = storage.read_state(root)
        try:
            return cls(root, state, check, model)
        except (OSError, ValueError):  # another process may have fitted a whitening just now
            now = storage.read_state(root)
            if now == state:
                raise
        return cls(root, now, check, model)

    @classmethod
    def build(
        cls,
        path: str | os.PathLike,
        model: networks.Source,
        data: Any,
        sampling: features.Sampling | None = None,
        *,
        whiten: int | None = None,
        fps: float | None = None,
        random: bool = False,
        seed: int = 0,
    ) -> Index:
        """Makes an index, or adds new videos to an existing one.

        If the call is stopped, the same call resumes.

        Args:
            path: the folder.
            model: `mas.Run`, run folder or .keras file of a backbone.
            data: what `mas.prepare_videos` or `mas.open_data` returned, or the folder.
            sampling: which clips to index; by default all non-overlapping clips, with length,
                stride and size of the network's run.
            whiten: size of whitened features; 0 turns whitening off. By default that of the index,
                or 32 for a new one.
            fps: frames per second of videos whose rate is unknown; by default their times are
                frame numbers.
            random: whether to give the network new random weights.
            seed: random seed of these weights.

        Returns:
            The index; `failures` names the videos of this call that have no clip.

        Raises:
            FileNotFoundError: If there is no such network or data.
            ValueError: If the index was made with another network or other clips, or is damaged;
                or if no video has a clip.
            RuntimeError: If another process is writing to the folder.
        """
        root = storage.root_of(path)
        sampling = sampling or features.Sampling(clips=0)
        sampling = dataclasses.replace(sampling, pooling=sampling.pooling or "average")
        data = records.opened(data, features.modality_of(model)[0] == "flow")
        facts = facts_of(model, sampling, data, random, seed)
        full = sampling_of(facts)
        full = dataclasses.replace(full, batch=sampling.batch, threads=sampling.threads)
        with files.writing(root):
            root.mkdir(parents=True, exist_ok=True)
        with locks.lock(root, "mas index"):
            state = storage.start(root, facts)
            state["whiten"] = state["whiten"] if whiten is None else whiten
            load = functools.partial(Network, model, facts, full)
            failures = building.extend(root, state, load, data, fps)
        found = cls.open(root, check=False, model=model)
        found.failures = failures
        return found

    def add(self, data: Any, fps: float | None = None) -> Index:
        """Adds the videos of a data set that are not in the index yet.

        Args:
            data: as for `build`.
            fps: as for `build`.

        Returns:
            The larger index; this object does not change.

        Raises:
            FileNotFoundError, ValueError, RuntimeError: As in `build`.
        """
        known = self.facts["network"]
        options = {"random": known["weights"] == "random", "seed": known["seed"] or 0}
        sampling = sampling_of(self.facts)
        return self.build(self.path, self.model, data, sampling, fps=fps, **options)

    @functools.cached_property
    def network(self) -> Network:
        """The network of the index, from clips to features; loaded on first use.

        Raises:
            FileNotFoundError: If the network is no longer there.
            ValueError: If the network has changed.
        """
        return Network(self.model, self.facts)

    def query(self, source: Any, start: float | None = None) -> queries.Query:
        """Makes a query that `search` accepts; see `search` for `source` and `start`."""
        return queries.query(self, source, start)

    def search(
        self,
        query: Any,
        top: int = 20,
        *,
        start: float | None = None,
        other_videos: bool = False,
        approximate: bool = False,
    ) -> list[searching.Hit]:
        """Finds the nearest clips; overlapping or adjacent clips of a video form one hit.

            for hit in index.search("clip.mp4", top=5):
                print(hit.video, hit.start_seconds, hit.cosine)

        Args:
            query: path of a video file; "VIDEO:SECOND", a video of the index and a time in it (a
                frame if its rate is unknown); a clip of the network's size, uint8 (T, H, W, 3);
                features, float (D,) or (n, D), which are averaged; or what `query` returned.
            top: number of hits.
            start: second of the file at which the clip begins; by default the features of all its
                clips are averaged.
            other_videos: whether to exclude the whole video of "VIDEO:SECOND"; otherwise only
                clips that overlap or adjoin the query are excluded.
            approximate: whether to search only part of the clips, with faiss: for many millions.

        Returns:
            At most `top` hits, largest cosine first.

        Raises:
            FileNotFoundError: If there is no such file, or the network is missing.
            ValueError: If the query is shorter than a clip, does not decode or is not in the
                index.
        """
        check_range("top", top, least=1)
        made = self.query(query, start)
        near = searching.around(self, made.row, other_videos)
        if approximate:
            count = 64 * top + int(near.sum())
            rows, values = approximation.nearest(self, self.lists, made.vector, count)
            rows, values = rows[~near[rows]].tolist(), values[~near[rows]].tolist()
            return searching.hits(self, zip(rows, values, strict=True), top)
        values = searching.cosines(self, made.vector[None])[0]
        values[near] = -np.inf
        return searching.hits(self, searching.in_order(values, 64 * top), top)

    @functools.cached_property
    def lists(self) -> Any:
        """Lists for the approximate search: see `mas.index.approximate`."""
        return approximation.opened(self)

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.clips)

    def __repr__(self) -> str:
        """The folder, and the number of clips and videos."""
        counts = lists.counted(len(self), "clip"), lists.counted(len(self.videos), "video")
        return f"Index({str(self.path)!r}: {counts[0]} of {counts[1]})"

    @property
    def frames(self) -> int:
        """Number of video frames that a clip spans."""
        return self.facts["frames"]

    def video(self, row: int) -> str:
        """Id of a clip's video."""
        return self.videos[self.clips["video"][row]].video

    def features(self, rows: Sequence[int] | slice | np.ndarray) -> np.ndarray:
        """float32 (n, D): features of some clips, the network's output up to rounding."""
        return fitting.features_of(self.vectors, self.clips, rows)

    def blocks(self, count: int = BLOCK) -> Iterator[tuple[int, np.ndarray]]:
        """Yields (first row, float32 (up to count, K) of length 1): all vectors, in blocks."""
        for first in range(0, len(self), count):
            yield first, self.unit[first : first + count].astype(np.float32)
