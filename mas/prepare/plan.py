"""What a data set is made of, as it was begun: its settings, its videos and their order.

OUTPUT/plan.json holds them, and how many videos go to a shard; OUTPUT/plan.copy.json the same,
in case that the first is damaged.
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
VIDEOS_PER_SHARD = 64  # about 150 MB of 171 x 128 video; a data set keeps what it was begun with
KEEP, AUTO, STORED = "keep", "auto", "stored"
AUTHORS = (340, 256)  # frames and flow of UCF101 as Feichtenhofer shares them, and the authors read


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


_LATER = ("fps", "deinterlace", "flow_size")  # settings that version 0.1 did not have


def _holds(larger, size):
    return size is not None and all(a >= b for a, b in zip(larger, size, strict=True))


@dataclasses.dataclass(frozen=True)
class Storage(Settings):
    """How videos are stored: recorded with a data set, and the same whenever it is resumed.

    `allow_damaged` and `update` are of one call and not recorded.

    >>> Storage(flow="dis", size=(85, 64)).quality
    95
    """

    form: str = option("shards", "Stored form.", choices=list(records.READERS))
    size: tuple[int, int] | None = option(
        (171, 128),  # the paper's, section 3.4
        f"Stored WIDTHxHEIGHT in pixels, or {KEEP} for the file's own.",
        form=_SIZE,
        optional=True,
    )
    flow: str = option(
        "tvl1",
        "Optical flow, tvl1 as in the papers, or none. To reproduce, take tvl1, bit for bit "
        "OpenCV's; for a large data set of your own tvl1_fast, which rounds otherwise; for a first "
        "try dis, eight times as fast and smoother. tvl1_opencv is OpenCV's own, slow.",
        choices=[*flow.METHODS, "none"],
    )
    quality: int = option(95, "JPEG quality of frames and flow.", least=1, most=100)
    min_frames: int = option(16, "Videos with fewer frames are refused.", least=1)
    fps: float | None = option(
        None,
        "Frames per second that videos are resampled to by their times; else every frame is kept.",
        form=NUMBER,
        above=0,
    )
    deinterlace: bool = option(
        False, "Make interlaced frames progressive (bwdif); else both fields stay in a frame."
    )
    flow_size: tuple[int, int] | str = option(
        AUTO,
        f"WIDTHxHEIGHT in pixels at which flow is computed, or {STORED}: at the stored size, "
        "cheaper, with other labels. Frames and flow are resized from it to the stored size, as in "
        "the authors' code; with form=folders they stay as large, as in the authors' folders. "
        f"{AUTO} takes 340x256 for tvl1 where the stored size is smaller, else {STORED}.",
        form=_FLOW_SIZE,
    )
    allow_damaged: bool = option(
        False,
        "Take what decodes of files that are cut or damaged; damaged.csv says what they lack.",
        free=True,
    )
    update: bool = option(
        False, "Prepare videos again whose file has changed since it was prepared.", free=True
    )

    def __post_init__(self):
        """Checks that there is flow of this size, and that it holds the stored size."""
        super().__post_init__()
        if not isinstance(self.flow_size, tuple):
            return
        if self.flow == "none":
            refuse("flow_size", f"{STORED} or {AUTO} with flow=none", self.flow_size)
        if not _holds(self.flow_size, self.size):
            size = SIZE.text(self.size) if self.size else KEEP
            refuse("flow_size", f"{STORED}, or at least size={size} on each side", self.flow_size)

    @property
    def reduced_from(self) -> tuple[int, int] | None:
        """The (width, height) of flow; None where it is that of the stored images."""
        if isinstance(self.flow_size, str):
            usual = self.flow_size == AUTO and self.flow.startswith("tvl1")
            wanted = AUTHORS if usual and _holds(AUTHORS, self.size) else self.size
        else:
            wanted = self.flow_size
        return None if wanted == self.size else wanted

    def recorded(self):
        """{name: value} as plan.json holds it: `flow` is called `method` there.

        `fps`, `deinterlace` and `flow_size` are there only where they are set, which earlier
        versions did not know; without `flow_size`, flow was computed at the stored size.
        """
        values = {n: getattr(self, n) for n, known in self.options().items() if not known.free}
        values["flow_size"] = self.reduced_from
        kept = {n: v for n, v in values.items() if v or n not in _LATER}
        named = {"method" if n == "flow" else n: value for n, value in kept.items()}
        return json.loads(json.dumps(named))

    def described(self):
        """`recorded`, with the size of the images that are stored: as dataset.json holds it."""
        larger = self.reduced_from if self.form == "folders" else None
        return {**self.recorded(), **({"size": list(larger)} if larger else {})}


def videos(root: PathLike) -> list[str]:
    """The ids that a data set was begun with; none where there is none."""
    return _read(pathlib.Path(root), say=False).get("videos", [])


def _read(root, say=True):
    """The plan of a data set, from its copy where it is damaged; {} without any."""
    path, copy = root / PLAN, root / COPY
    try:
        return _checked(path)
    except (FileNotFoundError, NotADirectoryError):
        reason = f"{path} must be there."
    except ValueError as error:
        reason = str(error)
    if not copy.is_file():
        if not path.exists():
            return {}
        raise ValueError(f"{reason} It has no copy, so take another output folder.")
    found = _checked(copy)
    if say:
        logging.warning("%s Its copy is taken, %s.", reason, copy)
    return found


def _checked(path):
    """The plan in a file, refused where mas.prepare cannot have written it."""
    known = records.read_sealed(path)
    names, count = known.get("videos"), known.get("videos_per_shard", 64)
    right = isinstance(known.get("settings"), dict) and type(count) is int and count > 0
    if not right or not isinstance(names, list) or not all(map(_is_id, names)):
        wrong = [name for name in names if not _is_id(name)] if isinstance(names, list) else []
        shown = repr(wrong[0])[:100] if wrong else "other values"
        raise ValueError(f"{path} must be as mas.prepare wrote it. Received: {shown}.")
    return known


def _is_id(name):
    """Whether a name is that of a video, which never leads out of the data set."""
    parts = name.split("/") if isinstance(name, str) else [".."]
    return not {"", ".", ".."} & set(parts) and "\0" not in name


def keep(root: pathlib.Path, storage: Storage, videos: list[str]) -> tuple[list[str], int, Storage]:
    """Reads the plan of a data set, adds videos to it, and writes it.

    Args:
        root: folder of the data set.
        storage: its settings.
        videos: ids; new ones come last.

    Returns:
        All videos in order, how many go to a shard, and the settings, with the flow's size as the
        data set was begun where nothing else is said. None of them ever changes: a shard is written
        again from the videos that belong to it, and would lose videos that another number put
        elsewhere.

    Raises:
        ValueError: the folder holds something else or was begun with other settings; or, in form
            `folders`, one video's id is a folder of others.
    """
    settings, known = storage.recorded(), _read(root)
    if not known:
        others = {entry.name for entry in root.iterdir()} - {locks.NAME}
        if not all(name.startswith(PLAN) and name.endswith(".tmp") for name in others):
            raise ValueError(
                "output must be a new or empty folder, or one that mas.prepare began. "
                f"Received: {root}, which holds other files."
            )
        known = {"settings": settings, "videos_per_shard": VIDEOS_PER_SHARD, "videos": []}
    elif storage.flow_size == AUTO:
        settings["flow_size"] = known["settings"].get("flow_size")
    _refuse_changes(root, known["settings"], settings)
    there = set(known["videos"])
    plan = known["videos"] + [name for name in videos if name not in there]
    if storage.form == "folders":
        _refuse_nested(plan)
    per_shard = known.get("videos_per_shard", 64)  # what it was before it was recorded
    _write(root, {**known, "videos_per_shard": per_shard, "videos": plan})
    size = settings.get("flow_size") or STORED
    return plan, per_shard, dataclasses.replace(storage, flow_size=size)


def _write(root, known):
    for name in (PLAN, COPY):
        files.write(root / name, json.dumps(records.seal(known), indent=1))


def made_with(root: pathlib.Path) -> list[dict[str, str]]:
    """What a data set's videos are computed with, as far as recorded: see `environment`."""
    return _read(root).get("made_with", [])


def keep_made_with(root: pathlib.Path, values: list[dict[str, str]]) -> None:
    """Records what a data set's videos are computed with."""
    _write(root, {**_read(root), "made_with": values})


def _refuse_changes(root, before, now):
    changed = [name for name in {**now, **before} if before.get(name) != now.get(name)]
    if changed:
        old, new = (
            ", ".join(_shown(n, values.get(n)) for n in changed) for values in (before, now)
        )
        raise ValueError(
            f"{root} was begun with {old}: a data set keeps its settings, so take another output "
            f"folder for others. Received: {new}."
        )


def _shown(name, value):
    """A setting as prepare_videos takes it, from what is recorded."""
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
                    "form=folders must have videos of which none is named as the folder of "
                    f"another; form=shards may. Received: {parent!r} and {name!r}."
                )
