"""What a data set is made of, as it was begun: its settings, its videos and their order.

OUTPUT/plan.json holds them, and how many videos go to a shard.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib

from mas import flow, locks, records
from mas.checks import Settings, option
from mas.files import PathLike
from mas.forms import NUMBER, SIZE

PLAN = "plan.json"
VIDEOS_PER_SHARD = 64  # about 150 MB of 171 x 128 video; a data set keeps what it was begun with
KEEP = "keep"


def _size(value):
    return None if isinstance(value, str) and value == KEEP else SIZE.convert(value)


_SIZE = dataclasses.replace(SIZE, words=f"{SIZE.words}, or {KEEP}", convert=_size)


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
    allow_damaged: bool = option(
        False,
        "Take what decodes of files that are cut or damaged; damaged.csv says what they lack.",
        free=True,
    )
    update: bool = option(
        False, "Prepare videos again whose file has changed since it was prepared.", free=True
    )

    def recorded(self):
        """{name: value} as plan.json and dataset.json hold it: `flow` is called `method` there.

        `fps` and `deinterlace` are there only where they are set: earlier versions had neither.
        """
        values = {n: getattr(self, n) for n, known in self.options().items() if not known.free}
        kept = {n: v for n, v in values.items() if v or n not in ("fps", "deinterlace")}
        named = {"method" if n == "flow" else n: value for n, value in kept.items()}
        return json.loads(json.dumps(named))


def videos(root: PathLike) -> list[str]:
    """The ids that a data set was begun with; none where there is none."""
    path = pathlib.Path(root, PLAN)
    return json.loads(path.read_text(encoding="utf-8"))["videos"] if path.is_file() else []


def keep(root: pathlib.Path, storage: Storage, videos: list[str]) -> tuple[list[str], int]:
    """Reads the plan of a data set, adds videos to it, and writes it.

    Args:
        root: folder of the data set.
        storage: its settings.
        videos: ids; new ones come last.

    Returns:
        All videos in order, and how many go to a shard. Neither ever changes: a shard is written
        again from the videos that belong to it, and would lose videos that another number put
        elsewhere.

    Raises:
        ValueError: the folder holds something else or was begun with other settings; or, in form
            `folders`, one video's id is a folder of others.
    """
    path = root / PLAN
    settings = storage.recorded()
    known = {"settings": settings, "videos_per_shard": VIDEOS_PER_SHARD, "videos": []}
    if path.is_file():
        known = json.loads(path.read_text(encoding="utf-8"))
    elif {entry.name for entry in root.iterdir()} - {locks.NAME, PLAN + ".tmp"}:
        raise ValueError(
            "output must be a new or empty folder, or one that mas.prepare began. "
            f"Received: {root}, which holds other files."
        )
    _refuse_changes(root, known["settings"], settings)
    there = set(known["videos"])
    plan = known["videos"] + [name for name in videos if name not in there]
    if storage.form == "folders":
        _refuse_nested(plan)
    per_shard = known.get("videos_per_shard", 64)  # what it was before it was recorded
    text = json.dumps({**known, "videos_per_shard": per_shard, "videos": plan}, indent=1)
    temporary = root / (PLAN + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
    return plan, per_shard


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
    if name == "size":
        return f"size={KEEP if value is None else tuple(value)}"
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
