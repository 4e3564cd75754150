"""Flow at another size: labels equal those of the authors' folders."""

import json

import cv2
import numpy as np
import preparing
import pytest
import video_files
from preparing import run

from mas import cli, clips, flow, prepare, records, tasks, video
from mas.prepare import plan, workers
from mas.settings import Clip

SMALL, LARGE = (48, 40), (97, 71)
CLIPS = ("mixed/v_SoccerJuggling_g23_c01.avi", "mixed/baseball.mp4", "weizmann/jack/daria_jack.avi")


@pytest.fixture(autouse=True)
def inline(monkeypatch):
    monkeypatch.setattr(workers, "Pool", video_files.Inline)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return preparing.film(tmp_path_factory.mktemp("videos"))


def image(file):
    return cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)


def motion(data, resize=(171, 128), size=112):
    """Motion labels of the centre crop of each video's first clip."""
    task = tasks.task("mas").bound(Clip(size=size, resize=resize))
    examples = clips.examples(data, None, task.span, "consecutive")
    geometry = clips.Geometry(resize, size, random=False)
    (batch,) = clips.Reader(data, examples, task, geometry).once(len(examples))
    return batch[1]["motion"].numpy()


def test_labels_equal_those_of_authors_folders(shared, tmp_path):
    """Real clips of 15 fields: the same 8-bit codes, and so the same motion labels."""
    for path in CLIPS:
        frames = video.frames(str(shared / "videos" / path))
        images = np.stack([next(frames) for _ in range(16)])
        video_files.write(tmp_path / "videos" / f"{path.split('/')[-1].split('.')[0]}.avi", images)
    for name, options in {
        "data": {"size": (171, 128), "flow_size": (340, 256)},
        "folders": {"size": (340, 256), "form": "folders"},
        "cheap": {"size": (171, 128), "flow_size": "stored"},
    }.items():
        run(tmp_path / "videos", tmp_path / name, **options)
    data, folders, cheap = (
        records.open_data(tmp_path / name) for name in ("data", "folders", "cheap")
    )
    for number, name in enumerate(data.videos):
        rgb, *parts = data.read(number, range(16), range(15))
        for part, files in zip("uv", parts, strict=True):
            there = sorted((tmp_path / "folders" / "tvl1_flow" / part / name).glob("*.jpg"))
            for path, file in zip(there, files, strict=True):
                expected = cv2.resize(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), (171, 128))
                np.testing.assert_array_equal(image(file), expected)
        there = sorted((tmp_path / "folders" / "jpegs_256" / name).glob("*.jpg"))
        for path, file in zip(there, rgb, strict=True):
            expected = cv2.resize(cv2.imread(str(path)), (171, 128))
            assert np.abs(image(file).astype(int) - expected).mean() < 2  # JPEG, a second time
    np.testing.assert_array_equal(motion(data), motion(folders))
    assert np.mean(motion(data) != motion(cheap)) > 0.1


@pytest.mark.parametrize("form", ["shards", "folders"])
def test_stored_frames_and_flow_equal_resized_ones(videos, tmp_path, form):
    """Equals data stored in the larger size and resized when read; folders keep the larger size."""
    run(videos, tmp_path / "data", form=form, size=SMALL, flow_size=LARGE)
    run(videos, tmp_path / "large", form="folders", size=LARGE)
    data, large = (records.open_data(tmp_path / name) for name in ("data", "large"))
    assert records.settings(data)["flow_size"] == [*LARGE]
    assert records.settings(data)["size"] == [*(SMALL if form == "shards" else LARGE)]
    for number in range(len(large.videos)):
        found, expected = (d.read(number, range(6), range(5)) for d in (data, large))
        if form == "folders":
            assert found == expected
            continue
        for files, originals in zip(found, expected, strict=True):
            small = [cv2.resize(image(file), SMALL) for file in originals]
            if files is found[0]:
                small = [image(cv2.imencode(".jpg", s, [1, 95])[1].tobytes()) for s in small]
            np.testing.assert_array_equal([image(file) for file in files], small)
    if form == "shards":
        assert data.sizes.tolist() == [[40, 48]] * 3


def test_default_flow_size():
    def reduced(**options):
        return prepare.Storage(**options).reduced_from

    assert all(reduced(flow=m) == (340, 256) for m in flow.METHODS if m.startswith("tvl1"))
    assert reduced(size=(256, 256)) == (340, 256) and reduced(size=(340, 255)) == (340, 256)
    assert reduced(flow="dis") is reduced(flow="none") is reduced(flow_size="stored") is None
    assert [reduced(size=size) for size in ((340, 256), (128, 257), (341, 20), None)] == [None] * 4
    assert reduced(flow="dis", flow_size="340x256") == (340, 256)
    assert reduced(size=LARGE, flow_size=LARGE) is None


@pytest.mark.parametrize(
    "options, message",
    [
        ({"flow_size": "keep"}, "flow_size must be .*171x128, or stored, or auto.*'keep'"),
        ({"flow_size": (340, 127)}, r"flow_size must .*size=171x128.*=\(340, 127\)"),
        ({"flow_size": (340, 256), "size": None}, r"flow_size must .*size=keep .*=\(340, 256\)"),
        ({"flow_size": (340, 256), "flow": "none"}, "flow_size must .*flow=none.*340"),
    ],
)
def test_rejects_bad_sizes(options, message):
    with pytest.raises(ValueError, match=message):
        prepare.Storage(**options)


def test_data_set_keeps_its_flow_size(tmp_path, monkeypatch):
    """A plan without a flow size, as in earlier versions, means the stored size."""
    monkeypatch.setattr(plan, "AUTHORS", LARGE)
    videos, old, new = (tmp_path / name for name in ("videos", "old", "new"))
    preparing.write_videos(videos, "ab", frames=3)
    options = {"flow": "tvl1", "size": SMALL, "min_frames": 3}
    lists = [[prepare.lists.Entry(name)] for name in "ab"]
    run(videos, old, list=lists[0], flow_size="stored", **options)
    run(videos, new, list=lists[0], **options)
    plans = [json.loads((path / "plan.json").read_text())["settings"] for path in (old, new)]
    assert "flow_size" not in plans[0] and plans[1]["flow_size"] == [*LARGE]
    for path, other in ((old, LARGE), (new, "stored")):
        known = "stored" if path == old else r"\(97, 71\)"
        with pytest.raises(ValueError, match=f"started with flow_size={known}: .*Received: flow_s"):
            run(videos, path, flow_size=other, **options)
        with pytest.raises(
            ValueError, match=r"started with size=\(48, 40\): .*size=\(400, 400\)\.$"
        ):
            run(videos, path, **{**options, "size": (400, 400)})
        with pytest.raises(ValueError, match=r"started with flow=tvl1: .*Received: flow=none\.$"):
            run(videos, path, **{**options, "flow": "none"})
        run(videos, path, list=lists[1], **options)  # resumes as it was begun
        data = records.open_data(path)
        kinds = {file[:2] for n in (0, 1) for file in data.read(n, [0], [0, 1])[1]}
        assert kinds == ({b"\xff\xd8"} if path == old else {b"\x89P"})


def test_command_sets_flow_size(videos, tmp_path):
    words = f"--videos={videos} --output={tmp_path}/data --flow=dis --size=48x40 --min_frames=5"
    assert cli.main("prepare", *words.split(), "--flow_size=97x71", "--workers=1") == 0
    assert cli.main("prepare", *words.split()) == 0
    assert json.loads((tmp_path / "data" / "dataset.json").read_text())["flow_size"] == [97, 71]
    assert cli.main("prepare", *words.split(), "--flow_size=stored") == 2
