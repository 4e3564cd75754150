"""Tasks: settings, targets, losses, and shared checks that every task passes."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from mas import augment, clips, networks, records, statistics, tasks, training
from mas.settings import Clip, Network
from mas.tasks.task import Task
from mas.training import distribution, optimizers

SIZE = 32
SMALL = Network("c3d", width=0.125, preset="rgb", initializer="he")
POOLED = dataclasses.replace(SMALL, head="pooled")
FLOW = dataclasses.replace(POOLED, modality="flow")
CROP = Clip(size=24, resize=(SIZE, SIZE))  # of the tasks that crop for themselves
QUEUE = {"queue": 64, "temperature": 0.5}


def rng(seed=0):
    return np.random.default_rng(seed)


def small(task, network=SMALL):
    return task.bound(CROP if task.whole else Clip(size=SIZE, resize=(SIZE, SIZE)), network)


def clip_for(task, seed=0, label=2):
    """A clip of noise, as `mas.clips` hands it to a task."""
    draw = rng(seed)
    views = () if task.views is None else (task.views,)
    clip = {
        "rgb": draw.integers(0, 256, (*views, task.frames, SIZE, SIZE, 3)).astype(np.uint8),
        "flow": draw.normal(0, 3, (*views, task.frames - 1, SIZE, SIZE, 2)).astype(np.float32),
        "label": np.int32(label),
        "target": task.sample(64, None, draw)[1],
        "video": b"video %d" % seed,
        "seed": draw.integers(0, 2**31 - 1, 2, np.int32),
        "batch_seed": np.array([3, 5], np.int32),
    }
    unread = {"rgb", "flow"} - set(task.inputs)
    return {name: tf.constant(value) for name, value in clip.items() if name not in unread}


def batch_for(task, size=3):
    rows = [task.example(clip_for(task, seed, label=seed % 3)) for seed in range(size)]
    return tf.nest.map_structure(lambda *parts: tf.stack(parts), *rows)


def model_for(task):
    keras.utils.set_random_seed(0)
    shape = task.clip.shape(task.network.modality)
    return task.model(networks.build(task.network, shape))


# ---- the registry --------------------------------------------------------------------------------


def test_task_by_name():
    task = tasks.task("mas", branches="motion", patterns=(3, 1), appearance_weight=1)
    expected = tasks.Statistics(branches=("motion",), patterns=(3, 1), appearance_weight=1.0)
    assert task == expected and tasks.task(task) is task
    assert tasks.kind("mas.tasks.vtdl:VTDL") is tasks.VTDL
    assert tasks.name_of(tasks.VTDL()) == "vtdl" and tasks.name_of(Task()) == "mas.tasks.task:Task"


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("no.such.module:Task", {}, "task.*module:Class.*'no.such.module:Task'"),
        ("mas.tasks:Puzzle", {}, "task.*module:Class.*'mas.tasks:Puzzle'"),
        ("mas.clips:Reader", {}, "task.*mas.tasks.Task.*'mas.clips:Reader'"),
        ("mas", {"pace": 3}, "setting.*appearance_weight.*'pace'"),
        ("mas", {"patterns": (2, 2)}, r"patterns.*patterns=\(2, 2\)"),
        ("mas", {"branches": ()}, r"branches.*branches=\(\)"),
        ("mas", {"patterns": (), "global_labels": False}, r"patterns.*global_labels.*\(\)"),
        ("mas", {"motion_weight": float("nan")}, "motion_weight.*at least 0.*motion_weight=nan"),
    ],
)
def test_wrong_names_and_settings(name, settings, message):
    with pytest.raises(ValueError, match=message):
        tasks.task(name, **settings)


# ---- the targets of MAS --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(sample_data):
    return records.open_data(sample_data / "data")


def reader(data, task):
    examples = clips.examples(data, None, task.frames, "consecutive")
    return clips.Reader(data, examples, task, clips.Geometry((44, 32), SIZE), shuffle=False)


@pytest.mark.parametrize("options", [{}, {"colour": "mode", "patterns": (3, 2)}])
def test_targets_equal_statistics_of_clip(data, options):
    task = small(tasks.Statistics(**options))
    found, choice = reader(data, task), (task.patterns, task.global_labels)
    expected = []
    for position in range(len(found.examples)):
        clip = {name: value.numpy() for name, value in found.clip(0, position).items()}
        motion = statistics.motion(clip["flow"], *choice)
        appearance = statistics.appearance(clip["rgb"], *choice, colour=task.colour)
        expected.append((clip["rgb"], motion, appearance))
    assert len({motion.tobytes() for _, motion, _ in expected}) > 6, "clips must differ"
    batches = list(found.once(5, threads=4))
    assert [len(x) for x, _ in batches] == [5, 5, 2]
    for part, name in enumerate((None, "motion", "appearance")):
        values = np.concatenate([x if name is None else y[name] for x, y in batches])
        np.testing.assert_array_equal(values, [row[part] for row in expected])


EIGHT = [8, 9, 10, 11, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("options", "columns"),
    [
        ({"branches": ("motion",)}, {"motion": [*range(14)]}),
        ({"patterns": (1,)}, {"motion": [0, 1, 2, 3, 12, 13], "appearance": [0, 1, 2, 3, 12]}),
        ({"patterns": (3, 2), "global_labels": False}, {"motion": EIGHT, "appearance": EIGHT}),
        ({"patterns": ()}, {"motion": [12, 13], "appearance": [12]}),
    ],
)
def test_branches_patterns_and_global_labels_select_labels(options, columns):
    everything, task = tasks.Statistics(), small(tasks.Statistics(**options))
    clip = clip_for(small(everything))
    _, full = everything.example(clip)
    _, y = task.example({name: clip[name] for name in ("rgb", *task.inputs)})
    model = model_for(task)
    assert y.keys() == columns.keys() == task.losses().keys() == model.output.keys()
    for branch, places in columns.items():
        np.testing.assert_array_equal(y[branch], full[branch].numpy()[places])
        assert task.labels[branch] == tuple(everything.labels[branch][p] for p in places)
        assert model.output[branch].shape == (None, len(places))


def test_flow_is_read_only_for_motion_branch(data, monkeypatch):
    asked, read = [], data.read
    monkeypatch.setattr(
        data, "read", lambda *args: (asked.append([*map(len, args[1:])]), read(*args))[1]
    )
    for branch, network, inputs in (
        ("appearance", SMALL, {"rgb"}),
        ("motion", SMALL, {"rgb", "flow"}),
        ("motion", FLOW, {"flow"}),
    ):
        task = small(tasks.Statistics(branches=(branch,)), network)
        assert {"rgb", "flow"} & set(reader(data, task).clip(0, 0)) == inputs == set(task.inputs)
    assert asked == [[16, 0], [16, 15], [16, 15]]
    assert tasks.Classify(3).wraps and not small(tasks.Classify(3), FLOW).wraps, "flow never wraps"


def test_frames_are_consecutive_and_inside_video():
    frames, target = tasks.Statistics().sample(20, 4, rng())
    assert frames.tolist() == list(range(4, 20)) and target.size == 0
    drawn = {tuple(tasks.Statistics().sample(18, None, rng(seed))[0]) for seed in range(60)}
    assert drawn == {tuple(range(start, start + 16)) for start in range(3)}
    for length, start in ((15, None), (15, 0), (20, 5)):
        with pytest.raises(ValueError, match=f"16 frames.*start={start or 0} of {length}"):
            tasks.Statistics().sample(length, start, rng())


def test_stride_skips_frames_and_sums_flow(data):
    """The flow between two frames of the clip is the sum of all fields between them."""
    task = small(tasks.Statistics(stride=2), SMALL)
    count = task.frames
    assert (task.flows, task.span, task.step) == (2 * count - 2, 2 * count - 1, 2 * count)
    frames, _ = task.sample(2 * count + 1, None, rng(1))
    assert frames.tolist() == list(range(frames[0], frames[0] + 2 * count, 2))
    drawn = {int(task.sample(2 * count + 1, None, rng(seed))[0][0]) for seed in range(40)}
    assert drawn == {0, 1, 2}
    assert task.pairs(frames).tolist() == list(range(frames[0], frames[0] + 2 * count - 2))
    fields = rng().normal(0, 4, (task.flows, 32, 32, 2)).astype(np.float32)
    _, y = task.example(
        {"rgb": np.zeros((count, 32, 32, 3), np.uint8), "flow": tf.constant(fields)}
    )
    between = fields[::2] + fields[1::2]
    np.testing.assert_allclose(task._summed(tf.constant(fields)), between, rtol=1e-6, atol=1e-6)
    expected = statistics.motion(between, fields=count - 1)
    np.testing.assert_array_equal(y["motion"], expected)
    with pytest.raises(ValueError, match=f"{task.span} frames.*start=1 of {task.span}"):
        task.sample(task.span, 1, rng())
    with pytest.raises(ValueError, match="stride must be 1 with extra_flow. Received: stride=2"):
        tasks.Statistics(stride=2, extra_flow=True)
    for kind in (tasks.Statistics(stride=2), tasks.Classify(3, stride=2)):
        with pytest.raises(ValueError, match="stride must be 1 with modality=flow"):
            small(kind, FLOW).check()
    classify = small(tasks.Classify(3, stride=3), SMALL)
    assert classify.inside == classify.span == 3 * count - 2
    assert classify.sample(100, 4, rng())[0].tolist() == list(range(4, 4 + 3 * count, 3))


# ---- losses and metrics --------------------------------------------------------------------------


def step_of(task, model, rate=0.001):
    optimizer = optimizers.Momentum(rate, l2=0)
    keras.utils.set_random_seed(7)  # a queue starts at random
    trainer = training.Trainer(task, model, optimizer, training.strategy("none"))
    return trainer, trainer.step_function()


def test_step_equals_formulas():
    """Loss = 0.5 MSE(motion) + 0.1 MSE(appearance), means over batch and labels; section 3.4."""
    task = small(tasks.Statistics(motion_weight=0.5, appearance_weight=0.1, patterns=(2,)))
    model, (x, y) = model_for(task), batch_for(task)
    error = {name: value.numpy() - y[name].numpy() for name, value in model(x).items()}
    expected = {name: np.mean(value**2) for name, value in error.items()}
    expected["loss"] = 0.5 * expected["motion"] + 0.1 * expected["appearance"]
    for branch, labels in task.labels.items():
        expected[f"{branch}_error"] = np.abs(error[branch]).mean()
        for column, label in enumerate(labels):
            expected[f"{branch}/{label}"] = np.abs(error[branch][:, column]).mean()
    expected["learning_rate"] = 0.001
    trainer, step = step_of(task, model)
    found = dict(zip(trainer.names, step(x, y).numpy(), strict=True))
    assert found == pytest.approx(expected, rel=1e-4)
    assert len(found) == 3 + 2 + 6 + 5 + 1


def test_classification():
    """Cross-entropy on the clip's label, the share of right clips, dropout behind fc6 and fc7."""
    task = small(tasks.Classify(3, dropout=0.3, jitter=True))
    logits = np.array([[0, 1, 0], [2, 0, 0], [0, 0, 1]], np.float32)
    y = {"logits": np.array([1, 0, 0], np.int32)}
    ((name, (function, weight)),) = task.losses().items()
    likely = np.exp(logits)[range(3), y["logits"]] / np.exp(logits).sum(1)
    assert (name, weight) == ("logits", 1)
    np.testing.assert_allclose(function(y, {"logits": logits}), -np.log(likely), rtol=1e-5)
    (accuracy,) = task.metrics().values()
    assert accuracy(y, {"logits": logits}).numpy().tolist() == [1, 1, 0]
    layers = model_for(task).layers
    assert [layer.rate for layer in layers if isinstance(layer, keras.layers.Dropout)] == [0.3, 0.3]
    clip = clip_for(task, label=7)
    x, y = task.example(clip)
    assert int(y["logits"]) == 7 and y["logits"].dtype == tf.int32
    np.testing.assert_array_equal(x, augment.colour_jitter(clip["rgb"], clip["seed"]))
    np.testing.assert_array_equal(task.testing().example(clip)[0], clip["rgb"])


