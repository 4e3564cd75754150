"""Probes: clearly separable classes, and folds counted by hand."""

import json

import numpy as np
import pytest
from evaluating import of, rows_of, write_run

from mas import features
from mas.evaluate import Probe, classifiers

# Two classes on either side of zero in the first number; the second, far larger, says nothing.
TRAIN = [[-1, 900], [-2, -1000], [1, 1000], [2, -900]]
LABELS = [0, 0, 1, 1]


def make(name, **options):
    return lambda: classifiers.classifier(name, **options)


def test_linear_probe_standardises_features():
    tested = of([[3, 999], [-3, -999]], [1, 0])
    for name in ("linear", "svm"):
        found = classifiers.fit_predict(make(name), TRAIN, LABELS, tested)
        assert found.tolist() == [1, 0], name
        assert classifiers.classifier(name)[0].fit(TRAIN).mean_.tolist() == [0, 0]


def test_nearest_neighbours_use_cosine_and_vote():
    values = [[1, 0], [50, 1], [0, 1], [1, 50], [1, 45]]
    tested = of([[9, 0], [0, 0.1]], [0, 0])
    for k, expected in {1: [0, 1], 3: [0, 0], 5: [0, 0]}.items():
        found = classifiers.fit_predict(make("knn", k=k), values, [0, 1, 1, 0, 0], tested)
        assert found.tolist() == expected


def test_group_regex_uses_first_capture():
    videos = ["run/ann_run1", "run/ann_run2", "walk/bob_walk"]
    assert classifiers.groups(videos, r"/(\w+?)_") == ["ann", "ann", "bob"]
    assert classifiers.groups(videos, "^(run|walk)(/)") == ["run", "run", "walk"]
    for pattern, words in (
        (r"/(\w+?", "a regular expression"),
        (r"/\w+_", "a group in parentheses"),
        ("(ann)", "every id.*'walk/bob_walk'"),
        ("ann|b(o)b", "every id.*'run/ann_run1'"),
        ("(/)", "two or more.*'/' for all"),
    ):
        with pytest.raises(ValueError, match=words):
            classifiers.groups(videos, pattern)


def test_unconverged_probe_warns(caplog):
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(40, 30)), rng.integers(0, 3, 40)
    tested = of(values[:2], labels[:2])
    classifiers.fit_predict(make("linear"), values, labels, tested)
    assert "did not converge" not in caplog.text

    def short():
        model = classifiers.classifier("linear", C=1e6)
        model[-1].max_iter = 1
        return model

    classifiers.fit_predict(short, values, labels, tested)
    assert "did not converge" in caplog.text


def test_split_by_hand(tmp_path, caplog):
    tested = of([[5, 0], [4, 1], [-5, 0], [-4, 1]], [1, 0, 0, 0], ["b/0", "b/1", "b/2", "a/3"])
    features.save(tmp_path / "test.npz", tested)
    given = {"videos": of(TRAIN, LABELS), "test": tmp_path / "test.npz"}
    result = Probe("linear")(**given, classes=["left", "right"])
    assert result.accuracy == 3 / 4 and result.mean_class == pytest.approx((2 / 3 + 1) / 2)
    assert result.confusion.tolist() == [[2, 1], [0, 1]] and result.classes == ["left", "right"]
    assert "logistic regression (C = 1) on standardised features" in result.text
    where = tmp_path / "test.npz"
    assert (
        f"; trained on 4 videos, tested on 4 videos ({where}). The origin of the features"
        in result.text
    )
    assert result.text.endswith("Accuracy: 75.0%, mean over classes 83.3%.")
    assert "The training list contains 1 test video, such as a/3" in caplog.text
    folder = result.write(tmp_path / "out")
    told = json.loads((folder / "probe.json").read_text())
    assert told["accuracy"] == 3 / 4 and told["paragraph"] == result.text
    assert (folder / "probe.txt").read_text() == result.text + "\n"
    assert rows_of(folder / "predictions.csv")[:3] == [
        ["video", "label", "predicted", "group"],
        ["b/0", "1", "1", "test"],
        ["b/1", "0", "1", "test"],
    ]
    assert rows_of(folder / "per_class.csv")[1:] == [
        ["left", "3", "0.6667"], ["right", "1", "1.0000"]
    ]  # fmt: skip
    assert (folder / "confusion.png").is_file()


