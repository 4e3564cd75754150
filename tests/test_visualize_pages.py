"""Pages of neighbours, maps of features, and class names."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from mas import cli, features, visualize
from mas.visualize import retrieval

ROWS = """query,query_label,rank,neighbour,neighbour_label,similarity
turn/turn_01,5,1,up/up_01,4,0.900000
turn/turn_01,5,2,turn/turn_00,5,0.800000
up/up_00,4,1,up/up_01,4,0.700000
up/up_00,4,2,turn/turn_00,5,-0.600000
"""


@pytest.fixture
def draw(tmp_path, monkeypatch, caplog):
    """Runs the command in tmp_path; returns (status, log)."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        caplog.clear()
        return cli.main("visualize", *map(str, arguments)), caplog.text

    return command


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
        ("similarity", "distance", ":1: .*distance"),
        ("0.800000", "near", ":3: .*,near'"),
        ("5,2,turn", "5,3,turn", ":3: .*rank 3"),
        ("up_00,4,2", "up_00,5,2", ":5: .*label 5"),
        (ROWS[ROWS.index("turn/") :], "", "Received: none"),
    ],
)
def test_rejects_bad_neighbours(tmp_path, old, new, words):
    with pytest.raises(ValueError, match=words):
        visualize.read_neighbours(write(tmp_path, ROWS.replace(old, new)))


def test_page_shows_right_and_wrong_and_each_picture_once(tmp_path):
    queries = visualize.read_neighbours(write(tmp_path))
    names = ["a", "b", "c", "d", "up & <away>", "turn"]
    videos = ("turn/turn_01", "turn/turn_00", "up/up_01", "up/up_00")
    page = visualize.retrieval_page(
        queries, queries, {video: f"PIC{video}" for video in videos}, "T", names
    )
    kinds = re.findall('<figure class="([a-z]+)" title="([^"]+)"', page)
    assert kinds == [
        *(("query", "turn/turn_01"), ("wrong", "up/up_01"), ("right", "turn/turn_00")),
        *(("query", "up/up_00"), ("right", "up/up_01"), ("wrong", "turn/turn_00")),
    ]
    assert all(page.count(f"base64,PIC{video}") == 1 for video in videos)
    assert "top-1 50.0%" in page and "top-5" not in page and "2 queries<" in page
    assert "<b>up &amp; &lt;away&gt;</b> 0.900" in page and "<away>" not in page
    assert not re.search("https?://|src=|@import|<link|<script", page), "needs no other file"

    page = visualize.retrieval_page(queries, retrieval.spread(queries, 1), {})
    assert "top-1 50.0%, 2 queries (1 shown" in page
    assert page.count("<section>") == 1 and "<b>4</b> 0.900" in page
    assert retrieval.spread(list(range(9)), 3) == [0, 4, 8]


def test_command_writes_page_with_names(draw, sample_data, tmp_path):
    """As written by mas evaluate: retrieval.json names the list, the class names are next to it."""
    facts = {"gallery": {"from": str(sample_data / "train.txt"), "facts": {"model": "gone"}}}
    (tmp_path / "retrieval.json").write_text(json.dumps(facts))
    arguments = ["retrieval", f"--data={sample_data / 'data'}"]
    arguments.append(f"--neighbours={write(tmp_path)}")
    status, said = draw(*arguments, "--most=1")
    page = (tmp_path / "retrieval.html").read_text()
    assert status == 0 and "Showing 1 of 2 queries (--most)." in said
    names = (sample_data / "classes.txt").read_text().split()
    assert f"<b>{names[5]}</b> query" in page
    pictures = re.findall(r"base64,([^)]+)\)", page)
    sizes = [Image.open(io.BytesIO(base64.b64decode(text))).size for text in pictures]
    assert sizes == [(44, 32)] * 3
    (tmp_path / "short.txt").write_text("one\ntwo\n")
    status, said = draw(*arguments, "--classes=short.txt")
    assert status == 2 and "classes must be" in said
    write(tmp_path, ROWS.replace("up/up_01", "up/gone"))
    status, said = draw(*arguments)
    assert status == 2 and re.search("video.*up/gone", said)
    assert (tmp_path / "retrieval.html").read_text() == page


# ---- class names ---------------------------------------------------------------------------------


def test_class_names_are_found_next_to_list_or_in_run(tmp_path):
    result, run = tmp_path / "result" / "features.npz", tmp_path / "run"
    for folder in (result.parent, run):
        folder.mkdir()
    (tmp_path / "train.txt").write_text("a 0\n")
    (run / "run.json").write_text('{"classes": ["one", "two"]}')
    facts = {"list": str(tmp_path / "train.txt"), "model": str(run)}
    assert visualize.find_class_names(result, 1, {}) is None
    assert visualize.find_class_names(result, 1, facts) == ["one", "two"]
    assert visualize.find_class_names(result, 2, facts) is None, "too few"
    (tmp_path / "train_classes.txt").write_text("bend\njack\n")
    assert visualize.find_class_names(result, 1, facts) == ["bend", "jack"]
    (result.parent / "classes.txt").write_text("x\ny\n")
    result.touch()
    assert visualize.find_class_names(result, 1, facts) == ["x", "y"]
    assert visualize.find_class_names(result, 1, {"classes": ["p", "q"]}) == ["p", "q"]


# ---- embedding -----------------------------------------------------------------------------------


def clusters(count=12, seed=0):
    """Two classes far apart, and unlabelled videos in the middle of the first."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(2 * count, 60)) + 40 * np.repeat([[0], [1]], count, axis=0)
    labels = np.repeat([0, 1], count)
    labels[0] = -1
    return values.astype(np.float32), labels


def test_map_keeps_clusters_apart_and_depends_on_seed():
    values, _ = clusters()
    points = visualize.tsne(values, seed=3)
    assert points.shape == (24, 2) and points.dtype == np.float64
    centres = points[:12].mean(0), points[12:].mean(0)
    spread = max(np.linalg.norm(points[:12] - centres[0], axis=1).max(), 1e-9)
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * spread
    np.testing.assert_array_equal(points, visualize.tsne(values, seed=3))


def test_perplexity_is_limited_by_number_of_videos():
    cases = [(30, 1000, 30), (30, 31, 10), (2, 31, 2), (30, 5, 4 / 3)]
    for perplexity, videos, expected in cases:
        assert visualize.bounded_perplexity(perplexity, videos) == pytest.approx(expected)
    with pytest.raises(ValueError, match="5 videos or more. Received: 4"):
        visualize.tsne(np.ones((4, 3)))
    with pytest.raises(ValueError, match="perplexity=0"):
        visualize.bounded_perplexity(0, 100)


def test_picture_has_one_colour_per_class():
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


def test_page_names_each_point():
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


def test_command_draws_features(draw, tmp_path):
    values, labels = clusters()
    videos = [f"video {number}" for number in range(24)]
    features.save(tmp_path / "f.npz", features.Features(values, videos, labels, {}))
    (tmp_path / "f_classes.txt").write_text("bend\njack\n")
    status, said = draw("embedding", "--features=f.npz", "--seed=1")
    assert status == 0 and "Reducing perplexity to 7.7, a third of the other videos." in said
    assert Image.open(tmp_path / "embedding.png").size == (900, 700)
    status, said = draw("embedding", "--features=f.npz", "--most=10", "--output=e.html")
    assert status == 0 and "Showing a random choice of 10 of 24 videos" in said
    page = (tmp_path / "e.html").read_text()
    assert page.count("<circle ") == 10 and " (jack)</title>" in page
    status, said = draw("embedding", "--features=embedding.png")
    assert status == 2 and "must contain the arrays" in said
