"""The pipeline from stored videos to batches, on images whose pixels encode their origin."""

import dataclasses
import re

import cv2
import numpy as np
import preparing
import pytest
import tensorflow as tf

from mas import clips, lists, records
from mas.settings import Clip
from mas.tasks.task import Task

WIDTH, HEIGHT, LENGTHS = 40, 24, (9, 21, 12)


def jpeg(image):
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()


def frame(video, time):
    """Red encodes the frame, green the video, blue the column."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[..., 2], image[..., 1] = 10 * time, 60 * video
    image[..., 0] = 6 * np.arange(WIDTH)
    return image


def store(folder, form="shards", flow=True):
    """Three videos; u of frame t has code t + column, v has code 200 - t."""
    staged, columns = [], np.tile(np.arange(WIDTH, dtype=np.uint8), (HEIGHT, 1))
    for number, length in enumerate(LENGTHS):
        pairs = range(length - 1) if flow else ()
        rgb = [jpeg(frame(number, t)) for t in range(length)]
        u, v = [jpeg(columns + t) for t in pairs], [jpeg(0 * columns + 200 - t) for t in pairs]
        video = records.Prepared(f"class/v{number}", HEIGHT, WIDTH, 25.0, rgb, u, v)
        if form == "folders":
            preparing.store(folder, video)
        else:
            staged.append(folder / f"{number}.npz")
            records.stage(video, staged[-1])
    if form == "shards":
        records.write_shard(folder, 0, staged)
    records.write_description(folder, {"form": form, "method": "tvl1" if flow else "none"})
    return records.open_data(folder)


@dataclasses.dataclass(frozen=True)
class Watch(Task):
    """A task that returns the clip unchanged."""

    inputs: tuple = ("rgb", "flow")
    clip = Clip(4)

    def example(self, clip):
        return clip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return store(tmp_path_factory.mktemp("data"))


def reader(data, geometry=None, how="consecutive", task=None, **options):
    task = task or Watch()
    geometry = geometry or clips.Geometry((WIDTH, HEIGHT), 16)
    return clips.Reader(
        data, clips.examples(data, None, task.frames, how), task, geometry, **options
    )


def close(actual, expected):
    """Compares up to JPEG's rounding."""
    assert np.abs(actual.numpy().astype(float) - expected).max() <= 2


# ---- which clips ---------------------------------------------------------------------------------

HALVES = [[0, 2, 4], [0, 2, 4, 6, 8, 10, 12, 14, 16], [0, 2, 4, 6, 8]]


@pytest.mark.parametrize(
    ("how", "frames", "expected"),
    [
        ("consecutive", 4, [[0, 4], [0, 4, 8, 12, 16], [0, 4, 8]]),
        ("consecutive", 21, [[], [0], []]),
        ("overlapping", 4, HALVES),
        ("overlapping", 5, [HALVES[0], HALVES[1], [0, 2, 4, 6]]),  # half a clip, floored
        ("overlapping", 1, [[*range(9)], [*range(21)], [*range(12)]]),
        ("uniform", 9, [[0, 0, 0], [0, 6, 12], [0, 2, 3]]),
        ("anywhere", 9, [[clips.ANYWHERE]] * 3),
    ],
)
def test_starts(data, how, frames, expected):
    found = clips.examples(data, None, frames, how, 3)
    assert [found.starts[found.videos == video].tolist() for video in range(3)] == expected
    assert set(found.labels) == {-1}


def test_list_selects_videos_labels_and_starts(data):
    entries = [lists.Entry("class/v2", 7, start=5), lists.Entry("class/v0", 3)]
    found = clips.examples(data, entries, 4, "consecutive")
    rows = zip(found.videos, found.starts, found.labels, strict=True)
    assert list(rows) == [(2, 5, 7), (0, 0, 3), (0, 4, 3)]


def test_videos_without_clip_are_reported(data, caplog):
    clips.examples(data, None, 10, "consecutive")
    assert "1 of 3" in caplog.text and "class/v0 (9 frames)" in caplog.text
    with pytest.raises(ValueError, match="clip of 22 frames"):
        clips.examples(data, None, 22, "consecutive")
    with pytest.raises(ValueError, match="consecutive.*'some'"):
        clips.examples(data, None, 4, "some")


