"""Pictures of labels: known colours of known flow, and the command that draws them."""

import ast
import colorsys

import cv2
import numpy as np
import pytest
from absl import app
from matplotlib import axes, colors

from mas import prepare, sample, statistics, visualize

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
    assert cv2.imread(str(tmp_path / "still.png")).shape == (560, 550, 3)


def outlines(axis, name):
    """(left, top, right, bottom) of the outlines of one colour."""
    return [
        part.get_paths()[0].get_extents().extents.tolist()
        for part in axis.collections
        if np.allclose(part.get_edgecolor(), colors.to_rgba(name))
    ]


@pytest.fixture(scope="module")
def drawn():
    """A patch moves right inside cell 7 of pattern 1, which is ring 2 and triangle 4."""
    images = sample.clip("right", 0, 16, (64, 64))
    flow = np.zeros((15, 64, 64, 2), np.float32)
    flow[:, 22:28, 38:44, 0] = 5
    flow[9, 22:28, 38:44, 0] = 9
    return images, flow, visualize.draw_statistics(images, flow, "a title")


def test_the_picture_tells_the_labels(drawn):
    _, _, picture = drawn
    words = [text.get_text() for axis in picture.axes for text in axis.texts]
    (motion,) = (ast.literal_eval(text[7:]) for text in words if text.startswith("motion ["))
    assert (motion[0], motion[2]) == (7, 0)
    patterns = picture.axes[12:15]
    assert [axis.get_title() for axis in patterns] == [f"pattern {number}" for number in (1, 2, 3)]
    assert outlines(patterns[0], "tab:red") == [[31.5, 15.5, 47.5, 31.5]]
    assert not outlines(patterns[0], "tab:blue"), "v does not move"
    assert picture.get_suptitle() == "a title"


def test_motion_boundaries_are_coloured_by_direction(drawn):
    """M is the negative derivative: left of a patch that moves right it points left, in cyan."""
    _, _, picture = drawn
    m_u, m_v = (axis.images[0].get_array() for axis in picture.axes[8:10])
    np.testing.assert_allclose(m_u[25, 38], [0, 255, 255], atol=1)
    np.testing.assert_allclose(m_u[25, 43], [255, 0, 0], atol=1)
    assert m_u[5, 5].tolist() == [255, 255, 255]
    assert (m_v == 255).all()


def test_frames_flow_and_the_largest_field_are_shown(drawn):
    images, _, picture = drawn
    for axis, place in zip(picture.axes[:4], (0, 5, 9, 14), strict=True):
        np.testing.assert_array_equal(axis.images[0].get_array(), images[place])
        assert axis.get_title() == f"frame {place + 1} of 16"
    field = picture.axes[4].images[0].get_array()
    assert field[25, 40].tolist()[1:] == [0, 0] and field[0, 0].tolist() == [255, 255, 255]
    u, mark, v = picture.axes[11].lines
    assert mark.get_xdata() == [10] and mark.get_ydata() == max(u.get_ydata())
    assert max(v.get_ydata()) == 0


def test_an_arrow_in_the_outermost_ring_stays_in_the_picture(monkeypatch):
    labels = np.array([0] * 4 + [4, 5, 4, 7] + [0] * 6)
    monkeypatch.setattr(statistics, "motion", lambda flow: labels)
    images = np.zeros((16, 64, 64, 3), np.uint8)
    picture = visualize.draw_statistics(images, np.zeros((15, 64, 64, 2), np.float32))
    pattern = picture.axes[13]
    assert len(pattern.patches) == 2
    assert (*pattern.get_xlim(), *pattern.get_ylim()) == (-0.5, 63.5, 63.5, -0.5)


def test_dominant_colours_are_squares_of_that_colour():
    """A yellow clip, but for cell 16, which flickers between blue and black."""
    images = np.zeros((16, 32, 32, 3), np.uint8)
    images[..., :2] = 255
    images[:, 24:, 24:] = 0
    images[:9, 24:, 24:, 2] = 255
    picture = visualize.draw_statistics(images, np.zeros((15, 32, 32, 2), np.float32))
    found = [colors.to_hex(patch.get_facecolor()) for patch in picture.axes[15].patches]
    yellow = "#ffff00"
    assert found == ["#0000ff", yellow, yellow, yellow, yellow, yellow, yellow]


