"""`mas visualize KIND`: clips from data sets, written pictures, errors."""

import json
import re
import subprocess
import sys
import types

import cv2
import numpy as np
import pytest
import test_visualize

import mas
from mas import backbones, cli, records, tasks, visualize
from mas.cli.visualize import KINDS
from mas.settings import Clip, Plan
from mas.visualize import TrainingPictures, clip_pictures, output

SMALL = Clip(16, 32, (44, 32))
SIZE = ("--size=32", "--resize=44x32")


@pytest.fixture(scope="module")
def data(sample_data):
    return sample_data / "data"


@pytest.fixture
def draw(tmp_path, monkeypatch, caplog):
    """Runs the command in tmp_path; returns (status, log)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def command(*arguments):
        caplog.clear()
        return cli.main("visualize", *map(str, arguments)), caplog.text

    return command


def gif_shape(path):
    frames = test_visualize.frames_of(path.read_bytes())
    return len(frames), *frames[0][0].shape


# ---- reading -------------------------------------------------------------------------------------


def test_clips_and_middle_frames_of_data_sets_and_files(sample_data, tmp_path, draw):
    whole = visualize.read_clip(sample_data / "data", "turn_01.avi", 0, 18, 32, (44, 32))
    part = visualize.read_clip(sample_data / "data", "turn/turn_01", 2, 4, 32, (44, 32))
    assert (part["video"], part["flow"].shape) == ("turn/turn_01", (3, 32, 32, 2))
    np.testing.assert_array_equal(part["rgb"], whole["rgb"][2:6])
    np.testing.assert_array_equal(part["flow"], whole["flow"][2:5])
    files = records.open_data(sample_data / "videos")
    assert "flow" not in visualize.read_clip(files, None, 0, 2, 32, (44, 32))
    stored, decoded = (
        visualize.middle_frame(source, "up_01") for source in (sample_data / "data", files)
    )
    every = files.frames(files.videos.index("up/up_01"), range(18), (44, 32))
    np.testing.assert_array_equal(decoded, every[9])
    assert np.abs(every.astype(int) - stored).mean((1, 2, 3)).argmin() == 9, "but for JPEG's loss"


def test_example_equals_task_example(data):
    """Without jitter, a view of pace 2 has every other frame of the clip."""
    task = tasks.PaceContrast(jitter=False, paces=(1, 2)).bound(Clip(4, 32, (32, 32)))
    x, y, video = visualize.read_example(data, task, "up_01", 3, seed=1)
    whole = visualize.read_clip(data, "up/up_01", 0, 18, 32, (32, 32))["rgb"]
    pace = 1 + int(y["pace"][0])
    assert x.shape == (2, 4, 32, 32, 3) and video == "up/up_01"
    seen = whole[3 : 3 + 4 * pace : pace]
    assert any(np.array_equal(x[0], clip) for clip in (seen, seen[:, :, ::-1])), "or mirrored"
    drawn = {visualize.read_example(data, task, video, None, seed)[0].tobytes() for seed in (1, 2)}
    assert len(drawn) == 2, "another seed, another example"
    long = tasks.Pace(paces=(1, 4)).bound(SMALL)
    with pytest.raises(ValueError, match="video must have 61 frames.*up/up_01 with 18"):
        visualize.read_example(data, long, "up_01")


@pytest.mark.parametrize(("kind", "last"), [(tasks.VTDL, 17), (tasks.Statistics, 2)])
def test_example_starts_inside_video(data, kind, last):
    """In a video of 18 frames, a clip of mas lies inside; one of vtdl may wrap."""
    task = kind().bound(SMALL)
    visualize.read_example(data, task, "up_01", last)
    with pytest.raises(ValueError, match=f"start must be in 0..{last} for .*start={last + 1}"):
        visualize.read_example(data, task, "up_01", last + 1)


# ---- pictures ------------------------------------------------------------------------------------


def test_clips_are_drawn_and_play(draw, data, sample_data, tmp_path):
    status, said = draw("clip", f"--data={data}", "--video=turn_01", *SIZE)
    assert status == 0 and "Wrote clip.png." in said
    assert cv2.imread("clip.png").shape[1] == 1280
    arguments = [f"--data={data}", *SIZE, "--frames=18", "--output=clip.gif"]
    assert draw("clip", *arguments)[0] == 0
    assert gif_shape(tmp_path / "clip.gif") == (18, output.TITLE + 224 + output.KEY, 448, 3)
    arguments = [f"--data={sample_data / 'videos'}", "--frames=1", "--output=clip.gif"]
    status, said = draw("clip", *arguments)
    assert status == 0 and "Wrote clip.gif, replacing an earlier picture." in said
    assert gif_shape(tmp_path / "clip.gif") == (1, output.TITLE + 224, 224, 3), "files have no flow"


def test_labels_are_drawn(draw, data):
    assert draw("statistics", f"--data={data}", "--video=turn/turn_01", "--start=2")[0] == 0
    assert cv2.imread("statistics.png").shape == (1120, 1100, 3)


@pytest.fixture(scope="module")
def network():
    return backbones.backbone("c3d", (16, 32, 32, 3), 0.05, "rgb", "he")


def test_attention_of_run_file_and_model(draw, data, tmp_path, network):
    run = tmp_path / "run"
    run.mkdir()
    network.save(run / "backbone.keras")
    known = {"network": {"backbone": "c3d", "width": 0.05, "preset": "rgb"}, "clip": SMALL.values()}
    (run / "run.json").write_text(json.dumps({"task": "mas", **known}))
    clip = test_visualize.noise(16, 32, 32, 3)
    expected = visualize.attention(network, clip)
    for source in (run / "backbone.keras", mas.open_run(run)):
        np.testing.assert_array_equal(visualize.attention(source, clip), expected)
    assert draw("attention", f"--data={data}", "--model=run")[0] == 0
    assert cv2.imread("attention.png").shape == (1110, 960, 3)
    (run / "backbone.keras").rename("net.keras")
    arguments = [f"--data={data}", "--model=net.keras", "--output=a.gif"]
    assert draw("attention", *arguments)[0] == 0
    assert gif_shape(tmp_path / "a.gif") == (16, output.TITLE + 224 + output.KEY, 672, 3)
    backbones.backbone("c3d", (15, 32, 32, 2), 0.05, "flow", "he").save("flow.keras")
    assert draw("attention", f"--data={data}", "--model=flow.keras", "--output=a.pdf")[0] == 0


def test_views_are_drawn_from_seed(draw, data, tmp_path):
    arguments = ["views", f"--data={data}", "--task=pace_contrast", "--frames=4", *SIZE]
    pictures = []
    for more in (["--paces=1,2", "--nojitter"], ["--option=paces=1,2", "--option", "jitter=false"]):
        assert draw(*arguments, *more)[0] == 0
        pictures.append((tmp_path / "views.png").read_bytes())
    assert draw(*arguments, "--paces=1,2", "--nojitter", "--seed=5")[0] == 0
    pictures.append((tmp_path / "views.png").read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


def test_tensorboard_shows_few_clips(data, network):
    """At most 20 times per run; labels, which never change, only the first time."""
    found = {}
    run = types.SimpleNamespace(images=lambda pictures, step: found.update({step: pictures}))
    task = tasks.Statistics().bound(SMALL)
    reader = types.SimpleNamespace(data=records.open_data(data), task=task)
    watch = TrainingPictures(2)(reader, network, run, Plan(epochs=59))
    for epoch in (1, 2, 3, 4, 59):
        watch(epoch, 10 * epoch)
    assert {step: list(pictures) for step, pictures in found.items()} == {
        30: ["statistics", "attention"],
        590: ["attention"],
    }
    shapes = {name: images.shape for name, images in found[30].items()}
    assert shapes == {"statistics": (2, 672, 660, 3), "attention": (2, 666, 576, 3)}
    assert all(images.dtype == np.uint8 for images in found[30].values())
    assert (found[30]["attention"][0] != found[30]["attention"][1]).any()
    long = types.SimpleNamespace(data=reader.data, task=task.bound(Clip(19, 32, (44, 32))))
    assert TrainingPictures(2)(long, network, run, Plan()) is None
    clip = {"rgb": test_visualize.noise(4, 20, 20, 3), "flow": test_visualize.moving(4, 20)}
    assert clip_pictures([{**clip, "video": "of a size that patterns do not divide"}]) == {}


# ---- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("statistics --video=turn/turn_77", "video.*turn/turn_77.*turn/turn_0"),
        ("statistics --start=3", "start.*0..2.*start=3"),
        ("statistics --frames=19", "frames.*1..18.*frames=19"),
        ("statistics --size=44 --resize=44x44", "size=44"),
        ("statistics --resize=keep", "resize.*'keep'"),
        ("statistics --frames=1", "frames=1"),
        ("statistics --output=gone/a.png", "output=gone/a.png"),
        ("statistics --output=a.gif", "output.*png.*output=a.gif"),
        ("statistics --data=VIDEOS", "data must contain optical flow"),
        ("statistics --model=x", "--model belongs to mas visualize attention"),
        ("statistics --queue=3", "--queue belongs to mas visualize views"),
        ("statistics more", "flags only. Received: more"),
        ("attention --model=gone", "model='gone'"),
        ("views --task=chess", "task='chess'"),
        ("views --task=pace --branches=motion", "--branches belongs to --task=mas"),
        ("retrieval", "needs --neighbours"),
        ("retrieval --neighbours=gone", "No such file.*gone"),
        ("sketch", "KIND must be one of clip, .*Received: sketch"),
    ],
)
def test_undrawable_input_is_reported(draw, sample_data, tmp_path, arguments, words):
    arguments = arguments.replace("VIDEOS", str(sample_data / "videos")).split()
    status, said = draw(arguments[0], f"--data={sample_data / 'data'}", *arguments[1:])
    assert status == 2 and re.search(words, said), said
    assert not list(tmp_path.iterdir())


def test_help_is_short_and_quick(capsys):
    """Half a second: help and flag errors import nothing heavy."""
    for arguments in (["--help"], *([kind, "--help"] for kind in KINDS)):
        assert cli.main("visualize", *arguments) == 0
        assert len(capsys.readouterr().out.splitlines()) <= 48
    heavy = "{'tensorflow', 'keras', 'matplotlib', 'sklearn'}"
    code = (
        "import sys; from mas import cli; from mas.cli.visualize import KINDS\n"
        "for kind in KINDS: cli.main('visualize', kind, '--help')\n"
        "cli.main('visualize', 'attention', '--data=gone', '--model=gone')\n"
        f"sys.exit(sorted({heavy} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
