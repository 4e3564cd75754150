"""Pace prediction: frames of a clip at every pace, policy and boundary; leaks of the pace."""

import fractions

import keras
import numpy as np
import pytest

from mas import augment, clips, losses, records, tasks
from mas.settings import Clip
from mas.tasks import pace, pace_contrast, walks

PACES = ("1/3", "1/2", "1", "2", "3", "4")
LENGTHS = (1, 2, 3, 5, 8, 15, 16, 17, 31, 46, 61, 100)


def rng(seed=0):
    return np.random.default_rng(seed)


def shown(frames, text, start, length, loop):
    return walks.indices(frames, pace.parse_pace(text), start, length, loop).tolist()


def short(kind=tasks.Pace, frames=5, **settings):
    return kind(**settings).bound(Clip(frames, 32, (44, 32)))


# ---- the settings --------------------------------------------------------------------------------


def test_labels_are_positions_in_sorted_paces():
    task = tasks.Pace(paces=(3, "1/3", "2", "2/4", "1"))
    assert task.paces == ("1/3", "1/2", "1", "2", "3") and task.choice == ("pace", task.paces)
    for seed in range(40):
        frames, label = task.sample(100, None, rng(seed))
        assert frames[6] - frames[0] == [2, 3, 6, 12, 18][label]


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        *(
            (tasks.Pace, {"paces": ("1", text)}, f"paces.*3 or 1/3.*{text!r}")
            for text in ("0", "3/2", "1/0", "fast", "1/-2", "nan")
        ),
        (tasks.Pace, {"paces": "1"}, r"paces must be two .*paces=\('1',\)"),
        (tasks.Pace, {"paces": ("2", "1", "4/2")}, r"paces=\('2', '1', '2'\)"),
        (tasks.PaceContrast, {"contrast": "same_class"}, "contrast.*contrast='same_class'"),
    ],
)
def test_wrong_settings(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**settings)


# ---- the frames in closed form -------------------------------------------------------------------


def walk(frames, text, start, length, loop):
    """The reference for `indices`: one step after the other."""
    step = fractions.Fraction(text)
    step, repeats = step.numerator, step.denominator
    place, forward, found = start, True, []
    while len(found) < frames:
        found += [place] * repeats
        if loop == "wrap":
            place = place + step if place + step < length else 0
        elif loop == "restrict":
            place += step
        else:
            for _ in range(step if length > 1 else 0):
                if place + (1 if forward else -1) not in range(length):
                    forward = not forward
                place += 1 if forward else -1
    return found[:frames]


@pytest.mark.parametrize("loop", walks.LOOPS)
@pytest.mark.parametrize(("text", "span"), [*zip(PACES, (6, 8, 16, 31, 46, 61), strict=True)])
def test_frames_equal_stepwise_walk(text, span, loop):
    assert pace.span(16, pace.parse_pace(text)) == span
    for length in LENGTHS:
        for start in range(length):
            if loop == "restrict" and start + span > length:
                continue
            found = shown(16, text, start, length, loop)
            assert found == walk(16, text, start, length, loop), (length, start)
            assert 0 <= min(found) and max(found) < length
    expected = [int(fractions.Fraction(text) * place) for place in range(16)]
    assert shown(16, text, 3, span + 3, loop) == [3 + place for place in expected], "it fits"


@pytest.mark.parametrize(
    ("text", "start", "length", "loop", "expected"),
    [
        # The released code: where the next frame would lie beyond the last, frame 0 follows.
        ("3", 2, 7, "wrap", [2, 5, 0, 3, 6, 0, 3, 6]),
        ("1/3", 2, 3, "wrap", [2, 2, 2, 0, 0, 0, 1, 1]),
        ("2", 3, 7, "bounce", [3, 5, 5, 3, 1, 1, 3, 5]),
        ("1/9", 0, 1, "restrict", [0] * 8),
    ],
)
def test_frames_by_hand(text, start, length, loop, expected):
    assert shown(8, text, start, length, loop) == expected


# ---- what is drawn -------------------------------------------------------------------------------


def draws(task, length, count=4000):
    """Draws many samples: {label: their frames}."""
    generator, found = rng(1), {label: [] for label in range(len(task.paces))}
    for _ in range(count):
        frames, label = task.sample(length, None, generator)
        found[int(label)].append(frames)
    return {label: np.array(rows) for label, rows in found.items()}


