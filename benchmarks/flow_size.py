"""Measures how labels depend on the size at which flow is computed and on how it is stored.

    python benchmarks/flow_size.py --videos=FILE_OR_FOLDER [--frames=32]

The reference is the input of the authors' code: frames and TV-L1 flow stored as JPEG at 340 x 256,
resized to 171 x 128 in 8 bits. Each way of preparing 171 x 128 is compared with it, on all 16-frame
clips in the first `--frames` frames of each video, at the central 112 x 112. Printed are the shares
of equal labels, for motion (14 per clip: locations, directions, frames) and appearance (13 per
clip), and the stored bytes per frame.

Exit status: 0 if all motion labels of --flow_size=340x256 are equal, else 1.
"""

import itertools
import pathlib
import sys
from unittest import mock

import cv2
import numpy as np
from absl import app, flags

from mas import flow, prepare, statistics, video
from mas.prepare import extract

SIZE, LARGE, CROP, FRAMES = (171, 128), (340, 256), 112, 16
REFERENCE = prepare.Storage(form="folders", size=LARGE)
FAITHFUL, AGAIN = "flow_size=340x256", "the same, flow as JPEG"
WAYS = {
    FAITHFUL: prepare.Storage(flow_size=LARGE),
    "flow_size=stored": prepare.Storage(flow_size="stored"),
    "flow=dis, flow_size=340x256": prepare.Storage(flow="dis", flow_size=LARGE),
    "flow=dis": prepare.Storage(flow="dis"),
}

_VIDEOS = flags.DEFINE_string("videos", None, "Video file, or folder of videos.", required=True)
_FRAMES = flags.DEFINE_integer("frames", 32, "Number of frames per video, at most.", FRAMES)


def extracted(path, storage, frames):
    """The first frames of a video, stored according to `storage`: a `records.Prepared`."""
    decode = video.frames

    def first(*arguments, **options):
        return itertools.islice(decode(*arguments, **options), frames)

    with mock.patch.object(video, "frames", first):
        return extract.extract(str(path), path.stem, storage)


def images(files):
    """Centre of each image, read as in the authors' code: uint8 (count, 112, 112, ...)."""
    left, top = ((side - CROP) // 2 for side in SIZE)
    found = []
    for file in files:
        image = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
        if image.shape[1::-1] != SIZE:
            image = cv2.resize(image, SIZE, interpolation=cv2.INTER_LINEAR)
        found.append(image[top : top + CROP, left : left + CROP])
    return np.stack(found)


def labels(prepared):
    """(motion labels (clips, 14), appearance labels (clips, 13)) of a `records.Prepared`."""
    rgb = images(prepared.rgb)[..., ::-1]
    fields = flow.decode(np.stack([images(prepared.u), images(prepared.v)], -1))
    starts = range(0, prepared.frames - FRAMES + 1, FRAMES)
    clips = [(fields[s : s + FRAMES - 1], rgb[s : s + FRAMES]) for s in starts]
    return (
        np.stack([statistics.motion(np.ascontiguousarray(field)) for field, _ in clips]),
        np.stack([statistics.appearance(np.ascontiguousarray(rgb)) for _, rgb in clips]),
    )


def again(prepared, quality):
    """Stores the flow of a `records.Prepared` as JPEG files instead of PNG files."""
    for part in (prepared.u, prepared.v):
        for index, file in enumerate(part):
            image = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
            options = [cv2.IMWRITE_JPEG_QUALITY, quality]
            part[index] = cv2.imencode(".jpg", image, options)[1].tobytes()
    return prepared


def measure(path, frames):
    """Compares the ways of preparing a video with the reference.

    Returns:
        {way: (motion labels equal (clips, 14), appearance labels equal (clips, 13), bytes a frame)}
    """
    reference, found = labels(extracted(path, REFERENCE, frames)), {}
    for name, storage in WAYS.items():
        prepared = extracted(path, storage, frames)
        kinds = {name: prepared}
        if name == FAITHFUL:
            kinds = {name: prepared, AGAIN: None}
        for kind in kinds:
            if kind == AGAIN:
                prepared = again(prepared, storage.quality)
            equal = [a == b for a, b in zip(labels(prepared), reference, strict=True)]
            size = sum(map(len, (*prepared.rgb, *prepared.u, *prepared.v)))
            found[kind] = (*equal, size / prepared.frames)
    return found


def main(argv):
    """Prints a row for each way; returns the exit status."""
    del argv
    cv2.setNumThreads(1)
    root = pathlib.Path(_VIDEOS.value)
    paths = [root] if root.is_file() else [*prepare.find_videos(root).values()]
    rows = []
    for path in paths:
        try:
            rows.append(measure(path, _FRAMES.value))
        except video.VideoError as error:
            print(f"{path.name} is left out: {error}", flush=True)
    names = np.array(statistics.motion_names())
    kinds = {kind: np.char.endswith(names, kind) for kind in ("location", "direction", "frame")}
    clips = sum(len(row[FAITHFUL][0]) for row in rows)
    print(f"{clips} clips of {len(rows)} videos, OpenCV {cv2.__version__}; equal labels in %")
    titles = ("motion", *kinds, "appearance", "bytes")
    print(f"{'':28s}" + "".join(f"{title:>11s}" for title in titles))
    for name in rows[0]:
        motion, appearance = (np.concatenate([row[name][k] for row in rows]) for k in (0, 1))
        shares = [motion, *(motion[:, kind] for kind in kinds.values()), appearance]
        row = "".join(f"{100 * share.mean():11.1f}" for share in shares)
        print(f"{name:28s}{row}{np.mean([row[name][2] for row in rows]):11.0f}", flush=True)
    return int(not all(row[FAITHFUL][0].all() for row in rows))


if __name__ == "__main__":
    sys.exit(app.run(main))
