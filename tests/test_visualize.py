"""Pictures of clips, labels, attention and views, from known arrays."""

import ast
import colorsys
import io
import re

import numpy as np
import pytest
from matplotlib import axes, colors
from PIL import Image

from mas import sample, statistics, tasks, visualize
from mas.visualize import output

KEYS, TITLE = output.KEY, output.TITLE


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


def frames_of(gif):
    image = Image.open(io.BytesIO(gif))
    found = []
    for number in range(image.n_frames):
        image.seek(number)
        found.append((np.asarray(image.convert("RGB")), image.info["duration"]))
    return found


# ---- colours -------------------------------------------------------------------------------------


def colour(u, v, largest=4.0):
    image = visualize.flow_colours(np.tile(np.array([u, v], np.float32), (2, 3, 1)), largest)
    assert image.shape == (2, 3, 3) and image.dtype == np.uint8
    assert (image == image[0, 0]).all()
    return image[0, 0].tolist()


def test_flow_hue_is_direction_and_saturation_is_length():
    known = {(0, 0): (255, 255, 255), (4, 0): (255, 0, 0), (9, 0): (255, 0, 0)}
    known |= {(2, 0): (255, 128, 128), (4, -1e-7): (255, 0, 0)}  # an angle of nearly 360 degrees
    for flow, expected in known.items():
        np.testing.assert_allclose(colour(*flow), expected, atol=1)
    assert colour(0, 0, largest=0.0) == [255, 255, 255]
    for degrees in range(0, 360, 30):  # x right, y down
        angle = np.deg2rad(degrees)
        expected = np.multiply(colorsys.hsv_to_rgb(degrees / 360, 1, 1), 255)
        found = colour(4 * np.cos(angle), 4 * np.sin(angle))
        np.testing.assert_allclose(found, expected, atol=9)  # OpenCV's hue has steps of 2 degrees


# ---- labels --------------------------------------------------------------------------------------


def outlines(axis, name):
    """(left, top, right, bottom) of the outlines of one colour."""
    return [
        part.get_paths()[0].get_extents().extents.tolist()
        for part in axis.collections
        if np.allclose(part.get_edgecolor(), colors.to_rgba(name))
    ]


def test_picture_shows_frames_flow_boundaries_and_labels():
    """A patch moves right inside cell 7 of pattern 1, which is ring 2 and triangle 4."""
    images = sample.clip("right", 0, 16, (64, 64))
    flow = np.zeros((15, 64, 64, 2), np.float32)
    flow[:, 22:28, 38:44, 0] = 5
    flow[9, 22:28, 38:44, 0] = 9
    picture = visualize.draw_statistics(images, flow, "a title")
    assert picture.get_suptitle() == "a title"
    for axis, place in zip(picture.axes[:4], (0, 5, 9, 14), strict=True):
        np.testing.assert_array_equal(shown(axis), images[place])
        assert axis.get_title() == f"frame {place + 1} of 16"
    field = shown(picture.axes[4])
    assert field[25, 40].tolist()[1:] == [0, 0] and field[0, 0].tolist() == [255, 255, 255]
    # M is the negative derivative: left of a patch that moves right it points left, in cyan.
    m_u, m_v = (shown(axis) for axis in picture.axes[8:10])
    np.testing.assert_allclose(m_u[25, 38], [0, 255, 255], atol=1)
    np.testing.assert_allclose(m_u[25, 43], [255, 0, 0], atol=1)
    assert m_u[5, 5].tolist() == [255, 255, 255] and (m_v == 255).all()
    u, mark, v = picture.axes[11].lines
    assert mark.get_xdata() == [10] and mark.get_ydata() == max(u.get_ydata())
    assert max(v.get_ydata()) == 0
    words = [text.get_text() for axis in picture.axes for text in axis.texts]
    (motion,) = (ast.literal_eval(text[7:]) for text in words if text.startswith("motion ["))
    assert (motion[0], motion[2]) == (7, 0)
    assert outlines(picture.axes[12], "tab:red") == [[31.5, 15.5, 47.5, 31.5]]
    assert not outlines(picture.axes[12], "tab:blue"), "v does not move"


def test_arrow_in_outermost_ring_stays_inside(monkeypatch):
    labels = np.array([0] * 4 + [4, 5, 4, 7] + [0] * 6)
    monkeypatch.setattr(statistics, "motion", lambda flow: labels)
    images = np.zeros((16, 64, 64, 3), np.uint8)
    picture = visualize.draw_statistics(images, np.zeros((15, 64, 64, 2), np.float32))
    pattern = picture.axes[13]
    assert len(pattern.patches) == 2
    assert (*pattern.get_xlim(), *pattern.get_ylim()) == (-0.5, 63.5, 63.5, -0.5)


