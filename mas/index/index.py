"""An index, open: its clips and their vectors."""

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
    """Clips of videos with their features, on the disk: `mas index` makes it.

        index = mas.Index.open("index")
        for first, block in index.blocks():    # float32 (n, K), of length 1
            ...
        index.video(7), index.seconds[7]       # of the clip in row 7

    Clips have rows, counted from 0; those of one video lie together, in order of time. A row stays
    the same while the index grows.

    Attributes:
        path: the folder.
        facts: what made it, as JSON can hold it: network, sampling, frames (of a video, from a
            clip's first to its last), trained.
        videos: list of `Video`: id, folder, frames, rate per second (0.0: unknown) and clips.
        clips: (n,) with the fields video (number in `videos`), first (frame) and scale.
        vectors: float16 (n, D), read from the disk as they are used: features divided by the clip's
            scale. `features` gives them as they were.
        unit: float16 (n, K), likewise: whitened features of length 1. Their inner products are the
            cosines that a search compares.
        whitens: whether they are whitened.
        failures: {id: why} of the videos that the call that made this object left out.
        whitening: from features (n, D) to float32 (n, K), of length 1.
    """

    def __init__(self, path: pathlib.Path, state: dict[str, Any], check: bool, model: Any = None):
        """See `open`."""
        self.path = path
        self.failures: dict[str, str] = {}
        compared = state.get("compared")
        try:
            storage.hold(path, state["files"], check)
            if compared is None:
                raise ValueError(
                    f"{path} must be a finished index. Received: an unfinished one; the same "
                    "mas index command resumes."
                )
            storage.hold(path, compared["files"], check)
            self._load(path, state, compared, model)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            state_file = path / storage.STATE
            raise storage.damaged(state_file, "be as it was written", repr(error)) from None

    def _load(self, path, state, compared, model):
        self.facts = state["facts"]
        self.model = self.facts["network"]["model"] if model is None else model
        count = compared["clips"]  # more may be there, of a call that is still at work
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
            check: whether all that is there is read and held against its checksums, about half a
                second a GB; else only the sizes of the files.
            model: where its network is, by default where it was. It is looked at when a query or
                an addition needs it.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is damaged, unfinished or of another version; names the file.
        """
        root = checks.path("index", path, "the folder of an index")
        return cls(root, storage.read_state(root), check, model)

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
        """Makes an index; where it is there, adds the videos that it does not hold yet.

        A call that was stopped resumes.

        Args:
            path: the folder.
            model: `mas.Run`, run folder or .keras file of a backbone.
            data: what `mas.prepare_videos` or `mas.open_data` returned, or the folder.
            sampling: which clips; by default all that do not overlap, as in the network's run.
            whiten: numbers to keep of a whitened feature, 0 leaves them as they are; by default
                those of the index, of a new one 32.
            fps: frames per second of videos whose rate is not known; by default their times are
                frames.
            random: the same network with new random weights.
            seed: of those.

        Returns:
            The index; `failures` names the videos of this call that leave no clip.

        Raises:
            FileNotFoundError: there are no such network and data.
            ValueError: the index is of another network or other clips, or damaged; or no
                video leaves a clip.
            RuntimeError: another process is at work in the folder.
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
            state = storage.begun(root, facts)
            state["whiten"] = state["whiten"] if whiten is None else whiten
            load = functools.partial(Network, model, facts, full)
            failures = building.extend(root, state, load, data, fps)
        found = cls.open(root, check=False, model=model)
        found.failures = failures
        return found

    def add(self, data: Any, fps: float | None = None) -> Index:
        """Adds the videos of a data set that the index does not hold yet.

        Args:
            data: as for `build`.
            fps: as for `build`.

        Returns:
            The index as it is then; this object stays as it is.

        Raises:
            FileNotFoundError, ValueError, RuntimeError: as `build`.
        """
        known = self.facts["network"]
        options = {"random": known["weights"] == "random", "seed": known["seed"] or 0}
        sampling = sampling_of(self.facts)
        return self.build(self.path, self.model, data, sampling, fps=fps, **options)

    @functools.cached_property
    def network(self) -> Network:
        """The network that made it, from clips to features; loaded when it is first needed.

        Raises:
            FileNotFoundError: it is no longer where it was.
            ValueError: it is another one by now.
        """
        return Network(self.model, self.facts)

    def query(self, source: Any, start: float | None = None) -> queries.Query:
        """What `search` makes of what it is given: see there."""
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
        """The clips that are nearest to one, overlapping and adjacent ones of a video as one hit.

            for hit in index.search("clip.mp4", top=5):
                print(hit.video, hit.start_seconds, hit.cosine)

        Args:
            query: path of a video file; "VIDEO:SECOND", a video of the index and a time in it (a
                frame where its rate is not known); a clip as the network takes it, uint8
                (T, H, W, 3); features, float (D,), or (n, D), of which the mean is taken; or what
                `query` returned.
            top: hits.
            start: second of the file at which the clip begins; by default the mean of the features
                of all its clips is searched.
            other_videos: whether the video of "VIDEO:SECOND" is left out; else only the clips are
                that overlap the query or touch it.
            approximate: whether only a part of the clips is looked at, by faiss: for many millions.

        Returns:
            At most `top` hits, by falling cosine.

        Raises:
            FileNotFoundError: there is no such file, or no network to see it with.
            ValueError: the query is shorter than a clip, does not decode, or is not in the index.
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
        """What an approximate search looks at: see `mas.index.approximate`."""
        return approximation.opened(self)

    def __len__(self) -> int:
        """How many clips."""
        return len(self.clips)

    def __repr__(self) -> str:
        """The folder, and how much it holds."""
        counts = lists.counted(len(self), "clip"), lists.counted(len(self.videos), "video")
        return f"Index({str(self.path)!r}: {counts[0]} of {counts[1]})"

    @property
    def frames(self) -> int:
        """Frames of a video from a clip's first to its last."""
        return self.facts["frames"]

    def video(self, row: int) -> str:
        """The id of a clip's video."""
        return self.videos[self.clips["video"][row]].video

    def features(self, rows: Sequence[int] | slice | np.ndarray) -> np.ndarray:
        """float32 (n, D): the features of some clips, as the network gave them up to rounding."""
        return fitting.features_of(self.vectors, self.clips, rows)

    def blocks(self, count: int = BLOCK) -> Iterator[tuple[int, np.ndarray]]:
        """Yields (first row, float32 (up to count, K) of length 1): all that is compared."""
        for first in range(0, len(self), count):
            yield first, self.unit[first : first + count].astype(np.float32)
