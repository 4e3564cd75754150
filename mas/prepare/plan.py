"""The plan of a data set: its settings, its videos and their order.

OUTPUT/plan.json stores them with the number of videos per shard. OUTPUT/plan.copy.json is a backup
in case the first is damaged.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib

from absl import logging

from mas import files, flow, locks, records
from mas.checks import Settings, option, refuse
from mas.files import PathLike
from mas.forms import NUMBER, SIZE

PLAN, COPY = "plan.json", "plan.copy.json"
VIDEOS_PER_SHARD = 64  # about 150 MB of 171 x 128 video; fixed once a data set is started
KEEP, AUTO, STORED = "keep", "auto", "stored"
AUTHORS = (340, 256)  # Feichtenhofer's frames and flow of UCF101, which the authors read


def _size(value):
    return None if isinstance(value, str) and value == KEEP else SIZE.convert(value)


def _flow_size(value):
    return value if value in (AUTO, STORED) else SIZE.convert(value)


_SIZE = dataclasses.replace(SIZE, words=f"{SIZE.words}, or {KEEP}", convert=_size)
_FLOW_SIZE = dataclasses.replace(
    SIZE,
    words=f"{SIZE.words}, or {STORED}, or {AUTO}",
    convert=_flow_size,
    text=lambda value: value if isinstance(value, str) else SIZE.text(value),
)


_LATER = ("fps", "deinterlace", "flow_size")  # settings added after version 0.1


def _is_as_large(larger, size):
    return size is not None and all(a >= b for a, b in zip(larger, size, strict=True))


@dataclasses.dataclass(frozen=True)
class Storage(Settings):
    """How videos are stored. A data set records these settings and keeps them when resumed.

    `allow_damaged` and `update` apply to one call and are not recorded.

    >>> Storage(flow="dis", size=(85, 64)).quality
    95
    """

    form: str = option("shards", "Stored form.", choices=list(records.READERS))
    size: tuple[int, int] | None = option(
        (171, 128),  # the paper's, section 3.4
        f"Stored size, WIDTHxHEIGHT in pixels, or {KEEP} for each video's own size.",
        form=_SIZE,
        optional=True,
    )
    flow: str = option(
        "tvl1",
        "Optical flow: tvl1 as in the papers, or none. To reproduce a paper, use tvl1, which "
        "equals OpenCV's bit for bit; for a large data set of your own, tvl1_fast, which rounds "
        "differently; for a first try, dis, a different method that is more than 20 times as fast. "
        "tvl1_opencv is OpenCV's own, slow code.",
        choices=[*flow.METHODS, "none"],
    )
    quality: int = option(95, "JPEG quality of frames and flow.", least=1, most=100)
    min_frames: int = option(16, "Shortest video to accept, in frames.", least=1)
    fps: float | None = option(
        None,
        "Frame rate to resample videos to, in frames per second; by default every frame is kept.",
        form=NUMBER,
        above=0,
    )
    deinterlace: bool = option(
        False, "Deinterlace (bwdif); otherwise a frame keeps the lines of both fields."
    )
    flow_size: tuple[int, int] | str = option(
        AUTO,
        f"Size at which flow is computed, WIDTHxHEIGHT in pixels, or {STORED}: the stored size, "
        "which is cheaper but gives different labels. Frames and flow are then resized to the "
        "stored size, as in the authors' code; with form=folders they keep this size, like the "
        f"authors' folders. {AUTO} is 340x256 for tvl1 if the stored size is smaller, else "
        f"{STORED}.",
        form=_FLOW_SIZE,
    )
    allow_damaged: bool = option(
        False,
        "Keep the frames of damaged files that can be decoded; damaged.csv lists what is missing.",
        free=True,
    )
    update: bool = option(False, "Prepare videos again if their file has changed.", free=True)

    def __post_init__(self):
        """Checks that `flow_size` goes with `flow` and is not smaller than `size`."""
        super().__post_init__()
        if not isinstance(self.flow_size, tuple):
            return
        if self.flow == "none":
            refuse("flow_size", f"{STORED} or {AUTO} with flow=none", self.flow_size)
        if not _is_as_large(self.flow_size, self.size):
            size = SIZE.text(self.size) if self.size else KEEP
            refuse("flow_size", f"{STORED}, or at least size={size} on each side", self.flow_size)

    @property
    def reduced_from(self) -> tuple[int, int] | None:
        """(width, height) at which flow is computed; None if equal to the stored size."""
        if isinstance(self.flow_size, str):
            usual = self.flow_size == AUTO and self.flow.startswith("tvl1")
            wanted = AUTHORS if usual and _is_as_large(AUTHORS, self.size) else self.size
        else:
            wanted = self.flow_size
        return None if wanted == self.size else wanted

    def recorded(self):
        """{name: value} as stored in plan.json, where `flow` is called `method`.

        `fps`, `deinterlace` and `flow_size`, which earlier versions did not have, are present only
        if set. Without `flow_size`, flow was computed at the stored size.
        """
        values = {n: getattr(self, n) for n, known in self.options().items() if not known.free}
        values["flow_size"] = self.reduced_from
        kept = {n: v for n, v in values.items() if v or n not in _LATER}
        named = {"method" if n == "flow" else n: value for n, value in kept.items()}
        return json.loads(json.dumps(named))

    def described(self):
        """{name: value} as stored in dataset.json: `recorded`, with the stored image size."""
        larger = self.reduced_from if self.form == "folders" else None
        return {**self.recorded(), **({"size": list(larger)} if larger else {})}


def videos(root: PathLike) -> list[str]:
    """Ids of the videos in a data set's plan; empty if there is no plan."""
    return _read(pathlib.Path(root), say=False).get("videos", [])


