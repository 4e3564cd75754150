"""Dynamic scenes: leaving one video out, with known answers."""

import json

import numpy as np
import pytest
from evaluating import rows_of, write_run
from sklearn import svm

from mas import features
from mas.evaluate import Scenes, scenes


def of(values, labels):
    videos = [f"scene{label}/{row:03d}" for row, label in enumerate(labels)]
    return features.Features(np.asarray(values, np.float32), videos, np.asarray(labels), {})


def test_separable_scenes_are_classified():
    """Each class has its own direction; lengths differ, but features are scaled."""
    labels = np.repeat(np.arange(14), 5)
    lengths = np.random.default_rng(0).uniform(1, 1000, 70)[:, None]
    found = of(np.eye(14)[labels] * lengths, labels)
    np.testing.assert_array_equal(scenes.leave_one_out(found), labels)


# The last of class 0 leans to class 1, in a direction of its own.
LEANING = ([[1, 0, 0]] * 3 + [[0, 1, 2]] + [[0, 1, 0]] * 4, [0, 0, 0, 0, 1, 1, 1, 1])


def test_tested_video_is_left_out_of_training():
    """The ambiguous video would be classified correctly if it were in the training set."""
    values, labels = np.array(LEANING[0], float), LEANING[1]
    assert svm.SVC(C=1000, kernel="linear").fit(values, labels).predict(values[3:4]) == 0
    assert scenes.leave_one_out(of(values, labels), C=1000).tolist() == [0, 0, 0, 1, 1, 1, 1, 1]


def test_equals_a_linear_svm_on_the_features():
    """Equals an SVM fitted directly on the unit features, with C in units of their variance."""
    draw = np.random.default_rng(3)
    labels = np.repeat(np.arange(3), 8)
    values = draw.random((24, 6)) + 0.4 * np.eye(3, 6)[labels]
    found = of(values, labels)
    units = found.values / np.linalg.norm(found.values, axis=1, keepdims=True)
    expected = []
    for left in range(24):
        others = np.arange(24) != left
        inside = units[others].astype(float)
        variance = np.square(inside - inside.mean(0)).sum(1).mean()
        model = svm.SVC(C=3.0 / variance, kernel="linear").fit(inside, labels[others])
        expected.append(model.predict(units[left : left + 1].astype(float))[0])
    assert scenes.leave_one_out(found, C=3.0).tolist() == expected
    assert 0.4 < np.mean(expected == labels) < 1, "neither trivial nor hopeless"


@pytest.mark.parametrize("offset", [0, 30])
def test_leave_one_out_is_not_biased_against_own_class(offset):
    """Features without a class are at chance, 1 in 7; with one they are told, however alike.

    With C = 1 for the unit features themselves, both would be 0.
    """
    draw = np.random.default_rng(0)
    labels = np.arange(140) % 7
    noise = scenes.leave_one_out(of(offset + draw.random((140, 64)), labels))
    assert 0.05 < np.mean(noise == labels) < 0.25
    classes = offset + draw.random((140, 64)) / 10 + np.eye(7, 64)[labels]
    np.testing.assert_array_equal(scenes.leave_one_out(of(classes, labels)), labels)


def test_rejects_input_for_leave_one_out(monkeypatch):
    with pytest.raises(ValueError, match="two videos or more. Received: one video of label 2"):
        scenes.leave_one_out(of(np.ones((5, 2)), [0, 0, 1, 1, 2]))
    monkeypatch.setattr(scenes, "MOST_VIDEOS", 4)
    with pytest.raises(ValueError, match="videos.*at most 4.*=5"):
        scenes.leave_one_out(of(np.ones((5, 2)), [0, 0, 1, 1, 1]))


def test_protocol_by_hand(tmp_path):
    result = Scenes(C=1000)(videos=of(*LEANING), classes=["beach", "storm"])
    assert result.accuracy == 7 / 8 and result.confusion.tolist() == [[3, 1], [0, 4]]
    assert "Accuracy: 87.5%" in result.text
    folder = result.write(tmp_path / "out")
    assert json.loads((folder / "scenes.json").read_text())["classes"] == ["beach", "storm"]
    rows = rows_of(folder / "predictions.csv")
    assert rows[0] == ["video", "label", "predicted"] and rows[4] == ["scene0/003", "0", "1"]


def test_list_is_evaluated_on_overlapping_clips(sample_data, tmp_path, monkeypatch, caplog):
    asked = {}

    def extract(source, data, videos, sampling, **_):
        asked.update(videos=videos, how=sampling.how)
        return of(np.repeat(np.eye(6), 2, 0), np.repeat(np.arange(6), 2))

    monkeypatch.setattr(features, "extract", extract)
    run, data, listed = write_run(tmp_path / "small"), sample_data / "data", tmp_path / "all.txt"
    both = [(sample_data / f"{name}.txt").read_text() for name in ("train", "test")]
    listed.write_text("".join(both))
    result = Scenes()(run, data, listed, sampling=features.Sampling(clips=3))
    assert asked == {"videos": listed, "how": "overlapping"} and result.accuracy == 1
    assert "ignoring clips=3" in caplog.text
    asked.clear()
    with pytest.raises(ValueError, match="two videos or more. Received: one video of label 0"):
        Scenes()(run, data, sample_data / "test.txt")
    assert not asked, "refused before anything is extracted"
