"""Pace prediction: which frames a clip shows, at every pace, policy and boundary; what tells it."""

import csv
import dataclasses
import fractions

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from mas import augment, clips, records, tasks
from mas.tasks import contrast, pace, walks

PACES = ("1/3", "1/2", "1", "2", "3", "4")
LENGTHS = (1, 2, 3, 5, 8, 15, 16, 17, 31, 46, 61, 100)


def rng(seed=0):
    return np.random.default_rng(seed)


def shown(frames, text, start, length, loop):
    return walks.indices(frames, pace.parse_pace(text), start, length, loop).tolist()


# ---- the paces -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"), [("1", (1, 1)), ("4", (4, 1)), ("1/3", (1, 3)), ("2/4", (1, 2)), (3, (3, 1))]
)
def test_a_pace_is_whole_or_one_over_whole(text, value):
    assert pace.parse_pace(text) == fractions.Fraction(*value)


@pytest.mark.parametrize("text", ["0", "-1", "3/2", "1/0", "fast", "", "1/-2", "nan"])
def test_another_pace_is_refused(text):
    with pytest.raises(ValueError, match=f"pace must be written like 3 or 1/3. .* pace='{text}'"):
        pace.parse_pace(text)


def test_labels_are_places_in_ascending_order():
    task = tasks.task("pace", ["paces=3,1/3,2,1/2,1"])
    assert task.paces == ("1/3", "1/2", "1", "2", "3") and task.choice == ("pace", task.paces)
    for seed in range(40):
        frames, label = task.sample(100, None, rng(seed))
        assert frames[6] - frames[0] == [2, 3, 6, 12, 18][label]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["paces=1"], r"paces must be two or more different ones. Received: paces=\('1',\)"),
        (["paces="], r"Received: paces=\(\)"),
        (["paces=2,1,4/2"], r"Received: paces=\('2', '1', '4/2'\)"),
        (["paces=1,0"], "pace must be written like 3 or 1/3. Received: pace='0'"),
        (["loop=skip"], r"loop must be one of \['restrict', 'wrap', 'bounce'\]. .* loop='skip'"),
        (["jitter=often"], "jitter must be written like jitter=true. Received: 'often'"),
    ],
)
def test_wrong_choices_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        tasks.task("pace", options)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "contrast=same_class",
            r"contrast must be one of \['same_context', 'same_pace'\]. .*'same_class'",
        ),
        ("temperature=0", "temperature must be above 0. Received: temperature=0.0"),
        ("class_weight=-1", "class_weight must be 0 or more. Received: class_weight=-1.0"),
        ("projection=-1", "projection must be 0 or more. Received: projection=-1"),
        ("loop=skip", "loop must be one of"),
    ],
)
def test_wrong_contrasts_are_refused(option, message):
    with pytest.raises(ValueError, match=message):
        tasks.task("pace_contrast", [option])


# ---- the frames in closed form -------------------------------------------------------------------


def walk(frames, text, start, length, loop):
    """One step after the other, as a projector would: the reference of `indices`."""
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
@pytest.mark.parametrize("text", PACES)
def test_frames_are_those_of_a_walk_from_every_start(text, loop):
    for length in LENGTHS:
        for start in range(length):
            if loop == "restrict" and start + pace.span(16, pace.parse_pace(text)) > length:
                continue
            found = shown(16, text, start, length, loop)
            assert found == walk(16, text, start, length, loop), (length, start)
            assert 0 <= min(found) and max(found) < length


@pytest.mark.parametrize(("text", "span"), [*zip(PACES, (6, 8, 16, 31, 46, 61), strict=True)])
def test_a_video_that_is_exactly_as_long_as_the_clip(text, span):
    """All policies show the same, from its first frame to its last."""
    assert pace.span(16, pace.parse_pace(text)) == span
    value = fractions.Fraction(text)
    expected = [int(value * place) for place in range(16)]
    assert expected[0] == 0 and expected[-1] == span - 1
    for loop in walks.LOOPS:
        assert shown(16, text, 0, span, loop) == expected
        assert shown(16, text, 3, span + 3, loop) == [3 + place for place in expected]


