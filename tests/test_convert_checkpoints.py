"""Checkpoints: every format gives the same arrays, and no code runs."""

import argparse
import collections
import io
import os
import pickle
import sys
import tarfile
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from mas.convert import checkpoints, pickled

RNG = np.random.default_rng(7)
ARRAYS = {
    "conv1.weight": RNG.normal(size=(4, 3, 3, 5, 5)).astype(np.float32),
    "bn1.running_var": RNG.uniform(size=4).astype(np.float32),
    "bn1.num_batches_tracked": np.array(12, np.int64),
}


def same(found, expected=ARRAYS):
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)
    return True


def refused(path, match=""):
    with pytest.raises(ValueError, match=match) as error:
        checkpoints.read(path)
    assert str(path) in str(error.value)


# ---- PyTorch -------------------------------------------------------------------------------------


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="needs the extra `convert`")


def state_dict(torch, prefix=""):
    pairs = ((prefix + name, torch.tensor(value)) for name, value in ARRAYS.items())
    return collections.OrderedDict(pairs)


def nested(torch):
    """As STS and pace save: epoch, state_dict, opt_dict."""
    momentum = {"momentum_buffer": torch.ones(4, 3, 3, 5, 5)}
    return {
        "epoch": 18,
        "state_dict": state_dict(torch, "module."),
        "opt_dict": {"state": {0: momentum}, "param_groups": [{"lr": 0.1, "params": [0]}]},
    }


def with_options(torch):
    """As VTDL and DSM save: options, two encoders, queue, optimiser, epoch."""
    ema = {name: value + 1 for name, value in state_dict(torch, "module.").items()}
    return {
        "opt": argparse.Namespace(arch="i3d", decay=[120, 160], device=torch.device("cpu")),
        "model_ema": ema,
        "contrast": {"memory": torch.zeros(4096, 8), "params": torch.tensor([-1])},
        "model": state_dict(torch, "module."),
        "best": np.float64(0.5),
        "counts": np.arange(3),
    }


def parameters(torch):
    module = torch.nn.Module()
    module.weight = torch.nn.Parameter(torch.tensor(ARRAYS["conv1.weight"]))
    return {"net": {"conv1.weight": module.weight} | dict(list(state_dict(torch).items())[1:])}


@pytest.mark.parametrize("recent", [True, False])
def test_reads_every_torch_save_format(torch, tmp_path, recent):
    path = tmp_path / "epoch-18.pth.tar"
    for make in (state_dict, nested, with_options, parameters):
        torch.save(make(torch), path, _use_new_zipfile_serialization=recent)
        assert same(checkpoints.read(path)), make


