"""Probes: classes that can be told apart by eye, folds counted by hand."""

import csv
import json

import numpy as np
import pytest
from evaluating import evaluate, sample_flags, write_features, write_run

from mas.evaluate import features, probe

# Two classes on either side of zero in the first number; the second, far larger, says nothing.
TRAIN = [[-1, 900], [-2, -1000], [1, 1000], [2, -900]]
LABELS = [0, 0, 1, 1]


def make(name, **options):
    return lambda: probe.classifier(name, **options)


def test_linear_probes_are_standardised():
    tested = features.Features(np.array([[3.0, 999], [-3, -999]]), ["a", "b"], np.array([1, 0]), {})
    for name in ("linear", "svm"):
        found = probe.fit_predict(make(name), TRAIN, LABELS, tested)
        assert found.tolist() == [1, 0], name
        assert probe.classifier(name)[0].fit(TRAIN).mean_.tolist() == [0, 0]


def test_nearest_go_by_angle_and_vote():
    values = [[1, 0], [50, 1], [0, 1], [1, 50], [1, 45]]
    labels = [0, 1, 1, 0, 0]
    tested = features.Features(np.array([[9.0, 0], [0, 0.1]]), ["a", "b"], np.array([0, 0]), {})
    expected = {1: [0, 1], 3: [0, 0], 5: [0, 0]}
    for k, labels_of in expected.items():
        assert probe.fit_predict(make("knn", k=k), values, labels, tested).tolist() == labels_of


def test_leaving_one_group_out_never_trains_on_it():
    """Each video's nearest lies in its own group, where its label is another."""
    values = np.array([[1, 0], [1, 0.01], [0, 1], [0.01, 1], [1, 0.1], [0.1, 1]], np.float32)
    labels = np.array([0, 1, 1, 0, 0, 1])
    names = ["y", "y", "x", "x", "z", "z"]
    found = features.Features(values, list("abcdef"), labels, {})
    folds = probe.leave_one_out(found, names, make("knn"))
    assert [fold.name for fold in folds] == ["x", "y", "z"]
    assert [fold.tested.tolist() for fold in folds] == [[2, 3], [0, 1], [4, 5]]
    # x sees y and z: its nearest is f, label 1; y sees x and z: e, label 0; z: b and d
    assert [fold.predicted.tolist() for fold in folds] == [[1, 1], [0, 0], [1, 0]]


def test_groups_are_what_the_first_group_matches():
    videos = ["run/ann_run1", "run/ann_run2", "walk/bob_walk"]
    assert probe.groups(videos, r"/(\w+?)_") == ["ann", "ann", "bob"]
    assert probe.groups(videos, "^(run|walk)(/)") == ["run", "run", "walk"]
    for pattern, words in (
        (r"/(\w+?", "must be a regular expression"),
        (r"/\w+_", "must have a group in brackets"),
        ("(ann)", "must match every id. Received: 'walk/bob_walk'"),
        ("ann|b(o)b", "must match every id. Received: 'run/ann_run1'"),
        ("(/)", "groups must be two or more. Received: '/' for all"),
    ):
        with pytest.raises(ValueError, match=words):
            probe.groups(videos, pattern)


def test_a_probe_that_does_not_converge_says_so(monkeypatch, caplog):
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(40, 30)), rng.integers(0, 3, 40)
    tested = features.Features(values[:2], ["a", "b"], labels[:2], {})
    probe.fit_predict(make("linear"), values, labels, tested)
    assert "has not converged" not in caplog.text

    def short():
        model = probe.classifier("linear", C=1e6)
        model[-1].max_iter = 1
        return model

    probe.fit_predict(short, values, labels, tested)
    assert "has not converged" in caplog.text


# ---- the command ---------------------------------------------------------------------------------


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_a_split_by_hand(script, tmp_path, caplog):
    train = write_features(tmp_path / "train.npz", TRAIN, LABELS)
    videos = ["b/0", "b/1", "b/2", "a/3"]
    values = [[5, 0], [4, 1], [-5, 0], [-4, 1]]
    tested = write_features(tmp_path / "test.npz", values, [1, 0, 0, 0], videos)
    (tmp_path / "classes.txt").write_text("left\nright\n")
    flags = [f"--train_list={train}", f"--test_list={tested}", f"--output={tmp_path / 'out'}"]
    flags += ["--classifier=linear", f"--classes={tmp_path / 'classes.txt'}"]
    assert evaluate(script, "probe", *flags) == 0
    told = json.loads((tmp_path / "out" / "probe.json").read_text())
    assert told["accuracy"] == 3 / 4 and told["mean_class"] == pytest.approx((2 / 3 + 1) / 2)
    assert told["confusion"] == [[2, 1], [0, 1]] and told["classes"] == ["left", "right"]
    assert "logistic regression (C = 1) on standardised features" in told["paragraph"]
    assert "Test on 4 videos" in caplog.text and "trained on 4 (" in caplog.text
    assert "Accuracy: 75.0%, mean over classes 83.3%" in caplog.text
    assert "1 test videos are trained on as well, such as a/3" in caplog.text
    assert rows_of(tmp_path / "out" / "predictions.csv")[:3] == [
        ["video", "label", "predicted", "group"],
        ["b/0", "1", "1", "test"],
        ["b/1", "0", "1", "test"],
    ]
    assert rows_of(tmp_path / "out" / "per_class.csv")[1:] == [
        ["left", "3", "0.6667"], ["right", "1", "1.0000"]
    ]  # fmt: skip
    assert (tmp_path / "out" / "confusion.png").is_file()


KNOWN = {"network": "c3d", "how": "uniform", "clips": [10, 10], "pooling": "average"}
KNOWN |= {"size": 56, "resize": [85, 64], "frames": 16, "modality": "rgb", "failures": {}}


