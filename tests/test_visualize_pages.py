"""Pages of neighbours, and features on a plane."""

import base64
import io
import re

import cv2
import numpy as np
import pytest
from PIL import Image

from mas import visualize
from mas.evaluate import features
from mas.visualize import output, retrieval

COMMAND = "mas/visualize/__main__.py"
ROWS = """query,query_label,rank,neighbour,neighbour_label,similarity
turn/turn_01,5,1,up/up_01,4,0.900000
turn/turn_01,5,2,turn/turn_00,5,0.800000
up/up_00,4,1,up/up_01,4,0.700000
up/up_00,4,2,turn/turn_00,5,-0.600000
"""


def draw(script, *arguments):
    with script(COMMAND, *arguments) as module:
        return module.main([COMMAND, arguments[0]])


def write(folder, text=ROWS):
    path = folder / "neighbours.csv"
    path.write_text(text)
    return path


def test_reads_neighbours(tmp_path):
    turn, up = visualize.read_neighbours(write(tmp_path))
    assert (turn.video, turn.label, up.video, up.label) == ("turn/turn_01", 5, "up/up_00", 4)
    assert turn.found[1] == retrieval.Neighbour("turn/turn_00", 5, 0.8)
    assert [found.similarity for found in up.found] == [0.7, -0.6]
    assert retrieval.top([turn, up], 1) == 0.5 and retrieval.top([turn, up], 2) == 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("similarity", "distance", ":1: expected the columns query,.*Received: .*distance"),
        ("0.800000", "near", ":3: expected query,.* Received: .*'near'"),
        (
            "5,2,turn",
            "5,3,turn",
            ":3: expected rank 2 and label 5 of turn/turn_01. Received: rank 3",
        ),
        ("up_00,4,2", "up_00,5,2", ":5: expected rank 2 and label 4 of .* label 5"),
        (ROWS[ROWS.index("turn/") :], "", "expected a row for each neighbour. Received: none"),
    ],
)
def test_what_is_no_neighbour_is_refused(tmp_path, old, new, words):
    with pytest.raises(ValueError, match=words):
        visualize.read_neighbours(write(tmp_path, ROWS.replace(old, new)))


def test_a_page_shows_right_and_wrong_and_each_picture_once(tmp_path):
    queries = visualize.read_neighbours(write(tmp_path))
    names = ["a", "b", "c", "d", "up & <away>", "turn"]
    videos = ("turn/turn_01", "turn/turn_00", "up/up_01", "up/up_00")
    page = visualize.page(queries, queries, {video: f"PIC{video}" for video in videos}, "T", names)
    kinds = re.findall('<figure class="([a-z]+)" title="([^"]+)"', page)
    assert kinds == [
        *(("query", "turn/turn_01"), ("wrong", "up/up_01"), ("right", "turn/turn_00")),
        *(("query", "up/up_00"), ("right", "up/up_01"), ("wrong", "turn/turn_00")),
    ]
    assert all(page.count(f"base64,PIC{video}") == 1 for video in videos)
    assert "top-1 50.0%" in page and "top-5" not in page and "2 queries<" in page
    assert "<b>up &amp; &lt;away&gt;</b> 0.900" in page and "<away>" not in page
    assert not re.search("https?://|src=|@import|<link|<script", page), "needs no other file"


def test_a_page_of_some_queries_says_so(tmp_path):
    queries = visualize.read_neighbours(write(tmp_path))
    page = visualize.page(queries, queries[1:], {})
    assert "top-1 50.0%, 2 queries, of which 1 are shown" in page
    assert page.count("<section>") == 1 and "<b>5</b> -0.600" in page


def test_thumbnails_are_small_jpegs():
    image = np.zeros((300, 400, 3), np.uint8)
    image[..., 0] = 200
    decoded = Image.open(io.BytesIO(base64.b64decode(output.jpeg(image, 128))))
    assert (decoded.format, decoded.size) == ("JPEG", (128, 96))
    np.testing.assert_allclose(np.asarray(decoded)[50, 60], [200, 0, 0], atol=4)


def test_the_command_writes_a_page(script, sample_data, tmp_path, caplog):
    arguments = [f"--data={sample_data / 'data'}", f"--neighbours={write(tmp_path)}"]
    path = tmp_path / "page.html"
    classes = f"--classes={sample_data / 'classes.txt'}"
    assert draw(script, "retrieval", *arguments, classes, "--most=1", f"--output={path}") == 0
    page = path.read_text()
    assert "The page shows 1 of 2 queries (--most)." in caplog.text
    pictures = re.findall(r"base64,([^)]+)\)", page)
    assert len(pictures) == 3
    sizes = {Image.open(io.BytesIO(base64.b64decode(text))).size for text in pictures}
    assert sizes == {(44, 32)}
    (tmp_path / "short.txt").write_text("one\ntwo\n")
    short = f"--classes={tmp_path / 'short.txt'}"
    assert draw(script, "retrieval", *arguments, short, f"--output={path}") == 2
    assert "labels must be below 2" in caplog.text
    write(tmp_path, ROWS.replace("up/up_01", "up/gone"))
    assert draw(script, "retrieval", *arguments, f"--output={path}") == 2
    assert "video must be an id of" in caplog.text and "up/gone" in caplog.text
    assert path.read_text() == page


