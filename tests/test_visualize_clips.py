"""Pictures of clips, of where a network looks, and of what a task makes of them."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from mas import backbones, clips, records, tasks, visualize
from mas.visualize import output, reading
from mas.visualize.attention import attention_frames

COMMAND = "mas/visualize/__main__.py"


@pytest.fixture(scope="module")
def data(sample_data):
    return sample_data / "data"


def draw(script, *arguments):
    with script(COMMAND, *arguments) as module:
        return module.main([COMMAND, arguments[0]])


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def moving(frames=16, size=32):
    """Flow to the right in the left half, down in the right half."""
    flow = np.zeros((frames - 1, size, size, 2), np.float32)
    flow[:, :, : size // 2, 0] = 3
    flow[:, :, size // 2 :, 1] = 3
    return flow


def shown(axis):
    return axis.images[0].get_array() if axis.images else None


# ---- clip ----------------------------------------------------------------------------------------


def test_a_strip_holds_frames_and_the_flow_below_each():
    rgb, flow = noise(10, 32, 32, 3), moving(10)
    flow[3] /= 2
    picture = visualize.draw_clip(rgb, flow, "a title")
    axes = np.reshape(picture.axes, (4, 8))
    for frame in range(10):
        row, column = 2 * (frame // 8), frame % 8
        np.testing.assert_array_equal(shown(axes[row, column]), rgb[frame])
        assert axes[row, column].get_title() == str(frame + 1)
    assert shown(axes[1, 0])[0, 0].tolist() == [255, 0, 0], "right"
    np.testing.assert_allclose(shown(axes[1, 3])[0, 0], [255, 128, 128], atol=1)  # half as fast
    assert shown(axes[3, 0])[0, 31].tolist() == [127, 255, 0], "down"
    assert shown(axes[3, 1]) is None, "no flow from the last frame"
    assert "3.0 pixels a frame" in picture.get_suptitle()


def test_a_strip_of_many_frames_shows_some_from_the_first_to_the_last():
    picture = visualize.draw_clip(noise(100, 8, 8, 3))
    titles = [int(axis.get_title()) for axis in picture.axes]
    assert len(titles) == 32 and (titles[0], titles[-1]) == (1, 100)
    assert set(np.diff(titles)) == {3, 4}
    assert len(visualize.draw_clip(noise(1, 8, 8, 3)).axes) == 1


def frames_of(gif):
    image = Image.open(io.BytesIO(gif))
    found = []
    for number in range(image.n_frames):
        image.seek(number)
        found.append((np.asarray(image.convert("RGB")), image.info["duration"]))
    return found


def test_an_animation_shows_each_frame_beside_its_flow():
    rgb = np.stack([np.full((32, 32, 3), 20 * number, np.uint8) for number in range(5)])
    found = frames_of(visualize.animate_clip(rgb, moving(5), rate=25))
    assert [duration for _, duration in found] == [40] * 5
    for number, (image, _) in enumerate(found):
        assert image.shape == (224, 448, 3)
        np.testing.assert_allclose(image[100, 100], 20 * number, atol=6)
    assert found[0][0][0, 230].tolist() == [255, 0, 0] and found[0][0][0, 447].tolist() == [
        127,
        255,
        0,
    ]
    assert (found[4][0][:, 224:] == 255).all(), "the last frame has no flow"


@pytest.mark.parametrize(("rate", "duration"), [(10, 100), (30, 30), (100, 20)])
def test_the_rate_of_an_animation(rate, duration):
    found = frames_of(output.gif(noise(3, 8, 8, 3), rate))
    assert [length for _, length in found] == [duration] * 3


def test_the_command_draws_a_strip_and_an_animation(script, data, tmp_path):
    arguments = [f"--data={data}", "--video=turn/turn_01", "--size=32", "--resize=44x32"]
    assert draw(script, "clip", *arguments, f"--output={tmp_path}/clip.png") == 0
    assert cv2.imread(f"{tmp_path}/clip.png").shape[1] == 1280
    assert draw(script, "clip", *arguments, "--frames=18", f"--output={tmp_path}/clip.gif") == 0
    found = frames_of((tmp_path / "clip.gif").read_bytes())
    assert len(found) == 18 and found[0][0].shape == (224, 448, 3)
    stored = records.open_data(data)
    clip = reading.clip(stored, "turn/turn_01", 0, 18, clips.Geometry((44, 32), 32, random=False))
    np.testing.assert_allclose(found[3][0][::7, :224:7], clip["rgb"][3], atol=40)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.gif", "clip.png"]


def test_video_files_are_drawn_without_flow(script, sample_data, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    videos = sample_data / "videos"
    assert draw(script, "clip", f"--data={videos}", f"--output={tmp_path}/clip.gif") == 0
    assert frames_of((tmp_path / "clip.gif").read_bytes())[0][0].shape == (224, 224, 3)


def test_the_middle_frame_of_prepared_videos_and_of_files(sample_data, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    stored = records.open_data(sample_data / "data")
    files = records.open_data(sample_data / "videos")
    one, other = (reading.middle_frame(data, "up/up_01") for data in (stored, files))
    every = files.frames(files.videos.index("up/up_01"), range(18), (44, 32))
    np.testing.assert_array_equal(other, every[9])
    assert np.abs(every.astype(int) - one).mean((1, 2, 3)).argmin() == 9, "but for JPEG's loss"


# ---- attention -----------------------------------------------------------------------------------


def test_attention_is_the_mean_power_over_channels():
    activations = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    expected = np.zeros((2, 3, 4))
    for place in np.ndindex(2, 3, 4):
        expected[place] = sum(abs(float(a)) ** 3 for a in activations[place]) / 5
    np.testing.assert_allclose(visualize.attention_map(activations, 3), expected, rtol=1e-5)
    assert visualize.attention_map(np.full((1, 1, 1, 7), -2.0)) == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.ones((2, 3, 4)),), r"activations must be .* Received: \(2, 3, 4\)"),
        ((np.ones((1, 1, 1, 1)), 0), "power must be above 0. Received: power=0"),
    ],
)
def test_what_is_no_map_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        visualize.attention_map(*arguments)


def test_cells_stand_for_the_middle_of_their_frames():
    heat = visualize.over_frames(np.array([0.0, 8.0], np.float32)[:, None, None], (4, 2, 2))
    np.testing.assert_allclose(heat[:, 0, 0], [0, 0.25, 0.75, 1])
    flat = visualize.over_frames(np.full((1, 2, 2), 3, np.float32), (5, 8, 8))
    np.testing.assert_allclose(flat, np.ones((5, 8, 8)))
    assert not visualize.over_frames(np.zeros((1, 2, 2), np.float32), (5, 8, 8)).any()


def test_the_hottest_cell_is_hottest_over_its_share_of_the_frame():
    cells = np.zeros((2, 4, 4), np.float32)
    cells[1, 1, 2] = 5
    heat = visualize.over_frames(cells, (8, 32, 32))
    frame, y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert frame >= 5 and 8 <= y < 16 and 16 <= x < 24
    assert not heat[:, :4].any() and not heat[0].any()


def test_attention_of_a_network_that_sees_colours_or_flow():
    seen = []

    def network(batch, training):
        seen.append((batch.shape, training))
        cells = np.zeros((1, 2, 2, 2, 3), np.float32)
        cells[0, 0, 0, 1] = 2
        return cells

    heat = visualize.attention(network, noise(16, 8, 8, 3))
    assert heat.shape == (16, 8, 8) and heat[0, 0, 7] == 1 and heat[15, 0, 7] == 0
    heat = visualize.attention(network, moving(16, 8))
    assert heat.shape == (16, 8, 8)
    assert seen == [((1, 16, 8, 8, 3), False), ((1, 15, 8, 8, 2), False)]


def test_rows_of_attention_each_stand_for_some_frames():
    rgb, heat = noise(16, 32, 32, 3), np.zeros((16, 32, 32), np.float32)
    heat[8:12, :4] = 1
    flow = np.zeros((15, 32, 32, 2), np.float32)
    flow[12:, 8:16, 8:16, 1] = 4  # the last row's
    picture = visualize.draw_attention(rgb, heat, flow)
    axes = np.reshape(picture.axes, (4, 4))
    assert [axis.get_title() for axis in axes[:, 0]] == [
        f"frame {number} of 16" for number in (3, 7, 11, 15)
    ]
    cold, hot = (shown(axes[row, 1])[0, 0] for row in (1, 2))
    np.testing.assert_array_equal(shown(axes[2, 0]), rgb[10])
    expected = np.rint((rgb[10, 0, 0] + 255 * np.array([0.4796, 0.01583, 0.01055])) / 2)
    np.testing.assert_allclose(hot, expected, atol=1)  # the upper end of turbo
    np.testing.assert_allclose(
        cold, np.rint((rgb[6, 0, 0] + 255 * np.array([0.18995, 0.07176, 0.23217])) / 2), atol=1
    )
    white = [(shown(axis) == 255).all() for axis in axes[:, 3]]
    assert white == [True, True, True, False], "M_v of each row's own flow"
    assert all((shown(axis) == 255).all() for axis in axes[:, 2])


@pytest.mark.parametrize(("frames", "rows"), [(1, 1), (3, 3), (5, 4)])
def test_short_clips_have_fewer_rows(frames, rows):
    rgb, heat = noise(frames, 16, 16, 3), np.zeros((frames, 16, 16), np.float32)
    flow = moving(frames, 16) if frames > 1 else None
    picture = visualize.draw_attention(rgb, heat, flow)
    assert len(picture.axes) == rows * (2 if flow is None else 4)


def test_attention_in_motion():
    rgb, heat = noise(4, 32, 32, 3), np.ones((4, 32, 32), np.float32)
    assert frames_of(visualize.animate_attention(rgb, heat))[0][0].shape == (224, 448, 3)
    images = attention_frames(rgb, heat, moving(4))
    assert images.shape == (4, 32, 96, 3)
    np.testing.assert_array_equal(images[2, :, :32], rgb[2])
    assert images[0, 0, 64].tolist() == [255, 0, 0] and (images[3, :, 64:] == 255).all()


@pytest.fixture(scope="module")
def network():
    return backbones.backbone("c3d", (16, 32, 32, 3), 0.05, "rgb", "he")


def test_the_command_draws_attention(script, data, tmp_path, network, caplog):
    network.save(tmp_path / "net.keras")
    arguments = [f"--data={data}", f"--model={tmp_path}/net.keras"]
    assert draw(script, "attention", *arguments, f"--output={tmp_path}/map.png") == 0
    assert cv2.imread(f"{tmp_path}/map.png").shape == (1060, 960, 3)
    assert draw(script, "attention", *arguments, f"--output={tmp_path}/map.gif") == 0
    assert frames_of((tmp_path / "map.gif").read_bytes())[0][0].shape == (224, 672, 3)
    assert draw(script, "attention", f"--data={data}", f"--model={tmp_path}/gone") == 2
    assert "model must be a finished run folder or a .keras file" in caplog.text


def test_attention_of_a_network_of_flow_by_command(script, data, tmp_path):
    backbones.backbone("c3d", (15, 32, 32, 2), 0.05, "flow", "he").save(tmp_path / "net.keras")
    arguments = [f"--data={data}", f"--model={tmp_path}/net.keras", f"--output={tmp_path}/map.png"]
    assert draw(script, "attention", *arguments) == 0


def test_small_pictures_for_tensorboard(network):
    both = [
        {"rgb": noise(16, 32, 32, 3, seed=seed), "flow": moving(), "video": f"clip {seed}"}
        for seed in (0, 1)
    ]
    found = visualize.clip_pictures(both, network)
    shapes = {name: images.shape for name, images in found.items()}
    assert shapes == {"statistics": (2, 672, 660, 3), "attention": (2, 636, 576, 3)}
    assert all(images.dtype == np.uint8 for images in found.values())
    assert (found["attention"][0] != found["attention"][1]).any()
    silent = [{"rgb": both[0]["rgb"], "video": "clip"}]
    assert list(visualize.clip_pictures(silent, network)) == ["attention"]
    assert list(visualize.clip_pictures(both, network, statistics=False)) == ["attention"]
    assert visualize.clip_pictures(silent) == {}


# ---- views ---------------------------------------------------------------------------------------


def test_views_are_rows_of_frames():
    x = noise(2, 16, 8, 8, 3)
    picture = visualize.draw_views(x, ["anchor", "negative"], columns=4)
    axes = np.reshape(picture.axes, (2, 4))
    for row, view in enumerate(x):
        for axis, frame in zip(axes[row], (0, 5, 10, 15), strict=True):
            np.testing.assert_array_equal(shown(axis), view[frame])
    assert [axis.get_ylabel() for axis in axes[:, 0]] == ["anchor", "negative"]
    assert [axis.get_title() for axis in axes[0]] == ["1", "6", "11", "16"]


def test_views_of_flow_are_coloured():
    picture = visualize.draw_views(moving(3, 8)[None], ["flow"])
    assert shown(picture.axes[0])[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("x", "received"),
    [
        (np.zeros((2, 4, 8, 8, 3), np.float32), r"float32 \(2, 4, 8, 8, 3\)"),
        (np.zeros((4, 8, 8, 3), np.uint8), r"uint8 \(4, 8, 8, 3\)"),
        (np.zeros((65, 1, 8, 8, 3), np.uint8), r"uint8 \(65, 1, 8, 8, 3\)"),
    ],
)
def test_what_is_no_view_is_refused(x, received):
    with pytest.raises(ValueError, match=f"x must be .* Received: {received}"):
        visualize.draw_views(x, ["view"] * len(x))


def test_views_are_named_by_role_and_class():
    class Roles(tasks.Task):
        roles = ("anchor", "positive", "negative")

    assert visualize.view_names(Roles(), {}, 3) == ["anchor", "positive", "negative"]
    pace = tasks.task("pace_contrast", ["paces=1/2,3"])
    names = visualize.view_names(pace, {"pace": np.array([1, 0])}, 2)
    assert names == ["view 1\npace 3", "view 2\npace 1/2"]
    assert visualize.view_names(tasks.task("mas"), {}, 1) == ["view 1"]


def test_an_example_is_what_the_task_makes_of_the_video(data):
    """Without jitter a view of pace 2 is every other frame of the clip."""
    stored, geometry = records.open_data(data), clips.Geometry((44, 32), 32, random=False)
    task = tasks.task("pace_contrast", ["jitter=false", "paces=1,2"], frames=4)
    whole = reading.clip(stored, "up/up_01", 0, 18, geometry)["rgb"]
    x, y = reading.example(stored, "up/up_01", 3, task, geometry, seed=1)
    pace = 1 + int(y["pace"][0])
    assert x.shape == (2, 4, 32, 32, 3)
    np.testing.assert_array_equal(x[0], whole[3 : 3 + 4 * pace : pace])
    drawn = {
        reading.example(stored, "up/up_01", None, task, geometry, s)[0].tobytes() for s in range(4)
    }
    assert len(drawn) > 1, "another seed, another example"
    long = tasks.task("pace", ["paces=1,4"], frames=16)
    with pytest.raises(ValueError, match="video must have 61 frames.*Received: up/up_01 with 18"):
        reading.example(stored, "up/up_01", None, long, geometry, 0)


@pytest.mark.parametrize(("task", "last"), [("vtdl", 17), ("mas", 2)])
def test_an_example_starts_inside_its_video(data, task, last):
    """Of 18 frames; of mas the whole clip of 16 lies inside, vtdl may begin the video again."""
    stored, geometry = records.open_data(data), clips.Geometry((44, 32), 32, random=False)
    made = tasks.task(task, frames=16, size=32)
    reading.example(stored, "up/up_01", last, made, geometry, 0)
    with pytest.raises(ValueError, match=f"start must be in 0..{last} for .*start={last + 1}"):
        reading.example(stored, "up/up_01", last + 1, made, geometry, 0)


def test_the_command_draws_views(script, data, tmp_path, caplog):
    arguments = [
        "--task=pace_contrast",
        "--paces=1,2",
        "--frames=4",
        f"--output={tmp_path}/views.png",
    ]
    assert draw(script, "views", f"--data={data}", *arguments, "--nojitter") == 0
    first = (tmp_path / "views.png").read_bytes()
    assert draw(script, "views", f"--data={data}", *arguments, "--nojitter") == 0
    assert (tmp_path / "views.png").read_bytes() == first
    assert draw(script, "views", f"--data={data}", *arguments, "--nojitter", "--seed=5") == 0
    assert (tmp_path / "views.png").read_bytes() != first
    assert draw(script, "views", f"--data={data}", "--task=chess") == 2
    assert "task must be one of" in caplog.text
    assert draw(script, "views", f"--data={data}", "--task=pace", "--branches=motion") == 2
    assert "option must be one of" in caplog.text
