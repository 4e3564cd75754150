"""Pictures: known colours of known flow, and the command that writes one."""

import ast
import colorsys

import cv2
import numpy as np
import pytest
from matplotlib import colors

from mas import prepare, sample, visualize

COMMAND = "mas/visualize/__main__.py"


def colour(u, v, largest=4.0):
    field = np.tile(np.array([u, v], np.float32), (2, 3, 1))
    image = visualize.flow_colours(field, largest)
    assert image.shape == (2, 3, 3) and image.dtype == np.uint8
    assert (image == image[0, 0]).all()
    return tuple(image[0, 0].tolist())


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        ((0, 0), (255, 255, 255)),
        ((4, 0), (255, 0, 0)),  # right: red
        ((-4, 0), (0, 255, 255)),  # left: cyan
        ((9, 0), (255, 0, 0)),  # no more than full colour
        ((2, 0), (255, 128, 128)),  # half the speed, half the colour
        ((4, -1e-7), (255, 0, 0)),  # an angle of nearly 360 degrees
    ],
)
def test_known_colours(flow, expected):
    np.testing.assert_allclose(colour(*flow), expected, atol=1)


@pytest.mark.parametrize("degrees", range(0, 360, 30))
def test_hue_is_the_direction_x_right_and_y_down(degrees):
    angle = np.deg2rad(degrees)
    expected = np.multiply(colorsys.hsv_to_rgb(degrees / 360, 1, 1), 255)
    found = colour(4 * np.cos(angle), 4 * np.sin(angle))
    np.testing.assert_allclose(found, expected, atol=9)  # OpenCV's hue has steps of 2 degrees


def test_a_clip_without_motion_is_drawn_too(tmp_path):
    assert colour(0, 0, largest=0.0) == (255, 255, 255)
    rgb = np.zeros((16, 32, 32, 3), np.uint8)
    picture = visualize.draw_statistics(rgb, np.zeros((15, 32, 32, 2), np.float32), "still")
    picture.savefig(tmp_path / "still.png", dpi=50)
    assert cv2.imread(str(tmp_path / "still.png")).shape == (420, 550, 3)


def outlines(axis, name):
    """(left, top, right, bottom) of the outlines of one colour."""
    return [
        part.get_paths()[0].get_extents().extents.tolist()
        for part in axis.collections
        if np.allclose(part.get_edgecolor(), colors.to_rgba(name))
    ]


def test_the_picture_tells_the_labels():
    """A patch moves right inside cell 7 of pattern 1, which is ring 2 and triangle 4."""
    images = sample.clip("right", 0, 16, (64, 64))
    flow = np.zeros((15, 64, 64, 2), np.float32)
    flow[:, 22:28, 38:44, 0] = 5
    picture = visualize.draw_statistics(images, flow, "a title")
    words = [text.get_text() for axis in picture.axes for text in axis.texts]
    (motion,) = (ast.literal_eval(text[7:]) for text in words if text.startswith("motion ["))
    assert (motion[0], motion[2]) == (7, 0)
    patterns = picture.axes[8:11]
    assert [axis.get_title() for axis in patterns] == [f"pattern {number}" for number in (1, 2, 3)]
    assert outlines(patterns[0], "tab:red") == [[31.5, 15.5, 47.5, 31.5]]
    assert not outlines(patterns[0], "tab:blue"), "v does not move"
    assert picture.get_suptitle() == "a title"


@pytest.fixture(scope="module")
def data(sample_data):
    return sample_data / "data"


def draw(script, data, *arguments):
    with script(COMMAND, f"--data={data}", *arguments) as module:
        return module.main([COMMAND])


def test_the_command_writes_a_picture(script, data, tmp_path, caplog):
    output = tmp_path / "clip.png"
    arguments = ["--video=turn/turn_01", "--start=2", f"--output={output}"]
    assert draw(script, data, *arguments) == 0
    assert cv2.imread(str(output)).shape == (840, 1100, 3)
    assert f"Wrote {output}" in caplog.text


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--video=turn/turn_77", "video must be an id of {}. Received: video='turn/turn_77'."),
        ("--start=3", "start must be in 0..2. Received: start=3."),
        ("--output={}/gone/clip.png", "gone/clip.png"),
        ("--output={}.docx", "docx"),
    ],
)
def test_what_cannot_be_drawn_is_named(script, data, tmp_path, caplog, flag, words):
    arguments = [f"--output={tmp_path / 'clip.png'}", flag.format(data)]
    assert draw(script, data, *arguments) == 2
    assert words.format(data) in caplog.text
    assert not list(tmp_path.iterdir())


def test_data_without_flow_or_none_at_all_are_refused(script, sample_data, tmp_path, caplog):
    settings = prepare.Settings(size=(44, 32), method="none")
    videos = prepare.find_videos(sample_data / "videos" / "up")
    prepare.prepare(videos, tmp_path / "data", settings, 1)
    assert draw(script, tmp_path / "data") == 2
    assert "must have optical flow" in caplog.text
    assert draw(script, tmp_path) == 2
    assert "data must be a folder that mas.prepare wrote" in caplog.text