# ---- one check for every task --------------------------------------------------------------------

CASES = {
    "mas": (tasks.Statistics(), SMALL, {"motion": 14, "appearance": 13}),
    "classify flow": (tasks.Classify(3), FLOW, {"logits": 3}),
    "pace": (tasks.Pace(paces=("1/3", "1", "2"), loop="bounce"), POOLED, {"pace": 3}),
    "pace_contrast": (
        tasks.PaceContrast(contrast="same_pace", paces=("1", "2"), projection=8),
        SMALL,
        {"pace": 2, "embedding": 8},
    ),
    "moco as released": (
        tasks.MoCo(negative="inter", key_norm="initial", embedding=16, **QUEUE),
        SMALL,
        {"embedding": 16},
    ),
    "vtdl": (tasks.VTDL(**QUEUE), SMALL, {"embedding": 128}),
    "dsm flow": (
        tasks.DSM(temporal="flow", spatial="tps", mixup=0.2, loss="nce", **QUEUE),
        SMALL,
        {"embedding": 128},
    ),
    "dsm_triplet": (tasks.DSMTriplet(), SMALL, {"embedding": 128}),
}


def differ(*names):
    """Cases of tasks with different steps; by default the ones that no other test has."""
    every = ("mas", "pace_contrast", "vtdl", "dsm_triplet")
    return [n if n in names else pytest.param(n, marks=pytest.mark.slow) for n in every]