@pytest.mark.parametrize("how", ["consecutive", "overlapping"])
def test_every_video_gives_a_clip_in_test_mode(data, how, caplog):
    """Videos of 9, 21 and 12 frames; also for a start too close to the end."""
    found = clips.examples(data, None, 22, how, again=True)
    assert (found.videos.tolist(), found.starts.tolist()) == ([0, 1, 2], [0, 0, 0])
    assert clips.examples(data, None, 22, how, least=12, again=True).videos.tolist() == [1, 2]
    entries = [lists.Entry("class/v0", 3, start) for start in (5, 6, 8, 9)]
    found = clips.examples(data, entries, 4, how, again=True)
    assert found.starts.tolist() == [5, 6, 8], "frame 9 is behind the last"
    assert "1 of 4 list lines are too short for a clip" in caplog.text
    found = clips.examples(data, entries, 4, how, least=4, again=True)
    assert found.starts.tolist() == [5], "flow cannot begin again"
    with pytest.raises(ValueError, match="clip of 22 frames"):
        clips.examples(data, None, 22, how, least=22, again=True)


def test_short_video_wraps_and_random_start_reaches_both_ends():
    frames, target = Task().sample(5, None, np.random.default_rng(0))
    assert frames.tolist() == [0, 1, 2, 3, 4] * 3 + [0] and target.size == 0
    starts = {Task().sample(18, None, np.random.default_rng(s))[0][0] for s in range(60)}
    assert starts == {0, 1, 2}


# ---- what they show ------------------------------------------------------------------------------


def test_frames_and_flow_share_the_crop(data):
    found = reader(data, clips.Geometry((WIDTH, HEIGHT), 16, random=False), shuffle=False)
    clip = found.clip(tf.constant(0), tf.constant(4))  # v1, frames 8..11
    assert clip["video"].numpy() == b"class/v1" and clip["label"].numpy() == -1
    assert clip["rgb"].dtype == tf.uint8 and clip["flow"].dtype == tf.float32
    columns = 12 + np.arange(16)  # (40 - 16) // 2 columns are cut off at the left
    times = np.arange(8, 12)[:, None, None]
    expected = np.stack(np.broadcast_arrays(10 * times, 60, 6 * columns + 0 * times), -1)
    close(clip["rgb"], np.broadcast_to(expected, (4, 16, 16, 3)))
    code = np.stack(np.broadcast_arrays(columns + times[:3], 200 - times[:3]), -1)
    assert clip["flow"].shape == (3, 16, 16, 2)
    close(clip["flow"] * 255 / 40, np.broadcast_to(code, (3, 16, 16, 2)) - 127.5)


def test_flip_mirrors_and_negates_u(data, monkeypatch):
    found = reader(data, shuffle=False)
    drawn = []
    for flip in (0, 1):
        geometry = np.array([3, 5, flip], np.int32)
        monkeypatch.setattr(clips.Geometry, "draw", lambda self, rng, g=geometry: g)
        drawn.append(found.clip(tf.constant(0), tf.constant(2)))
    plain, mirrored = drawn
    np.testing.assert_array_equal(mirrored["rgb"], plain["rgb"][:, :, ::-1])
    np.testing.assert_array_equal(mirrored["flow"], plain["flow"][:, :, ::-1] * [-1.0, 1.0])


def test_images_are_resized_like_opencv(data):
    found = reader(data, clips.Geometry((57, 33), 30, random=False), shuffle=False)
    clip = found.clip(tf.constant(0), tf.constant(0))
    stored = cv2.imdecode(np.frombuffer(data.read(0, [2])[0][0], np.uint8), cv2.IMREAD_COLOR)
    expected = cv2.resize(stored, (57, 33))[1:31, 13:43, ::-1]
    assert np.abs(clip["rgb"][2].numpy().astype(int) - expected).max() <= 1


def test_random_crop_reaches_every_position():
    geometry = clips.Geometry((6, 5), 4)
    drawn = {tuple(geometry.draw(np.random.default_rng(seed))) for seed in range(200)}
    assert drawn == {(top, left, flip) for top in (0, 1) for left in (0, 1, 2) for flip in (0, 1)}
    with pytest.raises(ValueError, match="size.*resize=6x5.*size=6"):
        clips.Geometry((6, 5), 6)
    still = clips.Geometry((6, 5), 4, flip=False)
    assert {still.draw(np.random.default_rng(seed))[2] for seed in range(50)} == {0}


def numbers(dataset):
    """What identifies each example of each batch."""
    return [
        [
            (bytes(v), round(r[0, 0, 0, 0] / 10), *map(int, s))
            for v, r, s in zip(*parts, strict=True)
        ]
        for parts in ((b["video"].numpy(), b["rgb"].numpy(), b["seed"].numpy()) for b in dataset)
    ]


