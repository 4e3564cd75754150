"""Prediction: windows, times and answers by closed forms; iterables of frames; memory."""

import dataclasses
import itertools
import os
import threading
import time

import cv2
import numpy as np
import pytest
from predicting import FRAMES, NAMES, bright, describe, film, grey, write_run

import mas
from mas import evaluate, features, lists, networks, records
from mas.prediction import classifier, footage, sources, stream
from mas.prediction.settings import Windows
from mas.prediction.windows import cut


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "bright")


def numbered(count, rate=25.0):
    """Yields (time, image) of frames whose pixels encode their number."""
    return ((n / rate, np.full((1, 1, 3), n % 256, np.uint8)) for n in range(count))


def seen(found):
    return [part.frames[:, 0, 0, 0].tolist() for part in found]


@pytest.mark.parametrize(
    ("count", "length", "stride", "starts"),
    [(16, 4, 1, range(0, 13, 2)), (17, 4, 3, (0, 5)), (4, 4, 1, (0,)), (5, 2, 1, range(4))],
)
def test_windows_start_every_half_span(count, length, stride, starts):
    found = list(cut(numbered(count), length, stride))
    assert seen(found) == [[s + stride * n for n in range(length)] for s in starts]
    span = (length - 1) * stride + 1
    times = [(s / 25, (s + span) / 25) for s in starts]
    assert np.allclose([(part.start, part.end) for part in found], times)
    assert not any(part.again for part in found)


@pytest.mark.parametrize("every", [0.04, 0.1, 0.25, 1 / 3, 2.0])
@pytest.mark.parametrize("rate", [25.0, 30000 / 1001])
def test_windows_start_at_frames_nearest_to_multiples(every, rate):
    starts = {int(turn * every * rate + 0.5) for turn in range(200)}
    found = list(cut(numbered(100, rate), 4, 1, every, rate))
    assert [row[0] for row in seen(found)] == sorted(s for s in starts if s + 4 <= 100)


def test_windows_follow_timestamps_of_pausing_video():
    times = [0.0, 0.04, 0.08, 5.0, 5.04, 5.08, 5.12]
    frames = [(t, np.full((1, 1, 3), n, np.uint8)) for n, t in enumerate(times)]
    assert seen(cut(frames, 2, 1, 1.0)) == [[0, 1], [3, 4]]


@pytest.mark.parametrize(
    ("count", "stride", "frames"),
    [(1, 1, [0] * 4), (3, 1, [0, 1, 2, 0]), (3, 2, [0, 2, 0, 2]), (6, 2, [0, 2, 4, 0])],
)
def test_short_video_wraps(count, stride, frames):
    (found,) = cut(numbered(count), 4, stride)
    assert seen([found]) == [frames] and found.again
    assert (found.start, found.end) == (0, pytest.approx(count / 25))


def test_no_frames_give_no_windows():
    assert list(cut([], 4)) == []


