"""Randomly damaged files of a run and from other sources: a correct result, or one line.

Files with checksums must read back bit for bit or be rejected. In text files, values may change,
but must be valid.
"""

import json
import resource

import keras
import numpy as np
import pytest
import tensorflow as tf
from evaluating import of

from mas import features, networks, training
from mas.cli.flags import Flags, UsageError
from mas.settings import Clip, Network, Plan
from mas.training import checkpoints, metrics, recorded

FEW, MANY = 50, 1500  # mutations of each file: in every run, and with --runslow
EXPECTED = (OSError, RuntimeError, UsageError, ValueError)  # what a command says in one line
TEXT = {"network": Network(width=0.25).values(), "clip": Clip(8, 24, (32, 24)).values()}
TEXT |= {"task": "pace", "identity": {"clips": 3}, "resumed": [], "finished_epochs": 2}
ODD = [None, True, -1, 0, 10**30, 1e308, "", "x", "8", [], {}, [1, 2, 3], {"a": [{}]}, "\0", "é"]


def damaged(content, random):
    """Damages the content one to three times."""
    for _ in range(random.integers(1, 4)):
        content, place = bytearray(content), int(random.integers(0, len(content) + 1))
        length = int(random.integers(1, 40))
        noise = random.integers(0, 256, length, np.uint8).tobytes()
        match random.integers(0, 7):
            case 0 | 1 if place < len(content):
                content[place] ^= 1 << random.integers(0, 8)
            case 2:
                del content[place:]
            case 3:
                del content[place : place + length]
            case 4:
                content[place : place + length] = bytes(length)
            case 5:
                content[place:place] = noise
            case _:
                content[place : place + length] = content[:length]
    return bytes(content)


def odd(text, random):
    """Changes one value of a JSON object, or adds a name."""
    tree = json.loads(text)
    parts = [tree, *(part for part in tree.values() if isinstance(part, dict))]
    part = parts[random.integers(0, len(parts))]
    names = [*part, "restart", "run", "classes"]
    part[names[random.integers(0, len(names))]] = ODD[random.integers(0, len(ODD))]
    return json.dumps(tree).encode()


class RunJson:
    name = "run.json"

    def make(self, folder):
        (folder / "run.json").write_text(json.dumps(TEXT, indent=2))

    def read(self, folder):
        found = networks.described(folder), training.open_run(folder)
        assert isinstance(found[0].clip, Clip) and found[0].clip.frames <= 10_000


class Flagfile:
    """The flags.txt of a run, which is compared when resuming and read as a flag file."""

    name = "flags.txt"

    def make(self, folder):
        self.settings = recorded.Recorded(Plan(epochs=7, batch=5), data="data/ü", seed="1")
        lines = [f"--{name}={text}\n" for name, text in self.settings.texts.items()]
        (folder / "flags.txt").write_text("".join(lines))

    def read(self, folder):
        path = folder / "flags.txt"
        for name, now, then in self.settings.differences(recorded.read_flags(path)):
            assert name in self.settings.texts and now != then
        flags = Flags("mas try", "Tries.")
        flags.add(Plan, "training")
        for name in ("data", "seed"):
            flags.option(name, None, "For the run.", group="run")
        flags.parse([f"--flagfile={path}"])
        assert flags.make(Plan).batch >= 1


class MetricsFile:
    name = "metrics.csv"

    def make(self, folder):
        kept = metrics.Metrics(folder / "metrics.csv")
        for epoch in range(1, 5):
            kept.add({"epoch": epoch, "step": 3 * epoch, "seconds": 0.5, "loss": 1 / epoch})

    def read(self, folder):
        header, rows = metrics.read(folder / "metrics.csv")
        assert all(len(row) == len(header) for row in rows)
        metrics.Metrics(folder / "metrics.csv").keep(2)


class Keras:
    name = "theirs.keras"

    def make(self, folder):
        clips = keras.Input((4, 8, 8, 3))
        model = keras.Model(clips, keras.layers.Conv3D(3, 2, name="conv1")(clips))
        model.save(folder / self.name)
        self.weights = model.get_weights()

    def read(self, folder):
        found = networks.load(folder / self.name)
        assert found.input_shape == (None, 4, 8, 8, 3)
        for value, expected in zip(found.get_weights(), self.weights, strict=True):
            np.testing.assert_array_equal(value, expected)


class FeatureFile:
    name = "theirs.npz"

    def make(self, folder):
        values = np.random.default_rng(0).random((5, 7))
        self.kept = of(values, [0, 1, 2, 1, -1], clips=[1, 2])
        features.save(folder / self.name, self.kept)

    def read(self, folder):
        found = features.load(folder / self.name)
        np.testing.assert_array_equal(found.values, self.kept.values)
        np.testing.assert_array_equal(found.labels, self.kept.labels)
        assert found.videos == self.kept.videos and found.facts == self.kept.facts


class Checkpoint:
    """The newest of two checkpoints; the previous one is intact, so one answer is right."""

    def __init__(self, part):
        self.name = f"ckpt-8.{part}"
        self.value = tf.Variable(tf.zeros((4, 8)))

    def make(self, folder):
        saved = checkpoints.Checkpoints(folder, {"value0": self.value})
        for step in (7, 8):
            self.value.assign(tf.fill((4, 8), float(step)))
            saved.save(step)

    def read(self, folder):
        self.value.assign(tf.zeros((4, 8)))
        assert checkpoints.Checkpoints(folder, {"value0": self.value}).restore()
        assert np.all(self.value.numpy() == 8) or np.all(self.value.numpy() == 7)


READERS = {
    "run.json": RunJson,
    "flags.txt": Flagfile,
    "metrics.csv": MetricsFile,
    "keras": Keras,
    "npz": FeatureFile,
    "index": lambda: Checkpoint("index"),
    "data": lambda: Checkpoint("data-00000-of-00001"),
}


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", READERS)
def test_damaged_file_is_read_correctly_or_reported(tmp_path, kind, count):
    reader, seed = READERS[kind](), [*READERS].index(kind)
    reader.make(tmp_path)
    path, named = tmp_path / reader.name, 0
    whole = path.read_bytes()
    reader.read(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        random = np.random.default_rng([seed, number])
        change = odd if kind == "run.json" and number % 2 else damaged
        path.write_bytes(change(whole, random))
        try:
            reader.read(tmp_path)
        except EXPECTED as error:
            words = str(error)
            assert reader.name in words and "\n" not in words and len(words) < 1500, number
            named += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 300_000, "kB"
    assert named > count / 4 or isinstance(reader, Checkpoint)