@pytest.mark.parametrize("static", [False, True])
def test_training_features_made_otherwise_are_said_to_be(script, tmp_path, static):
    facts = KNOWN | {"static": static}
    train = write_features(tmp_path / "train.npz", TRAIN, LABELS, **facts)
    tested = write_features(tmp_path / "test.npz", TRAIN, LABELS, **(KNOWN | {"static": False}))
    flags = [f"--train_list={train}", f"--test_list={tested}", f"--output={tmp_path / 'out'}"]
    assert evaluate(script, "probe", *flags, "--classifier=svm", "--seed=7") == 0
    told = json.loads((tmp_path / "out" / "probe.json").read_text())
    assert told["train_facts"] == facts and told["facts"]["static"] is False
    text = told["paragraph"]
    assert "a linear SVM (C = 1, seed 7) on standardised" in text
    assert text.count("Network: c3d") == 1 + static
    assert ("The training videos: Network" in text) == static == ("frame repeated" in text)


def test_groups_by_hand(script, tmp_path, caplog):
    """By angle y_1 is nearest to all of x but x_2, whose nearest is y_2; they to x_1 and x_2."""
    videos = ["c/y_1", "c/y_2", "c/x_1", "c/x_2", "c/x_3", "c/x_4"]
    values = [[1, 0], [0, 1], [1, 0.1], [0.1, 1], [1, 0.2], [1, 0.3]]
    labels = [1, 0, 0, 1, 1, 0]  # x gets 1, 0, 1, 1: x_3 alone is right; y gets 0, 1: none is
    path = write_features(tmp_path / "all.npz", values, labels, videos)
    flags = [f"--list={path}", "--groups=/(.)_", "--classifier=knn", f"--output={tmp_path / 'o'}"]
    assert evaluate(script, "probe", *flags) == 0
    told = json.loads((tmp_path / "o" / "probe.json").read_text())
    assert told["folds"] == {"x": 1 / 4, "y": 0} and told["accuracy"] == pytest.approx(1 / 6)
    assert told["standard_deviation"] == pytest.approx(1 / 8)
    assert "leave one group out, 2 groups by /(.)_" in caplog.text
    assert "mean over groups 12.5%, standard deviation 12.5%" in caplog.text
    rows = rows_of(tmp_path / "o" / "predictions.csv")[1:]
    assert rows[2] == ["c/x_3", "1", "1", "x"] and rows[4] == ["c/y_1", "1", "0", "y"]


@pytest.mark.parametrize("name", probe.CLASSIFIERS)
def test_lists_go_through_the_network(script, sample_data, tmp_path, monkeypatch, name):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run = write_run(tmp_path / "small")
    flags = [*sample_flags(sample_data, run, "train_list", "test_list"), "--clips=1"]
    flags += [f"--classifier={name}", f"--output={tmp_path / 'out'}"]
    assert evaluate(script, "probe", *flags) == 0
    told = json.loads((tmp_path / "out" / "probe.json").read_text())
    rows = rows_of(tmp_path / "out" / "predictions.csv")[1:]
    assert len(rows) == 6
    assert told["accuracy"] == pytest.approx(np.mean([row[1] == row[2] for row in rows]))


@pytest.mark.parametrize(
    ("train", "test", "more", "words"),
    [
        (
            [0, 1, 2],
            [0, 3],
            [],
            "label must be that of a training video. Received: a/1 with label 3",
        ),
        ([1, 1, 1], [1, 1], [], "train.npz must hold 2 classes or more. Received: 1 class"),
        ([0, -1, 2], [0, 2], [], "train.npz: every video must have a label. Received: a/1"),
        ([0, 1, 2], [-1, 2], [], "test.npz: every video must have a label. Received: a/0"),
        ([0, 1, 2], [0, 1], ["--k=4"], "k must be at most 3, the training videos. Received: k=4"),
        ([0, 1, 2], [0, 1], ["--C=2"], "C must not be given. Received: --classifier=knn"),
        ([0, 1, 2], [0, 1], ["--classifier=svm", "--k=2"], "k must not be given"),
        ([0, 1, 2], [0, 1], ["--groups=(a)"], "--train_list and --test_list, or --list and"),
        ([0, 1, 2], [0, 1], ["--test_list="], "Received: --train_list."),
        ([0, 1, 2], [0, 1], ["--test_list=x.txt"], "a list must come with --model and --data"),
        ([0, 1, 2], [0, 1], ["--clips=3"], "Received: --clips"),
        ([0, 1, 2], [0, 1], ["--seed=3"], "Received: --seed"),
    ],
)
def test_what_cannot_be_probed_is_refused(script, tmp_path, caplog, train, test, more, words):
    paths = [tmp_path / "train.npz", tmp_path / "test.npz"]
    for path, labels in zip(paths, (train, test), strict=True):
        write_features(path, np.eye(4)[: len(labels)], labels)
    flags = [f"--train_list={paths[0]}", f"--test_list={paths[1]}", "--classifier=knn"]
    assert evaluate(script, "probe", *flags, f"--output={tmp_path / 'out'}", *more) == 2
    assert words in caplog.text and not (tmp_path / "out").exists()


def test_a_class_of_one_group_alone_is_refused(script, tmp_path, caplog):
    path = write_features(tmp_path / "f.npz", np.eye(4), [0, 1, 0, 2], ["x1", "x2", "y1", "y2"])
    flags = [f"--list={path}", "--groups=(.)", "--classifier=knn", f"--output={tmp_path / 'o'}"]
    assert evaluate(script, "probe", *flags) == 2
    assert "must be that of a training video. Received: x2 with label 1" in caplog.text