@pytest.mark.parametrize(
    ("loop", "length"),
    [("wrap", 30), ("wrap", 61), ("wrap", 168), ("bounce", 30), ("bounce", 61), ("restrict", 61)],
)
def test_how_often_each_pace_wraps(loop, length):
    """The share of clips with a jump: min(1, pace * 15 / n) under wrap, 0 under restrict.

    Under bounce never where the video is long enough for all paces, else about as often as under
    wrap. 168 frames are the median of UCF101.
    """
    found = draws(tasks.Pace(loop=loop), length)
    for label, frames in found.items():
        assert 920 < len(frames) < 1080, "paces are drawn evenly"
        expected = min(1, (label + 1) * 15 / length)
        if loop == "restrict" or (loop == "bounce" and length >= 61):
            expected = 0
        else:
            starts = np.bincount(frames[:, 0], minlength=length)
            assert len(starts) == length and (starts > 0).mean() > 0.95, "anywhere"
        broken = (np.diff(frames, axis=1) != label + 1).any(1)
        assert broken.mean() == pytest.approx(expected, abs=0.06), label


@pytest.mark.parametrize("loop", ["restrict", "bounce"])
def test_all_paces_cover_video_equally(loop):
    """Otherwise, clips near the end would be fast ones. The mean frame is (70 - 1) / 2."""
    for frames in draws(tasks.Pace(loop=loop), 70).values():
        assert frames.min() <= 3 and frames.max() >= 66
        assert frames.mean() == pytest.approx(34.5, abs=1.5)


def test_jumps_reveal_pace_under_wrap_but_not_restrict():
    """Guesses from the number of jumps, for 64 frames of 168; chance is 1/4."""
    accuracy = {}
    for loop, length in (("wrap", 168), ("restrict", 253)):
        found = draws(short(frames=64, loop=loop), length)
        counts = {label: (np.diff(rows, axis=1) < 0).sum(1) for label, rows in found.items()}
        table = np.array([np.bincount(jumps, minlength=4) for jumps in counts.values()])
        accuracy[loop] = table.max(0).sum() / table.sum()
    assert accuracy["wrap"] > 0.46 and accuracy["restrict"] < 0.28


@pytest.mark.parametrize("loop", walks.LOOPS)
def test_given_start_is_first_frame(loop):
    """Except under bounce, where a turn at the end would reveal the pace."""
    task = tasks.Pace(loop=loop)
    for seed in range(20):
        frames, label = task.sample(70, 9, rng(seed))
        assert frames.tolist() == [9 + (label + 1) * place for place in range(16)]
        frames, label = tasks.Pace(loop="bounce").sample(200, 16 * (seed % 12), rng(seed))
        assert (np.diff(frames) == int(label) + 1).all()


@pytest.mark.parametrize(
    ("loop", "length", "start", "needed"),
    [("restrict", 60, None, 61), ("restrict", 70, 10, 61), ("wrap", 5, 5, 1), ("bounce", 5, 5, 1)],
)
def test_rejects_clip_outside_video_at_every_pace(loop, length, start, needed):
    for seed in range(8):
        with pytest.raises(ValueError, match=f"{needed} frames.*loop={loop}.*{start or 0} of"):
            tasks.Pace(loop=loop).sample(length, start, rng(seed))
    spans = [task.span for task in (tasks.Pace(), tasks.Pace(paces=("1/3", "1/2")), short())]
    assert spans == [61, 8, 17] and tasks.Pace(loop=loop).wraps == (needed == 1)


# ---- in the pipeline -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(sample_data):
    """Videos of 18 frames."""
    return records.open_data(sample_data / "data")


def reader(data, task):
    examples = clips.examples(data, None, task.span, "anywhere", least=task.least)
    return clips.Reader(data, examples, task, clips.Geometry((44, 32), 32), shuffle=False)


def test_clip_decodes_only_its_own_frames(data, monkeypatch):
    asked, read = [], data.read

    def spy(number, frames, flow_frames):
        asked.append((len(frames), int(np.ptp(frames)), len(flow_frames)))
        return read(number, frames, flow_frames)

    monkeypatch.setattr(data, "read", spy)
    found = reader(data, short(paces=("1/2", "1", "2", "4"), jitter=False))
    targets = [int(found.clip(epoch, n)["target"]) for epoch in range(2) for n in range(12)]
    assert set(targets) == {0, 1, 2, 3}
    assert asked == [(5, [2, 4, 8, 16][target], 0) for target in targets]