@pytest.mark.parametrize(
    ("text", "start", "length", "loop", "expected"),
    [
        # The released code: where the next frame would lie beyond the last, frame 0 follows.
        ("1", 5, 7, "wrap", [5, 6, 0, 1, 2, 3, 4, 5]),
        ("2", 3, 7, "wrap", [3, 5, 0, 2, 4, 6, 0, 2]),
        ("3", 2, 7, "wrap", [2, 5, 0, 3, 6, 0, 3, 6]),
        ("4", 1, 3, "wrap", [1, 0, 0, 0, 0, 0, 0, 0]),
        ("1/2", 5, 7, "wrap", [5, 5, 6, 6, 0, 0, 1, 1]),
        ("1/3", 2, 3, "wrap", [2, 2, 2, 0, 0, 0, 1, 1]),
        ("1", 5, 7, "bounce", [5, 6, 5, 4, 3, 2, 1, 0]),
        ("2", 3, 7, "bounce", [3, 5, 5, 3, 1, 1, 3, 5]),
        ("3", 2, 7, "bounce", [2, 5, 4, 1, 2, 5, 4, 1]),
        ("4", 1, 3, "bounce", [1, 1, 1, 1, 1, 1, 1, 1]),
        ("1/2", 5, 7, "bounce", [5, 5, 6, 6, 5, 5, 4, 4]),
        # From the last frame on.
        ("1", 6, 7, "wrap", [6, 0, 1, 2, 3, 4, 5, 6]),
        ("4", 6, 7, "wrap", [6, 0, 4, 0, 4, 0, 4, 0]),
        ("1", 6, 7, "bounce", [6, 5, 4, 3, 2, 1, 0, 1]),
        ("1/3", 6, 7, "bounce", [6, 6, 6, 5, 5, 5, 4, 4]),
        # A single image.
        ("3", 0, 1, "wrap", [0] * 8),
        ("3", 0, 1, "bounce", [0] * 8),
        ("1/9", 0, 1, "restrict", [0] * 8),
    ],
)
def test_frames_by_hand(text, start, length, loop, expected):
    assert shown(8, text, start, length, loop) == expected


# ---- what is drawn -------------------------------------------------------------------------------


def draws(task, length, count=4000):
    """{label: list of frames} of many samples."""
    generator, found = rng(1), {label: [] for label in range(len(task.paces))}
    for _ in range(count):
        frames, label = task.sample(length, None, generator)
        assert frames.shape == (task.frames,) and label.shape == ()
        found[int(label)].append(frames)
    return {label: np.array(rows) for label, rows in found.items()}


@pytest.mark.parametrize("loop", walks.LOOPS)
@pytest.mark.parametrize("length", [61, 70])
def test_paces_are_drawn_evenly(loop, length):
    found = draws(pace.Pace(loop=loop), length)
    counts = [len(rows) for rows in found.values()]
    assert len(counts) == 4 and 920 < min(counts) and max(counts) < 1080


@pytest.mark.parametrize("loop", ["restrict", "bounce"])
def test_all_paces_show_the_same_parts_of_a_video(loop):
    """Else a clip at the video's end would be a fast one. Mean of the frames: (70 - 1) / 2."""
    found = draws(pace.Pace(loop=loop), 70)
    for label, frames in found.items():
        steps = np.diff(frames, axis=1)
        assert (steps == label + 1).all(), "no jump"
        assert frames.min() <= 3 and frames.max() >= 66
        assert frames.mean() == pytest.approx(34.5, abs=1.5)


def test_under_wrap_every_pace_starts_anywhere():
    for frames in draws(pace.Pace(loop="wrap"), 20).values():
        starts = np.bincount(frames[:, 0], minlength=20)
        assert len(starts) == 20 and starts.min() > 20, "50 each"