# ---- embedding -----------------------------------------------------------------------------------


def clusters(count=12, seed=0):
    """Two classes far apart, the third class unlabelled in the middle of the first."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(2 * count, 60)) + 40 * np.repeat([[0], [1]], count, axis=0)
    labels = np.repeat([0, 1], count)
    labels[0] = -1
    return values.astype(np.float32), labels


def test_clusters_stay_apart_and_the_seed_decides():
    values, _ = clusters()
    points = visualize.plane(values, seed=3)
    assert points.shape == (24, 2) and points.dtype == np.float64
    centres = points[:12].mean(0), points[12:].mean(0)
    spread = max(np.linalg.norm(points[:12] - centres[0], axis=1).max(), 1e-9)
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * spread
    np.testing.assert_array_equal(points, visualize.plane(values, seed=3))


@pytest.mark.parametrize(
    ("perplexity", "videos", "expected"), [(30, 1000, 30), (30, 31, 10), (2, 31, 2), (30, 5, 4 / 3)]
)
def test_perplexity_is_bounded_by_the_videos(perplexity, videos, expected):
    assert visualize.bounded_perplexity(perplexity, videos) == pytest.approx(expected)


def test_few_videos_and_no_perplexity_are_refused():
    with pytest.raises(ValueError, match="features must be of 5 videos or more. Received: 4"):
        visualize.plane(np.ones((4, 3)))
    with pytest.raises(ValueError, match="perplexity must be above 0"):
        visualize.bounded_perplexity(0, 100)


def test_a_picture_has_a_colour_for_each_class():
    points = np.arange(12.0).reshape(6, 2)
    picture = visualize.draw_embedding(points, [0, 0, 2, 2, -1, 2], ["bend", "jack", "jump"], "t")
    (axis,) = picture.axes
    drawn = {part.get_label(): part for part in axis.collections}
    assert list(drawn) == ["unlabelled", "bend", "jump"]
    np.testing.assert_array_equal(drawn["jump"].get_offsets(), points[[2, 3, 5]])
    colours = {tuple(part.get_facecolor()[0]) for part in drawn.values()}
    assert len(colours) == 3 and (0.6, 0.6, 0.6, 1) in colours
    assert axis.get_legend() is not None
    many = visualize.draw_embedding(np.zeros((40, 2)), np.arange(40))
    assert many.axes[0].get_legend() is None and len(many.axes[0].collections) == 40


def test_a_page_names_each_point():
    points = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 5.0]])
    videos = ["a/<1>", "a/2", "b/3"]
    page = visualize.embedding_page(points, [0, 0, 1], videos, ["a", "b"], "t", side=220)
    found = re.findall(
        'cx="([0-9.]+)" cy="([0-9.]+)" .*fill="(#[0-9a-f]{6})"><title>([^<]+)<', page
    )
    assert [part[:2] for part in found] == [
        ("10.0", "210.0"),
        ("210.0", "210.0"),
        ("10.0", "110.0"),
    ]
    assert [part[3] for part in found] == ["a/&lt;1&gt; (a)", "a/2 (a)", "b/3 (b)"]
    assert found[0][2] == found[1][2] != found[2][2]
    assert not re.search("https?://|src=|<script", page)


def test_the_command_draws_features(script, tmp_path, caplog):
    values, labels = clusters()
    videos = [f"video {number}" for number in range(24)]
    features.save(tmp_path / "f.npz", features.Features(values, videos, labels, {}))
    given = [f"--features={tmp_path / 'f.npz'}", "--seed=1"]
    assert draw(script, "embedding", *given, f"--output={tmp_path / 'e.png'}") == 0
    assert cv2.imread(str(tmp_path / "e.png")).shape == (700, 900, 3)
    assert "perplexity 7.7, a third of the other videos." in caplog.text
    more = [*given, "--most=10", f"--output={tmp_path / 'e.html'}"]
    assert draw(script, "embedding", *more) == 0
    assert "10 of 24 videos are drawn at random" in caplog.text
    page = (tmp_path / "e.html").read_text()
    assert page.count("<circle ") == 10
    assert draw(script, "embedding", f"--features={tmp_path / 'e.png'}") == 2
    assert "must hold the arrays" in caplog.text
