"""Action similarity: the file of pairs, the twelve measures by hand, known folds."""

import numpy as np
import pytest
import scipy.io
from evaluating import rows_of, write_run

from mas import features
from mas.evaluate import Similarity, pairs, similarity
from mas.features import Features


def table(seed=0, samples=60):
    """600 x 5 x 10 as the data set documents it: half of each fold's pairs are the same action.

    Samples 1, 3, 5, ... show action 1, the others action 2.
    """
    rng = np.random.default_rng(seed)
    odd, even = np.arange(1, samples, 2), np.arange(2, samples + 1, 2)
    rows = np.zeros(pairs.SHAPE, np.uint16)
    for fold in range(10):
        for pair in range(600):
            first = rng.choice(odd if rng.integers(2) else even)
            same = pair < 300
            other = rng.choice(odd if (first % 2 == 1) == same else even)
            actions = (1 + (first + 1) % 2, 1 + (other + 1) % 2)
            rows[pair, :, fold] = (first, other, same, *actions)
    return rows


def write(folder, rows, name="action_splits_pairs", **options):
    scipy.io.savemat(folder / "View2.mat", {name: rows}, **options)
    return folder / "View2.mat"


def of_samples(make, samples=60, missing=()):
    """Features whose row is `make(number)` of each sample."""
    numbers = [n for n in range(1, samples + 1) if n not in missing]
    values = np.array([make(n) for n in numbers], np.float32)
    labels = np.full(len(numbers), -1)
    return Features(values, [f"avi/{n:04d}" for n in numbers], labels, {})


@pytest.fixture(scope="module")
def rows():
    return table()


def test_reads_ids_and_kinds(tmp_path, rows):
    found = pairs.read(write(tmp_path, rows.astype(float), do_compression=True))
    assert [len(fold) for fold in found] == [600] * 10
    one, other, same, *_ = rows[599, :, 9].tolist()
    assert found[9][599] == (f"{one:04d}", f"{other:04d}", same)
    assert sum(same for *_, same in found[3]) == 300


def test_refuses_other_files(tmp_path, rows):
    for place, value, words in (
        ((3, 0, 2), 3698, "column 1 .*3698.0 in pair 4 of fold 3"),
        ((0, 1, 0), 0, "column 2 .*0.0 in pair 1"),
        ((0, 2, 9), 2, "column 3 .*2.0 in pair 1 of fold 10"),
        ((0, 0, 0), 1.5, "Received: 1.5"),
        ((0, 0, 0), np.nan, "Received: nan"),
    ):
        wrong = rows.astype(float)
        wrong[place] = value
        with pytest.raises(ValueError, match=words):
            pairs.read(write(tmp_path, wrong))
    with pytest.raises(ValueError, match="must contain action_splits_pairs.*Received: none"):
        pairs.read(write(tmp_path, rows, name="train_pairs"))
    with pytest.raises(ValueError, match=r"\(600, 5, 10\). Received: uint16 \(600, 5, 9\)"):
        pairs.read(write(tmp_path, rows[..., :9]))
    path = write(tmp_path, rows, do_compression=True)
    whole = path.read_bytes()
    for damaged in (b"not a matrix", b"not a matrix " * 99, whole[:200], whole[:-99]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="must be a MATLAB file below version 7.3"):
            pairs.read(path)


def test_twelve_measures_by_hand():
    """X = (1, 4, 0, 0), y = (4, 1, 0, 9): each number by its formula."""
    expected = {
        "product": 8,
        "root_product": np.sqrt(8),
        "bhattacharyya": 2,  # 2 + 2, its root
        "harmonic": np.sqrt(4 / 5 + 4 / 5 + 0 + 0),  # 0 / 0 counts as 0
        "cosine": 8 / np.sqrt(17 * 98),
        "city_block": 3 + 3 + 9,
        "root_city_block": np.sqrt(15),
        "squared_euclidean": 9 + 9 + 81,
        "euclidean": np.sqrt(99),
        "hellinger": np.sqrt(1 + 1 + 9),
        "chi_square": 9 / 5 + 9 / 5 + 81 / 9,
        "intersection": 2 / 17,
    }
    found = similarity.describe([[1, 4, 0, 0]], [[4, 1, 0, 9]])
    assert list(similarity.SIMILARITIES) == list(expected)
    np.testing.assert_allclose(found[0], list(expected.values()))