def test_a_short_video_bounces_and_starts_anywhere():
    for frames in draws(pace.Pace(loop="bounce"), 30).values():
        assert set(frames[:, 0]) == set(range(30))
        assert frames.min() == 0 and frames.max() == 29


def broken(frames, label):
    """Whether a clip does not go on at its pace everywhere: it has a jump cut or turns back."""
    return (np.diff(frames, axis=1) != label + 1).any(1)


@pytest.mark.parametrize("length", [30, 61, 168])
def test_how_often_each_pace_wraps(length):
    """The shortcut: min(1, pace * 15 / n) under wrap, never under restrict.

    Under bounce never where the video is long enough for all paces, else about as often as under
    wrap. 168 frames are the median of UCF101.
    """
    for loop in walks.LOOPS:
        if loop == "restrict" and length < 61:
            continue
        found = draws(pace.Pace(loop=loop), length)
        for label, frames in found.items():
            expected = min(1, (label + 1) * 15 / length)
            if loop == "restrict" or (loop == "bounce" and length >= 61):
                expected = 0
            assert broken(frames, label).mean() == pytest.approx(expected, abs=0.06), (loop, label)


def test_counting_jumps_tells_the_pace_under_wrap_and_nothing_under_restrict():
    """The best guess from the number of jumps back alone, for 64 frames of 168; chance 1/4."""
    accuracy = {}
    for loop, length in (("wrap", 168), ("restrict", 253)):
        found = draws(pace.Pace(loop=loop, frames=64), length)
        counts = {label: (np.diff(rows, axis=1) < 0).sum(1) for label, rows in found.items()}
        table = np.array([np.bincount(jumps, minlength=4) for jumps in counts.values()])
        accuracy[loop] = table.max(0).sum() / table.sum()
    assert accuracy["wrap"] > 0.46 and accuracy["restrict"] < 0.28


@pytest.mark.parametrize("loop", walks.LOOPS)
def test_a_start_that_is_given_is_the_first_frame(loop):
    task = pace.Pace(loop=loop)
    for seed in range(20):
        frames, label = task.sample(70, 9, rng(seed))
        assert frames.tolist() == [9 + (label + 1) * place for place in range(16)]


@pytest.mark.parametrize(
    ("loop", "length", "start", "needed"),
    [
        ("restrict", 60, None, 61),
        ("restrict", 60, 0, 61),
        ("restrict", 70, 10, 61),
        ("wrap", 5, 5, 1),
        ("bounce", 5, 5, 1),
    ],
)
def test_a_clip_that_leaves_its_video_is_refused_at_every_pace(loop, length, start, needed):
    for seed in range(8):
        with pytest.raises(
            ValueError,
            match=f"leave {needed} frames .* loop={loop}. Received: start={start or 0} of {length}",
        ):
            pace.Pace(loop=loop).sample(length, start, rng(seed))


@pytest.mark.parametrize(
    ("options", "span", "wraps"),
    [
        ({}, 61, False),
        ({"paces": ("1/2", "2"), "frames": 8}, 15, False),
        ({"paces": ("1/3", "1/2")}, 8, False),
        ({"loop": "wrap"}, 16, True),
        ({"loop": "bounce"}, 16, True),
    ],
)
def test_what_a_video_must_have(options, span, wraps):
    task = pace.Pace(**options)
    assert (task.span, task.wraps) == (span, wraps)


# ---- in the pipeline -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(sample_data):
    """Videos of 18 frames."""
    return records.open_data(sample_data / "data")


def reader(data, task, how="anywhere"):
    examples = clips.examples(data, None, task.span, how, least=task.least)
    return clips.Reader(data, examples, task, clips.Geometry((44, 32), 32), shuffle=False)