def _read(root, say=True):
    """Reads the plan of a data set, or its copy if it is damaged; {} if there is neither."""
    path, copy = root / PLAN, root / COPY
    try:
        return _checked(path)
    except (FileNotFoundError, NotADirectoryError):
        reason = f"{path} must exist."
    except ValueError as error:
        reason = str(error)
    if not copy.is_file():
        if not path.exists():
            return {}
        raise ValueError(f"{reason} There is no copy of it: use another output folder.")
    found = _checked(copy)
    if say:
        logging.warning("%s Using its copy, %s.", reason, copy)
    return found


def _checked(path):
    """Reads a plan; raises ValueError for contents that mas.prepare does not write."""
    known = records.read_sealed(path)
    names, count = known.get("videos"), known.get("videos_per_shard", 64)
    right = isinstance(known.get("settings"), dict) and type(count) is int and count > 0
    if not right or not isinstance(names, list) or not all(map(_is_id, names)):
        wrong = [name for name in names if not _is_id(name)] if isinstance(names, list) else []
        shown = repr(wrong[0])[:100] if wrong else "other values"
        raise ValueError(f"{path} must be as mas.prepare wrote it. Received: {shown}.")
    return known


def _is_id(name):
    """Whether a name is a valid video id: a relative path that stays in the data set."""
    parts = name.split("/") if isinstance(name, str) else [".."]
    return not {"", ".", ".."} & set(parts) and "\0" not in name


def keep(root: pathlib.Path, storage: Storage, videos: list[str]) -> tuple[list[str], int, Storage]:
    """Reads the plan of a data set, adds new videos at its end, and writes it.

    Order, videos per shard and settings never change afterwards: a shard is rewritten from the
    videos that belong to it, and would lose videos if they moved.

    Args:
        root: folder of the data set.
        storage: settings of this call.
        videos: ids of the videos.

    Returns:
        All videos in order, the number of videos per shard, and the settings, with the recorded
        flow size if `storage` says "auto".

    Raises:
        ValueError: If the folder has other contents or was started with other settings; or if, in
            form `folders`, a video's id is a folder of other videos.
    """
    settings, known = storage.recorded(), _read(root)
    if not known:
        others = {entry.name for entry in root.iterdir()} - {locks.NAME}
        if not all(name.startswith(PLAN) and name.endswith(".tmp") for name in others):
            raise ValueError(
                "output must be a new or empty folder, or one that mas.prepare started. "
                f"Received: {root}, which contains other files."
            )
        known = {"settings": settings, "videos_per_shard": VIDEOS_PER_SHARD, "videos": []}
    elif storage.flow_size == AUTO:
        settings["flow_size"] = known["settings"].get("flow_size")
    _refuse_changes(root, known["settings"], settings)
    there = set(known["videos"])
    plan = known["videos"] + [name for name in videos if name not in there]
    if storage.form == "folders":
        _refuse_nested(plan)
    per_shard = known.get("videos_per_shard", 64)  # 64 before it was recorded
    _write(root, {**known, "videos_per_shard": per_shard, "videos": plan})
    size = settings.get("flow_size") or STORED
    return plan, per_shard, dataclasses.replace(storage, flow_size=size)


def _write(root, known):
    for name in (PLAN, COPY):
        files.write(root / name, json.dumps(records.seal(known), indent=1))


def made_with(root: pathlib.Path) -> list[dict[str, str]]:
    """Environments a data set was computed with, as far as recorded: see `environment`."""
    return _read(root).get("made_with", [])


def keep_made_with(root: pathlib.Path, values: list[dict[str, str]]) -> None:
    """Records the environments a data set was computed with."""
    _write(root, {**_read(root), "made_with": values})


def _refuse_changes(root, before, now):
    changed = [name for name in {**now, **before} if before.get(name) != now.get(name)]
    if changed:
        old, new = (
            ", ".join(_shown(n, values.get(n)) for n in changed) for values in (before, now)
        )
        raise ValueError(
            f"{root} was started with {old}: a data set keeps its settings, so use another output "
            f"folder for others. Received: {new}."
        )


def _shown(name, value):
    """Text of a recorded setting, with the names and values of prepare_videos."""
    if name in ("size", "flow_size"):
        absent = KEEP if name == "size" else STORED
        return f"{name}={absent if value is None else tuple(value)}"
    return f"{name.replace('method', 'flow')}={value}"


def _refuse_nested(names):
    known = set(names)
    for name in names:
        for parent in map(str, pathlib.PurePosixPath(name).parents):
            if parent in known:
                raise ValueError(
                    "form=folders must have no video whose name is the folder of another; use "
                    f"form=shards for these. Received: {parent!r} and {name!r}."
                )
