"""Reading checkpoints: every form gives the same arrays, and nothing in any is executed."""

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


MADE = {f.__name__: f for f in (state_dict, nested, with_options, parameters)}


@pytest.mark.parametrize("recent", [True, False])
@pytest.mark.parametrize("make", MADE)
def test_all_that_torch_save_writes(torch, tmp_path, make, recent):
    path = tmp_path / "epoch-18.pth.tar"
    torch.save(MADE[make](torch), path, _use_new_zipfile_serialization=recent)
    assert same(checkpoints.read(path))


def test_reduced_precision_becomes_float32_and_views_are_right(torch, tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    half = {"a": base.half(), "b": base.bfloat16(), "c": base.double(), "d": base.t()[1:]}
    torch.save(half, tmp_path / "a.pth")
    whole = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert same(
        checkpoints.read(tmp_path / "a.pth"), dict.fromkeys("abc", whole) | {"d": whole.T[1:]}
    )


def test_the_key_chooses_and_is_checked(torch, tmp_path):
    path = tmp_path / "current.pth"
    torch.save(with_options(torch), path)
    ema = {name: value + 1 for name, value in ARRAYS.items()}
    assert same(checkpoints.read(path, "model_ema"), ema)
    with pytest.raises(ValueError) as error:
        checkpoints.read(path, "encoder")
    said = "key must be one of ['model_ema', 'contrast', 'model']. Received: key='encoder'."
    assert str(error.value) == said


def test_twins_without_a_known_key_are_refused_and_both_are_named():
    tree = {"student": ARRAYS, "teacher": {"net": dict(ARRAYS)}, "queue": {"q": np.zeros(2)}}
    with pytest.raises(ValueError) as error:
        checkpoints.state(tree, None, "a.pth")
    assert str(error.value) == (
        "a.pth must hold one network, or take --key. Received: student (905 numbers), "
        "teacher/net (905 numbers), queue (2 numbers)."
    )
    assert checkpoints.state(tree, "teacher/net", "a.pth") == ARRAYS
    del tree["teacher"]
    assert same(checkpoints.state(tree, None, "a.pth")), "the largest"


@pytest.mark.parametrize("tree", [{"epoch": 3}, [1, 2], 7, {"values": [np.zeros(2)]}])
def test_without_any_tensor_it_says_what_there_is(tree):
    with pytest.raises(
        ValueError, match="must hold a dict of tensors. Received: (a dict|list|int)"
    ):
        checkpoints.state(tree, None, "a.pth")


# ---- hostile files -------------------------------------------------------------------------------


class Call:
    """Unpickling it calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def zipped(path, data, extra=()):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        for name in extra:
            archive.writestr(f"archive/{name}", b"")


def refusal(path):
    with pytest.raises(ValueError) as error:
        checkpoints.read(path)
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("form", ["pickle", "zip"])
def test_a_hostile_pickle_is_not_run_but_named(tmp_path, protocol, form):
    mark, path = tmp_path / "executed", tmp_path / "weights.pth"
    data = pickle.dumps({"state_dict": Call(os.system, f"touch {mark}")}, protocol)
    path.write_bytes(data) if form == "pickle" else zipped(path, data)
    assert f"Received: {os.system.__module__}.system. (" in refusal(path)
    assert not mark.exists()
    pickle.loads(data)
    assert mark.exists(), "the file is indeed hostile"


def test_all_that_is_refused_is_named_also_from_the_pickles_memo(tmp_path):
    calls = [Call(os.system, "a"), Call(os.system, "b"), Call(eval, "1"), Call(os.getenv, "c")]
    for protocol in (2, 4):
        data = pickle.dumps([calls, calls[1:]], protocol)
        names = pickled.global_names(io.BytesIO(data))
        builtins = "builtins" if protocol > 2 else "__builtin__"
        assert names == {f"{os.system.__module__}.system", f"{builtins}.eval", "os.getenv"}


@pytest.mark.parametrize("recent", [True, False])
def test_a_call_beside_the_tensors_is_not_run(torch, tmp_path, recent):
    mark = tmp_path / "executed"
    tree = nested(torch) | {"hook": Call(os.system, f"touch {mark}")}
    torch.save(tree, tmp_path / "a.pth", _use_new_zipfile_serialization=recent)
    assert f"{os.system.__module__}.system" in refusal(tmp_path / "a.pth")
    assert not mark.exists()


@pytest.mark.parametrize("recent", [True, False])
def test_functions_of_torch_are_not_run_either(torch, tmp_path, recent):
    """Names of torch pass the first look: torch.load itself refuses them."""
    mark = tmp_path / "executed"
    tree = nested(torch) | {"hook": Call(torch.save, torch.ones(1), str(mark))}
    torch.save(tree, tmp_path / "a.pth", _use_new_zipfile_serialization=recent)
    assert "torch.serialization.save" in refusal(tmp_path / "a.pth")
    assert not mark.exists()


def test_a_whole_module_is_refused_and_named(torch, tmp_path):
    torch.save({"model": torch.nn.Linear(2, 3)}, tmp_path / "a.pth")
    said = refusal(tmp_path / "a.pth")
    assert "torch.nn.modules.linear.Linear" in said and "save its state_dict()" in said


def test_options_become_nothing(torch, tmp_path):
    """What training leaves beside the weights is not even built."""
    torch.save(with_options(torch), tmp_path / "a.pth")
    tree = pickled.load(tmp_path / "a.pth")
    assert {type(tree[name]) for name in ("opt", "best", "counts")} == {pickled.Ignored}
    assert not vars(tree["opt"])


# ---- damaged files, and others -------------------------------------------------------------------


def test_a_truncated_archive(tmp_path):
    path = tmp_path / "a.pth"
    zipped(path, pickle.dumps({"a": 1}, 2), ["data/0"])
    path.write_bytes(path.read_bytes()[:-30])
    assert "must be a whole archive of torch.save" in refusal(path)


def test_a_truncated_pickle(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(pickle.dumps({"a": "long" * 10}, 2)[:-20])
    assert "must be a whole pickle" in refusal(path)


def test_a_truncated_file_of_old(torch, tmp_path):
    path = tmp_path / "a.pth"
    torch.save(state_dict(torch), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-8])
    assert "unexpected EOF" in refusal(path)


def test_a_changed_byte(torch, tmp_path):
    path = tmp_path / "a.pth"
    torch.save(state_dict(torch), path)
    data, weights = path.read_bytes(), ARRAYS["conv1.weight"].tobytes()
    assert data.count(weights) == 1
    path.write_bytes(data.replace(weights, b"\0" + weights[1:]))
    assert "other bytes in" in refusal(path)


def test_a_dict_that_holds_itself_and_sparse_tensors(torch, tmp_path):
    endless = {"a": torch.ones(1)}
    endless["b"] = endless
    for tree in (endless, {"a": torch.ones(1).to_sparse()}):
        torch.save(tree, tmp_path / "a.pth")
        assert "must hold plain tensors in dicts" in refusal(tmp_path / "a.pth")


def test_programs_and_other_archives(tmp_path):
    path = tmp_path / "a.pth"
    zipped(path, pickle.dumps({}, 2), ["constants.pkl"])
    assert "Received: a TorchScript program, which is code." in refusal(path)
    np.savez(path.with_suffix(".npz"), a=np.zeros(2))
    assert "Received: an archive of ['a.npy']." in refusal(path.with_suffix(".npz"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>", "a file that begins with b'<!DOCTYPE html><html>'"),
        (b"hello.", "a file that begins with b'hello.'"),
        (bytes(5000), "a file that begins with b'\\x00"),
        (b"\x1f\x8b\x08", "an archive that must be unpacked first"),
    ],
)
def test_other_files_are_refused_with_what_was_expected(tmp_path, data, words):
    path = tmp_path / "a.pth"
    path.write_bytes(data)
    expected = f"{path} must be {checkpoints.EXPECTED}. Received: {words}"
    assert refusal(path).startswith(expected)


def test_a_real_tar_must_be_unpacked(tmp_path):
    path = tmp_path / "a.pth.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(__file__, "weights.pth")
    assert "Received: an archive that must be unpacked first." in refusal(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Received: .*gone\.pth, not there\."):
        checkpoints.read(tmp_path / "gone.pth")


def test_without_the_extra_it_says_what_to_install(tmp_path, monkeypatch):
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
    with pytest.raises(ValueError, match="key must be left out"):
        checkpoints.read(path, "model")
    path.write_bytes(path.read_bytes()[:-3])
    assert "must be a whole safetensors file" in refusal(path)


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


def test_every_way_to_name_a_tensorflow_checkpoint(tmp_path):
    prefix = save_tensorflow(tmp_path / "run")
    files = [".index", ".meta", ".data-00000-of-00001"]
    for path in (prefix, *(prefix + suffix for suffix in files), tmp_path / "run"):
        assert same(checkpoints.read(path), IN_TENSORFLOW)


def test_the_one_file_of_early_tensorflow(tmp_path):
    assert same(checkpoints.read(save_tensorflow(tmp_path / "run", version=1)), IN_TENSORFLOW)


def test_a_folder_that_was_moved_and_one_of_two(tmp_path):
    prefix = save_tensorflow(tmp_path / "run")
    (tmp_path / "run" / "checkpoint").write_text('model_checkpoint_path: "/elsewhere/model.ckpt"\n')
    assert same(checkpoints.read(tmp_path / "run"), IN_TENSORFLOW)
    (tmp_path / "run" / "other.index").write_bytes(b"")
    said = refusal(tmp_path / "run")
    assert prefix in said and str(tmp_path / "run" / "other") in said
    assert f"Received: the folder {tmp_path} with none of TensorFlow." in refusal(tmp_path)


def test_a_damaged_tensorflow_checkpoint(tmp_path):
    prefix = save_tensorflow(tmp_path / "run")
    data = tmp_path / "run" / "model.ckpt-80000.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-100])
    assert "must be a whole TensorFlow checkpoint" in refusal(prefix)
    data.unlink()
    assert "No such file" in refusal(prefix)
    (tmp_path / "run" / "model.ckpt-80000.index").write_bytes(b"text" * 20)
    assert "bad magic number" in refusal(prefix)
