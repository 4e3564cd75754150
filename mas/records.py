"""A prepared video and its two stored forms. The only place that names features and files.

Shards (the default), written by `write_shard`:

    DATA/dataset.json            how the data were made; written last: without it, unfinished
    DATA/videos-00000.tfrecord   one tf.train.Example a video:
        video   bytes   its id: the path below the video folder without extension
        size    int64   height, width in pixels
        rate    float   frames per second, 0 if unknown
        images  bytes   the JPEG files of frame 0 (rgb, u, v), frame 1 (rgb, u, v), ... end to end
        lengths bytes   uint32, little endian, (frames, 3): their lengths; 0 where there is no flow
    DATA/videos-00000.csv        video, frames, height, width, and the byte at which `lengths` and
                                 `images` begin in the shard: one clip is one contiguous read

Folders, in Feichtenhofer's layout, so that data prepared by others train unchanged:

    DATA/jpegs_256/ID/frame000001.jpg          RGB
    DATA/tvl1_flow/{u,v}/ID/frame000001.jpg    flow from frame 1 to frame 2, as `flow.encode`

In both, u and v of frame t describe the motion from frame t to t + 1, so the last frame has none.
"""

import csv
import dataclasses
import json
import os
import pathlib
import shutil

import numpy as np

RGB_FOLDER = "jpegs_256"
FLOW_FOLDER = "tvl1_flow"
FRAME_FILE = "frame{:06d}.jpg"  # counted from 1
DESCRIPTION = "dataset.json"
INDEX_FIELDS = ("video", "frames", "height", "width", "lengths_at", "images_at")


@dataclasses.dataclass
class Prepared:
    """One decoded video: JPEG files in memory. `u`, `v`: one less than `rgb`, or none."""

    video: str
    height: int
    width: int
    rate: float
    rgb: list
    u: list
    v: list

    @property
    def frames(self):
        """How many RGB frames it has."""
        return len(self.rgb)


# ---- writing -------------------------------------------------------------------------------------


def stage(prepared, path):
    """Puts one prepared video aside in a file of its own until its shard is written."""
    count = prepared.frames
    lengths = np.zeros((count, 3), "<u4")
    images = []
    for frame in range(count):
        files = [prepared.rgb[frame]] + [
            part[frame] for part in (prepared.u, prepared.v) if frame < len(part)
        ]
        lengths[frame, : len(files)] = [len(file) for file in files]
        images += files
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "wb") as file:
        np.savez(
            file,
            video=prepared.video,
            size=(prepared.height, prepared.width),
            rate=prepared.rate,
            lengths=lengths,
            images=np.frombuffer(b"".join(images), np.uint8),
        )
    os.replace(temporary, path)


def write_shard(data, number, staged, kept=()):
    """Writes one shard and its index; an earlier form of the same shard is replaced.

    Args:
        data: the folder of the data set.
        number: of the shard.
        staged: files written by `stage`, in the order wanted.
        kept: serialised examples of the earlier form, by position in that order (or None each).
    """
    import tensorflow as tf  # here, because the decoding workers do without it

    shard, index = _shard(data, number), _shard(data, number).with_suffix(".csv")
    index.unlink(missing_ok=True)
    kept = list(kept) or [None] * len(staged)
    rows, position = [], 0
    with tf.io.TFRecordWriter(f"{shard}.tmp") as writer:
        for path, example in zip(staged, kept, strict=True):
            example = example or _example(tf, path)
            rows.append(_index_row(tf, example, position))
            writer.write(example)
            position += len(example) + 16  # the record's length and two checksums
    os.replace(f"{shard}.tmp", shard)
    write_csv(index, INDEX_FIELDS, rows)