def test_twelve_measures_of_equal_and_zero_features():
    same = similarity.describe([[0.6, 0.8]], [[0.6, 0.8]])[0]
    root = np.sqrt(1.4)  # of 0.6 + 0.8
    np.testing.assert_allclose(same, [1, 1, root, np.sqrt(0.7), 1, 0, 0, 0, 0, 0, 0, 1], atol=1e-12)
    empty = similarity.describe(np.zeros((2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(empty, np.zeros((2, 12)))
    with pytest.raises(ValueError, match="features must be 0 or more.*Received: -0.5"):
        similarity.describe([[1, -0.5]], [[1, 1]])


def test_accuracy_and_auc_by_hand():
    """Three folds of four pairs, one of which is labelled against what its features say."""
    corners = {"a": (1, 0), "b": (1, 0.1), "c": (1, 0.2), "d": (0, 1), "e": (0.2, 1)}
    found = Features(
        np.array(list(corners.values()), np.float32), list(corners), np.full(5, -1), {}
    )
    good = [("a", "b", 1), ("d", "e", 1), ("a", "d", 0), ("b", "e", 0)]
    bad = [("a", "b", 0), ("d", "e", 1), ("a", "d", 0), ("b", "d", 0)]
    folds = [good, good, bad]
    result = similarity.evaluate(found, folds)
    assert result["folds"] == [1, 1, 0.75]
    assert result["accuracy"] == pytest.approx(2.75 / 3)
    deviation = np.sqrt((2 * (1 / 12) ** 2 + (1 / 6) ** 2) / 2)
    assert result["standard_error"] == pytest.approx(deviation / np.sqrt(3))
    same = [kind for fold in folds for *_, kind in fold]
    values = np.concatenate(result["decisions"])
    above = [
        float(high > low) + 0.5 * (high == low)
        for high, one in zip(values, same, strict=True)
        if one
        for low, other in zip(values, same, strict=True)
        if not other
    ]
    assert result["auc"] == pytest.approx(np.mean(above)) and 0.7 < result["auc"] < 1


def test_standardisation_uses_training_folds_only(monkeypatch):
    """The scale of the tested fold must not leak: checks the inputs of the SVM."""
    seen = []
    make = similarity.classifier

    def spy(*arguments, **options):
        seen.append(make(*arguments, **options))
        return seen[-1]

    monkeypatch.setattr(similarity, "classifier", spy)
    values = np.random.default_rng(0).random((6, 4)).astype(np.float32)
    videos = list("abcdef")
    found = Features(values, videos, np.full(6, -1), {})
    folds = [
        [("a", "b", 1), ("c", "d", 0)],
        [("a", "c", 1), ("e", "f", 0)],
        [("b", "f", 1), ("d", "e", 0)],
    ]
    similarity.evaluate(found, folds)
    units = values / np.linalg.norm(values, axis=1, keepdims=True)
    for tested, model in enumerate(seen):
        pairs = [pair for number, fold in enumerate(folds) if number != tested for pair in fold]
        x, y = (units[[videos.index(pair[side]) for pair in pairs]] for side in (0, 1))
        described = similarity.describe(x, y)
        np.testing.assert_allclose(model[0].mean_, described.mean(0), atol=1e-6)
        np.testing.assert_allclose(model[0].scale_, described.std(0), rtol=1e-4, atol=1e-6)


def test_rejects_untestable_input():
    found = of_samples(lambda n: np.ones(2), samples=2)
    pair = ("avi/0001", "avi/0002")
    for folds, words in (
        ([[(*pair, 1), (*pair, 0)], [], [(*pair, 0), (*pair, 1)]], "fold 2 with 0"),
        (
            [[(*pair, 0)], [(*pair, 1)], [(*pair, 1)]],
            "fold 1 with 1 pair; 2 of the 2 pairs in the others are the same",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            similarity.evaluate(found, folds)
    with pytest.raises(ValueError, match="Received: avi/0001 and mp4/0001"):
        pairs.present([[]], ["avi/0001", "mp4/0001"])


def test_protocol_writes_results(tmp_path, rows):
    write(tmp_path, rows)
    found = of_samples(lambda n: np.array([n % 2, (n + 1) % 2]), missing=(7,))
    with pytest.raises(ValueError, match="pairs with 1 missing video: 0007"):
        Similarity()(videos=found, aslan=tmp_path)
    allowed = features.Sampling(allow_failures=True)
    result = Similarity()(videos=found, aslan=tmp_path, sampling=allowed)
    lost = [(fold, pair) for fold in range(10) for pair in range(600) if 7 in rows[pair, :2, fold]]
    assert [tuple(place[:2]) for place in result.missing] == [(f + 1, p + 1) for f, p in lost]
    assert result.accuracy == 1 and result.auc == 1 and len(result.folds) == 10
    assert f"{6000 - len(lost)} pairs in 10 folds, {len(lost)} skipped" in result.text
    lines = rows_of(result.write(tmp_path / "out") / "pairs.csv")
    assert lines[0] == ["fold", "first", "second", "same", "decision"]
    assert len(lines) == 6001 - len(lost)
    with pytest.raises(FileNotFoundError, match="aslan.*gone"):
        Similarity()(videos=found, aslan=tmp_path / "gone")


def test_data_set_videos_go_through_network(tmp_path, rows, monkeypatch):
    """Checks the requested clips: overlapping clips of all videos in the pairs."""
    write(tmp_path, rows)
    asked = {}

    class Data:
        videos = [f"{n:04d}" for n in range(1, 63)]

    def extract(source, data, videos, sampling, **_):
        asked.update(how=sampling.how, videos=[entry.video for entry in videos])
        return of_samples(lambda n: np.array([n % 2, (n + 1) % 2]))

    monkeypatch.setattr(features, "extract", extract)
    run = write_run(tmp_path / "small")
    assert Similarity()(run, Data, aslan=tmp_path).accuracy == 1
    assert asked["how"] == "overlapping"
    assert set(asked["videos"]) == {f"{n:04d}" for n in rows[:, :2].ravel()}
    assert "0062" not in asked["videos"]
    Data.videos = Data.videos[1:]
    asked.clear()
    with pytest.raises(ValueError, match="with 1 missing video: 0001"):
        Similarity()(run, Data, aslan=tmp_path)
    assert not asked, "refused before the network works"
