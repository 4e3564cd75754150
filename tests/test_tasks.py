"""The tasks: their options, their targets, their losses, and one check that all of them pass."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from mas import augment, backbones, clips, optimizers, records, statistics, tasks, training
from mas.tasks.task import Task

SIZE = 32
SMALL = {"width": 0.125, "initializer": "he"}
CROP = {"size": 24}  # of the tasks that crop for themselves
QUEUE = {"queue": 64, "temperature": 0.5, **CROP}


def rng(seed=0):
    return np.random.default_rng(seed)


def clip_for(task, seed=0, label=2):
    """A clip of noise, as `mas.clips` hands it to a task."""
    draw = rng(seed)
    views = () if task.views is None else (task.views,)
    shape = (SIZE, SIZE)
    clip = {
        "rgb": draw.integers(0, 256, (*views, task.frames, *shape, 3)).astype(np.uint8),
        "flow": draw.normal(0, 3, (*views, task.frames - 1, *shape, 2)).astype(np.float32),
        "label": np.int32(label),
        "target": task.sample(64, None, draw)[1],
        "video": b"video %d" % seed,
        "seed": draw.integers(0, 2**31 - 1, 2, np.int32),
        "batch_seed": np.array([3, 5], np.int32),
    }
    unread = {"rgb", "flow"} - set(task.inputs)
    kept = {name: value for name, value in clip.items() if name not in unread}
    return {name: tf.constant(value) for name, value in kept.items()}


def batch_for(task, size=3):
    rows = [task.example(clip_for(task, seed, label=seed % 3)) for seed in range(size)]
    return tf.nest.map_structure(lambda *parts: tf.stack(parts), *rows)


def model_for(task, seed=0):
    keras.utils.set_random_seed(seed)
    size = getattr(task, "size", SIZE) if task.whole else SIZE
    shape, preset = (task.frames, size, size, 3), "rgb"
    if getattr(task, "modality", "rgb") == "flow":
        shape, preset = (task.frames - 1, SIZE, SIZE, 2), "flow"
    return task.model(backbones.backbone("c3d", shape, preset=preset, **SMALL))


# ---- the registry and its options ----------------------------------------------------------------


def test_options_take_the_types_of_their_fields():
    options = ["branches=motion", "patterns=3,1", "global_labels=False", "appearance_weight=0.1"]
    task = tasks.task("mas", [*options, "colour=mode"], frames=8, width=0.5, speed=3)
    assert dataclasses.asdict(task) == {
        "frames": 8,
        "branches": ("motion",),
        "patterns": (3, 1),
        "global_labels": False,
        "motion_weight": 1.0,
        "appearance_weight": 0.1,
        "colour": "mode",
        "modality": "rgb",
        "head": "auto",
        "width": 0.5,
        "initializer": "published",
    }


def test_defaults_are_the_paper():
    task = tasks.task("mas")
    assert (task.frames, task.branches, task.patterns) == (16, ("motion", "appearance"), (1, 2, 3))
    assert task.losses().keys() == {"motion", "appearance"}
    assert [weight for _, weight in task.losses().values()] == [1, 1]
    assert {name: len(labels) for name, labels in task.labels.items()} == {
        "motion": 14,
        "appearance": 13,
    }


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("jigsaw", [], r"task must be one of \['dsm'.*\]\. Received: task='jigsaw'"),
        ("mas", ["pace=3"], r"option must be one of \['appearance_w.* Received: 'pace=3'"),
        ("mas", ["frames=8"], r"option must be one of .* Received: 'frames=8'"),
        ("mas", ["global_labels=yes"], "written like global_labels=true. Received: 'yes'"),
        ("mas", ["patterns=one"], "written like patterns=1,2,3. Received: 'one'"),
        ("mas", ["motion_weight"], "written like motion_weight=1.0. Received: ''"),
        ("mas", ["patterns=1,4"], r"different ones of \[1, 2, 3\]. Received: patterns=\(1, 4\)"),
        ("mas", ["patterns=2,2"], r"Received: patterns=\(2, 2\)"),
        ("mas", ["branches="], r"branches must be one or both of .* Received: branches=\(\)"),
        ("mas", ["branches=colour"], r"Received: branches=\('colour',\)"),
        ("mas", ["colour=brightest"], r"colour must be one of .* Received: 'brightest'"),
        ("mas", ["patterns=", "global_labels=false"], "must leave a label. Received: neither"),
    ],
)
def test_wrong_options_say_what_is_allowed(name, options, message):
    with pytest.raises(ValueError, match=message):
        tasks.task(name, options, frames=16)


# ---- the targets of MAS --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(sample_data):
    return records.open_data(sample_data / "data")


def reader(data, task):
    examples = clips.examples(data, None, task.frames, "consecutive")
    return clips.Reader(data, examples, task, clips.Geometry((44, 32), SIZE), shuffle=False)


@pytest.mark.parametrize("options", [{}, {"colour": "mode", "patterns": (3, 2)}])
def test_targets_are_the_statistics_of_the_clips_own_pixels_and_flow(data, options):
    task = tasks.Statistics(**options)
    found = reader(data, task)
    choice = (task.patterns, task.global_labels)
    expected = []
    for position in range(len(found.examples)):
        clip = found.clip(0, position)
        x, y = task.example(clip)
        np.testing.assert_array_equal(x, clip["rgb"])
        motion = statistics.motion(clip["flow"].numpy(), *choice)
        appearance = statistics.appearance(clip["rgb"].numpy(), *choice, colour=task.colour)
        np.testing.assert_array_equal(y["motion"], motion)
        np.testing.assert_array_equal(y["appearance"], appearance)
        assert {value.dtype for value in y.values()} == {tf.float32}
        expected.append((x.numpy(), motion, appearance))
    assert len({motion.tobytes() for _, motion, _ in expected}) > 6, "clips must differ"
    batches = list(found.once(5, threads=4))
    assert [len(x) for x, _ in batches] == [5, 5, 2]
    for part, name in enumerate((None, "motion", "appearance")):
        values = [x if name is None else y[name] for x, y in batches]
        np.testing.assert_array_equal(np.concatenate(values), [row[part] for row in expected])


@pytest.mark.parametrize(
    ("options", "columns"),
    [
        ({"branches": ("motion",)}, {"motion": [*range(14)]}),
        ({"branches": ("appearance",)}, {"appearance": [*range(13)]}),
        ({"patterns": (1,)}, {"motion": [0, 1, 2, 3, 12, 13], "appearance": [0, 1, 2, 3, 12]}),
        (
            {"patterns": (3, 2), "global_labels": False},
            {"motion": [8, 9, 10, 11, 4, 5, 6, 7], "appearance": [8, 9, 10, 11, 4, 5, 6, 7]},
        ),
        ({"patterns": ()}, {"motion": [12, 13], "appearance": [12]}),
    ],
)
def test_branches_patterns_and_global_labels_choose_among_all_labels(options, columns):
    everything, task = tasks.Statistics(), tasks.Statistics(**options)
    clip = clip_for(everything)
    _, full = everything.example(clip)
    _, y = task.example({name: clip[name] for name in ("rgb", *task.inputs)})
    assert y.keys() == columns.keys() == task.losses().keys()
    model = model_for(tasks.Statistics(**options, **SMALL))
    for branch, places in columns.items():
        np.testing.assert_array_equal(y[branch], full[branch].numpy()[places])
        assert task.labels[branch] == tuple(everything.labels[branch][p] for p in places)
        assert model.output[branch].shape == (None, len(places))


def test_flow_is_read_for_motion_alone(data, monkeypatch):
    asked, read = [], data.read

    def spy(number, frames, flow_frames=()):
        asked.append((len(frames), len(flow_frames)))
        return read(number, frames, flow_frames)

    monkeypatch.setattr(data, "read", spy)
    for branches, modality, inputs in (
        (("appearance",), "rgb", {"rgb"}),
        (("motion",), "rgb", {"rgb", "flow"}),
        (("motion",), "flow", {"flow"}),
    ):
        task = tasks.Statistics(branches=branches, modality=modality)
        assert set(task.inputs) == inputs
        assert {"rgb", "flow"} & set(reader(data, task).clip(0, 0)) == inputs
    assert asked == [(16, 0), (16, 15), (16, 15)]


def test_flow_never_wraps():
    assert tasks.Classify(3).wraps and not tasks.Classify(3, modality="flow").wraps


def test_a_task_that_knows_no_flow_refuses_it(monkeypatch):
    @dataclasses.dataclass
    class Still(Task):
        frames: int = 16

    monkeypatch.setitem(tasks.TASKS, "still", Still)
    assert tasks.task("still", modality="rgb").frames == 16
    with pytest.raises(ValueError, match="modality must be rgb for task=still. Received: 'flow'"):
        tasks.task("still", modality="flow")


def test_frames_stand_in_a_row_inside_the_video():
    frames, target = tasks.Statistics().sample(20, 4, rng())
    assert frames.tolist() == list(range(4, 20)) and target.size == 0
    drawn = {tuple(tasks.Statistics().sample(18, None, rng(seed))[0]) for seed in range(60)}
    assert drawn == {tuple(range(start, start + 16)) for start in range(3)}


@pytest.mark.parametrize(("length", "start"), [(15, None), (15, 0), (20, 5)])
def test_a_clip_that_leaves_its_video_is_refused(length, start):
    with pytest.raises(
        ValueError, match=rf"16 frames must .* Received: start={start or 0} of {length}"
    ):
        tasks.Statistics().sample(length, start, rng())


# ---- losses and metrics --------------------------------------------------------------------------


def step_of(task, model, rate=0.001):
    optimizer = optimizers.Momentum(rate, l2=0)
    keras.utils.set_random_seed(7)  # a queue starts at random
    trainer = training.Trainer(task, model, optimizer, training.strategy("none"))
    return trainer, trainer.step_function()


def test_a_steps_numbers_are_those_of_the_formulas():
    """Loss = 0.5 MSE(motion) + 0.1 MSE(appearance), means over batch and labels; section 3.4."""
    task = tasks.Statistics(motion_weight=0.5, appearance_weight=0.1, patterns=(2,), **SMALL)
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


def test_labels_and_metrics_share_their_names():
    names = [name for name in tasks.Statistics().metrics() if "/" in name]
    assert names[0] == "motion/p1_u_location" and names[-1] == "appearance/colour"
    assert len(names) == 27


def test_classification_is_cross_entropy_and_share_of_right_clips():
    task = tasks.Classify(3)
    logits = np.array([[0, 1, 0], [2, 0, 0], [0, 0, 1]], np.float32)
    y = {"logits": np.array([1, 0, 0], np.int32)}
    ((name, (function, weight)),) = task.losses().items()
    likely = np.exp(logits)[range(3), y["logits"]] / np.exp(logits).sum(1)
    assert (name, weight) == ("logits", 1)
    np.testing.assert_allclose(function(y, {"logits": logits}), -np.log(likely), rtol=1e-5)
    (accuracy,) = task.metrics().values()
    assert accuracy(y, {"logits": logits}).numpy().tolist() == [1, 1, 0]


def test_classification_takes_the_clips_label():
    x, y = tasks.Classify(9).example(clip_for(tasks.Classify(9), label=7))
    assert (x.dtype, y["logits"].dtype, int(y["logits"])) == (tf.uint8, tf.int32, 7)
    layers = model_for(tasks.Classify(9, dropout=0.3, **SMALL)).layers
    assert [layer.rate for layer in layers if isinstance(layer, keras.layers.Dropout)] == [0.3, 0.3]


def test_colours_change_in_training_alone():
    task = tasks.Classify(3, jitter=True)
    clip = clip_for(task)
    expected = augment.colour_jitter(clip["rgb"], clip["seed"])
    np.testing.assert_array_equal(task.example(clip)[0], expected)
    np.testing.assert_array_equal(task.testing().example(clip)[0], clip["rgb"])
    with pytest.raises(ValueError, match="modality must be rgb with jitter. Received: 'flow'"):
        tasks.Classify(3, jitter=True, modality="flow")


# ---- one check for every task --------------------------------------------------------------------

CASES = {
    "mas": (tasks.Statistics(**SMALL), {"motion": 14, "appearance": 13}),
    "classify": (tasks.Classify(3, **SMALL), {"logits": 3}),
    "mas on flow": (
        tasks.Statistics(modality="flow", head="pooled", **SMALL),
        {"motion": 14, "appearance": 13},
    ),
    "classify flow": (tasks.Classify(3, modality="flow", **SMALL), {"logits": 3}),
    "classify jitter": (tasks.Classify(3, jitter=True, **SMALL), {"logits": 3}),
    "pace": (tasks.Pace(head="pooled", **SMALL), {"pace": 4}),
    "pace slow": (tasks.Pace(paces=("1/3", "1", "2"), loop="bounce", **SMALL), {"pace": 3}),
    "pace_contrast": (tasks.PaceContrast(**SMALL), {"pace": 4, "embedding": 32}),
    "pace_contrast same_pace": (
        tasks.PaceContrast(contrast="same_pace", paces=("1", "2"), projection=8, **SMALL),
        {"pace": 2, "embedding": 8},
    ),
    "moco as released": (
        tasks.MoCo(negative="inter", key_norm="initial", embedding=16, **QUEUE),
        {"embedding": 16},
    ),
    "vtdl": (tasks.VTDL(**QUEUE), {"embedding": 128}),
    "dsm flow": (
        tasks.DSM(temporal="flow", spatial="tps", mixup=0.2, loss="nce", **QUEUE),
        {"embedding": 128},
    ),
    "dsm_triplet": (tasks.DSMTriplet(**CROP), {"embedding": 128}),
}


def test_every_task_is_checked():
    assert {name.split()[0] for name in CASES} == {*tasks.TASKS, "classify"}


def check_sample(task):
    views = () if task.views is None else (task.views,)
    for length in (64, 200):
        frames, target = task.sample(length, None, rng(length))
        assert np.shape(frames) == (*views, task.frames)
        assert np.min(frames) >= 0 and np.max(frames) < length
        assert np.asarray(target).dtype.kind == "i"
        for first, second in zip(
            task.sample(length, 1, rng(5)), task.sample(length, 1, rng(5)), strict=True
        ):
            np.testing.assert_array_equal(first, second)  # nothing is drawn but from `rng`


def encoders_of(task, model):
    keras.utils.set_random_seed(7)  # a queue starts at random
    return task.encoders(model)


def outputs_of(task, model, x):
    return encoders_of(task, model)(x)


def total(task, encoders, x, y):
    """The loss outside training; keys and queue stay as they were when the encoders were made."""
    outputs = encoders(x)
    return sum(weight * np.mean(loss(y, outputs)) for loss, weight in task.losses().values())


def rate_of(task):
    """Embeddings of length 1 are far from the weights; regression of large labels is close."""
    return 1e-3 if task.whole else 1e-4


@pytest.mark.parametrize("name", CASES)
def test_a_task_keeps_the_contract(name, tmp_path):
    task, units = CASES[name]
    assert task.name == name.split()[0]
    check_sample(task)
    model, (x, y) = model_for(task), batch_for(task)

    outputs = outputs_of(task, model, x)
    views = () if task.views is None else (x.shape[1],)
    assert {key: outputs[key].shape for key in model.output} == {
        key: (3, *views, count) for key, count in units.items()
    }
    assert y.keys() <= outputs.keys()
    assert {value.dtype for value in outputs.values()} == {tf.float32}
    for function, weight in task.losses().values():
        assert function(y, outputs).shape == (3,) and weight > 0
    for function in task.metrics().values():
        assert function(y, outputs).shape == (3,)

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    loaded = outputs_of(task, loaded, x)
    assert loaded.keys() == outputs.keys()
    for key, value in outputs.items():
        np.testing.assert_array_equal(loaded[key], value)

    encoders = encoders_of(task, model)
    before = total(task, encoders, x, y)
    _, step = step_of(task, model, rate_of(task))
    assert np.isfinite(step(x, y)).all()
    assert total(task, encoders, x, y) < before


@pytest.mark.parametrize("name", CASES)
def test_a_task_trains_in_mixed_precision(name):
    """bfloat16 inside, float32 in the variables, the outputs and the loss.

    Compiled: on CPU TensorFlow's own bfloat16 gradient of a 3D convolution is garbage at times.
    """
    task, _ = CASES[name]
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = model_for(task)
    finally:
        keras.config.set_dtype_policy(policy)
    x, y = batch_for(task)
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    outputs = outputs_of(task, model, x)
    assert {value.dtype for value in outputs.values()} == {tf.float32}
    encoders = encoders_of(task, model)
    before = total(task, encoders, x, y)
    trainer, _ = step_of(task, model, rate_of(task))
    step = trainer.step_function(jit_compile=True)
    for _ in range(10):  # one step can drown in the rounding
        assert np.isfinite(step(x, y)).all()
    assert total(task, encoders, x, y) < before
    assert {v.dtype for v in model.trainable_variables} == {"float32"}


@pytest.mark.parametrize("name", CASES)
def test_two_replicas_train_a_task_as_one_device_does(name, two_replicas):
    task, _ = CASES[name]
    plain = {"dropout": 0.0} if hasattr(task, "dropout") else {}  # random on each device
    task = dataclasses.replace(task, **plain)
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