def _example(tf, path):
    with np.load(path) as staged:
        values = {
            "video": [str(staged["video"]).encode()],
            "images": [staged["images"].tobytes()],
            "lengths": [staged["lengths"].tobytes()],
        }
        feature = {
            name: tf.train.Feature(bytes_list=tf.train.BytesList(value=value))
            for name, value in values.items()
        }
        feature["size"] = tf.train.Feature(int64_list=tf.train.Int64List(value=staged["size"]))
        feature["rate"] = tf.train.Feature(
            float_list=tf.train.FloatList(value=[float(staged["rate"])])
        )
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    return example.SerializeToString(deterministic=True)


def _index_row(tf, example, position):
    feature = tf.train.Example.FromString(example).features.feature
    lengths, images = (feature[name].bytes_list.value[0] for name in ("lengths", "images"))
    start = position + 12  # after the record's length and its checksum
    return (
        feature["video"].bytes_list.value[0].decode(),
        len(lengths) // 12,
        *feature["size"].int64_list.value,
        start + example.index(lengths),
        start + example.index(images),
    )


def write_folders(data, prepared):
    """Writes one prepared video as folders; the RGB folder appears last, complete."""
    flow = pathlib.Path(data) / FLOW_FOLDER
    for images, parent in (
        (prepared.u, flow / "u"),
        (prepared.v, flow / "v"),
        (prepared.rgb, pathlib.Path(data) / RGB_FOLDER),
    ):
        if images:
            _write_folder(parent / prepared.video, images)


def _write_folder(folder, images):
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    for number, image in enumerate(images, 1):
        (temporary / FRAME_FILE.format(number)).write_bytes(image)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)


def write_csv(path, header, rows):
    """Writes a csv file that is either whole or not there."""
    temporary = f"{path}.tmp"
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    os.replace(temporary, path)


def write_description(data, description):
    """Writes dataset.json: with it the data set counts as finished."""
    temporary = pathlib.Path(data, DESCRIPTION + ".tmp")
    temporary.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, pathlib.Path(data, DESCRIPTION))


# ---- reading -------------------------------------------------------------------------------------


def open_data(data):
    """Opens a prepared data set of either form.

    Returns:
        A `Shards` or `Folders`: `videos` (list of ids), `lengths` (int array, frames of each),
        `sizes` (int array, height and width of each; None if unknown), `has_flow`, and
        `read(number, frames, flow_frames)`.

    Raises:
        FileNotFoundError: there is no such folder, or nothing in it is a prepared data set.
        ValueError: preparation was interrupted.
    """
    root = pathlib.Path(data)
    if (root / DESCRIPTION).is_file():
        form = json.loads((root / DESCRIPTION).read_text(encoding="utf-8"))["form"]
        return READERS[form](root)
    if (root / "plan.json").is_file():
        raise ValueError(
            f"{root} must be a finished data set. Received: one whose preparation was interrupted; "
            "run the same mas.prepare command again and it goes on."
        )
    if (root / RGB_FOLDER).is_dir():
        return Folders(root)
    raise FileNotFoundError(
        f"data must be a folder that mas.prepare wrote, or one with {RGB_FOLDER}/ and "
        f"{FLOW_FOLDER}/. Received: {root}."
    )