def test_short_videos_are_skipped_at_all_paces_and_counted(data, caplog):
    with pytest.raises(ValueError, match="clip of 21 frames. Received: none"):
        reader(data, short(frames=6))
    assert "12 of 12 list lines are too short for a clip of 21 frames" in caplog.text
    assert len(reader(data, short(frames=6, loop="bounce")).examples) == 12


def test_colour_jitter_applies_only_in_training(data):
    task = short()
    clip = reader(data, task).clip(0, 3)
    for changed, per_frame in ((task, True), (short(jitter_per_frame=False), False)):
        x, y = changed.example(clip)
        expected = augment.colour_jitter(clip["rgb"], clip["seed"], per_frame=per_frame)
        np.testing.assert_array_equal(x, expected)
        assert (x.numpy() != clip["rgb"].numpy()).any() and y["pace"] == clip["target"]
    for still in (task.testing(), short(jitter=False)):
        np.testing.assert_array_equal(still.example(clip)[0], clip["rgb"])


def test_two_clips_of_video_have_independent_paces_and_starts():
    task, pairs = short(tasks.PaceContrast, paces=("1", "2", "3")), set()
    for seed in range(12):
        (first, second), labels = task.sample(18, None, rng(seed))
        assert [*np.diff(first), *np.diff(second)] == [1 + labels[0]] * 4 + [1 + labels[1]] * 4
        pairs.add((*labels.tolist(), first[0] == second[0]))
    assert len(pairs) > 6
    given = [task.sample(18, 4, rng(seed))[0][:, 0] for seed in range(20)]
    assert {start for start, _ in given} == {4} and len({start for _, start in given}) > 5


@pytest.mark.parametrize("kind", pace_contrast.CONTRASTS)
def test_groups_are_videos_or_paces(data, kind):
    task = short(tasks.PaceContrast, paces=("1", "2"), contrast=kind, jitter=False)
    found = reader(data, task)
    ((x, y),) = found.once(12)
    groups, labels = y["embedding"].numpy(), y["pace"].numpy()
    assert x.shape == (12, 2, 5, 32, 32, 3) and labels.shape == (12, 2)
    if kind == "same_pace":
        np.testing.assert_array_equal(groups, labels)
        assert len(np.unique(labels)) == 2
    else:
        assert (groups[:, 0] == groups[:, 1]).all() and len(np.unique(groups)) == 12
        again = task.example(found.clip(5, 3))[1]["embedding"]
        assert (again.numpy() == groups[3]).all(), "another clip of the video, another epoch"


# ---- losses and outputs --------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (3, 2)])
def test_loss_and_accuracy_are_means_over_an_examples_clips(shape):
    logits, labels = (
        rng(4).normal(size=(*shape, 4)).astype(np.float32),
        rng(5).integers(0, 4, shape),
    )
    task = tasks.PaceContrast(class_weight=0.5, contrast_weight=2, temperature=0.3)
    task = task if len(shape) > 1 else tasks.Pace()
    (function, weight), *others = task.losses().values()
    likely = np.take_along_axis(np.exp(logits), labels[..., None], -1)[..., 0]
    expected = -np.log(likely / np.exp(logits).sum(-1)).reshape(shape[0], -1).mean(1)
    found = function({"pace": labels}, {"pace": logits})
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    (accuracy,) = task.metrics().values()
    right = (logits.argmax(-1) == labels).reshape(shape[0], -1).mean(1)
    np.testing.assert_allclose(accuracy({"pace": labels}, {"pace": logits}), right)
    assert [weight, *(w for _, w in others)] == ([0.5, 2] if others else [1])
    for contrast, _ in others:
        groups = np.array([[1, 1], [2, 2], [3, 3]])
        found = contrast({"embedding": groups}, {"embedding": logits})
        np.testing.assert_array_equal(found, losses.contrast(logits, groups, 0.3, True))


@pytest.mark.parametrize(("projection", "size"), [(0, 6), (5, 5)])
def test_embedding_is_mean_or_projection(projection, size):
    inputs = keras.Input((2, 3, 3, 6))
    backbone = keras.Model(inputs, keras.layers.ReLU()(inputs), name="some")
    x = rng(6).normal(size=(4, 2, 3, 3, 6)).astype(np.float32)
    found = tasks.PaceContrast(projection=projection).model(backbone)(x)
    assert found["embedding"].shape == (4, size) and found["pace"].shape == (4, 4)
    if not projection:
        mean = np.maximum(x, 0).mean((1, 2, 3))
        np.testing.assert_allclose(found["embedding"], mean, rtol=1e-5)