def test_every_epoch_has_all_examples_in_new_order(data):
    epochs = numbers(reader(data, seed=3).batches(5, last_step=4))
    first, second = epochs[0] + epochs[1], epochs[2] + epochs[3]
    places = [{row[:2] for row in epoch} for epoch in (first, second)]
    assert len(places[0]) == 10 and places[0] == places[1]
    assert [row[:2] for row in first] != [row[:2] for row in second]
    assert {row[2:] for row in first}.isdisjoint(row[2:] for row in second)


def test_draws_depend_on_seed_not_on_threads(data):
    runs = [
        numbers(reader(data, seed=seed).batches(3, last_step=7, threads=threads))
        for seed, threads in ((1, 1), (1, 4), (2, 4))
    ]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_examples_and_orders_use_separate_random_streams(data, monkeypatch):
    """NumPy pads short seeds with zeros, so [seed, epoch] would equal [seed, epoch, 0]."""
    made, begins = np.random.default_rng, []

    def recorded(seed):
        begins.append(made(seed).bit_generator.state["state"]["state"])
        return made(seed)

    monkeypatch.setattr(np.random, "default_rng", recorded)
    for seed in (0, 1):
        found = reader(data, seed=seed)
        for epoch in (0, 1):
            for position in range(10):
                found.load(epoch, position)
    assert len(begins) == len(set(begins)) == 2 * 2 * (1 + 10)


def test_resumed_pipeline_continues_exactly(data):
    whole = numbers(reader(data, seed=1).batches(3, last_step=8))
    assert numbers(reader(data, seed=1).batches(3, first_step=5, last_step=8)) == whole[5:]


def test_hosts_and_replicas_share_the_same_batches(data):
    whole = numbers(reader(data, seed=1).batches(8, last_step=3))
    hosts = [
        numbers(reader(data, seed=1).batches(8, last_step=3, share=(host, 2), parts=2))
        for host in range(2)
    ]
    for step in range(3):
        joined = [row for host in hosts for part in host[2 * step : 2 * step + 2] for row in part]
        assert joined == whole[step]


def test_once_yields_all_examples_in_order(data):
    rows = numbers(reader(data, shuffle=False).once(4))
    assert [len(batch) for batch in rows] == [4, 4, 2]
    assert [row[0] for batch in rows for row in batch] == [b"class/v0"] * 2 + [b"class/v1"] * 5 + [
        b"class/v2"
    ] * 3


@pytest.mark.parametrize(
    ("batch", "words"), [(0, "1..10.*batch=0"), (12, "1..10.*batch=12"), (6, "4 repl.*batch=6")]
)
def test_rejects_batch_that_does_not_fit_epoch_or_replicas(data, batch, words):
    with pytest.raises(ValueError, match=f"batch.*{words}"):
        reader(data).batches(batch, share=(0, 2), parts=2)


def test_folders_and_shards_give_equal_clips(data, tmp_path):
    folders = store(tmp_path, "folders")
    geometry = clips.Geometry((WIDTH, HEIGHT), 16)
    for batch, other in zip(
        reader(data, geometry, seed=5).batches(5, last_step=2),
        reader(folders, geometry, seed=5).batches(5, last_step=2),
        strict=True,
    ):
        for name in batch:
            np.testing.assert_array_equal(batch[name], other[name], err_msg=name)


def test_missing_flow_for_task_is_reported(tmp_path):
    plain = store(tmp_path, flow=False)
    with pytest.raises(ValueError, match="must contain optical flow"):
        reader(plain)
    assert "flow" not in reader(plain, task=Watch(inputs=("rgb",))).clip(0, 0)


@pytest.mark.parametrize("form", ["shards", "folders"])
def test_damaged_image_is_reported_and_replaced(tmp_path, form, caplog):
    """In a test, it is an error. With checksums, one bit is enough."""
    stored = store(tmp_path, form)
    path = stored.path(1, "rgb", 5)
    [image] = stored.read(1, [5])[0]
    flipped = bytearray(image)
    flipped[len(image) // 2] ^= 1
    path.write_bytes(path.read_bytes().replace(image, flipped))
    found = reader(stored, shuffle=False)
    words = f"{path}: frame 5 of class/v1 must be a whole JPEG file. Received: {len(image)} damaged"
    with pytest.raises(ValueError, match=re.escape(words)):
        found.load(0, 3, substitute=False)
    for _ in range(2):
        assert found.load(0, 3)[6] in (b"class/v0", b"class/v1", b"class/v2")
    assert caplog.text.count("other clips replace") == 1 and words in caplog.text
