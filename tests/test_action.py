"""Action recognition: every number on arrays small enough to count by hand."""

import csv

import cv2
import numpy as np
import pytest
import tensorflow as tf

from mas.evaluate import action

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


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_files_are_whole_or_as_they_were(tmp_path, monkeypatch):
    """A picture that breaks off, and an id that is no UTF-8."""
    from matplotlib import figure

    result = action.report(SCORES, LABELS)
    action.write(result, NAMES, tmp_path)
    before = (tmp_path / "confusion.png").read_bytes()

    def broken(self, target, **options):
        getattr(target, "write", getattr(target, "write_bytes", None))(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(figure.Figure, "savefig", broken)
    with pytest.raises(OSError, match="disk full"):
        action.write(result, NAMES, tmp_path)
    assert (tmp_path / "confusion.png").read_bytes() == before
    action.write_scores(tmp_path / "scores.csv", ["caf\udce9"], [0], np.array([[0.25, 0.75]]))
    lines = (tmp_path / "scores.csv").read_bytes().splitlines()
    assert lines == [b"video,label,predicted,0,1", b"caf\xe9,0,1,0.25000,0.75000"]


def test_a_video_scores_the_mean_of_its_clips():
    scores = np.array([[1, 0], [0, 1], [0.5, 0.5], [0, 1], [0.2, 0.8]], np.float32)
    numbers, means = action.video_scores(scores, np.array([7, 2, 7, 7, 2]))
    assert numbers.tolist() == [2, 7]
    np.testing.assert_allclose(means, [[0.1, 0.9], [0.5, 0.5]], atol=1e-7)


def test_accuracies_and_confusion():
    result = action.report(SCORES, LABELS)
    assert result.top1 == 3 / 6
    assert result.top5 == 5 / 6
    expected = np.zeros((6, 6), int)
    for true, likeliest in ((0, 0), (0, 1), (1, 1), (3, 2), (2, 0), (5, 5)):
        expected[true, likeliest] += 1
    np.testing.assert_array_equal(result.confusion, expected)
    np.testing.assert_array_equal(result.per_class, [0.5, 1, 0, 0, np.nan, 1])
    assert result.mean_class == (0.5 + 1 + 0 + 0 + 1) / 5


def test_ties_go_to_the_lower_class():
    result = action.report(np.full((3, 7), 1 / 7), [0, 4, 5])
    assert result.top1 == 1 / 3 and result.top5 == 2 / 3
    assert result.confusion[:, 0].tolist() == [1, 0, 0, 0, 1, 1, 0]


def test_with_five_classes_or_fewer_all_are_among_the_five():
    assert action.report(np.array([[0.9, 0.1], [0.9, 0.1]]), [1, 0]).top5 == 1


@pytest.mark.parametrize("label", [-1, 6])
def test_a_label_that_is_no_class_is_refused(label):
    with pytest.raises(ValueError, match=rf"label must be in 0\.\.5\. Received: label={label}\."):
        action.report(SCORES, [0, 0, 1, label, 2, 5])


def test_clip_scores_are_probabilities_of_every_clip():
    """A network whose logits are the clip's own numbers, in batches of 2, 2 and 1."""
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    seen = []

    def model(clips, training):
        seen.append(training)
        return {"logits": clips}

    batches = tf.data.Dataset.from_tensor_slices((logits, np.zeros(5))).batch(2)
    scores = action.clip_scores(model, batches, 5)
    np.testing.assert_allclose(scores, np.exp(logits) / np.exp(logits).sum(1)[:, None], rtol=1e-5)
    assert set(seen) == {False}


def test_what_is_written_reads_back(tmp_path):
    result = action.report(SCORES, LABELS)
    action.write(result, NAMES, tmp_path)
    assert read(tmp_path / "per_class.csv") == [
        ["class", "videos", "accuracy"],
        ["bend", "2", "0.5000"],
        ["jump", "1", "1.0000"],
        ["run", "1", "0.0000"],
        ["skip", "1", "0.0000"],
        ["walk", "0", "nan"],
        ["wave, both hands", "1", "1.0000"],
    ]
    header, *rows = read(tmp_path / "confusion.csv")
    assert header[1:] == NAMES == [row[0] for row in rows]
    np.testing.assert_array_equal(np.array(rows)[:, 1:].astype(int), result.confusion)
    picture = cv2.imread(str(tmp_path / "confusion.png"))
    assert min(picture.shape[:2]) > 300 and picture.std() > 10


def test_the_picture_grows_with_the_classes(tmp_path):
    result = action.report(np.eye(21), np.arange(21))
    action.write(result, [f"class {number}" for number in range(21)], tmp_path)
    assert cv2.imread(str(tmp_path / "confusion.png")).shape[0] > 900
    assert len(read(tmp_path / "confusion.csv")) == 22


def test_other_than_one_name_a_class_is_refused(tmp_path):
    with pytest.raises(ValueError):
        action.write(action.report(SCORES, LABELS), NAMES[:5], tmp_path)


def test_scores_of_every_video_are_written(tmp_path):
    videos = ["b/1", "a/2", "ü, 3"]
    action.write_scores(tmp_path / "scores.csv", videos, LABELS[:3], SCORES[:3])
    header, *rows = read(tmp_path / "scores.csv")
    assert header == ["video", "label", "predicted", "0", "1", "2", "3", "4", "5"]
    assert [row[:3] for row in rows] == [["b/1", "0", "0"], ["a/2", "0", "1"], ["ü, 3", "1", "1"]]
    np.testing.assert_array_equal(np.array(rows)[:, 3:].astype(float), SCORES[:3])


def test_text_for_a_terminal():
    lines = action.text(action.report(SCORES, LABELS), NAMES).splitlines()
    assert lines[0] == "top-1 0.5000, top-5 0.8333, mean over classes 0.5000, 6 videos"
    assert lines[1] == "  bend               50.0%  |   1   1   0   0   0   0"
    assert lines[5] == "  walk                nan%  |   0   0   0   0   0   0"
    assert len(lines) == 7


def test_text_leaves_out_a_large_confusion():
    lines = action.text(action.report(np.eye(21), np.arange(21)), ["c"] * 21).splitlines()
    assert len(lines) == 22 and "|" not in lines[1]