def test_a_clip_of_any_pace_decodes_its_own_frames_alone(data, monkeypatch):
    asked, read = [], data.read

    def spy(number, frames, flow_frames=()):
        asked.append((len(frames), int(np.max(frames) - np.min(frames)), len(flow_frames)))
        return read(number, frames, flow_frames)

    monkeypatch.setattr(data, "read", spy)
    found = reader(data, pace.Pace(paces=("1/2", "1", "2", "4"), frames=5, jitter=False))
    places = [(epoch, position) for epoch in range(2) for position in range(12)]
    targets = [int(found.clip(*place)["target"]) for place in places]
    assert set(targets) == {0, 1, 2, 3}
    assert asked == [(5, [2, 4, 8, 16][target], 0) for target in targets]


def test_short_videos_are_left_out_at_all_paces_alike_and_counted(data, caplog):
    with pytest.raises(ValueError, match="must hold a clip of 21 frames. Received: none"):
        reader(data, pace.Pace(frames=6))
    assert "12 of 12 list lines leave no clip of 21 frames" in caplog.text
    assert len(reader(data, pace.Pace(frames=6, loop="bounce")).examples) == 12


def test_colours_change_in_training_alone(data):
    task = pace.Pace(frames=5)
    clip = reader(data, task).clip(0, 3)
    x, y = task.example(clip)
    np.testing.assert_array_equal(x, augment.colour_jitter(clip["rgb"], clip["seed"]))
    assert (x.numpy() != clip["rgb"].numpy()).any() and x.dtype == tf.uint8
    assert (y["pace"].shape, y["pace"].dtype, y["pace"]) == ((), tf.int32, clip["target"])
    at_once = dataclasses.replace(task, jitter_per_frame=False).example(clip)[0]
    expected = augment.colour_jitter(clip["rgb"], clip["seed"], per_frame=False)
    np.testing.assert_array_equal(at_once, expected)
    for still in (task.testing(), dataclasses.replace(task, jitter=False)):
        np.testing.assert_array_equal(still.example(clip)[0], clip["rgb"])


def test_two_clips_of_a_video_have_paces_and_places_of_their_own(data):
    task = pace.PaceContrast(paces=("1", "2", "3"), frames=5, jitter=False)
    found = reader(data, task)
    pairs = set()
    for position in range(12):
        (first, second), labels = task.sample(18, None, rng(position))
        assert [*np.diff(first), *np.diff(second)] == [1 + labels[0]] * 4 + [1 + labels[1]] * 4
        pairs.add((*labels.tolist(), first[0] == second[0]))
        clip = found.clip(0, position)
        x, y = task.example(clip)
        assert x.shape == (2, 5, 32, 32, 3) and y["pace"].shape == (2,)
    assert len(pairs) > 6
    given, _ = task.sample(18, 4, rng(0))
    assert given[0][0] == 4 and len({task.sample(18, 4, rng(s))[0][1][0] for s in range(20)}) > 5


@pytest.mark.parametrize("kind", ["same_context", "same_pace"])
def test_groups_are_videos_or_paces(data, kind):
    task = pace.PaceContrast(paces=("1", "2"), frames=5, contrast=kind, jitter=False)
    found = reader(data, task)
    (batch,) = found.once(12)
    groups, labels = batch[1]["embedding"].numpy(), batch[1]["pace"].numpy()
    if kind == "same_pace":
        np.testing.assert_array_equal(groups, labels)
        assert len(np.unique(labels)) == 2
    else:
        assert (groups[:, 0] == groups[:, 1]).all() and len(np.unique(groups)) == 12
        again = task.example(found.clip(5, 3))[1]["embedding"]
        assert (again.numpy() == groups[3]).all(), "another clip of the video, another epoch"


# ---- losses and outputs --------------------------------------------------------------------------


def test_the_loss_is_cross_entropy_and_the_metric_the_share_of_right_clips():
    logits = rng(3).normal(size=(5, 3)).astype(np.float32)
    labels = np.array([0, 2, 1, 1, 0])
    ((name, (function, weight)),) = pace.Pace(paces=("1", "2", "3")).losses().items()
    likely = np.exp(logits)[range(5), labels] / np.exp(logits).sum(1)
    assert (name, weight) == ("pace", 1)
    found = function({"pace": labels}, {"pace": logits})
    np.testing.assert_allclose(found, -np.log(likely), rtol=1e-5)
    (accuracy,) = pace.Pace().metrics().values()
    found = accuracy({"pace": labels}, {"pace": logits})
    np.testing.assert_array_equal(found, logits.argmax(1) == labels)