KNOWN = {"network": "c3d", "how": "uniform", "clips": [10, 10], "pooling": "average"}
KNOWN |= {"size": 56, "resize": [85, 64], "frames": 16, "modality": "rgb", "failures": {}}


@pytest.mark.parametrize("static", [False, True])
def test_differently_made_training_features_are_reported(static):
    facts = KNOWN | {"static": static}
    tested = of(TRAIN, LABELS, **(KNOWN | {"static": False}))
    result = Probe("svm")(videos=of(TRAIN, LABELS, **facts), test=tested, seed=7)
    assert result.train_facts == facts and result.facts["static"] is False
    assert "a linear SVM (C = 1, seed 7) on standardised" in result.text
    assert result.text.count("Network: c3d") == 1 + static
    assert ("For the training videos: Network" in result.text) == static
    assert ("frame repeated" in result.text) == static


def test_groups_by_hand(tmp_path):
    """By angle, y_1 is nearest to every x except x_2, which is nearest to y_2, and vice versa."""
    videos = ["c/y_1", "c/y_2", "c/x_1", "c/x_2", "c/x_3", "c/x_4"]
    values = [[1, 0], [0, 1], [1, 0.1], [0.1, 1], [1, 0.2], [1, 0.3]]
    labels = [1, 0, 0, 1, 1, 0]  # x gets 1, 0, 1, 1: x_3 alone is right; y gets 0, 1: none is
    result = Probe("knn", groups="/(.)_")(videos=of(values, labels, videos))
    assert result.folds == {"x": 1 / 4, "y": 0} and result.accuracy == pytest.approx(1 / 6)
    assert result.standard_deviation == pytest.approx(1 / 8)
    assert "leaving one of 2 groups out at a time (groups: /(.)_)" in result.text
    assert "mean over groups 12.5%, standard deviation 12.5%" in result.text
    rows = rows_of(result.write(tmp_path / "o") / "predictions.csv")[1:]
    assert rows[2] == ["c/x_3", "1", "1", "x"] and rows[4] == ["c/y_1", "1", "0", "y"]