class Shards:
    """A data set in TFRecord shards, read at random."""

    def __init__(self, data):
        """Reads every index of the data set."""
        self.data = pathlib.Path(data)
        self.videos, self._shards, numbers = [], [], []
        for index in sorted(self.data.glob("videos-*.csv")):
            for row in read_index(index):
                self.videos.append(row[0])
                self._shards.append(int(index.stem.split("-")[1]))
                numbers.append(row[1:])
        table = np.array(numbers, np.int64).reshape(-1, 5)
        self.lengths, self.sizes, self._places = table[:, 0], table[:, 1:3], table[:, 3:]

    @property
    def has_flow(self):
        """Whether flow was prepared as well."""
        text = (self.data / DESCRIPTION).read_text(encoding="utf-8")
        return json.loads(text)["method"] != "none"

    def read(self, number, frames, flow_frames=()):
        """The JPEG files of some frames of one video.

        Args:
            number: of the video in `videos`.
            frames: indices of the RGB frames, counted from 0, in any order.
            flow_frames: indices of the frames whose flow (to the next frame) is wanted.

        Returns:
            (rgb, u, v): lists of bytes.
        """
        lengths_at, images_at = self._places[number]
        wanted = np.concatenate([frames, flow_frames]).astype(int)
        first, last = wanted.min(), wanted.max() + 1
        with open(_shard(self.data, self._shards[number]), "rb", buffering=0) as file:
            lengths = np.frombuffer(os.pread(file.fileno(), 12 * last, lengths_at), "<u4")
            ends = np.cumsum(lengths, dtype=np.int64)
            starts = ends - lengths
            base = starts[3 * first]
            block = os.pread(file.fileno(), ends[-1] - base, images_at + base)
        if len(lengths) != 3 * last or len(block) != ends[-1] - base:
            raise ValueError(f"{file.name} must hold {self.videos[number]} whole. It ends early.")

        def cut(indices, part):
            places = [3 * frame + part for frame in indices]
            return [block[starts[place] - base : ends[place] - base] for place in places]

        return cut(frames, 0), cut(flow_frames, 1), cut(flow_frames, 2)


class Folders:
    """A data set in folders of JPEG files, read at random."""

    def __init__(self, data):
        """Lists every folder of frames below jpegs_256/ and counts its files."""
        self.data = pathlib.Path(data)
        found = sorted(self._walk(self.data / RGB_FOLDER))
        self.videos = [video for video, _ in found]
        self.lengths = np.array([length for _, length in found], np.int64)
        self.sizes = None  # known only once a file is decoded
        self.has_flow = all((self.data / FLOW_FOLDER / part).is_dir() for part in "uv")

    def _walk(self, folder, prefix=""):
        count, below = 0, []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".jpg"):
                    count += 1
                elif entry.is_dir() and not entry.name.startswith("."):
                    below.append(entry.name)
        if count:
            yield prefix, count
        for name in below:
            yield from self._walk(pathlib.Path(folder, name), f"{prefix}/{name}".lstrip("/"))

    def _flow_folder(self, component, video):
        """The flow of `Class/video` may lie in `video` alone: the journal code's layout."""
        parent = self.data / FLOW_FOLDER / component
        nested = parent / video
        return nested if nested.is_dir() else parent / video.rsplit("/", 1)[-1]

    def read(self, number, frames, flow_frames=()):
        """The JPEG files of some frames of one video: as `Shards.read`."""

        def load(folder, indices):
            return [(folder / FRAME_FILE.format(index + 1)).read_bytes() for index in indices]

        video = self.videos[number]
        flow = [
            load(self._flow_folder(component, video), flow_frames) if len(flow_frames) else []
            for component in ("u", "v")
        ]
        return load(self.data / RGB_FOLDER / video, frames), *flow


READERS = {"shards": Shards, "folders": Folders}


def read_index(index):
    """Rows of one shard's index: (video, frames, height, width, lengths_at, images_at)."""
    with open(index, newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        if tuple(next(reader, ())) != INDEX_FIELDS:
            raise ValueError(f"{index}:1: expected the columns {','.join(INDEX_FIELDS)}.")
        return [(row[0], *map(int, row[1:])) for row in reader]


def read_shard(data, number):
    """Serialised examples of one shard by video id: {} if it was not finished."""
    index = _shard(data, number).with_suffix(".csv")
    if not index.is_file():
        return {}
    import tensorflow as tf

    videos = [row[0] for row in read_index(index)]
    examples = tf.data.TFRecordDataset(str(_shard(data, number))).as_numpy_iterator()
    return dict(zip(videos, examples, strict=True))


def _shard(data, number):
    return pathlib.Path(data) / f"videos-{number:05d}.tfrecord"