def test_two_clips_of_an_example_count_half_each():
    task = pace.PaceContrast(class_weight=0.5, contrast_weight=2, temperature=0.3)
    logits = rng(4).normal(size=(3, 2, 4)).astype(np.float32)
    labels = rng(5).integers(0, 4, (3, 2))
    (function, weight), (contrasted, other) = task.losses().values()
    assert (weight, other) == (0.5, 2)
    likely = np.take_along_axis(np.exp(logits), labels[..., None], -1)[..., 0]
    expected = -np.log(likely / np.exp(logits).sum(-1)).mean(1)
    found = function({"pace": labels}, {"pace": logits})
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    (accuracy,) = task.metrics().values()
    right = (logits.argmax(-1) == labels).mean(1)
    np.testing.assert_allclose(accuracy({"pace": labels}, {"pace": logits}), right)
    groups = np.array([[1, 1], [2, 2], [3, 3]])
    found = contrasted({"embedding": groups}, {"embedding": logits})
    np.testing.assert_array_equal(found, contrast.loss(logits, groups, 0.3, True))


@pytest.mark.parametrize(("projection", "size"), [(0, 6), (5, 5)])
def test_the_embedding_is_the_mean_or_a_projection_of_it(projection, size):
    inputs = keras.Input((2, 3, 3, 6))
    backbone = keras.Model(inputs, keras.layers.Activation("relu")(inputs), name="some")
    model = tasks.PaceContrast(projection=projection).model(backbone)
    x = rng(6).normal(size=(4, 2, 3, 3, 6)).astype(np.float32)
    outputs = model(x)
    assert outputs["embedding"].shape == (4, size) and outputs["pace"].shape == (4, 4)
    if not projection:
        mean = np.maximum(x, 0).mean((1, 2, 3))
        np.testing.assert_allclose(outputs["embedding"], mean, rtol=1e-5)
    else:
        assert model.get_layer("embedding_hidden").units == 6


# ---- the script ----------------------------------------------------------------------------------


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def train(script, sample_data, run, *more):
    small = "--resize=44x32 --size=32 --width=0.125 --preset=rgb --initializer=he --batch=4"
    data = [f"--data={sample_data / 'data'}", f"--run={run}", "--frames=8", "--clips=anywhere"]
    with script("train.py", *small.split(), "--epochs=1", *data, *more) as module:
        return module.main(["train.py"])


@pytest.mark.parametrize(
    "more", [["--task=pace"], ["--task=pace_contrast", "--contrast=same_pace"]]
)
def test_a_run_ends_with_accuracy_and_confusion(script, sample_data, tmp_path, caplog, more):
    """Ten draws of each held-out video, twice as many clips where an example is two."""
    (tmp_path / "task.flags").write_text("--paces=1/2,1,2\n--jitter=false\n")
    held = [f"--list={sample_data / 'train.txt'}", f"--held_out={sample_data / 'test.txt'}"]
    run, flagfile = tmp_path / "run", f"--flagfile={tmp_path / 'task.flags'}"
    assert train(script, sample_data, run, flagfile, *more, *held) == 0
    clips_tested = 60 * len(more)
    names, counts = ["1/2", "1", "2"], table(run / "confusion.csv")
    assert counts[0][1:] == names == [row[0] for row in counts[1:]]
    confusion = np.array([row[1:] for row in counts[1:]], int)
    assert confusion.sum() == clips_tested and (confusion.sum(1) > 5).all()
    ((_, accuracy),) = table(run / "test.csv")[1:]
    expected = confusion.trace() / clips_tested
    assert float(accuracy) == pytest.approx(expected, abs=1e-5)
    assert [row[:2] for row in table(run / "per_class.csv")] == [
        ["class", "clips"],
        *([name, str(count)] for name, count in zip(names, confusion.sum(1), strict=True)),
    ]
    assert cv2.imread(str(run / "confusion.png")) is not None
    assert f"pace_accuracy {expected:.4f}\nchance 0.3333" in caplog.text
    assert "Test on 60 examples, videos: held-out (" in caplog.text
    flags = (run / "flags.txt").read_text().splitlines()
    assert {"--paces=1/2,1,2", "--jitter=false", *more} <= set(flags)

    before = {path.name: path.read_bytes() for path in run.glob("*.csv")}
    assert train(script, sample_data, run, f"--flagfile={run / 'flags.txt'}") == 0
    assert {path.name: path.read_bytes() for path in run.glob("*.csv")} == before