def test_answers_and_times(run, tmp_path):
    values = [*range(0, 250, 25), 250]
    path = film(tmp_path / "a.avi", values)
    found = list(mas.predict(run, path))
    starts = range(0, len(values) - FRAMES + 1, FRAMES // 2)
    expected = [bright(values[s : s + FRAMES]) for s in starts]
    assert np.allclose([window.scores[1] for window in found], expected, atol=1e-5)
    assert np.allclose([window.start for window in found], [s / 25 for s in starts])
    assert [window.number for window in found] == list(range(len(starts)))
    assert {window.video for window in found} == {"a"}
    first = found[0]
    assert first.name == "dark" and first.top(1) == [("dark", pytest.approx(1 - expected[0], 1e-4))]
    assert repr(first) == f"Window('a', 0.00 to 0.16 s: dark {first.probability:.2f})"


@pytest.mark.slow
def test_mean_equals_test_on_overlapping_clips(run, tmp_path):
    for name, start in (("a", 40), ("b", 140), ("c", 90)):
        film(tmp_path / f"{name}.avi", range(start, start + (9 if name < "c" else 3) * 3, 3))
    entries = [lists.Entry(name, 0) for name in "abc"]
    sampling = features.Sampling(clips=0, how="overlapping")
    tested = evaluate.action.scores(
        networks.load(run / "model.keras"),
        run / "model.keras",
        records.open_data(tmp_path),
        entries,
        sampling,
    )
    found = list(mas.predict(run, tmp_path))
    means = [np.mean([w.scores for w in found if w.video == v], 0) for v in "abc"]
    assert np.allclose(means, tested.values, atol=1e-6)


def test_batches_mix_windows_of_several_videos(run, tmp_path):
    for name in "abcde":
        film(tmp_path / f"{name}.avi", [20] * 7)  # 2 windows
    sizes = []

    def scores(clips):
        sizes.append(len(clips))
        return np.zeros((len(clips), 2))

    opened = dataclasses.replace(described(run / "model.keras"), scores=scores)
    videos = [footage.Footage(name, tmp_path / f"{name}.avi") for name in "abcde"]
    found = list(stream.events(opened, videos, Windows(batch=4, decoders=3)))
    assert sizes == [4, 4, 2]
    kinds = [type(event).__name__[0] for _, event in found]
    assert "".join(kinds) == "OWWE" * 5
    assert [video.name for video, _ in found] == [name for name in "abcde" for _ in range(4)]


class Counted(np.ndarray):
    """A frame that counts how many instances exist."""

    alive = most = 0

    def __array_finalize__(self, other):
        """Begins to be."""
        Counted.alive += 1
        Counted.most = max(Counted.most, Counted.alive)

    def __del__(self):
        """Is gone."""
        Counted.alive -= 1


def counted(count):
    Counted.alive = Counted.most = 0
    return (grey([number % 256])[0].view(Counted) for number in range(count))


def test_frames_are_kept_for_one_window_only(run):
    found = cut(((n / 25, image) for n, image in enumerate(counted(1000))), FRAMES)
    assert sum(1 for _ in found) == (1000 - FRAMES) // 2 + 1
    assert FRAMES <= Counted.most <= 2 * FRAMES + 2  # and the views that stack them


def test_full_size_frames_are_not_kept(run):
    found = mas.predict(run, counted(1000), fps=25, batch=4)
    assert sum(1 for _ in found) == (1000 - FRAMES) // 2 + 1
    assert 1 <= Counted.most <= 4


def test_thumbnails_are_few_and_spread_out(tmp_path):
    for count in (1, 7, 100, 1001):
        kept = footage.Pictures(8)
        for time_, frame in numbered(count):
            kept.add(time_, frame)
        assert min(count, 8) <= len(kept.kept) < 16
        steps = np.diff([time_ for time_, _ in kept.kept])
        assert len(steps) == 0 or np.ptp(steps) < 1e-9


def test_frames_of_iterable_are_answered_immediately(run):
    """The first prediction arrives before the second window is complete."""
    go = threading.Event()

    def frames():
        yield from grey([200] * FRAMES)
        assert go.wait(60)
        yield from grey([10] * 2)

    found = mas.predict(run, frames(), fps=10)
    assert next(found).name == NAMES[1]
    go.set()
    (last,) = found
    assert last.start == pytest.approx(0.2) and last.end == pytest.approx(0.6)


def test_frames_are_resampled_to_training_rate(tmp_path):
    run = write_run(tmp_path / "run", method="none", form="shards", size=[24, 16], fps=5.0)
    values = list(range(0, 240, 10))
    found = list(mas.predict(run, list(grey(values)), fps=10))
    shown = values[::2]  # 5 of 10 a second; the last is shown to the end
    expected = [bright(shown[s : s + FRAMES]) for s in range(0, len(shown) - FRAMES + 1, 2)]
    assert np.allclose([w.scores[1] for w in found], expected, atol=1e-5)
    path = film(tmp_path / "a.avi", values, rate=10.0)
    assert np.allclose([w.scores for w in mas.predict(run, path)], [w.scores for w in found])
    own = mas.predict(run, path, fps=0)
    assert len(list(own)) == (len(values) - FRAMES) // 2 + 1


def test_error_in_frames_is_raised_where_it_occurs(run):
    def frames():
        yield from grey([200] * FRAMES)
        raise ZeroDivisionError("the camera")

    found = mas.predict(run, frames(), fps=10)
    assert next(found).label == 1
    with pytest.raises(ZeroDivisionError, match="the camera"):
        next(found)


def test_closing_generator_stops_reading(run):
    read = []

    def frames():
        for number in itertools.count():
            read.append(number)
            yield grey([number % 256])[0]

    found = mas.predict(run, frames(), fps=10)
    next(found)
    found.close()
    time.sleep(0.3)
    count = len(read)
    time.sleep(0.2)
    assert len(read) == count


@pytest.mark.parametrize(
    ("videos", "options", "message"),
    [
        ("nowhere", {}, "videos must be a video file or a folder.*'nowhere': no such file"),
        ([], {"fps": 25}, "videos must be an iterable of one frame or more.*none"),
        ([np.zeros((2, 2))], {"fps": 25}, r"frames must be uint8.*float64 \(2, 2\)"),
        (grey([1] * 9), {}, "fps must be the rate of the frames.*fps=None"),
        (grey([1] * 9), {"fps": -1}, "fps must be above 0. Received: fps=-1"),
        (iter(["a.avi"]), {}, "fps must be the rate.*or videos a list, where they are paths"),
        (grey([1] * 9), {"fps": 25, "every": 0}, "every must be at least 0.001.*every=0"),
        (3, {}, "videos must be paths, or frames. Received: videos=3"),
    ],
)
def test_bad_input(run, videos, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        list(mas.predict(run, videos, **options))


def test_file_in_run_folder_is_accepted_as_classifier(run):
    for name in ("model.keras", "backbone.keras"):
        classifier.check(run / name)


def test_open_classifier_keeps_its_settings(run):
    opened = described(run / "model.keras", stride=3)
    opened = dataclasses.replace(opened, scores=lambda clips: np.full((len(clips), 2), 0.5))
    first, *_ = mas.predict(opened, grey([1] * 30), fps=10)
    assert first.end == pytest.approx(1.0)
    with pytest.raises(ValueError, match="stride must be left out.*stride=2"):
        mas.predict(opened, grey([1] * 30), fps=10, stride=2)


def test_damaged_file_raises_unless_handled(run, tmp_path):
    film(tmp_path / "a.avi", [10] * 40)
    (tmp_path / "b.avi").write_bytes(b"no video")
    film(tmp_path / "c.avi", [250] * 4)
    with pytest.raises(ValueError, match=r"b\.avi must be a whole video.*not a video"):
        list(mas.predict(run, tmp_path))
    failed = {}
    found = list(mas.predict(run, tmp_path, failed=failed.__setitem__))
    assert {w.video for w in found} == {"a", "c"}
    assert failed == {str(tmp_path / "b.avi"): "not a video that the decoder can open"}


def test_names_of_videos(tmp_path):
    for name in ("one/walk/x.mp4", "two/walk/x.mp4", "two/y.avi"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    one, two = tmp_path / "one", tmp_path / "two"
    assert list(sources.find(two)) == ["walk/x", "y"]
    assert list(sources.find([one, two])) == ["walk/x", "two/walk/x", "y"]
    assert list(sources.find([one / "walk/x.mp4", two / "walk/x.mp4"])) == ["x", "walk/x"]
    assert list(sources.find([two / "y.avi", two, two / "y.avi"])) == ["y", "walk/x"]
    taken = sources.find(two / "y.avi", lambda name, path: name == "y")
    assert list(taken) == ["two/y"]


def test_long_names_leave_room_for_suffix(tmp_path):
    for end in "ab":
        (tmp_path / f"{124 * 'ü'}{end}.mp4").touch()
    found = list(sources.find(tmp_path))
    assert len(set(found)) == 2 and max(len(os.fsencode(name)) for name in found) <= 230
    assert all(name.startswith(110 * "ü") for name in found)
    assert found == list(sources.find(tmp_path))


def described(path, **windows):
    """A classifier whose network is not loaded."""
    known, stored = Windows(**windows), classifier.stored_of(path)
    task = features.Sampling(stride=known.stride).task(networks.described(path).clip, "rgb")
    return classifier.Classifier(path, NAMES, task, stored, stored.rate(known), None)


def test_classifier_describes_its_input(tmp_path):
    def said(path, **options):
        return described(path, **options).text().partition("Frames per second: ")[2]

    plain = describe(tmp_path / "plain")
    fixed = describe(tmp_path / "fixed", form="shards", method="dis", size=[24, 16], fps=12.5)
    others = describe(tmp_path / "others", form="folders")
    assert said(plain) == "each video's own (as in training)."
    assert said(plain, fps=10) == "10 (in training: each video's own)."
    assert said(fixed) == "12.5 (as in training)."
    assert said(fixed, fps=0) == "each video's own (in training: 12.5)."
    assert said(others) == "each video's own (in training: unknown)."
    assert "Windows of 4 frames, stride 2 (in training: 1)" in described(plain, stride=2).text()


def test_frames_are_resized_as_in_training(tmp_path):
    known = {"form": "shards", "method": "tvl1", "size": [30, 20], "flow_size": [60, 40]}
    opened = described(describe(tmp_path / "run", **known))
    frame = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    expected = frame
    for size in ((60, 40), (30, 20), (12, 8)):
        expected = cv2.resize(expected, size, interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(opened.see(frame), expected[:, 2:10])


@pytest.mark.parametrize(
    "data",
    [{"fps": "fast"}, {"fps": -1}, {"size": [10**9, 2]}, {"size": "wide"}, {"flow_size": [0, 0]}],
)
def test_settings_of_foreign_run_are_checked(tmp_path, data):
    stored = classifier.stored_of(describe(tmp_path / "run", **{"form": "shards", **data}))
    assert stored.fps is None and stored.sizes == ()