def case(name):
    task, network, units = CASES[name]
    return small(task, network), units


def test_every_task_is_checked():
    assert {name.split()[0] for name in CASES} == {*tasks.TASKS, "classify"}


def encoders_of(task, model):
    keras.utils.set_random_seed(7)  # a queue starts at random
    return task.encoders(model)


def total(task, encoders, x, y):
    """The loss outside training; keys and queue keep their initial values."""
    outputs = encoders(x)
    return sum(weight * np.mean(loss(y, outputs)) for loss, weight in task.losses().values())


def rate_of(task):
    """Learning rate: higher for embeddings of length 1, lower for regression of large labels."""
    return 1e-3 if task.whole else 1e-4


@pytest.mark.parametrize("name", CASES)
def test_task_fulfils_contract(name, tmp_path):
    task, units = case(name)
    assert task.name == name.split()[0]
    views = () if task.views is None else (task.views,)
    for length in (64, 200):
        frames, target = task.sample(length, 1, rng(5))
        assert np.shape(frames) == (*views, task.frames) and np.asarray(target).dtype.kind == "i"
        assert np.min(frames) >= 0 and np.max(frames) < length
        np.testing.assert_array_equal(frames, task.sample(length, 1, rng(5))[0])

    model, (x, y) = model_for(task), batch_for(task)
    outputs, roles = encoders_of(task, model)(x), () if task.views is None else (x.shape[1],)
    assert {key: outputs[key].shape for key in model.output} == {
        key: (3, *roles, count) for key, count in units.items()
    }
    assert y.keys() <= outputs.keys()
    assert {value.dtype for value in outputs.values()} == {tf.float32}
    functions = [function for function, _ in task.losses().values()] + [*task.metrics().values()]
    assert all(function(y, outputs).shape == (3,) for function in functions)

    model.save(tmp_path / "model.keras")
    loaded = encoders_of(task, networks.load(tmp_path / "model.keras"))(x)
    for key, value in outputs.items():
        np.testing.assert_array_equal(loaded[key], value)

    encoders = encoders_of(task, model)
    before = total(task, encoders, x, y)
    _, step = step_of(task, model, rate_of(task))
    assert np.isfinite(step(x, y)).all()
    assert total(task, encoders, x, y) < before


