"""Measures which changed copies of a video count as near-duplicates of it.

    python benchmarks/copies.py --index=INDEX --videos=DIR [--count=5]

INDEX is an index of the videos in DIR. Evenly chosen videos are re-encoded in six ways and added to
a copy of the index. For each way, it prints the median cosine of clips that begin at the same
frame, and the share at or above each of three cosines. It also prints the number of pairs of clips
from different original videos at or above these cosines.
"""

import pathlib
import shutil
import tempfile

import av
import numpy as np
from absl import app, flags
from PIL import Image

from mas import lists, video
from mas.index import Index, near_duplicates

LEAST = (0.98, 0.95, 0.9)

_INDEX = flags.DEFINE_string("index", None, "Folder written by mas index.", required=True)
_VIDEOS = flags.DEFINE_string("videos", None, "Folder of the video files.", required=True)
_COUNT = flags.DEFINE_integer("count", 5, "Number of videos to re-encode.")


def versions(frames):
    """{name: (frames, crf)} of uint8 frames (H, W, 3)."""
    height, width = (2 * (side // 3) for side in frames[0].shape[:2])
    small = [np.asarray(Image.fromarray(frame).resize((width, height))) for frame in frames]
    bright = [np.clip(1.15 * frame + 8, 0, 255).astype(np.uint8) for frame in frames]
    return {
        "crf 23": (frames, 23),
        "two thirds of the size, crf 28": (small, 28),
        "crf 35": (frames, 35),
        "15 % brighter": (bright, 23),
        "begins 2 frames later": (frames[2:], 23),
        "begins 8 frames later": (frames[8:], 23),
    }


def write(path, frames, crf):
    """Writes frames as H.264."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": str(crf)}
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame))))
        file.mux(stream.encode())


def encoded(folder, files):
    """Writes all versions; {id of a version: (id of its original, name of the version)}."""
    made = {}
    for number, (original, file) in enumerate(files.items()):
        frames = [np.asarray(frame) for frame in video.frames(file)]
        for place, (name, (changed, crf)) in enumerate(versions(frames).items()):
            write(folder / f"copy{number}_{place}.mp4", changed, crf)
            made[f"copy{number}_{place}"] = (original, name)
    return made


def cosines(index, made):
    """{name of the version: cosines of its clips with those of the originals}."""
    unit = index.unit[:].astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    rows = {(index.video(row), int(index.clips["first"][row])): row for row in range(len(index))}
    found = {}
    for (name, first), row in rows.items():
        if name in made and (made[name][0], first) in rows:
            other = rows[made[name][0], first]
            found.setdefault(made[name][1], []).append(float(unit[row] @ unit[other]))
    return found


def main(_=None):
    """Prints the table."""
    before = Index.open(_INDEX.value)
    files = {name: pathlib.Path(_VIDEOS.value, file) for name, file in found_files().items()}
    names = [known.video for known in before.videos]
    places = np.linspace(0, len(names) - 1, _COUNT.value).round().astype(int)
    with tempfile.TemporaryDirectory() as folder:
        copies, index = pathlib.Path(folder, "copies"), pathlib.Path(folder, "index")
        copies.mkdir()
        made = encoded(copies, {names[place]: files[names[place]] for place in places})
        shutil.copytree(_INDEX.value, index)
        found = cosines(Index.open(index).add(str(copies)), made)
    print(f"{'version':32} clips  median " + "".join(f"{least:8}" for least in LEAST))
    for name, values in found.items():
        shares = "".join(f"{np.mean(np.array(values) >= least):8.2f}" for least in LEAST)
        print(f"{name:32} {len(values):5} {np.median(values):7.3f} {shares}")
    pairs = near_duplicates(before.unit, before.clips, before.frames, LEAST[-1]).found
    others = before.clips["video"][pairs["a"]] != before.clips["video"][pairs["b"]]
    counts = "".join(f"{(pairs['cosine'][others] >= least).sum():8}" for least in LEAST)
    print(f"{'pairs of different originals':32} {'':13} {counts}")


def found_files():
    """{id: path below the folder} of the video files."""
    return lists.find_videos(_VIDEOS.value)[0]


if __name__ == "__main__":
    app.run(main)
