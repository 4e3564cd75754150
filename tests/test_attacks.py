"""Every reader, under seeded damage, returns what was written or names the file in one line.

Lists have a test of their own, which reads them a second time (test_lists_mutations.py). `python -m
pytest tests/test_attacks.py -rP --runslow` prints how often each reader was right and how often it
named the file.
"""

import collections
import dataclasses
import json
import random
import sys

import attacks
import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
import video_files
from attacks import bounded, damage, remove
from list_sources import DIVING48, KINETICS, SOMETHING
from test_damage import everything
from test_records import write

from mas import features, files, lists, networks, records, training, visualize
from mas.cli import flag_files
from mas.convert import checkpoints as converted
from mas.evaluate import inputs
from mas.prepare import plan, sources
from mas.study import steps
from mas.training import checkpoints, recorded


@dataclasses.dataclass
class Case:
    """A reader and its files.

    Attributes:
        read: what it finds, as values that compare.
        files: to damage.
        names: of which an error has one: of the file, or of what it belongs to.
        sealed: whether the bytes tell that they are others: it is right or an error. Of plain text
            other values may be what it says.
        others: contents of other files of the kind.
    """

    read: object
    files: list
    names: tuple = ()
    sealed: bool = False
    others: tuple = ()


def shards(folder):
    write(folder / "data", "shards")
    return stored(folder)


def folders(folder):
    write(folder / "data", "folders")
    return stored(folder)


def stored(folder):
    data = folder / "data"
    known = records.described(data)
    known = {k: known[k] for k in ("form", "method")} | {"checksums": True, "videos": 3}
    if known["form"] == "shards":
        rows = records.open_data(data).rows()
        known["shards"] = {shard.stem: len(found) for shard, found in rows.items()}
    records.write_description(data, known | {"frames": 20})
    found = sorted(p for p in data.rglob("*") if p.is_file())
    contents = tuple(p.read_bytes() for p in found)
    return Case(lambda: everything(data), found, ("data",), True, contents)


def frames(folder, extension="png"):
    """Frames of other tools, without checksums: they open, and decode or are reported."""
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    for video_id in ("a", "b"):
        place = folder / "data" / "jpegs_256" / video_id
        place.mkdir(parents=True)
        for number in range(4):
            cv2.imwrite(str(place / f"img_{number:05d}.{extension}"), image + number)

    def read():
        data = records.open_data(folder / "data")
        for fault in records.check_data(folder / "data").faults:
            raise ValueError(fault.line)
        images = [data.read(n, range(length))[0] for n, length in enumerate(data.lengths)]
        return [records.decode(image, 3).shape for image in sum(images, [])]

    return Case(read, sorted(folder.rglob("*.*g")), ("data",))


def index_of_videos(folder):
    """The cache of the properties of a folder's videos."""
    for number, name in enumerate("abc"):
        images = video_files.noise(5 + number, size=(32, 16))
        video_files.write(folder / "videos" / f"{name}.avi", images)

    def read():
        data = records.open_data(folder / "videos")
        return data.videos, data.lengths.tolist(), data.sizes.tolist(), data._facts

    read()
    return Case(read, [records.index_path(folder / "videos")], ("videos",), True)


def index_of_frames(folder):
    case = frames(folder)
    case.read()
    (path,) = records.index_path(folder / "data").parent.glob("frames-*.csv")
    return dataclasses.replace(case, files=[path])


PLAN = {"settings": {"form": "shards"}, "videos_per_shard": 64, "videos": ["a/b", "c d"]}


def plan_file(folder):
    plan._write(folder, PLAN)
    return Case(lambda: plan.videos(folder), [folder / plan.PLAN], sealed=True)


def plan_copy(folder):
    plan._write(folder, PLAN)
    return Case(lambda: plan.videos(folder), [folder / plan.COPY], sealed=True)


def sources_file(folder):
    path = folder / sources.SOURCES
    path.write_text("video,file,bytes,changed\r\na,a.avi,12,34\r\nb,b.avi,56,78\r\n", newline="")
    return Case(lambda: sources.read(folder), [path])


def reasons(folder):
    table = "path,reason\r\n/v/a.avi,truncated: 3 of 5\r\n/v/b.avi,no video\r\n"
    for name in (records.FAILURES, records.DAMAGED):
        (folder / name).write_text(table, newline="")

    def read():
        return [records.read_failures(folder, n) for n in (records.FAILURES, records.DAMAGED)]

    return Case(read, [folder / records.FAILURES, folder / records.DAMAGED])