@pytest.mark.parametrize("name", differ("vtdl"))
def test_task_trains_in_mixed_precision(name):
    """bfloat16 inside, float32 in the variables, the outputs and the loss.

    Compiled: on CPU TensorFlow's own bfloat16 gradient of a 3D convolution is garbage at times.
    """
    task, _ = case(name)
    with distribution.arithmetic("mixed_bfloat16"):
        model = model_for(task)
    x, y = batch_for(task)
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    encoders = encoders_of(task, model)
    assert {value.dtype for value in encoders(x).values()} == {tf.float32}
    before = total(task, encoders, x, y)
    trainer, _ = step_of(task, model, rate_of(task))
    step = trainer.step_function(jit_compile=True)
    for _ in range(4):  # one step can drown in the rounding
        assert np.isfinite(step(x, y)).all()
    assert total(task, encoders, x, y) < before
    assert {v.dtype for v in model.trainable_variables} == {"float32"}


@pytest.mark.parametrize("name", differ("dsm_triplet"))
def test_two_replicas_train_task_like_one_device(name, two_replicas):
    task, _ = case(name)
    x, y = batch_for(task, size=4)
    found = []
    for strategy, parts in ((training.strategy("none"), 1), (two_replicas, 2)):
        with strategy.scope():
            model = model_for(task)
            trainer = training.Trainer(task, model, optimizers.Momentum(1e-4), strategy)

        def local(context, parts=parts):
            return tf.data.Dataset.from_tensors((x, y)).unbatch().batch(4 // parts)

        step = trainer.step_function()
        batches = strategy.distribute_datasets_from_function(local)
        numbers = [step(*batch).numpy() for _ in range(2) for batch in batches]
        found.append((numbers, [variable.numpy() for variable in trainer.variables]))
    (one, expected), (two, values) = found
    np.testing.assert_allclose(two, one, rtol=1e-4)
    for value, reference in zip(values, expected, strict=True):
        np.testing.assert_allclose(value, reference, atol=1e-5, rtol=0)
