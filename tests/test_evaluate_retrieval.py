"""Retrieval: neighbours and recall that can be found by hand."""

import itertools
import json
import math
import tracemalloc

import numpy as np
import pytest
from evaluating import of, rows_of, write_run

from mas import features, lists
from mas.evaluate import Retrieval, retrieval
from mas.features import Features

# Six videos on a circle, at (degrees, label).
GALLERY = ((10, 1), (30, 0), (90, 0), (120, 2), (180, 2), (270, 1))
QUERIES = ((-3, 0), (100, 2), (185, 1))
NEAREST = [[0, 1, 5, 2, 3, 4], [2, 3, 1, 4, 0, 5], [4, 3, 5, 2, 1, 0]]


def circle(rows, prefix, scale=1.0):
    angles = np.deg2rad([angle for angle, _ in rows])
    values = np.stack([np.cos(angles), np.sin(angles)], -1).astype(np.float32)
    values *= scale * np.arange(1, len(rows) + 1)[:, None]  # lengths do not count
    names = [f"{prefix}/{number}" for number in range(len(rows))]
    return Features(values, names, [label for _, label in rows])


@pytest.fixture
def sides():
    return circle(GALLERY, "g"), circle(QUERIES, "q", 7.0)


def test_neighbours_are_sorted_by_cosine(sides):
    found = retrieval.nearest(*sides, 6)
    assert found.places.tolist() == NEAREST and found.own.tolist() == [-1] * 3
    degrees = [[13, 33, 87, 93, 123, 177], [10, 20, 70, 80, 90, 170], [5, 65, 85, 95, 155, 175]]
    np.testing.assert_allclose(found.similarities, np.cos(np.deg2rad(degrees)), atol=1e-6)
    assert retrieval.nearest(*sides, 2).places.tolist() == [row[:2] for row in NEAREST]


def test_recall_by_hand(sides):
    """The first hits come at rank 2, 2 and 3."""
    found = retrieval.nearest(*sides, 6)
    expected = {1: 0, 2: 2 / 3, 3: 1, 6: 1}
    assert retrieval.recall(found, *sides, [1, 2, 3, 6]) == pytest.approx(expected)
    classes = retrieval.per_class(found, *sides, [1, 2, 3])
    assert classes == {0: {1: 0, 2: 1, 3: 1}, 1: {1: 0, 2: 0, 3: 1}, 2: {1: 0, 2: 1, 3: 1}}


def test_chance_is_the_mean_over_all_orders(sides):
    gallery, queries = sides
    found = retrieval.nearest(*sides, 6)
    orders = list(itertools.permutations(gallery.labels.tolist()))
    expected = {
        k: np.mean([label in order[:k] for order in orders for label in queries.labels])
        for k in (1, 2, 5)
    }
    assert retrieval.chance(found, *sides, [1, 2, 5]) == pytest.approx(expected)