RUN = {"task": "classify", "network": {"backbone": "c3d", "modality": "rgb", "width": 0.125}}
RUN |= {"clip": {"frames": 16, "size": 32, "resize": "44x32"}, "classes": ["run", "walk"]}
RUN |= {"options": {"stride": 2}, "finished_epochs": 3, "resumed": [], "identity": {"clips": 7}}


def run_folder(folder):
    """run.json, metrics.csv and the tables of a test."""
    (folder / "run.json").write_text(json.dumps(RUN, indent=1))
    (folder / "metrics.csv").write_text("epoch,loss,error\n1,0.5,0.25\n2,0.25,0.125\n")
    (folder / "confusion.csv").write_text("true class,run,walk\nrun,3,1\nwalk,0,2\n")
    rows = "run/a,0,0,0.9,0.1\nwalk/b,1,0,0.6,0.4\n"
    (folder / "scores.csv").write_text("video,label,predicted,0,1\n" + rows)

    def read():
        run = training.open_run(folder)
        found = run.test
        tested = found and (found.top1, found.top5, found.confusion.tolist())
        names = inputs.known_names(folder)
        described = run.network, run.clip, networks.stride_of(folder), run.finished
        return run.task, described, run.metrics, tested, names

    return Case(read, sorted(folder.iterdir()))


def flags_of_run(folder):
    path = folder / "flags.txt"
    path.write_text("--task=mas\n--seed=0\n--data=da ta\n--option=stride=2\n--frames=16\n")
    return Case(lambda: (recorded.read_flags(path), flag_files.read(path)), [path])


def neighbours(folder):
    path = folder / "neighbours.csv"
    header = ",".join(visualize.retrieval.FIELDS)
    rows = "a/x,0,1,a/y,0,0.9\na/x,0,2,b/z,1,0.5\nb/z,1,1,a/x,0,0.25\n"
    path.write_text(f"{header}\n{rows}")
    return Case(lambda: visualize.read_neighbours(path), [path])


def steps_of_study(folder):
    path = folder / steps.FILE
    path.write_text(",".join(steps.FIELDS) + "\nprepare,1.5,3.0,0,mas prepare --videos=v\n")
    return Case(lambda: steps.cpu_seconds(folder), [path])


def features_file(folder):
    path = folder / "features.npz"
    values = np.random.default_rng(0).normal(size=(6, 20)).astype(np.float32)
    names = [f"v/{n}" for n in range(6)]
    features.save(path, features.Features(values, names, np.arange(6) % 2, {"a": 1}))

    def read():
        found = features.load(path)
        return found.values.tobytes(), found.videos, found.labels.tolist(), found.facts

    return Case(read, [path], sealed=True)


def keras_file(folder):
    clips = keras.Input((2, 4, 4, 3), dtype="uint8")
    middle = keras.layers.Rescaling(1.0)(clips)
    keras.utils.set_random_seed(0)
    model = keras.Model(clips, keras.layers.Conv3D(2, 1, name="c")(middle), name="tiny")
    path = folder / "x.keras"
    model.save(path)

    def values():
        return [(v.path.split("/")[-1], v.numpy().tobytes()) for v in networks.load(path).weights]

    return Case(values, [path], sealed=True)


def checkpoint(folder):
    """The newest of two checkpoints: it is used, or the previous one."""
    variable = tf.Variable(tf.zeros((8, 5)))
    saved = checkpoints.Checkpoints(folder, {"value0": variable})
    for step in (1, 2):
        variable.assign(tf.fill((8, 5), 1.0))
        saved.save(step)

    def read():
        variable.assign(tf.zeros((8, 5)))
        assert saved.restore()
        return variable.numpy().tobytes()

    return Case(read, sorted(p for p in folder.iterdir()), ("ckpt",), True)


def tensorflow_checkpoint(folder):
    variable = tf.Variable(tf.fill((8, 5), 1.0))
    tf.train.Checkpoint(value=variable).write(str(folder / "model.ckpt"))

    def read():
        return {k: v.tobytes() for k, v in converted.read(folder / "model.ckpt").items()}

    return Case(read, sorted(folder.iterdir()), ("model.ckpt", folder.name), True)


def torch_checkpoint(folder):
    torch = pytest.importorskip("torch")
    path = folder / "x.pth"
    torch.save({"state_dict": {"a.weight": torch.arange(300.0), "a.bias": torch.ones(5)}}, path)
    return Case(lambda: {k: v.tobytes() for k, v in converted.read(path).items()}, [path])