def test_lists_go_through_the_network(sample_data, tmp_path, monkeypatch):
    """The class names are next to the list."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run, data = write_run(tmp_path / "small"), sample_data / "data"
    train, test = sample_data / "train.txt", sample_data / "test.txt"
    options = {"test": test, "sampling": features.Sampling(clips=1)}
    result = Probe("knn")(run, data, train, **options)
    right = [label == given for _, label, given, _ in result.tables["predictions.csv"][1]]
    assert len(right) == 6 and result.accuracy == pytest.approx(np.mean(right))
    assert result.classes == (sample_data / "classes.txt").read_text().split()
    found = [features.extract(run, data, path, options["sampling"]) for path in (train, test)]
    again = Probe("knn")(videos=found[0], test=found[1])
    assert again.folds == result.folds and again.classes == result.classes


@pytest.mark.parametrize(
    ("train", "test", "settings", "words"),
    [
        ([0, 1, 2], [0, 3], {}, "that of a training video.* a/1 with label 3"),
        ([1, 1, 1], [1, 1], {}, "videos.*2 classes or more.*1 class, label 1"),
        ([0, -1, 2], [0, 2], {}, "videos: .*have a label. Received: a/1"),
        ([0, 1, 2], [-1, 2], {}, "test: .*have a label. Received: a/0"),
        ([0, 1, 2], [0, 1], {"k": 4}, "k.*=4"),
        ([0, 1, 2], [0, 1], {"C": 2}, "C.*=2"),
        ([0, 1, 2], [0, 1], {"classifier": "svm", "k": 2}, "k.*=2"),
        ([0, 1, 2], [0, 1], {"classifier": "forest"}, "classifier.*='forest'"),
        ([0, 1, 2], [0, 1], {"groups": "(a)"}, "test.*Features"),
        ([0, 1, 2], None, {}, "test.*=None"),
    ],
)
def test_rejects_unusable_probe_input(train, test, settings, words):
    sides = [None if n is None else of(np.eye(4)[: len(n)], n) for n in (train, test)]
    with pytest.raises(ValueError, match=words):
        Probe(**{"classifier": "knn", **settings})(videos=sides[0], test=sides[1])


def test_labels_and_groups_are_checked_before_anything_is_extracted(
    sample_data, tmp_path, monkeypatch
):
    run, data = write_run(tmp_path / "small"), sample_data / "data"
    monkeypatch.setattr(features, "extract", lambda *_, **__: pytest.fail("extracts"))
    (tmp_path / "train.txt").write_text("up/up_00 0\ndown/down_00 1\n")
    (tmp_path / "test.txt").write_text("up/up_01 2\n")
    (tmp_path / "all.txt").write_text("up/up_00 0\ndown/down_00 1\nup/up_01 2\ndown/down_01 1\n")
    train, test, everything = (tmp_path / f"{name}.txt" for name in ("train", "test", "all"))
    for settings, given, words in (
        ({}, {"videos": train, "test": test}, "up/up_01 with label 2"),
        ({"k": 3}, {"videos": train, "test": train}, "k.*=3"),
        ({"groups": r"_(\d+)$"}, {"videos": everything}, "up/up_00 with label 0"),
        ({"groups": "(x)"}, {"videos": everything}, "every id"),
    ):
        with pytest.raises(ValueError, match=words):
            Probe("knn", **settings)(run, data, **given)


# One number tells the classes apart; another, shared and ten times larger, drowns it in a cosine.
SHARED = [[x * 0.1, 10 + 5 * y] for x in (-1, 1) for y in (-0.9, -0.3, 0.3, 0.9)]
ASKED = [[x * 0.1, 10 + 5 * y] for x in (-1, 1) for y in (-0.95, 1)]


def test_whitening_reveals_classes_behind_shared_direction():
    trained, tested = of(SHARED, [0] * 4 + [1] * 4), of(ASKED, [0, 0, 1, 1], list("abcd"))
    result = Probe("knn", whiten=2)(videos=trained, test=tested)
    assert result.accuracy == 1 and result.whiten == 2
    assert "whitened to 2 dimensions by a PCA of the training videos" in result.text
    # The PCA sees the training alone: a far test video changes no other's neighbours.
    far = of([*ASKED, [1e6, -1e6]], [0, 0, 1, 1, 0], list("abcde"))
    rows = Probe("knn", whiten=2)(videos=trained, test=far).tables["predictions.csv"][1]
    assert [row[2] for row in rows[:4]] == [0, 0, 1, 1]
    with pytest.raises(ValueError, match="whiten must be below 8.*whiten=8"):
        Probe("knn", whiten=8)(videos=trained, test=tested)


def test_each_fold_is_whitened_without_held_out_group(monkeypatch):
    fitted = []
    monkeypatch.setattr(
        classifiers, "whitening", lambda v, n: fitted.append(len(v)) or features.whitening(v, n)
    )
    videos = [f"{group}_{number}" for group in "abcd" for number in range(2)]
    values = [SHARED[row] for row in (0, 4, 1, 5, 2, 6, 3, 7)]
    result = Probe("knn", groups="(.)_", whiten=2)(videos=of(values, [0, 1] * 4, videos))
    assert fitted == [6] * 4 and result.accuracy == 1


def test_rejects_separately_whitened_features():
    trained = features.whitened(of(SHARED, [0] * 4 + [1] * 4), 2)
    tested = features.whitened(of(ASKED, [0, 0, 1, 1], list("abcd")), 2)
    with pytest.raises(ValueError, match="videos must not be whitened"):
        Probe("knn")(videos=trained, test=tested)