def test_chance_needs_no_full_distance_matrix():
    draw = np.random.default_rng(0)
    gallery, queries = (
        Features(np.ones((n, 1)), [f"{n}/{v}" for v in range(n)], draw.integers(0, 9, n), {})
        for n in (20000, 5000)
    )
    found = retrieval.Neighbours(None, None, np.full(5000, -1))
    tracemalloc.start()
    chances = retrieval.chance(found, gallery, queries, [1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert chances[1] == pytest.approx(np.mean(np.bincount(gallery.labels)[queries.labels]) / 20000)
    assert peak < 20e6, "a table of all pairs takes 100 MB"


def test_video_is_never_its_own_neighbour(sides):
    gallery, _ = sides
    found = retrieval.nearest(gallery, gallery, 5)
    assert found.own.tolist() == list(range(6))
    for row, places in enumerate(found.places.tolist()):
        assert sorted([row, *places]) == list(range(6))
    assert found.places[:, 0].tolist() == [1, 0, 3, 2, 3, 4]
    assert retrieval.chance(found, gallery, gallery, [1])[1] == pytest.approx(1 / 5)
    mixed = Features(
        np.concatenate([gallery.values[3:4], sides[1].values[:1]]),
        ["g/3", "q/0"], np.array([2, 0]), {},
    )  # fmt: skip
    found = retrieval.nearest(gallery, mixed, 2)
    assert found.own.tolist() == [3, -1] and found.places.tolist() == [[2, 4], [0, 1]]
    one = (2 - 1) / 5, 2 / 6
    assert retrieval.chance(found, gallery, mixed, [1])[1] == pytest.approx(np.mean(one))


def test_ties_keep_gallery_order():
    same = Features(np.ones((4, 3)), list("abcd"), np.arange(4), {})
    query = Features(np.ones((1, 3)), ["q"], np.array([0]), {})
    assert retrieval.nearest(same, query, 4).places.tolist() == [[0, 1, 2, 3]]
    assert retrieval.nearest(same, same, 3).places.tolist() == [
        [1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]
    ]  # fmt: skip


def test_zero_vectors_match_nothing(caplog):
    gallery = Features(np.array([[0, 0], [-1, 0], [1, 0]]), list("abc"), np.arange(3), {})
    query = Features(np.array([[1.0, 0]]), ["q"], np.array([0]), {})
    found = retrieval.nearest(gallery, query, 3)
    assert found.places.tolist() == [[2, 0, 1]] and found.similarities.tolist() == [[1, 0, -1]]
    assert "All features are zero for 1 video." in caplog.text


def test_block_size_does_not_change_result(monkeypatch):
    rng = np.random.default_rng(0)
    gallery, queries = (rng.normal(size=(n, 8)).astype(np.float32) for n in (50, 23))
    whole = retrieval.search(gallery, queries, 7)
    expected = np.argsort(-(queries @ gallery.T), axis=1)[:, :7]
    np.testing.assert_array_equal(whole[0], expected)
    for block in (1, 150, 1149):  # 1, 3 and 22 queries at a time
        monkeypatch.setattr(retrieval, "BLOCK", block)
        for part, other in zip(whole, retrieval.search(gallery, queries, 7), strict=True):
            np.testing.assert_allclose(part, other, rtol=1e-5)


# ---- the protocol --------------------------------------------------------------------------------


def test_queries_and_gallery_are_compared(sides, tmp_path):
    gallery, queries = sides
    features.save(tmp_path / "gallery.npz", gallery)
    result = Retrieval(top=(6, 1, 2, 3))(videos=tmp_path / "gallery.npz", queries=queries)
    assert result.accuracy == 0 and result.own == 0
    assert result.recall == pytest.approx({1: 0, 2: 2 / 3, 3: 1, 6: 1})
    where = tmp_path / "gallery.npz"
    assert f"3 videos query a gallery of 6 videos ({where}) by cosine distance" in result.text
    assert "0.0 at 1, 66.7 at 2, 100.0 at 3" in result.text and "No query is in" in result.text
    folder = result.write(tmp_path / "out")
    told = json.loads((folder / "retrieval.json").read_text())
    assert told["recall"]["2"] == pytest.approx(2 / 3) and told["queries"]["videos"] == 3
    header, *rows = rows_of(folder / "neighbours.csv")
    assert header == "query query_label rank neighbour neighbour_label similarity".split()
    assert len(rows) == 3 * 6
    assert rows[0] == ["q/0", "0", "1", "g/0", "1", f"{math.cos(math.radians(13)):.6f}"]
    assert rows[7] == ["q/1", "2", "2", "g/3", "2", f"{math.cos(math.radians(20)):.6f}"]
    assert [row[:2] for row in rows_of(folder / "recall.csv")[1:]] == [
        ["1", "0.000000"], ["2", "0.666667"], ["3", "1.000000"], ["6", "1.000000"]
    ]  # fmt: skip


def test_top_is_limited_to_gallery_before_extraction(sample_data, tmp_path, monkeypatch, caplog):
    gallery = circle(GALLERY, "g")
    result = Retrieval()(videos=gallery)
    assert list(result.recall) == [1, 5] and "Reducing top to 5" in caplog.text
    assert "6 queries are also in the gallery, but never" in result.text
    rows = result.tables["neighbours.csv"][1]
    assert len(rows) == 6 * 5 and all(row[0] != row[3] for row in rows)

    def extracting(*_, **__):
        raise AssertionError(caplog.text)

    monkeypatch.setattr(features, "extract", extracting)
    run, data = write_run(tmp_path / "small"), sample_data / "data"
    caplog.clear()
    with pytest.raises(AssertionError, match="Reducing top to 6"):
        train, test = sample_data / "train.txt", sample_data / "test.txt"
        Retrieval()(run, data, lists.read(train)[:6], queries=test)


def test_lists_go_through_the_network(sample_data, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run, data = write_run(tmp_path / "small"), sample_data / "data"
    chosen = features.Sampling(clips=1, pooling="max")
    train, test = sample_data / "train.txt", sample_data / "test.txt"
    result = Retrieval(top=(1, 5))(run, data, train, queries=test, sampling=chosen)
    assert result.gallery["facts"]["pooling"] == "max" and result.queries["videos"] == 6
    assert result.text.count("Network:") == 1
    assert result.classes == (sample_data / "classes.txt").read_text().split()
    parts = [features.load(path) for path in (tmp_path / "cache/mas/features").iterdir()]
    assert [part.values.shape[1] for part in parts] == [128, 128]


@pytest.mark.parametrize(
    ("change", "given", "words"),
    [
        ({"top": (0, 1)}, {}, "top.*0, 1"),
        ({"width": 3}, {}, "same network and pooling. Received: width 2 and 3"),
        ({"labels": [0, -1, 1]}, {}, "queries: every video must have a label. Received: a/1"),
        ({"facts": {"digest": "b"}}, {}, "Received: digest a and b"),
        ({}, {"random": True}, "random.*=True"),
        ({}, {"source": "runs/x"}, "source.*='runs/x'"),
        ({}, {"sampling": features.Sampling(clips=3)}, "sampling.*clips=3"),
        ({}, {"queries": "list.txt"}, "source.*=None"),
    ],
)
def test_rejects_incomparable_features(change, given, words):
    known = circle(GALLERY, "g")
    gallery = of(known.values, known.labels, known.videos, digest="a")
    values = np.ones((3, change.get("width", 2)))
    queries = of(values, change.get("labels", [0, 1, 2]), **change.get("facts", {}))
    with pytest.raises(ValueError, match=words):
        Retrieval(change.get("top", (1,)))(**{"videos": gallery, "queries": queries, **given})


def test_rejects_gallery_of_one_class():
    with pytest.raises(ValueError, match="videos.*2 classes or more.*1 class, label 3"):
        Retrieval()(videos=of(np.eye(4), [3] * 4))


# ---- the benchmark -------------------------------------------------------------------------------


@pytest.fixture
def benchmark(script):
    sizes = ("--gallery=200", "--queries=40", "--width=8", "--nearest=5")
    with script("benchmarks/retrieval.py", *sizes) as module:
        yield module


@pytest.mark.parametrize(("least", "status"), [(0, 0), (1e9, 1)])
def test_benchmark_prints_verdict(benchmark, monkeypatch, capsys, least, status):
    monkeypatch.setattr(benchmark, "LEAST", least)
    assert benchmark.main([]) == status
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "Nothing is faster." if status == 0 else last.startswith("MISSED: NumPy takes")


def test_benchmark_methods_agree(benchmark, monkeypatch):
    rng = np.random.default_rng(0)
    gallery, queries = (retrieval.unit(rng.normal(size=(n, 6))) for n in (40, 9))
    expected = np.argsort(-(queries @ gallery.T), axis=1)[:, :4]
    for name, way in benchmark.WAYS.items():
        np.testing.assert_array_equal(way(gallery, queries, 4), expected, err_msg=name)
    monkeypatch.setitem(benchmark.WAYS, "NumPy", lambda *_: expected[:, ::-1])
    with pytest.raises(SystemExit, match="NumPy: .* of the neighbours differ"):
        benchmark.compare(gallery, queries, 4)


def test_whitening_removes_shared_direction():
    values = [[x * 0.1, 10 + 5 * y] for x in (-1, 1) for y in (-0.9, -0.3, 0.3, 0.9)]
    gallery = Features(np.array(values), list("abcdefgh"), np.array([0] * 4 + [1] * 4), {})
    queries = Features(np.array([[-0.1, 10.0], [0.1, 15.0]]), ["x", "y"], np.array([0, 1]), {})
    result = Retrieval(top=(3,), whiten=2)(videos=gallery, queries=queries)
    neighbours = result.tables["neighbours.csv"][1]
    assert result.accuracy == 1 and all(row[1] == row[4] for row in neighbours if row[2] <= 2)
    assert "cosine distance, whitened to 2 dimensions by a PCA of the gallery." in result.text
    with pytest.raises(ValueError, match="whiten must be at most 2.*whiten=3"):
        Retrieval(whiten=3)(videos=gallery, queries=queries)
