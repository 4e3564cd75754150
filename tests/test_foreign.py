"""Features, tables, checkpoints and flag files from elsewhere are read or named in one line."""

import io
import json
import os
import resource
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from evaluating import of

from mas import accuracy, convert, features, visualize
from mas.cli.flags import Flags, UsageError
from mas.convert import checkpoints
from mas.evaluate import inputs
from mas.settings import Plan

FACTS = {"network": "c3d", "pooling": "max", "how": "uniform", "modality": "rgb", "frames": 16}
FACTS |= {"clips": [1, 2], "size": 32, "resize": [44, 32], "static": False, "failures": {}}


@pytest.fixture(autouse=True)
def memory():
    """Limits memory: no reader may allocate what a file only declares."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "kB"


def one_line(function, *arguments, match):
    with pytest.raises((ValueError, OSError, UsageError), match=match) as error:
        function(*arguments)
    assert "\n" not in str(error.value) and len(str(error.value)) < 700


# ---- features ------------------------------------------------------------------------------------


def parts(**changes):
    """The members of a file of features."""
    arrays = {"values": np.eye(2), "videos": ["a", "b"], "labels": [0, 1], "facts": "{}"}
    held = {}
    for name, value in (arrays | changes).items():
        if not isinstance(value, bytes):
            array, value = np.array(value), io.BytesIO()
            np.save(value, array)
            value = value.getvalue()
        held[f"{name}.npy"] = value
    return held


def declared(shape, content=b""):
    """An array that declares a large shape and contains little."""
    held = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(held, header)
    return held.getvalue() + content


@pytest.mark.parametrize(
    ("held", "how"),
    [
        (parts(values=declared((10**6, 10**6))), zipfile.ZIP_STORED),
        (parts(values=declared((50_000, 2000), bytes(4 * 10**8))), zipfile.ZIP_DEFLATED),
        (parts(values=declared((2, -2), bytes(16))), zipfile.ZIP_STORED),
        (parts(videos=np.array([{"a": 1}, "b"], object).dumps()), zipfile.ZIP_STORED),
        ({}, zipfile.ZIP_STORED),
    ],
)
def test_arrays_must_match_their_headers(tmp_path, held, how):
    with zipfile.ZipFile(tmp_path / "f.npz", "w", how) as archive:
        for name, content in held.items():
            archive.writestr(name, content)
    one_line(
        features.load, tmp_path / "f.npz", match="f.npz must contain the arrays values, videos"
    )


def test_rejects_files_that_are_not_archives(tmp_path):
    path = tmp_path / "f.npz"
    path.write_bytes(declared((10**6, 10**6)))
    one_line(features.load, path, match="f.npz must contain the arrays")
    path.unlink()
    os.mkfifo(path)
    one_line(features.load, path, match="f.npz must be a file. Received: a FIFO")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pooling": 3}, "pooling=3"),
        ({"how": "somehow"}, "how=somehow"),
        ({"clips": [1]}, r"clips=\[1\]"),
        ({"failures": None}, "failures=None"),
        ({"weights": "loaded"}, "model=None"),
        ({"weights": "loaded", "model": "m", "digest": 5}, "digest=5"),
    ],
)
def test_rejects_unusable_facts(tmp_path, changes, words):
    features.save(tmp_path / "f.npz", of([[1, 2]], [0], **(FACTS | changes)))
    one_line(features.load, tmp_path / "f.npz", match=f"f.npz: facts must be .*{words}")
    features.save(tmp_path / "f.npz", of([[1, 2]], [0], **FACTS))
    assert features.load(tmp_path / "f.npz").facts == FACTS


def test_labels_have_a_bound(tmp_path):
    one_line(of, [[1, 2]], [10**9], match="labels must be at most 1000000. .*=1000000000")


# ---- tables and descriptions ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x00\x01\xff", "neighbours.csv"),
        (b"query,query_label,rank,neighbour,neighbour_label,similarity\nq,1,1,n,1,0.5\n\x00", ":3"),
        (b'query,"' + b"x" * 200_000, "neighbours.csv:1: .*field larger"),
        (b"", "neighbours.csv:1: expected the columns"),
    ],
)
def test_neighbours_file_is_checked(tmp_path, content, words):
    (tmp_path / "neighbours.csv").write_bytes(content)
    one_line(visualize.read_neighbours, tmp_path / "neighbours.csv", match=words)


def test_fifo_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "x")
    one_line(visualize.read_neighbours, tmp_path / "x", match="x must be a file. Received: a FIFO")
    one_line(convert.check_paths, tmp_path / "x", tmp_path / "o.keras", match="a FIFO")
    one_line(Flags("mas try", "").parse, [f"--flagfile={tmp_path / 'x'}"], match="a FIFO")


@pytest.mark.parametrize(
    "text",
    ["t,a,b\na,1,2\n", "t,a\na,-1\n", "t,a\na,99999999999999999999\n", "t,a\na,x\n", "t\n", "\x00"],
)
def test_rejects_bad_confusion_matrix(tmp_path, text):
    (tmp_path / "confusion.csv").write_text(text)
    one_line(accuracy.read, tmp_path, match="confusion.csv")


def test_large_counts_need_no_memory(tmp_path):
    (tmp_path / "confusion.csv").write_text(f"t,a,b\na,{10**15},0\nb,{10**15},0\n")
    assert accuracy.read(tmp_path).top1 == 0.5


def test_class_names_of_run_are_checked(tmp_path):
    for wrong in ("abcdef", {"a": 1}, [1, 2]):
        (tmp_path / "run.json").write_text(json.dumps({"classes": wrong}))
        one_line(inputs.known_names, tmp_path, match="run.json must list class names")
    (tmp_path / "run.json").write_text(json.dumps({"classes": ["a", "b"]}))
    assert inputs.known_names(tmp_path) == ["a", "b"]


# ---- flag files ----------------------------------------------------------------------------------


def parsed(*arguments):
    made = Flags("mas try", "Tries.")
    made.add(Plan, "training")
    made.parse(arguments)
    return made


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"--epochs=2\n\xff\xfe", "x.flags cannot be read: .*UTF-8"),
        (b"--epchs=2\n", "x.flags: Unknown command line flag 'epchs'"),
        (b"--epochs=many\n", "x.flags: .*epochs must be .*'many'"),
        (b"--flip=perhaps\n", "x.flags: --flip must be true or false"),
        (b"epochs 2\n", "x.flags: mas try takes flags only"),
        (b"\x00" * 300, "x.flags: mas try takes flags only"),
        (b"#" * (10**6 + 1), "cannot be read: .*must have at most 1.0 MB"),
        (b"--flagfile=gone\n", "cannot be read: No such file"),
    ],
)
def test_bad_flag_file_is_reported(tmp_path, content, words):
    (tmp_path / "x.flags").write_bytes(content)
    one_line(parsed, f"--flagfile={tmp_path / 'x.flags'}", match=words)


def test_nested_flag_files_are_expanded_in_place(tmp_path):
    """A file that includes itself is read once; an error in a typed flag names no file."""
    one, two = tmp_path / "one.flags", tmp_path / "two.flags"
    one.write_text(f"# settings\n--epochs=3\n--batch=5\n--flagfile={two}\n--batch=6\n")
    two.write_text(f"// more\n--epochs=4\n--batch=7\n--flagfile={one}\n--flagfile {two}\n")
    found = parsed(f"--flagfile={one}")
    assert (found.epochs, found.batch) == (4, 6)
    one_line(parsed, f"--flagfile={one}", "--epchs=3", match="^Unknown command line flag 'epchs'")


# ---- checkpoints ---------------------------------------------------------------------------------


def test_rejects_torch_archive_that_unpacks_to_gigabytes(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"\x80\x02}.")
        archive.writestr("x/data/0", bytes(3 * 10**8))
    one_line(checkpoints.read, tmp_path / "x.pth", match="x.pth .*unpacks to 300.0 MB")


def test_rejects_tensor_shorter_than_declared(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.zeros(1, dtype=torch.half).expand(10**6, 10**6)}, tmp_path / "x.pth")
    one_line(checkpoints.read, tmp_path / "x.pth", match="x.pth .*tensor .*with too little data")


def test_rejects_index_larger_than_file(tmp_path):
    tf.train.Checkpoint(a=tf.Variable(tf.zeros(100_000))).write(str(tmp_path / "c"))
    assert len(checkpoints.read(tmp_path / "c")) == 2
    (tmp_path / "c.data-00000-of-00001").write_bytes(b"x" * 1000)
    one_line(checkpoints.read, tmp_path / "c", match="400.* of values declared for 1.0 kB of files")