def test_dominant_colours_are_drawn_as_squares():
    """A yellow clip; cell 16 flickers between blue and black. Nothing moves."""
    images = np.zeros((16, 32, 32, 3), np.uint8)
    images[..., :2] = 255
    images[:, 24:, 24:] = 0
    images[:9, 24:, 24:, 2] = 255
    picture = visualize.draw_statistics(images, np.zeros((15, 32, 32, 2), np.float32))
    found = [colors.to_hex(patch.get_facecolor()) for patch in picture.axes[15].patches]
    assert found == ["#0000ff", *["#ffff00"] * 6]


@pytest.mark.parametrize(("direction", "step"), [(2, (5.66, 5.66)), (7, (0, -8))])
def test_arrows_point_in_labelled_direction(monkeypatch, direction, step):
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


# ---- a clip --------------------------------------------------------------------------------------


def test_strip_shows_frames_with_flow_below():
    rgb, flow = noise(10, 32, 32, 3), moving(10)
    flow[3] /= 2
    picture = visualize.draw_clip(rgb, flow, "a title")
    grid = np.reshape(picture.axes, (4, 8))
    for frame in range(10):
        row, column = 2 * (frame // 8), frame % 8
        np.testing.assert_array_equal(shown(grid[row, column]), rgb[frame])
        assert grid[row, column].get_title() == str(frame + 1)
    assert shown(grid[1, 0])[0, 0].tolist() == [255, 0, 0], "right"
    np.testing.assert_allclose(shown(grid[1, 3])[0, 0], [255, 128, 128], atol=1)  # half as fast
    assert shown(grid[3, 0])[0, 31].tolist() == [127, 255, 0], "down"
    assert shown(grid[3, 1]) is None, "no flow from the last frame"
    assert "3.0 pixels per frame" in picture.get_suptitle()
    titles = [int(axis.get_title()) for axis in visualize.draw_clip(noise(100, 8, 8, 3)).axes]
    assert len(titles) == 32 and (titles[0], titles[-1]) == (1, 100)
    assert set(np.diff(titles)) == {3, 4}


def test_animation_shows_frame_and_flow_with_titles():
    rgb = np.stack([np.full((32, 32, 3), 20 * number, np.uint8) for number in range(5)])
    found = frames_of(visualize.animate_clip(rgb, moving(5), rate=25))
    assert [duration for _, duration in found] == [40] * 5
    for number, (image, _) in enumerate(found):
        assert image.shape == (TITLE + 224 + KEYS, 448, 3)
        np.testing.assert_allclose(image[TITLE + 100, 100], 20 * number, atol=6)
    first, last = found[0][0], found[4][0]
    assert first[TITLE, 230].tolist() == [255, 0, 0]
    assert first[TITLE, 447].tolist() == [127, 255, 0]
    assert (last[TITLE:-KEYS, 224:] == 255).all(), "the last frame has no flow"
    titles, keys = first[:TITLE], first[-KEYS:]
    assert (titles[:, :224] < 99).any() and (titles[:, 224:] < 99).any()
    assert (keys[:, :224] == 255).all() and (keys[:, 224:] < 99).any(), "only flow has a key"
    found = frames_of(visualize.animate_attention(rgb, np.ones((5, 32, 32)), moving(5)))
    assert found[0][0].shape == (TITLE + 224 + KEYS, 672, 3)


@pytest.mark.parametrize(("rate", "duration"), [(10, 100), (30, 30), (100, 20)])
def test_animation_rate(rate, duration):
    found = frames_of(visualize.gif(noise(3, 8, 8, 3), rate))
    assert [length for _, length in found] == [duration] * 3


# ---- attention -----------------------------------------------------------------------------------


def test_attention_is_the_mean_power_over_channels():
    activations = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    expected = np.zeros((2, 3, 4))
    for place in np.ndindex(2, 3, 4):
        expected[place] = sum(abs(float(a)) ** 3 for a in activations[place]) / 5
    np.testing.assert_allclose(visualize.attention_map(activations, 3), expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"activations.*\(2, 3, 4\)"):
        visualize.attention_map(np.ones((2, 3, 4)))
    with pytest.raises(ValueError, match="power=0"):
        visualize.attention_map(activations, 0)


def test_attention_is_interpolated_between_middle_frames():
    heat = visualize.over_frames(np.array([0.0, 8.0], np.float32)[:, None, None], (4, 2, 2))
    np.testing.assert_allclose(heat[:, 0, 0], [0, 0.25, 0.75, 1])
    flat = visualize.over_frames(np.full((1, 2, 2), 3, np.float32), (5, 8, 8))
    np.testing.assert_allclose(flat, np.ones((5, 8, 8)))
    assert not visualize.over_frames(np.zeros((1, 2, 2), np.float32), (5, 8, 8)).any()
    cells = np.zeros((2, 4, 4), np.float32)
    cells[1, 1, 2] = 5
    heat = visualize.over_frames(cells, (8, 32, 32))
    frame, y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert frame >= 5 and 8 <= y < 16 and 16 <= x < 24
    assert not heat[:, :4].any() and not heat[0].any()


def test_attention_of_rgb_and_flow_networks():
    seen = []

    def network(batch, training):
        seen.append((batch.shape, training))
        cells = np.zeros((1, 2, 2, 2, 3), np.float32)
        cells[0, 0, 0, 1] = 2
        return cells

    heat = visualize.attention(network, noise(16, 8, 8, 3))
    assert heat.shape == (16, 8, 8) and heat[0, 0, 7] == 1 and heat[15, 0, 7] == 0
    assert visualize.attention(network, moving(16, 8)).shape == (16, 8, 8)
    assert seen == [((1, 16, 8, 8, 3), False), ((1, 15, 8, 8, 2), False)]


def test_attention_rows_cover_frames():
    rgb, heat = noise(16, 32, 32, 3), np.zeros((16, 32, 32), np.float32)
    heat[8:12, :4] = 1
    flow = np.zeros((15, 32, 32, 2), np.float32)
    flow[12:, 8:16, 8:16, 1] = 4  # the last row's
    picture = visualize.draw_attention(rgb, heat, flow)
    grid = np.reshape(picture.axes, (5, 4))[:4]
    titles = [[axis.get_title() for axis in row[:2]] for row in grid]
    assert titles[0] == ["frame 3 of 16", "attention, frames 1 to 4"]
    assert titles[3] == ["frame 15 of 16", "attention, frames 13 to 16"]
    cold, hot = (shown(grid[row, 1])[0, 0] for row in (1, 2))
    np.testing.assert_array_equal(shown(grid[2, 0]), rgb[10])
    expected = np.rint((rgb[10, 0, 0] + 255 * np.array([0.4796, 0.01583, 0.01055])) / 2)
    np.testing.assert_allclose(hot, expected, atol=1)  # the upper end of turbo
    np.testing.assert_allclose(
        cold, np.rint((rgb[6, 0, 0] + 255 * np.array([0.18995, 0.07176, 0.23217])) / 2), atol=1
    )
    white = [(shown(axis) == 255).all() for axis in grid[:, 3]]
    assert white == [True, True, True, False], "M_v of each row's own flow"
    assert all((shown(axis) == 255).all() for axis in grid[:, 2])


@pytest.mark.parametrize(("frames", "size", "rows", "columns"), [(1, 16, 1, 2), (5, 20, 4, 2)])
def test_short_clips_have_fewer_rows_and_odd_sizes_no_boundaries(frames, size, rows, columns):
    rgb, heat = noise(frames, size, size, 3), np.zeros((frames, size, size), np.float32)
    flow = moving(frames, size) if frames > 1 else None
    picture = visualize.draw_attention(rgb, heat, flow)
    assert len(picture.axes) == (rows + 1) * columns  # the last row holds the keys


# ---- views ---------------------------------------------------------------------------------------


def test_views_are_rows_of_frames():
    x = noise(2, 16, 8, 8, 3)
    picture = visualize.draw_views(x, ["anchor", "negative"], columns=4)
    grid = np.reshape(picture.axes, (2, 4))
    for row, view in enumerate(x):
        for axis, frame in zip(grid[row], (0, 5, 10, 15), strict=True):
            np.testing.assert_array_equal(shown(axis), view[frame])
    assert [axis.get_ylabel() for axis in grid[:, 0]] == ["anchor", "negative"]
    assert [axis.get_title() for axis in grid[0]] == ["1", "6", "11", "16"]
    picture = visualize.draw_views(moving(3, 8)[None], ["flow"])
    assert shown(picture.axes[0])[0, 0].tolist() == [255, 0, 0]
    for wrong in (x[0], x.astype(np.float32), np.repeat(x, 33, 0)):
        with pytest.raises(ValueError, match=re.escape(f"Received: {wrong.dtype} {wrong.shape}")):
            visualize.draw_views(wrong, ["view"] * len(wrong))


def test_views_are_named_by_role_and_class():
    assert visualize.view_names(tasks.VTDL(), {}, 3) == ["anchor", "positive", "negative"]
    pace = tasks.PaceContrast(paces=("1/2", "3"))
    names = visualize.view_names(pace, {"pace": np.array([1, 0])}, 2)
    assert names == ["view 1\npace 3", "view 2\npace 1/2"]
    assert visualize.view_names(tasks.Statistics(), {}, 1) == ["view 1"]