@pytest.mark.parametrize(
    ("direction", "step"), [(1, (8, 0)), (2, (5.66, 5.66)), (3, (0, 8)), (7, (0, -8))]
)
def test_arrows_point_where_the_label_says(monkeypatch, direction, step):
    """Label n is the direction of 45 (n - 1) degrees, y down; the arrow begins in the region."""
    labels = np.array([6, direction, *[0] * 10, 1, 0])
    drawn = []
    monkeypatch.setattr(statistics, "motion", lambda flow: labels)
    monkeypatch.setattr(axes.Axes, "arrow", lambda *parts, **_: drawn.append(parts[1:]))
    images = np.zeros((16, 72, 72, 3), np.uint8)
    visualize.draw_statistics(images, np.zeros((15, 72, 72, 2), np.float32))
    ((x, y, *found),) = drawn
    np.testing.assert_allclose(np.array([x, y]) + np.array(found) / 2, 26.5, atol=1)  # of cell 6
    np.testing.assert_allclose(found, step, atol=0.01)


@pytest.fixture(scope="module")
def data(sample_data):
    return sample_data / "data"


def draw(script, *arguments):
    with script(COMMAND, *arguments) as module:
        return module.main([COMMAND, arguments[0]])


def test_the_command_writes_a_picture(script, data, tmp_path, caplog):
    output = tmp_path / "clip.png"
    arguments = [f"--data={data}", "--video=turn/turn_01", "--start=2", f"--output={output}"]
    assert draw(script, "statistics", *arguments) == 0
    assert cv2.imread(str(output)).shape == (1120, 1100, 3)
    assert f"Wrote {output}" in caplog.text


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--video=turn/turn_77", "video must be an id of {}. Received: video='turn/turn_77'."),
        ("--start=3", "start must be in 0..2. Received: start=3."),
        ("--frames=19", "frames must be in 1..18. Received: frames=19."),
        ("--size=44", "size must be a positive multiple of 8"),
        ("--resize=keep", "resize must be WIDTHxHEIGHT. Received: resize=keep."),
        ("--frames=1", "must have optical flow"),
        ("--output={}/gone/clip.png", "gone/clip.png"),
        ("--output={}.docx", "docx"),
        ("--output={}.gif", "output must end in one of ['.png', '.pdf', '.svg']"),
    ],
)
def test_what_cannot_be_drawn_is_named(script, data, tmp_path, caplog, flag, words):
    arguments = [f"--data={data}", f"--output={tmp_path / 'clip.png'}", flag.format(data)]
    assert draw(script, "statistics", *arguments) == 2
    assert words.format(data) in caplog.text
    assert not list(tmp_path.iterdir())


def test_data_without_flow_or_none_at_all_are_refused(script, sample_data, tmp_path, caplog):
    options = {"flow": "none", "size": (44, 32), "workers": 1}
    prepare.prepare_videos(sample_data / "videos" / "up", tmp_path / "data", **options)
    assert draw(script, "statistics", f"--data={tmp_path / 'data'}") == 2
    assert "must hold optical flow" in caplog.text
    assert draw(script, "statistics", f"--data={tmp_path}") == 2
    assert "data must be a folder that mas.prepare wrote" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], r"KIND must be one of \['clip', 'statistics', .*Received: \[\]"),
        (["sketch"], r"KIND must be one of .* Received: \['sketch'\]"),
        (["clip"], "clip needs --data and may have .*Received: no flag"),
        (["clip", "--data=x", "--model=y"], "clip needs .* Received: --data, --model"),
        (["retrieval", "--data=x"], "retrieval needs --data, --neighbours .*Received: --data."),
        (["embedding", "--features=x", "--rate=3"], "Received: --features, --rate"),
        (["attention", "--data=x", "--model=y", "--size=9"], "Received: --data, --model, --size"),
    ],
)
def test_kinds_and_their_flags(script, arguments, words):
    with script(COMMAND, *arguments) as module, pytest.raises(app.UsageError, match=words):
        module.main([COMMAND, *arguments[:1]])