def test_half_precision_and_views_are_read_as_float32(torch, tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    half = {"a": base.half(), "b": base.bfloat16(), "c": base.double(), "d": base.t()[1:]}
    torch.save(half, tmp_path / "a.pth")
    whole = np.arange(12, dtype=np.float32).reshape(3, 4)
    expected = dict.fromkeys("abc", whole) | {"d": whole.T[1:]}
    assert same(checkpoints.read(tmp_path / "a.pth"), expected)


def test_key_selects_state_dict_and_options_are_not_built(torch, tmp_path):
    """Other objects of the training are not even built."""
    path = tmp_path / "current.pth"
    torch.save(with_options(torch), path)
    ema = {name: value + 1 for name, value in ARRAYS.items()}
    assert same(checkpoints.read(path, "model_ema"), ema)
    with pytest.raises(ValueError, match="'model_ema', 'contrast', 'model'.*key='encoder'"):
        checkpoints.read(path, "encoder")
    tree = pickled.load(path)
    assert {type(tree[name]) for name in ("opt", "best", "counts")} == {pickled.Ignored}
    assert not vars(tree["opt"])


def test_rejects_ambiguous_state_dicts_and_names_both():
    tree = {"student": ARRAYS, "teacher": {"net": dict(ARRAYS)}, "queue": {"q": np.zeros(2)}}
    listed = r"a.pth.*student \(905 numbers\), teacher/net \(905 numbers\), queue \(2 numbers\)"
    with pytest.raises(ValueError, match=listed):
        checkpoints.state(tree, None, "a.pth")
    assert checkpoints.state(tree, "teacher/net", "a.pth") == ARRAYS
    del tree["teacher"]
    assert same(checkpoints.state(tree, None, "a.pth")), "the largest"


def test_checkpoint_without_tensors_lists_its_contents():
    for tree, word in (({"epoch": 3}, "dict"), ([1, 2], "list"), (7, "int")):
        with pytest.raises(ValueError, match=f"a.pth.*Received: .*{word}"):
            checkpoints.state(tree, None, "a.pth")
    with pytest.raises(ValueError, match="Received: a dict"):
        checkpoints.state({"values": [np.zeros(2)]}, None, "a.pth")


# ---- hostile files -------------------------------------------------------------------------------


class Call:
    """An object whose unpickling calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def zipped(path, data, extra=()):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        for name in extra:
            archive.writestr(f"archive/{name}", b"")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_hostile_pickle_is_reported_not_run(tmp_path, protocol):
    mark, path = tmp_path / "executed", tmp_path / "weights.pth"
    data = pickle.dumps({"state_dict": Call(os.system, f"touch {mark}")}, protocol)
    for write in (lambda: path.write_bytes(data), lambda: zipped(path, data)):
        write()
        refused(path, rf"Received: {os.system.__module__}\.system\. ")
    assert not mark.exists()
    pickle.loads(data)
    assert mark.exists(), "the file is indeed hostile"


def test_all_refused_globals_are_named_including_memoised_ones():
    calls = [Call(os.system, "a"), Call(os.system, "b"), Call(eval, "1"), Call(os.getenv, "c")]
    calls.append(Call(os.makedirs, "d"))  # whose module is told by the memo alone
    for protocol in (2, 4):
        data = pickle.dumps([calls, calls[1:]], protocol)
        names = pickled.global_names(io.BytesIO(data))
        builtins = "builtins" if protocol > 2 else "__builtin__"
        expected = {f"{os.system.__module__}.system", f"{builtins}.eval"}
        assert names == expected | {"os.getenv", "os.makedirs"}


@pytest.mark.parametrize("recent", [True, False])
def test_calls_next_to_tensors_are_not_run(torch, tmp_path, recent):
    """These names of torch pass the first check; torch.load itself rejects them."""
    mark, path = tmp_path / "executed", tmp_path / "a.pth"
    for name, call in (
        (f"{os.system.__module__}.system", Call(os.system, f"touch {mark}")),
        ("torch.serialization.save", Call(torch.save, torch.ones(1), str(mark))),
        ("torch.nn.modules.linear.Linear.*state_dict", torch.nn.Linear(2, 3)),  # a whole module
    ):
        tree = nested(torch) | {"hook": call}
        torch.save(tree, path, _use_new_zipfile_serialization=recent)
        refused(path, name)
    assert not mark.exists()


# ---- damaged files, and others -------------------------------------------------------------------


def test_damaged_files_of_pickle_and_zip(tmp_path):
    path = tmp_path / "a.pth"
    zipped(path, pickle.dumps({"a": 1}, 2), ["data/0"])
    path.write_bytes(path.read_bytes()[:-30])
    refused(path, "whole archive")
    path.write_bytes(pickle.dumps({"a": "long" * 10}, 2)[:-20])
    refused(path, "whole pickle")
    zipped(path, pickle.dumps({}, 2), ["constants.pkl"])
    refused(path, "Received: a TorchScript program")
    np.savez(path.with_suffix(".npz"), a=np.zeros(2))
    refused(path.with_suffix(".npz"), r"Received: an archive of \['a.npy'\]")


def test_damaged_files_of_torch(torch, tmp_path):
    path = tmp_path / "a.pth"
    torch.save(state_dict(torch), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-8])
    refused(path, "unexpected EOF")
    torch.save(state_dict(torch), path)
    data, weights = path.read_bytes(), ARRAYS["conv1.weight"].tobytes()
    assert data.count(weights) == 1
    path.write_bytes(data.replace(weights, b"\0" + weights[1:]))
    refused(path, "a wrong checksum in")
    endless = {"a": torch.ones(1)}
    endless["b"] = endless
    for tree in (endless, {"a": torch.ones(1).to_sparse()}):
        torch.save(tree, path)
        refused(path, "plain tensors")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>", "a file that starts with b'<!DOCTYPE html><html>'"),
        (b"hello.", "a file that starts with b'hello.'"),
        (bytes(5000), r"a file that starts with b'\\x00"),
        (b"\x1f\x8b\x08", "an archive that must be unpacked first"),
    ],
)
def test_rejects_other_files_and_names_their_format(tmp_path, data, words):
    path = tmp_path / "a.pth"
    path.write_bytes(data)
    refused(path, f"Received: {words}")


def test_tar_and_missing_file_are_reported(tmp_path):
    path = tmp_path / "a.pth.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(__file__, "weights.pth")
    refused(path, "must be unpacked first")
    with pytest.raises(FileNotFoundError, match=r"Received: .*gone\.pth"):
        checkpoints.read(tmp_path / "gone.pth")


def test_missing_torch_is_reported_with_install_command(tmp_path, monkeypatch):
    for module in ("torch", "safetensors", "safetensors.numpy"):
        monkeypatch.setitem(sys.modules, module, None)
    zipped(tmp_path / "a.pth", pickle.dumps(collections.OrderedDict(), 2))
    (tmp_path / "b").write_bytes((2).to_bytes(8, "little") + b"{}")
    for name in ("a.pth", "b"):
        with pytest.raises(ImportError, match=r"pip install 'mas-video\[convert\]'"):
            checkpoints.read(tmp_path / name)


# ---- safetensors ---------------------------------------------------------------------------------


def test_safetensors(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy", reason="needs the extra `convert`")
    path = tmp_path / "weights.bin"
    numpy.save_file({f"module.{name}": value for name, value in ARRAYS.items()}, path)
    assert same(dict(sorted(checkpoints.read(path).items())), dict(sorted(ARRAYS.items())))
    with pytest.raises(ValueError, match="key='model'"):
        checkpoints.read(path, "model")
    path.write_bytes(path.read_bytes()[:-3])
    refused(path, "whole safetensors")


# ---- TensorFlow 1 --------------------------------------------------------------------------------


def save_tensorflow(folder, version=2):
    folder.mkdir()
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        for name, value in ARRAYS.items():
            v1.get_variable(f"C3D/{name}", initializer=value)
        session.run(v1.global_variables_initializer())
        saver = v1.train.Saver(write_version=version)
        return saver.save(session, str(folder / "model.ckpt"), global_step=80000)


IN_TENSORFLOW = {f"C3D/{name}": ARRAYS[name] for name in sorted(ARRAYS)}


def test_accepts_every_name_of_a_tensorflow_checkpoint(tmp_path):
    prefix, folder = save_tensorflow(tmp_path / "run"), tmp_path / "run"
    files = [".index", ".meta", ".data-00000-of-00001"]
    for path in (prefix, *(prefix + suffix for suffix in files), folder):
        assert same(checkpoints.read(path), IN_TENSORFLOW)
    early = save_tensorflow(tmp_path / "early", version=1)  # one file
    assert same(checkpoints.read(early), IN_TENSORFLOW)
    moved = 'model_checkpoint_path: "/elsewhere/model.ckpt"\n'
    (folder / "checkpoint").write_text(moved)
    assert same(checkpoints.read(folder), IN_TENSORFLOW)
    (folder / "other.index").write_bytes(b"")
    refused(folder, f"{prefix}.*{folder / 'other'}")
    refused(tmp_path, "Received: .* with no TensorFlow checkpoint")


def test_damaged_tensorflow_checkpoint_is_reported(tmp_path):
    prefix = save_tensorflow(tmp_path / "run")
    data = tmp_path / "run" / "model.ckpt-80000.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-100])
    refused(prefix, "whole TensorFlow checkpoint")
    data.unlink()
    refused(prefix, "declared for 0 bytes of files")
    (tmp_path / "run" / "model.ckpt-80000.index").write_bytes(b"text" * 20)
    refused(prefix, "bad magic number")