def texts(folder):
    """Lists and class files; test_lists_mutations.py checks their contents."""
    contents = {
        "list.txt": ("run/a 0\nrun/b 0\nwalk/c 1\n", lists.read),
        "classes.txt": ("run\nair drumming\nwalk\n", lists.class_names),
        "kinetics.csv": (KINETICS, lists.kinetics),
        "something.csv": (SOMETHING, lists.something),
        "diving.json": (DIVING48, lists.diving48),
        "names.txt": ("run/a.avi\nb.mp4\n", lists.read_names),
    }
    for name, (text, _) in contents.items():
        (folder / name).write_text(text)

    def read():
        return [function(folder / name) for name, (_, function) in contents.items()]

    others = tuple(text.encode() for text, _ in contents.values())
    return Case(read, sorted(folder.iterdir()), others=others)


def videos(folder, files=None):
    """A folder of videos; the error names the first that lacks frames."""
    if files is None:
        files = {}
        for number, name in enumerate(("a.avi", "b.mkv")):
            images = video_files.noise(6 + number, size=(32, 16))
            path = video_files.write(folder / "v" / name, images)
            files[name] = path.read_bytes()
        mp4 = video_files.film(video_files.coded(12), "libx264", g="4")
        files["c.mp4"] = video_files.encode(folder / "c.mp4", mp4).read_bytes()
    for name, content in files.items():
        (folder / "v").mkdir(exist_ok=True)
        (folder / "v" / name).write_bytes(content)

    def read():
        data = records.open_data(folder / "v")
        for file, reason in data.failures.items():
            raise ValueError(f"{file}: {reason}")
        for number, frames in enumerate(data.lengths):
            data.frames(number, [0, frames - 1], (16, 8))
        return data.videos, data.lengths.tolist()

    return Case(read, sorted((folder / "v").iterdir()), ("x/v",))


READERS = [videos, shards, folders, frames, index_of_videos, index_of_frames, plan_file, plan_copy]
READERS += [sources_file, reasons, run_folder, flags_of_run, neighbours, steps_of_study]
READERS += [features_file, keras_file, checkpoint, tensorflow_checkpoint, torch_checkpoint, texts]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path.with_name(f"{tmp_path.name}-cache")))


def outcome(case, path):
    """ "right", "other" values of plain text, or "named"; an assertion fails for the rest."""
    try:
        with bounded(path):
            found = case.read()
    except (ValueError, OSError) as error:
        text = str(error)
        assert "\n" not in text and len(text) < 2000, text
        assert path.name in text or any(name in text for name in case.names), text
        return "named", None
    return "read", found


def attack(make, folder, seeds):
    """Returns counts of the outcomes, and the failures with their seeds."""
    folder.mkdir(exist_ok=True)
    case = make(folder)
    whole = {path: path.read_bytes() for path in case.files}
    expected, counts, wrong = case.read(), collections.Counter(), []
    for seed in seeds:
        rng = random.Random(f"{make.__name__} {seed}")
        path = rng.choice(case.files)
        kind = damage(path, whole[path], rng, case.others)
        try:
            what, found = outcome(case, path)
            same = what == "named" or repr(found) == repr(expected)
            what = what if what == "named" else "right" if same else "other"
            assert not (case.sealed and what == "other"), "a silent difference"
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            wrong.append((seed, path.name, kind, f"{type(error).__name__}: {error}"[:300]))
            what = "wrong"
        counts[what] += 1
        remove(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(whole[path])
    sys.stdout.write(f"{make.__name__}: {dict(counts)}\n")
    return counts, wrong


@pytest.mark.parametrize(
    "seeds", [range(25), pytest.param(range(25, 1500), marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("make", READERS, ids=lambda make: make.__name__)
def test_damage_is_reported_or_harmless(tmp_path, make, seeds):
    counts, wrong = attack(make, tmp_path / "x", seeds)
    assert not wrong


@pytest.mark.parametrize("write", [files.write, lambda p, text: files.write_csv(p, (text,), ())])
def test_rejects_device_or_fifo_as_output(tmp_path, write):
    """Otherwise, `--output=/dev/null` would replace /dev/null for root."""
    path = tmp_path / "x"
    attacks.fifo(path)
    with pytest.raises(OSError, match="x cannot be written: it is a FIFO"):
        write(path, "a")
    assert path.is_fifo() and [*tmp_path.iterdir()] == [path]
