"""Accuracies of small arrays, counted by hand."""

import csv

import cv2
import numpy as np
import pytest
import tensorflow as tf

from mas import accuracy, clips
from mas.training import testing

# Six videos of six classes, of which none has class 4. Each row's order of the classes is plain.
SCORES = np.array(
    [
        [0.50, 0.20, 0.10, 0.08, 0.07, 0.05],  # 0: right
        [0.05, 0.50, 0.20, 0.10, 0.08, 0.07],  # 0: the least likely of all
        [0.10, 0.60, 0.12, 0.08, 0.06, 0.04],  # 1: right
        [0.10, 0.20, 0.30, 0.25, 0.10, 0.05],  # 3: the second
        [0.30, 0.20, 0.10, 0.15, 0.20, 0.05],  # 2: the fifth
        [0.02, 0.03, 0.05, 0.10, 0.20, 0.60],  # 5: right
    ]
)
LABELS = [0, 0, 1, 3, 2, 5]
NAMES = ["bend", "jump", "run", "skip", "walk", "wave, both hands"]


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_accuracies_and_confusion():
    result = accuracy.of_scores(SCORES, LABELS)
    assert (result.top1, result.top5) == (3 / 6, 5 / 6)
    expected = np.zeros((6, 6), int)
    for true, likeliest in ((0, 0), (0, 1), (1, 1), (3, 2), (2, 0), (5, 5)):
        expected[true, likeliest] += 1
    np.testing.assert_array_equal(result.confusion, expected)
    np.testing.assert_array_equal(result.per_class, [0.5, 1, 0, 0, np.nan, 1])
    assert result.mean_class == (0.5 + 1 + 0 + 0 + 1) / 5


def test_ties_go_to_the_lower_class():
    result = accuracy.of_scores(np.full((3, 7), 1 / 7), [0, 4, 5])
    assert result.top1 == 1 / 3 and result.top5 == 2 / 3
    assert result.confusion[:, 0].tolist() == [1, 0, 0, 0, 1, 1, 0]


@pytest.mark.parametrize("label", [-1, 6])
def test_rejects_label_outside_classes(label):
    with pytest.raises(ValueError, match=f"label.*={label}"):
        accuracy.of_scores(SCORES, [0, 0, 1, label, 2, 5])


def test_video_with_several_labels_counts_once_per_label():
    examples = clips.Examples(*np.array([[7, 2, 7, 7], [0, 0, 8, 16], [1, 1, 0, 1]]))
    scores = np.array([[0, 1], [0.5, 0.5], [1, 0], [0.5, 0.5]])
    numbers, means, labels = testing.of_videos(scores, examples)
    assert (numbers.tolist(), labels.tolist()) == ([2, 7, 7], [1, 0, 1])
    np.testing.assert_array_equal(means, [[0.5, 0.5], [1, 0], [0.25, 0.75]])


def test_video_score_is_mean_over_clips():
    """The logits are stored in the clips; batches of 2, 2 and 1."""
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    seen = []

    def model(clips, training):
        seen.append(training)
        return {"logits": clips}

    batches = tf.data.Dataset.from_tensor_slices((logits, np.zeros(5))).batch(2)
    scores = testing.clip_scores(testing.predictor(model), batches, 5)
    np.testing.assert_allclose(scores, np.exp(logits) / np.exp(logits).sum(1)[:, None], rtol=1e-5)
    assert set(seen) == {False}
    numbers, means = testing.video_scores(scores, np.array([7, 2, 7, 7, 2]))
    assert numbers.tolist() == [2, 7]
    np.testing.assert_allclose(means, [scores[[1, 4]].mean(0), scores[[0, 2, 3]].mean(0)])


def test_written_results_read_back_equal(tmp_path):
    result = accuracy.of_scores(SCORES, LABELS)
    accuracy.write(result, NAMES, tmp_path)
    assert rows_of(tmp_path / "per_class.csv") == [
        ["class", "videos", "accuracy"],
        ["bend", "2", "0.5000"],
        ["jump", "1", "1.0000"],
        ["run", "1", "0.0000"],
        ["skip", "1", "0.0000"],
        ["walk", "0", "nan"],
        ["wave, both hands", "1", "1.0000"],
    ]
    header, *rows = rows_of(tmp_path / "confusion.csv")
    assert header[1:] == NAMES == [row[0] for row in rows]
    np.testing.assert_array_equal(np.array(rows)[:, 1:].astype(int), result.confusion)
    picture = cv2.imread(str(tmp_path / "confusion.png"))
    assert min(picture.shape[:2]) > 300 and picture.std() > 10
    with pytest.raises(ValueError):
        accuracy.write(result, NAMES[:5], tmp_path)
    found = accuracy.read(tmp_path)
    assert (found.top1, found.top5) == (result.top1, None)
    np.testing.assert_array_equal(found.confusion, result.confusion)


def test_scores_csv_has_one_row_per_video():
    videos = ["b/1", "a/2", "ü, 3"]
    header, rows = accuracy.score_table(videos, LABELS[:3], SCORES[:3])
    assert header == ("video", "label", "predicted", 0, 1, 2, 3, 4, 5)
    assert [row[:3] for row in rows] == [("b/1", 0, 0), ("a/2", 0, 1), ("ü, 3", 1, 1)]
    np.testing.assert_array_equal(np.array([row[3:] for row in rows], float), SCORES[:3])


def test_confusion_picture_is_replaced_atomically_and_grows_with_classes(tmp_path, monkeypatch):
    from matplotlib import figure

    result = accuracy.of_scores(np.eye(21), np.arange(21))
    accuracy.write(result, [f"class {number}" for number in range(21)], tmp_path)
    before = (tmp_path / "confusion.png").read_bytes()
    assert cv2.imread(str(tmp_path / "confusion.png")).shape[0] > 900

    def broken(self, target, **options):
        getattr(target, "write", getattr(target, "write_bytes", None))(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(figure.Figure, "savefig", broken)
    with pytest.raises(OSError, match="disk full"):
        accuracy.write(accuracy.of_scores(SCORES, LABELS), NAMES, tmp_path)
    assert (tmp_path / "confusion.png").read_bytes() == before


def test_accuracies_as_terminal_text():
    lines = accuracy.text(accuracy.of_scores(SCORES, LABELS), NAMES).splitlines()
    assert lines[0] == "top-1 0.5000, top-5 0.8333, mean over classes 0.5000, 6 videos"
    assert lines[1] == "  bend               50.0%  |   1   1   0   0   0   0"
    assert lines[5] == "  walk           no videos  |   0   0   0   0   0   0"
    assert len(lines) == 7
    lines = accuracy.text(accuracy.of_scores(np.eye(21), np.arange(21)), ["c"] * 21).splitlines()
    assert len(lines) == 22 and "|" not in lines[1], "a large confusion"
    assert "top-5" not in accuracy.text(accuracy.of_scores(np.eye(5), np.arange(5)), NAMES[:5])


def test_class_names_from_argument_or_file(tmp_path):
    (tmp_path / "all_classes.txt").write_text("run\nwalk\n")
    beside = tmp_path / "all.txt"
    assert accuracy.class_names(None, 1, beside, ["x", "y"]) == ["run", "walk"]
    assert accuracy.class_names(None, 2, beside, ["x", "y", "z"]) == ["x", "y", "z"], "too few"
    assert accuracy.class_names(None, 3, beside, ["x"]) == ["0", "1", "2", "3"]
    assert accuracy.class_names(tmp_path / "all_classes.txt", 0) == ["run", "walk"]
    with pytest.raises(ValueError, match="classes.*3 or more"):
        accuracy.class_names(["a", "b"], 2)