def test_without_held_out_videos_it_says_so(script, sample_data, tmp_path, caplog):
    caplog.set_level("INFO", logger="absl")
    more = ["--task=pace", "--paces=1,2", "--nojitter", f"--list={sample_data / 'train.txt'}"]
    assert train(script, sample_data, tmp_path / "run", *more) == 0
    assert "Test on 6 examples, videos: those that were trained on." in caplog.text
    assert (tmp_path / "run" / "confusion.csv").is_file()


def test_a_task_without_a_choice_is_tested_on_held_out_videos_alone(
    script, sample_data, tmp_path, caplog
):
    caplog.set_level("INFO", logger="absl")
    with script("train.py", "--list=x") as module:
        assert module._tested(None, tasks.Statistics(), None) is None
    more = ["--task=mas", "--option=branches=appearance"]
    held = f"--held_out={sample_data / 'train.txt'}"
    assert train(script, sample_data, tmp_path / "held", *more, held) == 0
    assert not (tmp_path / "held" / "confusion.csv").exists()
    assert "6 held-out videos are trained on as well, such as down/down_01." in caplog.text
    rows = table(tmp_path / "held" / "test.csv")
    assert len(rows) == 1 + 1 + 13 and "appearance_error " in caplog.text


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--paces=1,3/2", "pace must be written like 3 or 1/3. Received: pace='3/2'"),
        ("--contrast=same_pace", "option must be one of ['jitter', 'jitter_per_frame', 'loop'"),
        ("--loop=skip", "loop must be one of"),
        ("--modality=flow", "modality must be rgb for task=pace"),
        ("--paces=1,9", "must hold a clip of 64 frames. Received: none"),
    ],
)
def test_wrong_flags_are_named_before_work_starts(
    script, sample_data, tmp_path, caplog, flag, words
):
    assert train(script, sample_data, tmp_path / "run", "--task=pace", flag) == 2
    assert words in caplog.text and not (tmp_path / "run").exists()


def test_help_names_what_a_task_has(script):
    with script("train.py") as module:
        flags = module.cli.FLAGS
        words = flags["loop"].help
        assert words.startswith(
            "[task] Of pace, pace_contrast, moco, vtdl, dsm, dsm_triplet: restrict, bounce"
        )
        defaults = (
            "(default: restrict of pace, pace_contrast; wrap of moco, vtdl, dsm, dsm_triplet)"
        )
        assert words.endswith(defaults)
        assert flags["patterns"].help.startswith("[task] Of mas: partition patterns among 1, 2, 3")
        assert "pace_contrast" in flags["task"].help
        for name, (_, text) in tasks.fields().items():
            assert name in flags and ":" in text and "(default: " in text


def test_bounce_stays_inside_a_long_video_wherever_it_starts():
    """Starts of non-overlapping clips: a turn at the end would tell the pace."""
    task = pace.Pace(loop="bounce")
    for start in range(0, 200, 16):
        for seed in range(20):
            frames, label = task.sample(200, start, rng(seed))
            assert (np.diff(frames) == int(label) + 1).all()
